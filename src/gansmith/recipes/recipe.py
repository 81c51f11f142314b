"""The schema of a recipe: everything that decides the numbers of a run."""

# A recipe has no facts of a machine (device, threads, folders), so it works on every machine.

from collections.abc import Sequence
from typing import Literal

import yaml
from pydantic import Field, model_validator

from gansmith.core.registry import FrozenModel
from gansmith.core.schedules import NotNegative
from gansmith.data.base import DataOptions
from gansmith.methods.base import MethodField
from gansmith.parts.optimizers.base import OptimizerField, OptimizerPart


class MonitorOptions(FrozenModel):
    """Snapshots while a run trains. They change no weight, unless a snapshot ends the run or rolls it back."""

    snapshot_kimg: float | None = Field(
        None, ge=0, description="kimg between snapshots; null: as 5 % of the run's time allow; 0: never"
    )
    features: str | None = Field(None, description="extractor of the snapshots; null: the best that is ready")
    images: int = Field(2000, ge=100, le=50_000, description="samples in a snapshot")
    reference: int = Field(5000, ge=100, le=100_000, description="training images to compare with, at most")
    patience: int | None = Field(
        None, ge=1, description="end after this many snapshots that are no better; null: never"
    )
    on_collapse: Literal["warn", "rollback"] = Field(
        "warn", description="rollback: return to the best checkpoint, halve learning rates; at most 3 times"
    )


class Recipe(FrozenModel):
    """Data, networks, loss, optimizers, length and outputs of a training."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9._-]*$", max_length=64)
    summary: str = Field("", max_length=200, description="one line for 'gansmith recipes'")
    data: DataOptions = DataOptions()
    method: MethodField
    optimizers: dict[str, OptimizerField] = Field(
        description="by network; 'default' is for networks that are not listed"
    )
    batch_size: int = Field(ge=2, le=65536, description="images in a global batch")
    kimg: float | None = Field(None, gt=0, description="length in thousands of real images shown to D")
    epochs: float | None = Field(None, gt=0, description="length in passes over the data")
    ema_half_life_kimg: NotNegative = Field(
        10.0, description="half-life of the averaged weights (EMA); 0: no averaging"
    )
    ema_warmup: float = Field(
        0.05, ge=0, le=1, description="at most this share of the images shown so far is the half-life"
    )
    fixed_images: int | None = Field(
        None, ge=1, le=1024, description="images in the preview grid; null: 64, or by class"
    )
    fixed_columns: int = Field(8, ge=1, le=64, description="columns of the preview grid")
    previews: int = Field(40, ge=1, le=2000, description="preview grids over the schedule")
    log_rows: int = Field(400, ge=1, le=100_000, description="rows of log.jsonl over the schedule")
    checkpoints: int = Field(20, ge=1, le=1000, description="least number of checkpoints over the schedule")
    checkpoint_kimg: float = Field(50.0, gt=0, description="longest distance between checkpoints")
    monitor: MonitorOptions = MonitorOptions()

    @model_validator(mode="after")
    def _whole(self) -> "Recipe":
        if (self.kimg is None) == (self.epochs is None):
            raise ValueError("the length is either kimg or epochs: set one, and the other to null")
        if "default" not in self.optimizers:
            raise ValueError("optimizers has no entry 'default'")
        return self

    def optimizer_for(self, network: str) -> OptimizerPart:
        """Return the optimizer of a network."""
        part: OptimizerPart = self.optimizers.get(network, self.optimizers["default"])
        return part

    @property
    def batches_per_iteration(self) -> int:
        """Return how many global batches an iteration reads."""
        return max(1, sum(phase.repeats for phase in self.method.phases if phase.reads_data))

    @property
    def images_per_iteration(self) -> int:
        """Return how many real images an iteration shows."""
        return self.batch_size * self.batches_per_iteration

    def to_yaml(self, comments: Sequence[str] = ()) -> str:
        """Return the recipe as YAML with all its fields, below lines of comment."""
        fields = yaml.safe_dump(self.model_dump(mode="json"), sort_keys=False, allow_unicode=True, width=110)
        return "".join(f"# {' '.join(line.split())}\n" for line in comments) + fields
