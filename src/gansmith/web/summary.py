"""One sentence on an evaluation: good, or where the model falls short by more than chance."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from gansmith.core.metric_name import MetricName

MOST = 3  # faults in the sentence
SURE = 2.0  # standard deviations: a number falls short only if all of this interval does


@dataclass(frozen=True)
class Limit:
    """A number from which on a model falls short, as a rule of thumb; docs/judging.md lists them."""

    metric: str
    limit: float
    is_most: bool  # larger numbers fall short; else smaller ones
    fault: str  # in words, with the number in them
    merit: str  # what a number on the good side says; "" is left out


LIMITS = (
    Limit("copies", 0.01, True, "it copies training images ({:.1%} of the samples)", "it copies nothing"),
    Limit(
        "nearer",
        0.6,
        True,
        "it has partly memorized its training images ({:.0%} of the samples are nearer to them than new images are, "
        "50% by chance)",
        "it memorized nothing",
    ),
    Limit("diversity", 0.5, False, "samples are much alike, mode collapse (diversity {:.2f})", "samples differ"),
    Limit("missing_classes", 0.5, True, "it hardly ever makes some classes (missing: {:.0f})", "all classes are made"),
    Limit(
        "empty_bins",
        0.1,
        True,
        "it hardly ever makes some kinds of images ({:.0%} of the groups of similar images)",
        "all kinds of images are made",
    ),
    Limit(
        "coverage",
        0.6,
        False,
        "it lacks variety (only {:.0%} of real images have a sample like them)",
        "it has variety",
    ),
    Limit("precision", 0.7, False, "some samples look broken ({:.0%} look like real images)", "samples look plausible"),
    Limit("texture", 1.3, True, "samples are grainy ({:.2f} times the detail of real images)", ""),
    Limit("texture", 0.7, False, "samples are blurred ({:.2f} times the detail of real images)", ""),
    Limit("label_accuracy", 0.7, False, "samples often miss their class ({:.0%} hit it)", "classes are right"),
)


def summarize(numbers: Mapping[str, Mapping[str, Any]], reference: str) -> dict[str, str] | None:
    """Return {"kind": "good", "warn" or "bad", "text": a sentence}; None if no number has a limit.

    ``numbers`` are those of an evaluation by name, each with "value" and "deviation". A number whose interval holds the
    limit is on neither side.
    """
    found = {parsed.label: number for name, number in numbers.items() if (parsed := MetricName.parse(name)) is not None}
    faults, unsure, merits = list[str](), list[str](), list[str]()
    for each in LIMITS:
        if each.metric not in found:
            continue
        value, deviation = found[each.metric]["value"], found[each.metric]["deviation"] or 0.0
        beyond = (value - each.limit) * (1 if each.is_most else -1)
        words = each.fault.format(value) if beyond > -SURE * deviation else each.merit
        (faults if beyond > SURE * deviation else unsure if beyond > -SURE * deviation else merits).append(words)
    if not faults and not unsure and not merits:
        return None
    merits = [each for each in merits if each]
    if len(faults) > MOST:
        faults[MOST:] = [f"{len(faults) - MOST} more"]
    against = ", compared with the images that it was trained on" if reference.startswith("training") else ""
    if faults:
        rest = f"; otherwise {_some(merits)}" if merits else ""
        return {
            "kind": "bad" if len(faults) > 1 else "warn",
            "text": f"It falls short{against}: {_some(faults)}{rest}.",
        }
    doubt = f"; near the limit, and perhaps chance: {_some(unsure)}" if unsure else ""
    return {"kind": "warn" if unsure else "good", "text": f"Good{against}: {_some(merits) or 'no clear fault'}{doubt}."}


def _some(words: Sequence[str]) -> str:
    return " and ".join(filter(None, (", ".join(words[:-1]), *words[-1:])))
