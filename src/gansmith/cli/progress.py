"""How a run is shown while it goes: a live bar on a terminal, plain lines elsewhere; always on stderr."""

import sys
import time
from types import TracebackType
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn

from gansmith.health import HEALTHY, TITLES
from gansmith.looks import column_of

if TYPE_CHECKING:
    from gansmith.training import Event

PLAIN_EVERY_SEC = 10.0
SHORT = (
    ("loss_discriminator", "loss D"),
    ("loss_generator", "loss G"),
    ("d_real", "D(x)"),
    ("d_fake", "D(G(z))"),
    ("score_real", "score real"),
    ("score_fake", "score fake"),
    ("cycle_a", "cycle A-B-A"),
    ("cycle_b", "cycle B-A-B"),
    ("augment_p", "augment p"),
    ("augment_p_a", "augment p A"),
    ("augment_p_b", "augment p B"),
)


def duration(seconds: float) -> str:
    """Return 75 as 1:15 and 4000 as 1:06:40."""
    minutes, rest = divmod(max(0, round(seconds)), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


class ProgressPrinter:
    """Takes the events of a run and prints them."""

    def __init__(self) -> None:
        self._console = Console(stderr=True, highlight=False, soft_wrap=True)
        self._live = self._console.is_terminal
        self._bar = Progress(
            TextColumn("{task.description}"), BarColumn(bar_width=24), TextColumn("{task.fields[text]}"),
            console=self._console, transient=True,
        )  # fmt: skip
        self._task: TaskID | None = None
        self._name = self._losses = self._health = ""
        self._last = 0.0

    def __enter__(self) -> "ProgressPrinter":
        if self._live:
            self._bar.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, at: TracebackType | None) -> None:
        if self._live:
            self._bar.stop()

    def __call__(self, event: "Event") -> None:
        """Print an event."""
        if event.kind in ("note", "stopped"):
            self._console.print(event.message, markup=False)
        elif event.kind == "warning":
            self._console.print(f"warning: {event.message}", markup=False)
        elif event.kind == "data":
            done, total = event.values["done"], event.values["total"]
            self._show(
                event.values.get("what", "reading images"), done, total, f"{done:,} of {total:,}", last=done == total
            )
        elif event.kind == "look":
            name = column_of(event.values, "fd")
            self._health = f"  {name.partition('_')[0]} {event.values[name]:.4g}  {event.message}"
            self._training(event.values, is_row=False)
        elif event.kind == "health":
            mark = "" if event.message.startswith(TITLES[HEALTHY]) else "warning: "
            self._console.print(f"{mark}{event.message}", markup=False)
        elif event.kind in ("row", "progress"):
            self._training(event.values, is_row=event.kind == "row")

    def tell(self, what: str, done: int, total: int) -> None:
        """Show how far something is."""
        self._show(what, done, total, f"{done:,} of {total:,}", last=done == total)

    def _training(self, values: dict[str, Any], *, is_row: bool) -> None:
        if is_row:
            shown = [(label, values[key]) for key, label in SHORT if key in values]
            self._losses = "  ".join(f"{label} {'nan' if v is None else f'{v:.3f}'}" for label, v in shown)
        left = values["eta_sec"] * values["img_per_sec"] / 1000
        speed = f"{values['kimg']:,.1f} kimg  {values['img_per_sec']:,.0f} img/s  {duration(values['eta_sec'])} left"
        text = f"{speed}  {self._losses}{self._health}  {values['memory_mb']:,.0f} MB"
        self._show("training", values["kimg"], values["kimg"] + left, text, last=left <= 0)

    def _show(self, name: str, done: float, total: float, text: str, *, last: bool) -> None:
        if self._live:
            if self._task is None or self._name != name:
                if self._task is not None:
                    self._bar.remove_task(self._task)
                self._task, self._name = self._bar.add_task(name, text=text), name
            self._bar.update(self._task, completed=done, total=total, text=text)
        elif last or time.monotonic() - self._last > PLAIN_EVERY_SEC:
            self._last = time.monotonic()
            if sys.stderr is not None:
                print(f"{name}: {text}", file=sys.stderr, flush=True)
