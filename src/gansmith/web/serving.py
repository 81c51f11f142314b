"""Start uvicorn: check host, port and token, leave slow clients, start workers."""

import asyncio
import ipaddress
import json
import os
import socket
import webbrowser
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import h11
import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.supervisors import Multiprocess

from gansmith.core.cpus import available_cpus
from gansmith.core.errors import GansmithError
from gansmith.core.events import say
from gansmith.core.plain_files import open_plain
from gansmith.web.app import create_app
from gansmith.web.security import Security

FOR_WORKERS = "GANSMITH_SERVE"  # the variable by which worker processes learn what to serve
HEADER_SEC = 15.0  # for the head of a request to arrive
GRACE_SEC = 5  # for requests to end when the server ends
SLOW_HEAD = json.dumps(
    {"error": {"code": "web.slow_head", "message": "the request did not arrive in time\n  send it again"}}
).encode()
MOST_CONNECTIONS = 4000
MOST_UNSENT = 2**16  # bytes that the system holds for a slow client; else 4 MB of old pictures wait for a page


@dataclass(frozen=True)
class ServeOptions:
    """What is served, and to whom."""

    paths: tuple[str, ...]
    host: str = "127.0.0.1"
    port: int = 8000
    token: str | None = None
    page: bool = True  # else the API of models alone
    allow_control: bool = False

    def app(self) -> Security:
        """Return the application."""
        paths = [Path(path) for path in self.paths]
        return create_app(paths, page=self.page, token=self.token, allow_control=self.allow_control)


class PatientProtocol(H11Protocol):
    """HTTP that leaves clients whose request does not arrive; uvicorn itself would wait for ever."""

    def connection_made(self, transport: Any) -> None:
        """Begin to watch a connection."""
        super().connection_made(transport)
        self.loop.call_later(HEADER_SEC, self._look, self.cycle)

    def _look(self, last: Any) -> None:
        if self.transport.is_closing():
            return
        if self.conn.their_state is h11.IDLE and self.cycle is last:
            if self.conn.trailing_data[0]:  # it began
                head = b"HTTP/1.1 408 Request Timeout\r\ncontent-type: application/json\r\nconnection: close\r\n"
                self.transport.write(head + b"content-length: %d\r\n\r\n" % len(SLOW_HEAD) + SLOW_HEAD)
            self.transport.close()
        else:
            self.loop.call_later(HEADER_SEC, self._look, self.cycle)


class StudioServer(uvicorn.Server):
    """A server that ends without waiting for pages that follow runs, and lets other requests end in GRACE_SEC."""

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Close the streams of events, then wait for the other requests; who is left then loses the connection."""
        self._leave("/events")
        asyncio.get_running_loop().call_later(GRACE_SEC, self._leave)
        await super().shutdown(sockets)

    def _leave(self, path_end: str = "") -> None:
        """Close the connections with a request for such a path, which cancels it; uvicorn would print a traceback."""
        for connection in list(self.server_state.connections):
            cycle = getattr(connection, "cycle", None)
            if cycle is not None and cycle.scope["path"].endswith(path_end):
                connection.transport.close()


def serve(options: ServeOptions, *, workers: int = 1, open_page: bool = False) -> None:
    """Serve until Ctrl-C.

    Raises GansmithError for a path that does not exist, a taken port, and another host without a token, and OSError as
    ``open_plain`` for a path that is neither a folder nor a plain file.
    """
    missing = [path for path in options.paths if not Path(path).exists()]
    if missing and not options.page:
        raise GansmithError(
            "model.not_found", f"'{missing[0]}' does not exist\n  pass an .onnx file, a model folder or a run"
        )
    for path in set(options.paths) - set(missing):
        if not Path(path).is_dir():
            open_plain(path).close()
    if options.token is None and not _is_loopback(options.host):
        raise GansmithError(
            "web.host_needs_token",
            f"--host {options.host} lets other machines in, and needs a token"
            "\n  add --token TEXT, or set GANSMITH_TOKEN",
        )
    listening = _listen(options.host, options.port)
    shown = f"[{options.host}]" if ":" in options.host else options.host
    url = f"http://{shown}:{listening.getsockname()[1]}/"
    page = url + (f"?token={options.token}" if options.token and options.page else "")
    say(f"serving {', '.join(options.paths)} at {page}\n  Ctrl-C ends it")
    if missing:
        say(f"note: '{missing[0]}' does not exist yet; what appears in it is shown")
    if open_page:
        webbrowser.open(page)
    _allow_many_files()
    common: dict[str, Any] = {
        "log_level": "warning", "access_log": False, "server_header": False, "timeout_keep_alive": 15,
        "http": PatientProtocol, "ws": "none", "limit_concurrency": MOST_CONNECTIONS, "proxy_headers": False,
        "timeout_graceful_shutdown": 2 * GRACE_SEC,
    }  # fmt: skip
    if workers == 1:
        StudioServer(uvicorn.Config(options.app(), **common)).run([listening])
        return
    os.environ[FOR_WORKERS] = json.dumps(asdict(options))
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, available_cpus() // workers)))
    config = uvicorn.Config("gansmith.web.serving:worker_app", factory=True, workers=workers, **common)
    Multiprocess(config, sockets=[listening]).run()


def worker_app() -> Security:
    """Return the application of a worker process."""
    values = json.loads(os.environ[FOR_WORKERS])
    return ServeOptions(**{**values, "paths": tuple(values["paths"])}).app()


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _listen(host: str, port: int) -> socket.socket:
    """Return a listening socket; GansmithError if the port is taken, or the host is not an address of this machine."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # with the protocol named asyncio sends small answers at once; else the system waits 40 ms for more
    made = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        if os.name == "posix":
            made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if hasattr(socket, "TCP_NOTSENT_LOWAT"):  # Windows has none
            made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, MOST_UNSENT)  # connections inherit it
        made.bind((host, port))
        made.listen(1024)
        made.set_inheritable(True)
    except OSError as problem:
        made.close()
        raise GansmithError(
            "web.cannot_listen",
            f"cannot listen on {host}, port {port}: {problem.strerror}\n  pass another port: --port 0 takes a free one",
        ) from problem
    return made


def _allow_many_files() -> None:
    """Raise the number of connections that the system allows, where it lets us."""
    with suppress(ImportError, ValueError, OSError):
        import resource  # here: Windows has none

        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        wanted = 2 * MOST_CONNECTIONS
        if soft != resource.RLIM_INFINITY and soft < wanted:
            resource.setrlimit(
                resource.RLIMIT_NOFILE, (wanted if hard == resource.RLIM_INFINITY else min(wanted, hard), hard)
            )
