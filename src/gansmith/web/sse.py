"""Server-sent events: their text, and the event that keeps a quiet stream alive."""

import json
from typing import Any

MEDIA_TYPE = "text/event-stream"
KEEP_ALIVE_SEC = 15.0  # a page that hears nothing for longer than two of these asks anew: SILENCE_MS of http.js


def sse(event: str, data: dict[str, Any], place: str = "") -> str:
    """Return an event as text of a stream; a client that reconnects sends the last ``place`` that it got."""
    head = f"id: {place}\n" if place else ""
    return f"{head}event: {event}\ndata: {json.dumps(data, separators=(',', ':'))}\n\n"


HERE = sse("here", {})
