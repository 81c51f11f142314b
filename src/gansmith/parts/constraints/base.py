"""What a constraint is."""

from abc import abstractmethod
from typing import Annotated

from torch import nn

from gansmith.core.registry import Part, PartOf, Registry


class Constraint(Part):
    """A projection of a network's weights."""

    @abstractmethod
    def apply_(self, network: nn.Module) -> None:
        """Change the weights in place; called without gradients."""


constraints: Registry[Constraint] = Registry("constraint", "gansmith.parts.constraints")
ConstraintField = Annotated[Constraint, PartOf(constraints)]
