"""The format in which images are stored: size and channels, inferred or set by options."""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from gansmith.core.errors import DataError, counted
from gansmith.data.base import DataOptions
from gansmith.data.image_info import ImageInfo
from gansmith.data.value_format import ValueFormat, infer_values
from gansmith.imaging.images import LARGEST_SIDE, MODES, POINT, STARTS, stages

SMALLEST_SIDE = 8  # px
LARGEST_INFERRED_SIDE = 128  # px
MOST_CUT_OFF = 0.1  # share of an image that fitting may cut off
SAME_SHAPE = 0.95  # share of images that must have a shape for it to count as the shape of all
NEAR = 2 * math.log(1.25)  # a requested size is fitted when its two sides change by at most 25 % on average
SIDES = sorted({s * 2**k for s in STARTS for k in range(11) if SMALLEST_SIDE <= s * 2**k <= LARGEST_SIDE})
SHAPES = [(height, width) for height in SIDES for width in SIDES if stages(height, width)]
SIDES_RULE = "sides are 3 to 8 times a power of two"


@dataclass(frozen=True)
class ImageFormat:
    """Size and channels in which every image is stored, with the reasons."""

    height: int
    width: int  # of both images of a pair
    channels: int
    notes: tuple[str, ...]
    values: ValueFormat | None = None  # how values become pixels; None: the files are ordinary 8-bit images


