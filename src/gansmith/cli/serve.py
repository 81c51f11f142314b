"""``gansmith serve``: a model behind an HTTP API."""

from pathlib import Path
from typing import Annotated

import typer

from gansmith.cli.options import Host, Port, Token, import_serving


def serve(
    model: Annotated[Path, typer.Argument(metavar="MODEL", help="An .onnx file, a model folder or a run.")],
    port: Port = 8000,
    host: Host = "127.0.0.1",
    token: Token = None,
    workers: Annotated[int, typer.Option(metavar="N", help="Processes that answer.", min=1, max=64)] = 1,
) -> None:
    """Serve a model over HTTP: images, grids, walks, translations.

    It has the HTTP API of 'gansmith studio', without the page and without runs.

    Example: gansmith serve generator.onnx --workers 2
    """
    serving = import_serving()
    serving.serve(serving.ServeOptions((str(model),), host, port, token, page=False), workers=workers)
