"""The choices of ``auto``: each fits one part of a recipe to data, machine or budget."""

from typing import Any

from gansmith.core.errors import counted
from gansmith.core.runtime import Runtime, installed_memory_mb
from gansmith.core.schedules import Ramp
from gansmith.data.base import DataSpec, DataSummary, ImageData
from gansmith.data.duplicates import num_distinct
from gansmith.methods.capabilities import latent_fields
from gansmith.recipes.layer_table import widest_map
from gansmith.recipes.load import load_recipe
from gansmith.runs.length import RunLength
from gansmith.training.memory import needed_mb
from gansmith.training.planning.heuristics import (
    BATCH,
    CLASSES,
    COMPACT,
    COPIES,
    DETAIL,
    END_NORM,
    FEW_IMAGES,
    FEWEST_IMAGES,
    GPU,
    HALF_LIFE_SHARE,
    IMAGES_OF_A_CLASS,
    INTERVAL,
    LARGE_GPU,
    LAST_MAP,
    LR_OF_D,
    MEMORY_SHARE,
    NARROWEST,
    OFTEN,
    P_ADAPTS,
    P_STARTS,
    SHORTCUTS,
    SMALL_PX,
    TOO_OFTEN,
    gamma_for,
    lr_for,
    width_for,
)
from gansmith.training.planning.proposal import RecipeBuilder
from gansmith.training.prepare import same_number

WIDTH_PATHS = ("method.generator.base_channels", "method.discriminator.base_channels")


def fit_to_data(draft: RecipeBuilder, data: ImageData, runtime: Runtime, kimg: float) -> tuple[str, ...]:
    """Decide conditioning, width, batch size, gamma and augmentation; return warnings.

    ``kimg`` is how much the narrowest networks of ``COMPACT`` could train in the budget.
    """
    spec = data.spec
    warnings = fit_to_classes(draft, data.summary)
    method = latent_fields(draft.recipe.method)
    if method is not None and method.conditional and not method.discriminator.scores_labels:
        text = f"discriminator '{method.discriminator.kind}' scores only the label that it is given"
        draft.decide("class_weight", ("method.class_weight",), 0.0, text)
    if draft.base == COMPACT:
        _fit_width(draft, spec, kimg)
    draft.decide("batch_size", ("batch_size",), *batch_for(draft, spec, runtime))
    penalties = load_recipe(draft.base).method.penalties  # type: ignore[attr-defined]
    weights = tuple(f"method.penalties.{index}.weight" for index in range(len(penalties)))
    pixels, was = spec.height * spec.width, penalties[0].weight
    gamma, reason = gamma_for(draft.base, pixels, draft.recipe.batch_size, large=_is_large(spec)[0])
    value: Any = gamma
    if isinstance(was, Ramp):
        value = {**was.model_dump(), "start": gamma, "end": float(f"{gamma * was.end / was.start:.2g}")}
    draft.decide("gamma", weights, value, reason)
    return (*warnings, *fit_to_number(draft, spec.count, num_distinct(data), kimg))


def _fit_width(draft: RecipeBuilder, spec: DataSpec, kimg: float) -> None:
    """Decide the width of ``COMPACT``'s networks by the ``kimg`` that the narrowest could train in the budget."""
    width = width_for(kimg, max(spec.height, spec.width))
    enough = "too little for wider networks" if width == NARROWEST else "enough for wider networks"
    text = f"with {NARROWEST} channels the budget allows roughly {kimg:,.0f} kimg, {enough}"
    draft.decide("base_channels", WIDTH_PATHS, width, text if kimg else "the budget in kimg is unknown")


def fit_networks(draft: RecipeBuilder, spec: DataSpec) -> None:
    """Decide what of ``COMPACT`` depends on size and width: parts of the networks, R1's interval, learning rates."""
    large, text = _is_large(spec)
    draft.decide("end_norm", ("method.generator.end_norm",), END_NORM[large], text)
    draft.decide("last_map", ("method.generator.last_map",), LAST_MAP[large], text)
    draft.decide("detail", ("method.discriminator.detail",), DETAIL[large], text)
    draft.decide("shortcuts", ("method.discriminator.shortcuts",), SHORTCUTS[large], text)
    draft.decide("interval", ("method.penalties.0.interval",), INTERVAL[large], text)
    if widest := widest_map(draft.recipe, spec):
        lr, widths = lr_for(widest, large=large), f"the widest map has {widest} channels"
        draft.decide("lr", ("optimizers.default.lr.start",), lr, widths)
        draft.decide("lr of D", ("optimizers.discriminator.lr.start",), float(f"{LR_OF_D[large] * lr:.2g}"), text)


def _is_large(spec: DataSpec) -> tuple[bool, str]:
    """Say whether images are larger than SMALL_PX, and say it in words."""
    side = max(spec.height, spec.width)
    large = side > SMALL_PX
    text = f"large images: {side} px, more than" if large else f"small images: {side} px, at most"
    return large, f"{text} {SMALL_PX}"