def infer_format(infos: Sequence[ImageInfo], options: DataOptions) -> ImageFormat:
    """Return the format for images with these infos; options that are set take precedence.

    Raises DataError for images below 8 px, for a size that networks cannot have, and for options that points in the
    plane cannot have.
    """
    usable = [info for info in infos if not info.problem]
    if typical_shape(usable) == POINT[:2]:
        refuse_for_points(options)
        return ImageFormat(*POINT, ("points in the plane: x and y in [-1, 1], each stored in 256 steps",))
    if options.pairs:
        usable = [replace(info, width=info.width // 2) for info in usable]
    (height, width), notes = _shape(usable, options)
    channels, reason = channels_of(usable, options)
    notes += [reason] if reason else []
    values, remarks = infer_values(usable, options, channels)
    notes += remarks
    others = sum(abs(math.log(info.width * height / (info.height * width))) > 0.01 for info in usable)
    if others:
        border = "transparent" if channels == 4 else "white"
        if values is not None:
            border = "black"
        how = {"crop": "cut around the centre", "pad": f"given a {border} border", "stretch": "stretched"}[options.fit]
        notes.append(f"{counted(others, 'image')} with other proportions, {how} (fit={options.fit})")
    smaller = sum(info.height < height or info.width < width for info in usable)
    if smaller:
        notes.append(f"{counted(smaller, 'image')} smaller than {height} x {width}, enlarged, which adds no detail")
    return ImageFormat(height, width * 2 if options.pairs else width, channels, tuple(notes), values)


def refuse_for_points(options: DataOptions) -> None:
    """Raise DataError for options that points in the plane cannot have."""
    height, width, channels = POINT
    asked = {"size": options.shape not in (None, (height, width)), "channels": options.channels not in (None, channels)}
    asked |= {"mirror": options.mirror, "pairs": options.pairs}
    if wrong := next((name for name, is_asked in asked.items() if is_asked), None):
        raise DataError(
            "data.options_for_points",
            f"{wrong}={getattr(options, wrong)} is an option for images, but these data are points in the plane"
            "\n  remove it and train with --recipe toy",
        )


def typical_shape(infos: Sequence[ImageInfo]) -> tuple[int, int]:
    """Return the shape that at least 95 % of the images have, else a square of the median shorter side."""
    shape, count = Counter((info.height, info.width) for info in infos).most_common(1)[0]
    if count >= SAME_SHAPE * len(infos):
        return shape
    side = int(np.median([min(info.height, info.width) for info in infos]))
    return side, side


def _shape(infos: Sequence[ImageInfo], options: DataOptions) -> tuple[tuple[int, int], list[str]]:
    """Return (height, width) and notes: the requested size, else one no larger than the images and 128 px."""
    height, width = typical_shape(infos)
    if min(height, width) < SMALLEST_SIDE:
        raise DataError(
            "data.images_too_small",
            f"images too small: they are {height} x {width} px, the minimum is {SMALLEST_SIDE} x {SMALLEST_SIDE}"
            "\n  check that the folder does not hold thumbnails or masks, or pass larger images",
        )
    if options.shape:
        return _nearest_size(*options.shape)
    best = largest_inside(min(height, LARGEST_INFERRED_SIDE), min(width, LARGEST_INFERRED_SIDE), width / height)
    all_alike = len({(info.height, info.width) for info in infos}) == 1
    subject = "all images are" if all_alike else "the images are typically"
    text = f"inferred size {best[0]} x {best[1]}: {subject} {height} x {width} px"
    if max(height, width) > LARGEST_INFERRED_SIDE:
        most = 2 * LARGEST_INFERRED_SIDE
        larger = largest_inside(min(height, most), min(width, most), width / height)
        text += f"; the default is at most {LARGEST_INFERRED_SIDE} px, because cost grows with the area"
        text += f" (pass size={_size_text(*larger)} for more)"
    elif best != (height, width):
        text += f", reduced to the nearest allowed size ({SIDES_RULE})"
    return best, [text]


def largest_inside(height: int, width: int, proportion: float) -> tuple[int, int]:
    """Return the largest allowed shape within height x width that keeps 90 % of images of a proportion (width/height).

    If none keeps that much, return the shape that keeps most.
    """

    def kept(shape: tuple[int, int]) -> float:
        ratio = shape[1] / shape[0] / proportion
        return min(ratio, 1 / ratio)

    inside = [shape for shape in SHAPES if shape[0] <= height and shape[1] <= width]
    enough = [shape for shape in inside if kept(shape) >= 1 - MOST_CUT_OFF]
    if proportion == 1:
        enough = [shape for shape in enough if shape[0] == shape[1]]
    if not enough:
        return max(inside, key=lambda shape: (kept(shape), shape))
    return max(enough, key=lambda shape: (shape[0] * shape[1], kept(shape)))


def is_allowed(height: int, width: int) -> bool:
    """Say whether images can be stored at this size."""
    within = min(height, width) >= SMALLEST_SIDE and max(height, width) <= LARGEST_SIDE
    return within and bool(stages(height, width) or stages(height, width, padding=0))


def _nearest_size(height: int, width: int) -> tuple[tuple[int, int], list[str]]:
    """Return the allowed shape nearest to a requested one, and a note if it differs.

    Raises DataError, with the two nearest shapes, when none is near.
    """
    within = min(height, width) >= SMALLEST_SIDE and max(height, width) <= LARGEST_SIDE
    if is_allowed(height, width):
        return (height, width), []

    def distance(shape: tuple[int, int]) -> float:
        return abs(math.log(shape[0] / max(height, 1))) + abs(math.log(shape[1] / max(width, 1)))

    candidates = [shape for shape in SHAPES if (height == width) == (shape[0] == shape[1])]
    first, second = sorted(candidates, key=distance)[:2]
    if within and distance(first) <= NEAR:
        return first, [f"size {_size_text(height, width)} becomes {_size_text(*first)}, the nearest ({SIDES_RULE})"]
    first, second = sorted((first, second))
    if (height, width) == POINT[:2]:
        raise DataError(
            "data.size_of_points",
            "size 1x2 is for points in the plane, but these data are images"
            "\n  pass another recipe than toy, or points: gansmith train gaussians-25 --recipe toy",
        )
    raise DataError(
        "data.size_out_of_range",
        f"networks cannot have size {_size_text(height, width)}\n  allowed: sides of {SMALLEST_SIDE} to"
        f" {LARGEST_SIDE} that are 3 to 8 times a power of two, the same power for both"
        f"\n  nearest: {_size_text(*first)} and {_size_text(*second)}",
    )


def _size_text(height: int, width: int) -> str:
    """Return a shape as it is written in options."""
    return f"{height}" if height == width else f"{height}x{width}"


def channels_of(infos: Sequence[ImageInfo], options: DataOptions) -> tuple[int, str]:
    """Return the number of channels, and the reason ("" without one)."""
    decoded = [info for info in infos if info.gray is not None]
    if bands := Counter(info.bands for info in decoded if info.deep):
        return _bands_of(decoded, bands, options)
    if options.channels is not None and options.channels not in MODES:
        raise DataError(
            "data.channels_of_pictures",
            f"channels={options.channels} needs files of that many bands, but these are gray or colour pictures"
            f"\n  allowed: {', '.join(map(str, MODES))}",
        )
    transparent = sum(bool(info.transparent) for info in decoded)
    sampled = "images" if len(decoded) == len(infos) else f"{len(decoded):,} sampled images"
    if options.channels:
        blended = f"{counted(transparent, 'image')} with transparent parts, blended onto white"
        return options.channels, blended if transparent and options.channels != 4 else ""
    if transparent * 2 > len(decoded):
        return 4, f"inferred channels 4: {transparent:,} of {len(decoded):,} sampled images have transparent parts"
    lost = (
        f"; {transparent:,} have transparent parts, blended onto white (channels=4 keeps them)" if transparent else ""
    )
    coloured = sum(not info.gray for info in decoded)
    if not coloured:
        return 1, f"inferred channels 1: all {sampled} are gray{lost}"
    return 3, f"inferred channels 3: {coloured:,} of {len(decoded):,} sampled images have colour{lost}"


def _bands_of(infos: Sequence[ImageInfo], bands: Counter[int], options: DataOptions) -> tuple[int, str]:
    """Return the number of bands of deep files, and the reason."""
    count = bands.most_common(1)[0][0]
    if options.channels:
        if options.channels > count and not (count == 1 and options.channels == 3):
            raise DataError(
                "data.too_few_bands",
                f"channels={options.channels}, but the images have {counted(count, 'band')}"
                f"\n  pass channels={count}, or leave it out",
            )
        fewer = options.channels < count
        mixed = options.channels == 1 and count in (3, 4) and all(info.colours for info in infos)
        how = "their luminance" if mixed else f"the first {counted(options.channels, 'band')} of {count}"
        return options.channels, f"channels={options.channels}: {how}" if fewer else ""
    if count == 3 and all(info.gray for info in infos):
        return 1, "inferred channels 1: all images are gray"
    others = sum(info.bands != count for info in infos)
    text = f"; {counted(others, 'image')} with another number" if others else ""
    return (
        count,
        f"inferred channels {count}: the images have {counted(count, 'band')}{text}" if count > 1 or others else "",
    )
