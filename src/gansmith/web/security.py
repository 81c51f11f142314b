"""Security of every request: token, Host header, origin, size and time of a body, headers."""

import asyncio
import hashlib
import hmac
import json
import time
from collections.abc import Awaitable, Callable, MutableMapping
from contextlib import suppress
from dataclasses import dataclass
from html import escape
from typing import Any
from urllib.parse import parse_qsl, urlencode

from h11 import LocalProtocolError

from gansmith.web.metrics import Metrics
from gansmith.web.refused import RefusedError

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Asgi = Callable[[Scope, Receive, Send], Awaitable[None]]

COOKIE = "gansmith"
LOOPBACK = frozenset({"localhost", "127.0.0.1", "[::1]"})
OPEN_PATHS = frozenset({"/healthz", "/readyz"})  # for load balancers, which have no token
UPLOADS = ("/invert", "/translate")  # ends of the paths that take an image
UPLOAD_BYTES, BODY_BYTES = 32 * 2**20, 2**20
BODY_SEC = 30.0
SEND_SEC = 60.0  # for a client to read each part of an answer
LEFT = 499  # the status, in the metrics, of requests whose clients left
BODY_PARTS = 4  # of a body that are read ahead
CSP = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; media-src 'self' blob:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
HEADERS = [  # of every answer, unless a route says otherwise
    (b"content-security-policy", CSP.encode()),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cache-control", b"no-cache"),  # so that the page of a newer version is not mixed with an old one
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
]


@dataclass(frozen=True)
class Security:
    """ASGI middleware. Without a token only this machine's own names are answered."""

    app: Asgi
    token: str | None
    metrics: Metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Check a request, and pass it on."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        status, began = 0, time.monotonic()

        async def answer(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                present = {name for name, _ in message.get("headers", [])}
                added = [each for each in HEADERS if each[0] not in present]
                message["headers"] = [*message.get("headers", []), *added]
            with suppress(LocalProtocolError):  # what came after the head was no HTTP: the connection is closing
                async with asyncio.timeout(SEND_SEC):
                    await send(message)

        try:
            headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
            self._check_host(headers.get("host", ""))
            _check_origin(scope["method"], headers)
            cookie = self._check_token(scope, headers)
            if cookie:
                await _send_on(scope, cookie, answer)
            else:
                await _until_left(self.app, scope, _limited(scope, headers, receive), answer)
        except RefusedError as problem:
            if not status:  # else half of an answer is out, and only its missing end can say so
                await _answer_error(problem, answer)
        except TimeoutError:
            pass  # the client does not read its answer
        finally:
            route = getattr(scope.get("route"), "path", "other")
            self.metrics.observe(route, status or LEFT, time.monotonic() - began)

    def _check_host(self, host: str) -> None:
        """Refuse other names than this machine's: a page elsewhere could have its own name point here."""
        name, _, port = host.rpartition(":") if not host.endswith("]") and ":" in host else (host, "", "")
        wrong = not name or any(each in name for each in "/\\@?# ") or (port and not port.isdecimal())
        if wrong or (self.token is None and name.lower() not in LOOPBACK):
            raise RefusedError(
                421,
                "web.wrong_host",
                "the Host header names another machine"
                "\n  open http://127.0.0.1:PORT/, or start the server with --token",
            )

    def _check_token(self, scope: Scope, headers: dict[str, str]) -> str:
        """Refuse a request without the token; return the cookie to set if the token is in the URL."""
        if self.token is None or scope["path"] in OPEN_PATHS:
            return ""
        known = _cookie_of(self.token)
        query = parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True, max_num_fields=None)
        given = next((value for name, value in query if name == "token"), None)
        if given is not None and scope["method"] == "GET" and _same(given, self.token):
            return known
        kind, _, bearer = headers.get("authorization", "").partition(" ")
        if kind.lower() == "bearer" and _same(bearer.strip(), self.token):
            return ""
        for part in headers.get("cookie", "").split(";"):
            name, _, value = part.strip().partition("=")
            if name == COOKIE and _same(value, known):
                return ""
        raise RefusedError(
            401, "web.token_needed", "a token is needed\n  open the address that 'gansmith studio' printed, or send "
            "the header 'Authorization: Bearer TOKEN'",
        )  # fmt: skip


