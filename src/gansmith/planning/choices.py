"""Choices of auto: each fits one part of a recipe to the data, the machine or the budget."""

from typing import Any

from gansmith.core.runtime import Runtime, installed_memory_mb
from gansmith.core.schedules import Ramp
from gansmith.data.base import DataSpec, DataSummary, ImageData
from gansmith.data.duplicates import num_distinct
from gansmith.methods.latent import LatentConfig
from gansmith.planning.heuristics import (
    CLASSES,
    COMPACT,
    COPIES,
    END_NORM,
    FEW_IMAGES,
    FEWEST_IMAGES,
    GAMMAS,
    GPU,
    HALF_LIFE_SHARE,
    IMAGES_OF_A_CLASS,
    INTERVAL,
    LARGE_GPU,
    LR_OF_D,
    MEMORY_SHARE,
    NARROWEST,
    OFTEN,
    P_ADAPTS,
    P_STARTS,
    SMALL_PX,
    TOO_OFTEN,
    gamma_for,
    lr_for,
    needed_mb,
    width_for,
)
from gansmith.planning.proposal import RecipeBuilder
from gansmith.recipes.layer_table import widest_map
from gansmith.recipes.load import load_recipe
from gansmith.recipes.recipe import Recipe
from gansmith.runs.length import RunLength
from gansmith.training.prepare import same_number

WIDTH_PATHS = ("method.generator.base_channels", "method.discriminator.base_channels")


def _fit_to_data(draft: RecipeBuilder, data: ImageData, runtime: Runtime, kimg: float) -> tuple[str, ...]:
    """Decide classes, width, batch, gamma and augmentation; return warnings.

    ``kimg`` are those that the narrowest networks of ``COMPACT`` would be shown.
    """
    spec = data.spec
    warnings = fit_to_classes(draft, data.summary)
    method = draft.recipe.method
    if isinstance(method, LatentConfig) and method.conditional and not method.discriminator.scores_labels:
        text = f"'{method.discriminator.kind}' scores no label but the one that it is told"
        draft.decide("class_weight", ("method.class_weight",), 0.0, text)
    if draft.base == COMPACT:
        _fit_width(draft, spec, kimg)
    draft.decide("batch_size", ("batch_size",), *_batch(draft.recipe, spec, runtime))
    penalties = load_recipe(draft.base).method.penalties  # type: ignore[attr-defined]
    weights = tuple(f"method.penalties.{index}.weight" for index in range(len(penalties)))
    gamma, was = gamma_for(draft.base, spec.height * spec.width, draft.recipe.batch_size), penalties[0].weight
    value: Any = gamma
    if isinstance(was, Ramp):
        value = {**was.model_dump(), "start": gamma, "end": float(f"{gamma * was.end / was.start:.2g}")}
    at = GAMMAS[draft.base]
    pixels = f"{at[0]:g} at {at[1] ** 0.5:.0f} px and batch {at[2]}; grows with the pixels, falls with the batch"
    draft.decide("gamma", weights, value, pixels)
    return (*warnings, *fit_to_number(draft, spec.count, num_distinct(data), kimg))


def _fit_width(draft: RecipeBuilder, spec: DataSpec, kimg: float) -> None:
    """Decide how wide ``COMPACT``'s networks are, where the narrowest would be shown ``kimg``; memory depends on it."""
    width = width_for(kimg, max(spec.height, spec.width))
    why = "too few for wider ones" if width == NARROWEST else "enough for wider ones"
    text = f"{NARROWEST} channels would be shown roughly {kimg:,.0f} kimg, {why}"
    draft.decide("base_channels", WIDTH_PATHS, width, text if kimg else "how many kimg there is time for is not known")


def _fit_networks(draft: RecipeBuilder, spec: DataSpec) -> None:
    """Decide what else ``COMPACT``'s networks are, and their learning rate."""
    side = max(spec.height, spec.width)
    large = side > SMALL_PX
    text = f"{side} px, {'more than' if large else 'at most'} {SMALL_PX}"
    draft.decide("end_norm", ("method.generator.end_norm",), END_NORM[large], text)
    draft.decide("interval", ("method.penalties.0.interval",), INTERVAL[large], text)
    if widest := widest_map(draft.recipe, spec):
        lr, widths = lr_for(widest, large=large), f"the widest map has {widest} channels"
        draft.decide("lr", ("optimizers.default.lr.start",), lr, widths)
        draft.decide("lr of D", ("optimizers.discriminator.lr.start",), float(f"{LR_OF_D[large] * lr:.2g}"), text)


def _batch(recipe: Recipe, spec: DataSpec, runtime: Runtime) -> tuple[int, str]:
    """Return the recipe's batch, or one that the memory and the number of images allow; and why."""
    batch, reason = recipe.batch_size, "that of the recipe"
    if batch > spec.count:
        while batch > max(spec.count, 2):
            batch //= 2
        reason = f"there are {spec.count:,} images"
    most = same_number(runtime, installed_memory_mb(runtime.device)) * MEMORY_SHARE
    if (needed := needed_mb(recipe, spec, batch // runtime.world_size)) > most:
        reason = f"{batch} would take {needed:,.0f} MB, and {most:,.0f} are {MEMORY_SHARE:.0%} of the memory"
        while batch > 2 and needed_mb(recipe, spec, batch // runtime.world_size) > most:
            batch //= 2
    if (whole := _for_all_processes(batch, runtime)) != batch:
        reason = f"a multiple of the {runtime.world_size} processes"
    return whole, reason


def _for_all_processes(batch: int, runtime: Runtime) -> int:
    """Return a batch that divides among the processes, no smaller."""
    return -(-batch // runtime.world_size) * runtime.world_size


def _fit_to_length(draft: RecipeBuilder, plan: RunLength, *, is_asked: bool) -> None:
    """Set the length, and what goes with it."""
    if is_asked:
        is_rounded = plan.source.endswith(" kimg") and plan.source != f"{plan.schedule_kimg:g} kimg"
        reason = f"{plan.source} in whole batches" if is_rounded else plan.source
        draft.decide("kimg", ("kimg",), plan.schedule_kimg, reason)
    elif draft.base == COMPACT:
        draft.decide("kimg", ("kimg",), plan.schedule_kimg, f"{plan.source}; no length was asked for")
    else:
        draft.decide("kimg", ("kimg",), draft.recipe.kimg, "the recipe's own length")
    for name, (share, most) in (("start_kimg", P_STARTS), ("adapt_kimg", P_ADAPTS)):
        if draft.has(path := f"method.augment.{name}"):
            kimg = min(float(f"{plan.schedule_kimg * share:.3g}"), most)
            text = f"{share:.0%} of the length" + (f", but at most {most:g}" if kimg == most else "")
            draft.decide(name, (path,), kimg, text, of_any_part=True)
    if draft.base in (GPU, LARGE_GPU):
        kimg = float(f"{plan.schedule_kimg * HALF_LIFE_SHARE:.3g}")
        draft.decide("ema_half_life", ("ema_half_life_kimg.end",), kimg, f"{HALF_LIFE_SHARE:.0%} of the length")


def fit_to_classes(draft: RecipeBuilder, summary: DataSummary) -> list[str]:
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


def fit_to_number(draft: RecipeBuilder, count: int, distinct: int, kimg: float) -> list[str]:
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
