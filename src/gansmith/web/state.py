"""What the routes share: the places, the models, the queues, and what is allowed."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from gansmith.inference.onnx_model import OnnxModel
from gansmith.web.drawing import DrawingQueue, SlowQueue
from gansmith.web.metrics import Metrics
from gansmith.web.models import Entry, Models
from gansmith.web.places import Places


@dataclass
class State:
    """The server's state; each router gets it."""

    places: Places
    models: Models
    drawing: DrawingQueue = field(default_factory=DrawingQueue)
    slow: SlowQueue = field(default_factory=SlowQueue)
    metrics: Metrics = field(default_factory=Metrics)
    inverting: int = 0  # searches for a latent, waiting ones included
    allow_control: bool = False  # of runs: pause, resume, stop
    _opening: asyncio.Lock = field(default_factory=asyncio.Lock)

    @classmethod
    def of(cls, folders: Sequence[Path], *, allow_control: bool = False) -> "State":
        """Return the state of a server over folders."""
        places = Places(folders)
        return cls(places, Models(places), allow_control=allow_control)

    async def open(self, entry: Entry, generator: str = "") -> OnnxModel:
        """Return a model's session; ModelError, and the export begins, if it has no ONNX file yet."""
        self.models.prepare(entry)
        opened = self.models.opened(entry, generator)
        if opened is None:
            async with self._opening:
                opened = await asyncio.to_thread(self.models.open, entry, generator)
        return opened

    async def close(self) -> None:
        """End the exports and the threads."""
        await self.models.close()
        self.drawing.close()
        self.slow.close()
