"""What a proposal decides by the number of images, of each class and in all."""

from gansmith.data.base import DataSummary
from gansmith.proposal import Draft
from gansmith.rules import CLASSES, COPIES, FEW_IMAGES, FEWEST_IMAGES, IMAGES_OF_A_CLASS, OFTEN, TOO_OFTEN


def fit_to_classes(draft: Draft, summary: DataSummary) -> list[str]:
    """Decide whether G and D are told the labels; return a warning where a class has hardly any images."""
    counts, names = summary.class_counts, summary.spec.classes
    mean = sum(counts) / max(len(counts), 1)
    is_told = len(counts) in CLASSES and mean >= IMAGES_OF_A_CLASS
    least, most = min(counts, default=0), max(counts, default=0)
    text = f"{len(counts)} classes, {f'{least:,}' if least == most else f'{least:,} to {most:,}'} images each"
    if not is_told:
        text += f"; it takes {CLASSES[0]} to {CLASSES[-1]} classes of {IMAGES_OF_A_CLASS} images on average"
    draft.decide("conditional", ("method.conditional",), is_told, text if counts else "no labels")
    if not is_told or least >= IMAGES_OF_A_CLASS:
        return []
    return [f"class '{names[counts.index(least)]}' has {least:,} images: what is made of it will be much like them"]


def fit_to_number(draft: Draft, count: int, distinct: int, kimg: float) -> list[str]:
    """Decide the augmentation for images of which ``distinct`` are no copies; return warnings.

    ``kimg`` are those that the narrowest networks would be shown.
    """
    warnings, times = [], kimg * 1000 / distinct
    has_copies = distinct < count * (1 - COPIES)
    text = f"{count:,} images" + (f", {distinct:,} of them no copies" if has_copies else "")
    if distinct <= FEW_IMAGES:
        text += ", are few: what D sees is changed, the more it learns them by heart"
        draft.decide("augment", ("method.augment",), {"kind": "ada"}, text)
    elif times > OFTEN:
        text += f", each shown up to {times:,.0f} times: what D sees is changed, so that it learns none by heart"
        draft.decide("augment", ("method.augment",), {"kind": "diffaugment"}, text)
    else:
        draft.decide("augment", ("method.augment",), None, f"{text}, more than {FEW_IMAGES:,}, are enough without")
    if count < FEWEST_IMAGES:
        warnings.append(f"{count:,} images are hardly enough: a model of fewer than {FEWEST_IMAGES} repeats them")
    if has_copies:
        warnings.append(f"{1 - distinct / count:.0%} of the images are copies of others; see: gansmith data check")
    if times > TOO_OFTEN:
        warnings.append(
            f"each image is shown up to {times:,.0f} times, which is more than helped anyone; --patience ends a run"
            " that gets no better"
        )
    return warnings
