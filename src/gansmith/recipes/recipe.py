"""The schema of a recipe: every setting that affects the results of a run."""

# A recipe has no settings of a machine (device, threads, folders), so it works on every machine.

from collections.abc import Sequence
from typing import Any, Literal

import yaml
from pydantic import Field, model_validator

from gansmith.core.registry import FrozenModel
from gansmith.core.schedules import NotNegative
from gansmith.data.base import DataOptions
from gansmith.methods.base import MethodField
from gansmith.parts.optimizers.base import OptimizerField, OptimizerPart


class MonitorOptions(FrozenModel):
    """Snapshots during training. They do not affect weights, unless one ends the run or rolls it back."""

    snapshot_kimg: float | None = Field(
        None, ge=0, description="kimg between snapshots; null: as many as fit in 5 % of the run's time; 0: never"
    )
    features: str | None = Field(
        None, description="feature extractor of the snapshots; null: the best that needs no download"
    )
    images: int = Field(2000, ge=100, le=50_000, description="generated images in a snapshot")
    reference: int = Field(
        5000, ge=100, le=100_000, description="maximum size of the reference set, in training images"
    )
    patience: int | None = Field(
        None, ge=1, description="snapshots without improvement after which the run ends; null: never"
    )
    on_collapse: Literal["warn", "rollback", "stop"] = Field(
        "warn",
        description="rollback: return to the best checkpoint, halve learning rates, at most 3 times; stop: end the run",
    )
    loggers: tuple[str | dict[str, Any], ...] = Field(
        (), description="trackers of the run, unless --logger names others: wandb, or {kind: wandb, project: faces}"
    )


class Recipe(FrozenModel):
    """Data, networks, loss, optimizers, length and outputs of a run."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9._-]*$", max_length=64)
    summary: str = Field("", max_length=200, description="one line for 'gansmith recipes'")
    data: DataOptions = DataOptions()
    method: MethodField
    optimizers: dict[str, OptimizerField] = Field(
        description="optimizer of each network; 'default' is for networks that are not listed"
    )
    batch_size: int = Field(ge=2, le=65536, description="images in a global batch")
    kimg: float | None = Field(None, gt=0, description="length in thousands of real images shown to D")
    epochs: float | None = Field(None, gt=0, description="length in passes over the data")
    sync_batchnorm: bool = Field(
        False, description="several processes: BatchNorm takes the statistics of the global batch, as one process does"
    )
    sent_gradients: Literal["fp32", "bf16"] = Field(
        "fp32",
        description="several processes: precision of the gradients that they send; bf16: half the bytes, rounded",
    )
    ema_half_life_kimg: NotNegative = Field(
        10.0, description="half-life of the averaged weights (EMA); 0: no averaging"
    )
    ema_warmup: float = Field(
        0.05, ge=0, le=1, description="the half-life is at most this share of the images shown so far; 0: no limit"
    )
    fixed_images: int | None = Field(
        None, ge=1, le=1024, description="images in the preview grid; null: 64, or by class"
    )
    fixed_columns: int = Field(8, ge=1, le=64, description="columns of the preview grid")
    previews: int = Field(40, ge=1, le=2000, description="number of preview grids over the schedule")
    log_rows: int = Field(400, ge=1, le=100_000, description="number of rows in log.jsonl over the schedule")
    checkpoints: int = Field(20, ge=1, le=1000, description="minimum number of checkpoints over the schedule")
    checkpoint_kimg: float = Field(50.0, gt=0, description="maximum kimg between checkpoints")
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
        """Return how many real images an iteration shows to the discriminator."""
        return self.batch_size * self.batches_per_iteration

    def to_yaml(self, comments: Sequence[str] = ()) -> str:
        """Return the recipe as YAML with all its fields, below ``comments``."""
        fields = yaml.safe_dump(self.model_dump(mode="json"), sort_keys=False, allow_unicode=True, width=110)
        return "".join(f"# {' '.join(line.split())}\n" for line in comments) + fields
