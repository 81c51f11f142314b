"""Start uvicorn: checks of host, port and token, and what is printed."""

import ipaddress
import os
import socket
import webbrowser
from collections.abc import Sequence
from pathlib import Path

import uvicorn

from gansmith.core.errors import GansmithError
from gansmith.core.events import say
from gansmith.web.app import create_app

ENV = "GANSMITH_SERVE"  # how a worker process learns what to serve


def serve_app(
    paths: Sequence[Path],
    host: str,
    port: int,
    token: str | None,
    *,
    page: bool,
    open_page: bool = False,
    allow_control: bool = False,
    workers: int = 1,
) -> None:
    """Serve until Ctrl-C. GansmithError for a taken port, or another host without a token."""
    if token is None and not _is_loopback(host):
        raise GansmithError(
            "web.token_needed",
            f"--host {host} lets other machines in, and needs a token\n  add --token TEXT, or set GANSMITH_TOKEN",
        )
    app = create_app(paths, page=page, token=token, allow_control=allow_control)
    listening = _listen(host, port)
    port = listening.getsockname()[1]
    shown = f"[{host}]" if ":" in host else host
    url = f"http://{shown}:{port}/" + (f"?token={token}" if token and page else "")
    say(f"serving {', '.join(map(str, paths))} on {url}\n  Ctrl-C ends it")
    if open_page:
        webbrowser.open(url)
    config = uvicorn.Config(app, log_level="warning", access_log=False, server_header=False, timeout_keep_alive=15)
    uvicorn.Server(config).run([listening])


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _listen(host: str, port: int) -> socket.socket:
    """Return a listening socket; GansmithError if the port is taken or the host is not this machine's."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    made = socket.socket(family)
    try:
        if os.name == "posix":
            made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.bind((host, port))
        made.listen(1024)
        made.set_inheritable(True)
    except OSError as problem:
        made.close()
        raise GansmithError(
            "web.port_taken", f"cannot listen on {host}:{port}: {problem.strerror}\n  pass another port: --port 0"
        ) from problem
    return made
