"""What Python shows while a verb works: one live display in a notebook, else a bar or lines."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from html import escape
from pathlib import Path
from types import TracebackType

from gansmith.core.errors import counted
from gansmith.core.events import Event, OnEvent, PlainLines, Progress
from gansmith.core.progress import ProgressPrinter
from gansmith.reporting.embedded_images import load_picture

UPDATE_EVERY_SEC = 0.5
GRID_BYTES, GRID_PX = (
    200_000,
    480,
)  # of a grid: most bytes; smaller grids are enlarged, by a whole factor, to this width
SHOWN_WARNINGS = 3
BAR = "border:1px solid currentColor;border-radius:3px;height:0.6em;max-width:32em;margin:0.3em 0"
BAR_DONE = "background:currentColor;opacity:0.6;height:100%"


@contextmanager
def showing(on_event: OnEvent | None = None, *, progress: bool = True) -> Iterator[OnEvent]:
    """Yield a listener that shows events if ``progress``, then hands them to ``on_event``."""
    display = nullcontext() if not progress else NotebookDisplay() if in_notebook() else ProgressPrinter()
    with display as shown:
        listeners = [each for each in (shown, on_event) if each is not None]

        def listen(event: Event) -> None:
            for each in listeners:
                each(event)

        yield listen


def in_notebook() -> bool:
    """Say whether this code runs in a notebook, which shows HTML."""
    ipython = sys.modules.get("IPython")
    return ipython is not None and hasattr(ipython.get_ipython(), "kernel")


def publish(html: str, text: str, display_id: str = "", *, update: bool = False) -> None:
    """Show HTML in the output of a notebook's cell; ``text`` is for front ends without HTML."""
    from IPython.display import publish_display_data  # here: only a notebook has it

    transient = {"display_id": display_id} if display_id else {}
    publish_display_data({"text/html": html, "text/plain": text}, transient=transient, update=update)


def show_page(path: Path) -> None:
    """Show a page that gansmith wrote in the output of a notebook's cell, in a frame of its own."""
    text = escape(path.read_text(encoding="utf-8"))
    style = "width:100%;height:40em;border:1px solid currentColor"
    publish(f'<iframe title="{path.name}" sandbox="allow-scripts" style="{style}" srcdoc="{text}"></iframe>', str(path))


def picture_of(path: Path) -> str:
    """Return a picture file as HTML of about GRID_BYTES at most; "" if it cannot be read."""
    picture = load_picture(path, at_least_px=1, limit_bytes=GRID_BYTES)
    if picture is None:
        return ""
    width = picture.width * max(1, GRID_PX // picture.width)
    style = f"width:{width}px;max-width:100%;height:auto;image-rendering:pixelated"
    return f'<img alt="generated images, {escape(path.stem)}" style="{style}" src="{picture.uri}">'


class NotebookDisplay(PlainLines):
    """Shows the events of a verb in one output: bar, numbers, verdict, newest grid, messages."""

    def __init__(self) -> None:
        super().__init__()
        self._id = f"gansmith-{time.monotonic_ns()}"
        self._is_shown, self._shown_at = False, 0.0
        self._notes: list[str] = []
        self._warnings: list[str] = []
        self._progress: Progress | None = None
        self._numbers = self._verdict = self._grid = ""

    def __enter__(self) -> "NotebookDisplay":
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, at: TracebackType | None) -> None:
        if kind is None and self._progress is not None and self._progress.what != "training":
            self._progress = None  # it is done; the bar of a terminal goes, too
            self._numbers = ""
        if self._is_shown:
            self._publish()

    def _print(self, event: Event) -> None:
        if event.kind == "note":
            self._notes.append(event.message)
        elif event.kind in ("warning", "stopped"):
            self._warnings.append(event.message)
        elif event.kind == "health":
            self._verdict = event.message
        elif event.kind == "preview":
            self._grid = picture_of(Path(event.values["grid"]))
        elif event.kind == "snapshot":
            if not self._verdict.startswith(event.message):  # else it has the reasons too
                self._verdict = event.message
            super()._print(replace(event, message=""))
        else:
            super()._print(event)
        if not self._is_shown or time.monotonic() - self._shown_at >= UPDATE_EVERY_SEC:
            self._publish()

    def _step(self, progress: Progress, text: str) -> None:
        self._progress = progress
        self._numbers = " · ".join(part.strip() for part in text.split("  ") if part.strip())

    def _publish(self) -> None:
        self._shown_at = time.monotonic()
        publish("\n".join(self._parts()), f"{self._numbers}\n{self._verdict}".strip(), self._id, update=self._is_shown)
        self._is_shown = True

    def _parts(self) -> Iterator[str]:
        """Yield the lines of HTML; they have no colours of their own, so that they suit light and dark pages."""
        if self._progress is not None:
            done, total = self._progress.done, self._progress.total
            share = min(1.0, done / total) if total else 1.0
            yield f"<div><strong>{escape(self._progress.what)}</strong> {share:.0%}</div>"
            yield f'<div style="{BAR}"><div style="{BAR_DONE};width:{share:.1%}"></div></div>'
            yield f"<div>{escape(self._numbers)}</div>"
        if self._verdict:
            yield f"<div><strong>verdict</strong>: {escape(self._verdict)}</div>"
        for text in self._warnings[-SHOWN_WARNINGS:]:
            yield f"<div>&#9888; {escape(text)}</div>"
        if self._grid:
            yield f'<div style="margin:0.5em 0">{self._grid}</div>'
        if said := [*self._notes, *(f"warning: {text}" for text in self._warnings[:-SHOWN_WARNINGS])]:
            lines = escape("\n".join(said))
            summary = f"<summary>{counted(len(said), 'message')}</summary>"
            yield f'<details>{summary}<div style="white-space:pre-wrap;margin:0.3em 0">{lines}</div></details>'
