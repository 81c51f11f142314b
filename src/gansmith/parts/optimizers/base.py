"""The base class of optimizers, and their registry."""

from abc import abstractmethod
from collections.abc import Iterable
from typing import Annotated, ClassVar

from pydantic import Field
from torch import Tensor, nn
from torch.optim import Optimizer

from gansmith.core.registry import Part, PartOf, Registry
from gansmith.core.schedules import Moment, NotNegative, Ramp, value_at


class OptimizerPart(Part):
    """A torch optimizer with its settings; numbers may change over the run."""

    skips_by_itself: ClassVar[bool] = False  # True if the fused kernel skips the step where ``found_inf`` is 1

    lr: NotNegative = Field(2e-4, description="learning rate; a number or a ramp")

    @abstractmethod
    def build(self, parameters: Iterable[nn.Parameter]) -> Optimizer:
        """Return a torch optimizer of these parameters."""

    def settings_at(self, moment: Moment) -> dict[str, float | tuple[float, float]]:
        """Return the settings of a parameter group at a moment."""
        return {"lr": value_at(self.lr, moment)}

    def slowed(self, factor: float) -> "OptimizerPart":
        """Return a copy with ``factor`` times the learning rate."""
        lr: float | Ramp = self.lr
        if isinstance(lr, Ramp):
            slower = lr.model_copy(update={"start": lr.start * factor, "end": lr.end * factor})
            return self.model_copy(update={"lr": slower})
        return self.model_copy(update={"lr": lr * factor})

    def step(self, optimizer: Optimizer, found_inf: Tensor, moment: Moment) -> None:
        """Take one step with the settings of the moment; none if ``found_inf`` (float32, 0-d) is 1."""
        for group in optimizer.param_groups:
            group.update(self.settings_at(moment))
        if self.skips_by_itself:
            optimizer.found_inf = found_inf  # type: ignore[attr-defined]
            optimizer.grad_scale = None  # type: ignore[attr-defined]
            optimizer.step()
        elif not found_inf.item():
            optimizer.step()


optimizers: Registry[OptimizerPart] = Registry("optimizer", "gansmith.parts.optimizers")
OptimizerField = Annotated[OptimizerPart, PartOf(optimizers)]
