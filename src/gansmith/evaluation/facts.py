"""The schema of the facts that metrics add to their numbers in evaluation.json."""

from typing import Annotated, Any, NotRequired

from pydantic import AfterValidator, TypeAdapter
from typing_extensions import TypedDict  # pydantic reads this one before Python 3.12

OLD_METRICS = {"memorisation": "memorization"}  # names in files of older versions


def _even(*names: str) -> AfterValidator:
    """Return a check that the lists of these names are equally long."""

    def check(facts: dict[str, Any]) -> dict[str, Any]:
        if len({len(facts[name]) for name in names if name in facts}) > 1 or len({name in facts for name in names}) > 1:
            raise ValueError(f"{', '.join(names)} belong together and are equally long")
        return facts

    return AfterValidator(check)


class _Texture(TypedDict):
    frequencies: NotRequired[list[float]]
    power_real: NotRequired[list[float]]
    power_fake: NotRequired[list[float]]


class _ClassCoverage(TypedDict):
    classes: list[str]
    real_shares: list[float]
    fake_shares: list[float]
    missing: list[str]
    over_fed: list[str]


class _Memorization(TypedDict):
    limit: float
    held_out_median: float


class _Facts(TypedDict):
    texture: NotRequired[Annotated[_Texture, _even("frequencies", "power_real", "power_fake")]]
    class_coverage: NotRequired[Annotated[_ClassCoverage, _even("classes", "real_shares", "fake_shares")]]
    memorization: NotRequired[_Memorization]


_FACTS = TypeAdapter(_Facts)


def check_facts(facts: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Return facts by metric, with today's names of metrics; ValueError if a known one has another shape."""
    facts = {OLD_METRICS.get(metric, metric): found for metric, found in facts.items()}
    _FACTS.validate_python(facts, strict=True)
    return facts


Facts = Annotated[dict[str, dict[str, Any]], AfterValidator(check_facts)]
