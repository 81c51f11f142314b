"""The base class of constraints, and their registry."""

from abc import abstractmethod
from typing import Annotated

from torch import nn

from gansmith.core.registry import Part, PartOf, Registry


class Constraint(Part):
    """A rule for a network's weights, enforced after each of its optimizer steps."""

    @abstractmethod
    def apply_(self, network: nn.Module) -> None:
        """Change the weights in place; called without gradients."""


constraints: Registry[Constraint] = Registry("constraint", "gansmith.parts.constraints")
ConstraintField = Annotated[Constraint, PartOf(constraints)]
