"""Progress on stderr: a live bar on a terminal, plain lines elsewhere."""

import os
import sys
import time
from types import TracebackType

from rich.cells import cell_len, set_cell_size

from gansmith.core.events import PlainLines, Progress, columns, mute_lost_terminal, redraw, say

DRAW_EVERY_SEC = 0.1
BAR, BAR_COLUMNS = 20, 50  # cells of the bar, and the narrowest terminal that shows it, in columns
NO_CURSOR = ("", "dumb", "unknown")  # values of TERM: the terminal cannot return to the start of a line


class ProgressPrinter(PlainLines):
    """Shows the events of a verb with a live bar, or in plain lines if a bar cannot be drawn."""

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

    def _step(self, progress: Progress, text: str) -> None:
        name, done, total = progress.what, progress.done, progress.total
        if self._live:
            now = time.monotonic()
            if name == self._name and done < total and now - self._drawn_at < DRAW_EVERY_SEC:
                return
            self._name, self._drawn_at = name, now
            self._try_to_draw(name, done / total if total else 1.0, text)
        if not self._live:
            super()._step(progress, text)

    def _try_to_draw(self, name: str, share: float = 0.0, text: str = "") -> None:
        try:
            line = _line(name, share, text, columns() - 1) if name else ""
            redraw(line, cell_len(line))
        except Exception as problem:  # any error: the work is worth more than the bar
            self._live = False
            say(f"warning: the live bar failed ({type(problem).__name__}: {problem}); plain lines from here on")


def _can_draw() -> bool:
    """Say whether stderr is a terminal that can return to the start of a line."""
    try:
        return sys.stderr.isatty() and (os.name == "nt" or os.environ.get("TERM", "") not in NO_CURSOR)
    except (AttributeError, ValueError):  # stderr is closed
        return False


def _line(name: str, share: float, text: str, room: int) -> str:
    """Return a line of at most ``room`` cells: name, bar, percent and text; a narrow line has no bar."""
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