def _same(given: str, wanted: str) -> bool:
    """Compare in constant time."""
    return hmac.compare_digest(given.encode("utf-8", "surrogateescape"), wanted.encode("utf-8", "surrogateescape"))


def _cookie_of(token: str) -> str:
    """Return the cookie's value, which does not give the token away."""
    return hmac.new(token.encode(), b"gansmith studio cookie", hashlib.sha256).hexdigest()


def _check_origin(method: str, headers: dict[str, str]) -> None:
    """Refuse what a page of another origin sends: it could only be meant to do harm."""
    if method in ("GET", "HEAD", "OPTIONS"):
        return
    origin = headers.get("origin")
    same = origin is None or origin.partition("://")[2].lower() == headers.get("host", "").lower()
    if not same or headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
        raise RefusedError(
            403,
            "web.other_origin",
            "pages of another origin may not send requests here\n  open the address that 'gansmith studio' printed",
        )


async def _until_left(app: Asgi, scope: Scope, receive: Receive, send: Send) -> None:
    """Run the application; cancel it when the client leaves before its answer, or sends too much or too slowly."""
    passed = asyncio.Queue[Message]()
    space = asyncio.Semaphore(BODY_PARTS)

    async def listen() -> None:
        try:
            while True:
                await space.acquire()
                message = await receive()
                passed.put_nowait(message)
                if message["type"] == "http.disconnect":
                    return
        finally:
            working.cancel()

    async def next_message() -> Message:
        message = await passed.get()
        space.release()
        return message

    working = asyncio.ensure_future(app(scope, next_message, send))
    listening = asyncio.ensure_future(listen())
    try:
        await working
    except asyncio.CancelledError:
        if not listening.done():
            raise  # the server ends
        listening.result()  # RefusedError, if it was that
    finally:
        working.cancel()
        listening.cancel()


def _limited(scope: Scope, headers: dict[str, str], receive: Receive) -> Receive:
    """Return ``receive`` with a limit on the bytes of the body and on the time that it takes to arrive."""
    most = UPLOAD_BYTES if scope["path"].endswith(UPLOADS) else BODY_BYTES
    too_large = RefusedError(413, "web.body_too_large", f"the body has more than {most:,} bytes\n  send less")
    length = headers.get("content-length", "0")
    if length.isdecimal() and (len(length) > 18 or int(length) > most):
        raise too_large
    got, whole = 0, False
    until = asyncio.get_running_loop().time() + BODY_SEC

    async def limited() -> Message:
        nonlocal got, whole
        if whole:  # the application waits for the client to leave
            return await receive()
        try:
            async with asyncio.timeout_at(until):
                message = await receive()
        except TimeoutError:
            raise RefusedError(
                408, "web.slow_body", f"the body did not arrive within {BODY_SEC:g} s\n  send it again, or send less"
            ) from None
        got += len(message.get("body", b""))
        whole = not message.get("more_body", False)
        if got > most:
            raise too_large
        return message

    return limited


async def _send_on(scope: Scope, cookie: str, send: Send) -> None:
    """Set the cookie, and send the browser to the same address without the token.

    A page does this, because after a redirect from a link elsewhere browsers keep back a cookie of SameSite=Strict.
    """
    query = parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True)
    rest = urlencode([(name, value) for name, value in query if name != "token"])
    path = "/" + scope.get("raw_path", b"/").decode("latin-1").partition("?")[0].lstrip("/\\")  # never //elsewhere
    target = escape(path + (f"?{rest}" if rest else ""))
    body = f'<!doctype html><meta http-equiv="refresh" content="0; url={target}"><a href="{target}">go on</a>'.encode()
    secure = "; Secure" if scope.get("scheme") == "https" else ""
    headers = [
        (b"set-cookie", f"{COOKIE}={cookie}; Path=/; HttpOnly; SameSite=Strict{secure}".encode()),
        (b"content-type", b"text/html; charset=utf-8"),
        (b"content-length", str(len(body)).encode()),
        (b"cache-control", b"no-store"),
    ]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def _answer_error(problem: RefusedError, send: Send) -> None:
    body = json.dumps({"error": {"code": problem.code, "message": str(problem)}}).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    if problem.status == 401:
        headers.append((b"www-authenticate", b"Bearer"))
    if problem.status in (408, 413):
        headers.append((b"connection", b"close"))  # what is left of the body is not read
    await send({"type": "http.response.start", "status": problem.status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
