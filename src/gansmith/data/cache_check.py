"""Check the pixels of a cache entry against the checksum of each image."""

import hashlib
import time
from contextlib import suppress

import numpy as np

from gansmith.core.atomic_files import commit_json
from gansmith.core.plain_files import read_json
from gansmith.data.cache_folder import DIGESTS, PIXELS, Entry

CHECK_SEC = 1.0  # of each start: about 1 GB; the next start goes on behind the last image that was checked
AT_ONCE = 256  # images between two looks at the clock
PLACE = "checked.json"  # the image at which the next check begins


def damaged_rows(entry: Entry, seconds: float | None = CHECK_SEC) -> list[int]:
    """Return the rows of images whose pixels have another SHA-256 than when they were decoded.

    It checks as many images as ``seconds`` allow, from where the last check ended; None: all.
    """
    sums, count = entry.array(DIGESTS)[:, 1], entry.shape[0]
    if not count:
        return []
    pixels = np.memmap(entry.folder / PIXELS, np.uint8, "r").reshape(count, -1)
    first, end, damaged, done = _place(entry), time.monotonic() + (seconds or 0.0), list[int](), 0
    while done < count:
        some = [(first + done + each) % count for each in range(min(AT_ONCE, count - done))]
        damaged += [row for row in some if hashlib.sha256(pixels[row].data).digest()[:16] != sums[row].tobytes()]
        done += len(some)
        if seconds is not None and time.monotonic() >= end:
            break
    if done < count:
        with suppress(OSError):  # a cache that another user owns
            commit_json(entry.folder / PLACE, {"row": (first + done) % count})
    return sorted(damaged)


def _place(entry: Entry) -> int:
    try:
        return int(read_json(entry.folder / PLACE)["row"]) % entry.shape[0]
    except (OSError, ValueError, KeyError, TypeError):
        return 0