def batch_for(draft: RecipeBuilder, spec: DataSpec, runtime: Runtime) -> tuple[int, str]:
    """Return the batch size, and why: the usual one, or the largest that memory and number of images allow."""
    recipe, batch, reason = draft.recipe, draft.recipe.batch_size, "the recipe's batch size"
    if draft.base == COMPACT:
        large, reason = _is_large(spec)
        batch = BATCH[large]
    if batch > spec.count:
        while batch > max(spec.count, 2):
            batch //= 2
        reason = f"there are only {spec.count:,} images"
    most = same_number(runtime, installed_memory_mb(runtime.device)) * MEMORY_SHARE
    if (needed := needed_mb(recipe, spec, batch // runtime.world_size)) > most:
        reason = f"{batch} would need {needed:,.0f} MB, and {MEMORY_SHARE:.0%} of the memory is {most:,.0f} MB"
        while batch > 2 and needed_mb(recipe, spec, batch // runtime.world_size) > most:
            batch //= 2
    if (whole := for_all_processes(batch, runtime)) != batch:
        reason = f"a multiple of the {runtime.world_size} processes"
    return whole, reason


def for_all_processes(batch: int, runtime: Runtime) -> int:
    """Return the batch size, rounded up to a multiple of the number of processes."""
    return -(-batch // runtime.world_size) * runtime.world_size


def fit_to_length(draft: RecipeBuilder, length: RunLength, *, is_asked: bool) -> None:
    """Decide the length, and the schedules that follow it."""
    if is_asked:
        is_rounded = length.source.endswith(" kimg") and length.source != f"{length.schedule_kimg:g} kimg"
        reason = f"{length.source}, rounded up to whole batches" if is_rounded else length.source
        draft.decide("kimg", ("kimg",), length.schedule_kimg, reason)
    elif draft.base == COMPACT:
        draft.decide("kimg", ("kimg",), length.schedule_kimg, f"{length.source}, the default length")
    else:
        draft.decide("kimg", ("kimg",), draft.recipe.kimg, "the recipe's length")
    for name, (share, most) in (("start_kimg", P_STARTS), ("adapt_kimg", P_ADAPTS)):
        if draft.has(path := f"method.augment.{name}"):
            kimg = min(float(f"{length.schedule_kimg * share:.3g}"), most)
            text = f"{share:.0%} of the length" + (f", but at most {most:g}" if kimg == most else "")
            draft.decide(name, (path,), kimg, text, of_any_part=True)
    if draft.base in (GPU, LARGE_GPU):
        kimg = float(f"{length.schedule_kimg * HALF_LIFE_SHARE:.3g}")
        draft.decide("ema_half_life", ("ema_half_life_kimg.end",), kimg, f"{HALF_LIFE_SHARE:.0%} of the length")


def fit_to_classes(draft: RecipeBuilder, summary: DataSummary) -> list[str]:
    """Decide whether G and D get labels; return a warning for a class with very few images."""
    counts, names = summary.class_counts, summary.spec.classes
    mean = sum(counts) / max(len(counts), 1)
    is_conditional = len(counts) in CLASSES and mean >= IMAGES_OF_A_CLASS
    least, most = min(counts, default=0), max(counts, default=0)
    text = f"{len(counts)} classes, {f'{least:,}' if least == most else f'{least:,} to {most:,}'} images each"
    if not is_conditional:
        need = f"{CLASSES[0]} to {CLASSES[-1]} classes with {IMAGES_OF_A_CLASS} images on average"
        text += f"; label inputs need {need}"
    draft.decide("conditional", ("method.conditional",), is_conditional, text if counts else "no labels")
    if not is_conditional or least >= IMAGES_OF_A_CLASS:
        return []
    few, them = counted(least, "image"), "it" if least == 1 else "them"
    return [f"class '{names[counts.index(least)]}' has only {few}: its samples will resemble {them} closely"]


def fit_to_number(draft: RecipeBuilder, count: int, distinct: int, kimg: float) -> list[str]:
    """Decide the augmentation for ``count`` images of which ``distinct`` are no copies; return warnings.

    ``kimg`` is how much the narrowest networks could train in the budget.
    """
    warnings, times = [], kimg * 1000 / distinct
    has_copies = distinct < count * (1 - COPIES)
    text = f"{count:,} images" + (f", {distinct:,} of them distinct" if has_copies else "")
    prevents = "the discriminator's inputs are augmented to prevent memorization"
    if distinct <= FEW_IMAGES:
        text += f", at most {FEW_IMAGES:,}: {prevents}"
        draft.decide("augment", ("method.augment",), {"kind": "ada"}, text)
    elif times > OFTEN:
        text += f", each shown up to {times:,.0f} times: {prevents}"
        draft.decide("augment", ("method.augment",), {"kind": "diffaugment"}, text)
    else:
        draft.decide(
            "augment", ("method.augment",), None, f"{text}, more than {FEW_IMAGES:,}: enough without augmentation"
        )
    if count < FEWEST_IMAGES:
        warnings.append(f"{count:,} images are very few: a model trained on fewer than {FEWEST_IMAGES} reproduces them")
    if has_copies:
        warnings.append(
            f"{1 - distinct / count:.0%} of the images are copies of others; find them with: gansmith data check"
        )
    if times > TOO_OFTEN:
        warnings.append(
            f"each image is shown up to {times:,.0f} times (in papers at most 5,000); --patience ends a run that stops"
            " improving"
        )
    return warnings
