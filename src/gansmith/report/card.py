"""The model card: what a person needs to know before using a model."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from gansmith.data.base import DataSpec


@dataclass(frozen=True)
class CardFacts:
    """What a model card is written from, as plain values."""

    name: str
    spec: DataSpec
    recipe_yaml: str
    parameters: Mapping[str, int]  # per network
    kimg: float
    seconds: float
    last_row: Mapping[str, Any]  # of log.jsonl
    versions: Mapping[str, str]


def model_card(facts: CardFacts, *, metrics: Mapping[str, float] | None = None) -> str:
    """Return the model card as Markdown with YAML front matter."""
    raise NotImplementedError
