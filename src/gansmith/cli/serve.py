"""``gansmith serve``: a model behind an HTTP API."""

from pathlib import Path
from typing import Annotated

import typer


def serve(
    model: Annotated[Path, typer.Argument(metavar="MODEL", help="An .onnx file, a model folder or a run.")],
    port: Annotated[int, typer.Option(metavar="N", help="Port; 0 takes a free one.", min=0, max=65535)] = 8000,
    host: Annotated[
        str, typer.Option(metavar="NAME", help="Address to listen on; others than this machine's own need a token.")
    ] = "127.0.0.1",
    token: Annotated[str | None, typer.Option(metavar="T", help="Ask for this token.", envvar="GANSMITH_TOKEN")] = None,
    workers: Annotated[int, typer.Option(metavar="N", help="Processes that answer.", min=1, max=64)] = 1,
) -> None:
    """Serve a model over HTTP: images, grids, walks, translations.

    The API is that of 'gansmith studio', without the page and without runs.

    Example: gansmith serve generator.onnx --workers 2
    """
    from gansmith.web.serving import serve_app  # here: an extra

    serve_app([model], host, port, token, page=False, workers=workers)
