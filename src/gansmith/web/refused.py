"""The error of a request that is refused."""


class RefusedError(Exception):
    """A request that is refused: HTTP status, code and message."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status, self.code = status, code
