"""``gansmith studio``: explore models, watch runs and learn, in a browser."""

from pathlib import Path
from typing import Annotated

import typer

from gansmith.cli.options import flag


def studio(
    folders: Annotated[
        list[Path] | None,
        typer.Argument(metavar="FOLDER", help="Runs, models, or folders of them.", show_default="runs"),
    ] = None,
    port: Annotated[int, typer.Option(metavar="N", help="Port; 0 takes a free one.", min=0, max=65535)] = 8000,
    host: Annotated[
        str, typer.Option(metavar="NAME", help="Address to listen on; others than this machine's own need a token.")
    ] = "127.0.0.1",
    token: Annotated[str | None, typer.Option(metavar="T", help="Ask for this token.", envvar="GANSMITH_TOKEN")] = None,
    open_page: Annotated[bool, flag("--open", "Open the page in the browser.")] = False,
    allow_control: Annotated[bool, flag("--allow-control", "Let the page pause, resume and stop runs.")] = False,
) -> None:
    """Explore models, watch runs and learn, in a browser.

    New runs and models appear by themselves. Nothing is sent to elsewhere.

    Example: gansmith studio runs
    """
    from gansmith.web.serving import serve_app  # here: an extra

    serve_app(folders or [Path("runs")], host, port, token, page=True, open_page=open_page, allow_control=allow_control)
