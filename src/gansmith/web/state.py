"""What the routes share: the places, the models, the drawing queue, and what is allowed."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from gansmith.inference.onnx_model import OnnxModel
from gansmith.web.drawing import DrawingQueue
from gansmith.web.models import Entry, Models
from gansmith.web.places import Places


@dataclass
class State:
    """The server's state; each router gets it."""

    places: Places
    models: Models
    drawing: DrawingQueue = field(default_factory=DrawingQueue)
    allow_control: bool = False  # of runs: pause, resume, stop

    @classmethod
    def of(cls, folders: Sequence[Path], *, allow_control: bool = False) -> "State":
        """Return the state of a server over folders."""
        places = Places(folders)
        return cls(places, Models(places), allow_control=allow_control)

    def open(self, entry: Entry, generator: str = "") -> OnnxModel:
        """Return a model's session; ModelError, and the export begins, if it has no ONNX file yet."""
        self.models.prepare(entry)
        return self.models.open(entry, generator)
