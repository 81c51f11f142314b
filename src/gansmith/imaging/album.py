"""Write frames as an album: one HTML page with a slider for time, which needs no network."""

import base64
import json
from collections.abc import Sequence

from gansmith.core.errors import GansmithError
from gansmith.core.one_file import MOST_BYTES, one_file

SHARP_BELOW_PX = 200  # smaller frames are enlarged in the page without blur


def album_page(title: str, frames: Sequence[bytes], captions: Sequence[str], *, side_px: int, seconds: float) -> bytes:
    """Return the page of PNG files with their captions, "" for none; ``side_px`` is the longer side of a frame.

    It plays all frames in ``seconds``. Raises GansmithError if the page would be larger than 64 MB.
    """
    shown = {
        "title": title,
        "captions": list(captions),
        "seconds": seconds,
        "sharp": side_px < SHARP_BELOW_PX,
        "frames": [base64.b64encode(frame).decode() for frame in frames],
    }
    page = one_file(title, "album.js", {"album": json.dumps(shown)})
    if len(page) > MOST_BYTES:
        raise GansmithError(
            "export.too_large",
            f"an album of {len(frames)} frames would have {len(page) / 1e6:.0f} MB; allowed: up to "
            f"{MOST_BYTES / 1e6:.0f} MB\n  pass fewer frames, or write a film: x.mp4",
        )
    return page
