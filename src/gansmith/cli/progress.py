"""A live bar on a terminal, plain lines elsewhere; both on stderr, so that stdout holds results."""

import os
import sys
import time
from types import TracebackType

from rich.cells import cell_len, set_cell_size

from gansmith.core.events import PlainLines, columns, mute_lost_terminal, redraw, say

DRAW_EVERY_SEC = 0.1
BAR, BAR_COLUMNS = 20, 50  # cells of the bar, and the columns that a terminal needs for it
NO_CURSOR = ("", "dumb", "unknown")  # values of TERM: the terminal cannot return to the start of a line


class ProgressPrinter(PlainLines):
    """Takes the events of a verb and shows how far it is; where a bar cannot be drawn, in plain lines."""

    def __init__(self) -> None:
        super().__init__()
        self._live = _can_draw()
        self._name, self._drawn_at = "", 0.0

    def __enter__(self) -> "ProgressPrinter":
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, at: TracebackType | None) -> None:
        if self._live:
            self._try_to_draw("")
        mute_lost_terminal()

    def _step(self, name: str, done: float, total: float, text: str) -> None:
        if self._live:
            now = time.monotonic()
            if name == self._name and done < total and now - self._drawn_at < DRAW_EVERY_SEC:
                return
            self._name, self._drawn_at = name, now
            self._try_to_draw(name, done / total if total else 1.0, text)
        if not self._live:
            super()._step(name, done, total, text)

    def _try_to_draw(self, name: str, share: float = 0.0, text: str = "") -> None:
        try:
            line = _line(name, share, text, columns() - 1) if name else ""
            redraw(line, cell_len(line))
        except Exception as problem:  # whatever it is, the work is worth more than the bar
            self._live = False
            say(f"warning: the live bar failed ({type(problem).__name__}: {problem}); plain lines from here on")


def _can_draw() -> bool:
    """Say whether stderr is a terminal that can return to the start of a line."""
    try:
        return sys.stderr.isatty() and (os.name == "nt" or os.environ.get("TERM", "") not in NO_CURSOR)
    except (AttributeError, ValueError):  # stderr is closed
        return False


def _line(name: str, share: float, text: str, room: int) -> str:
    """Return a line of ``room`` cells at most: name, bar, percent and text; the bar is left out of narrow ones."""
    full, rest = ("━", "─") if _has("━─") else ("#", "-")
    done = round(BAR * min(1.0, share))
    bar = f"{full * done}{rest * (BAR - done)} " if room + 1 >= BAR_COLUMNS else ""
    line = "".join(each if each.isprintable() and _has(each) else "?" for each in f"{name} {bar}{share:.0%} {text}")
    return set_cell_size(line, room).rstrip() if cell_len(line) > room else line


def _has(text: str) -> bool:
    """Say whether stderr's encoding has these characters."""
    try:
        text.encode(sys.stderr.encoding)
    except UnicodeEncodeError:
        return False
    return True
