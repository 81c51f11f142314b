"""Hostile requests, drawn from a seed; tests/web/test_hostile.py and benchmarks/hostile.py send them."""

import random
from dataclasses import dataclass

NUMBERS = ("0", "3", "-1", "1e9", "1000000000", "NaN", "inf", "-0", "9" * 40, "1.5", "", " ", "3;4", "٣", "%00", "0x10")
NAMES = (
    "..",
    "%2e%2e",
    "..%2f..%2fetc%2fpasswd",
    "%2Fetc%2Fpasswd",
    "a" * 3000,
    "%00",
    "%ff",
    "plain%20",
    "-",
    "💥",
    "",
)
KEYS = (
    "seeds",
    "weights",
    "truncation",
    "labels",
    "moves",
    "latent",
    "version",
    "at",
    "frames",
    "closed",
    "mode",
    "columns",
    "gap",
    "seconds",
    "steps",
    "seed",
    "label",
    "generator",
    "token",
    "columns[]",
    "__proto__",
    "from",
    "to",
    "points",
)
VALUES = (
    "dark:0.5,gray:0.5",
    "dir0:1,z1:-2",
    "z" * 5000,
    "seeds=3&moves=z1:1",
    "AAAA",
    "../x",
    "{{7*7}}",
    "<script>",
    "a:b:c:",
    "0-35",
    "0-999999",
    "7:3-9",
    "1,2,3",
    "slerp",
    "true",
    "\r\nSet-Cookie: x=1",
    "' OR 1=1 --",
    "_____w",
)
MODELS = ("plain", "cond", "up", "colorize")
ENDS = (
    "",
    "/image.png",
    "/grid.png",
    "/strip.png",
    "/walk.gif",
    "/latent",
    "/invert",
    "/translate",
    "/refresh",
    "/nothing",
)
PLACES = (
    "/",
    "/v1/models",
    "/v1/runs",
    "/v1/runs/x",
    "/v1/runs/x/rows",
    "/v1/judge/x",
    "/v1/learn/presets",
    "/metrics",
    "/healthz",
    "/readyz",
    "/v1/openapi.json",
    "/static/app.js",
    "/static/../app.py",
    "/static/%2e%2e/app.py",
    "/static//etc",
)
METHODS = ("GET", "GET", "GET", "POST", "POST", "PUT", "DELETE", "HEAD", "OPTIONS", "PATCH", "TRACE", "GREAT")
BODIES = (
    b"",
    b"{}",
    b"[]",
    b"null",
    b"{",
    b'{"seeds": [3]}',
    b'{"seeds": ["3"], "weights": [1e400]}',
    b"[" * 5000,
    b"\x00" * 70_000,
    b'{"seeds": ["3"], "colour": "red"}',
    b'{"latent": "AAAA"}',
    b'{"labels": {"dark": -1}}',
    b"\x89PNG\r\n\x1a\n" + b"\xff" * 99,
    b"GIF89a\xff\xff\xff\xff\x00\x00\x00",
    b'{"seeds": ' + b'["3"],' * 2000 + b"}",
)
HEADERS = (
    {"host": "evil.example"},
    {"origin": "null"},
    {"cookie": "a" * 4000},
    {"if-none-match": '"x", *' * 50},
    {"range": "bytes=0-"},
    {"authorization": "Bearer \u00e9"},
    {"accept": "text/event-stream"},
    {"content-type": "application/json"},
    {"content-type": "multipart/form-data"},
    {"x-forwarded-host": "evil"},
    {"transfer-encoding": "chunked"},
    {"content-length": "99999999999"},
    {"sec-fetch-site": "cross-site"},
    {"expect": "100-continue"},
)


@dataclass(frozen=True)
class Hostile:
    """A request that should be answered, whatever it is."""

    method: str
    path: str
    headers: dict[str, bytes]
    body: bytes


def hostile_request(seed: int) -> Hostile:
    """Return one request of a seed."""
    chosen = random.Random(seed)
    if chosen.random() < 0.75:
        name = chosen.choice(MODELS) if chosen.random() < 0.8 else chosen.choice(NAMES)
        path = f"/v1/models/{name}{chosen.choice(ENDS)}"
    else:
        path = chosen.choice(PLACES)
    pairs = []
    for _ in range(chosen.randrange(5)):
        value = chosen.choice(NUMBERS if chosen.random() < 0.5 else VALUES)
        pairs.append(f"{chosen.choice(KEYS)}={value}")
    if chosen.random() < 0.05:
        pairs = ["at=seeds%3D3"] * 300
    query = "&".join(pairs)
    headers = {"host": b"127.0.0.1:8000"}
    for _ in range(chosen.randrange(3)):
        headers |= {name: value.encode("utf-8") for name, value in chosen.choice(HEADERS).items()}
    method = chosen.choice(METHODS)
    body = chosen.choice(BODIES) if method not in ("GET", "HEAD") or chosen.random() < 0.1 else b""
    return Hostile(method, path + (f"?{query}" if query else ""), headers, body)
