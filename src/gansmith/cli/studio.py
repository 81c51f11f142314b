"""``gansmith studio``: explore models, watch runs and learn, in a browser."""

from pathlib import Path
from typing import Annotated

import typer

from gansmith.cli.options import Host, Port, Token, flag, import_serving


def studio(
    folders: Annotated[
        list[Path] | None,
        typer.Argument(metavar="FOLDER", help="Runs, models, or folders of them.", show_default="runs"),
    ] = None,
    port: Port = 8000,
    host: Host = "127.0.0.1",
    token: Token = None,
    open_page: Annotated[bool, flag("--open", "Open the page in the browser.")] = False,
    allow_control: Annotated[bool, flag("--allow-control", "Let the page pause, resume and stop runs.")] = False,
) -> None:
    """Explore models, watch runs and learn, in a browser.

    New runs and models appear by themselves. Nothing is sent anywhere else.

    Example: gansmith studio runs
    """
    serving = import_serving()
    paths = tuple(map(str, folders or [Path("runs")]))
    options = serving.ServeOptions(paths, host, port, token, allow_control=allow_control)
    serving.serve(options, open_page=open_page)
