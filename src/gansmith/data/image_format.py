"""The format in which images are stored: size and channels, inferred or set by options."""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache

import numpy as np
from pydantic import TypeAdapter

from gansmith.core.errors import DataError, counted
from gansmith.data.base import DataOptions
from gansmith.data.image_info import ImageInfo
from gansmith.data.value_format import ValueFormat, infer_values, pictures_of
from gansmith.imaging.deep_files import axes_notes
from gansmith.imaging.images import LARGEST_SIDE, LONGEST_PROPORTION, MODES, POINT, STARTS, Fit, stages

SMALLEST_SIDE = 8  # px
LARGEST_INFERRED_SIDE = 128  # px, of a square; other proportions get the same area
MOST_CUT_OFF = 0.1  # share of an image that an inferred size may cut off
SHEET_AREA, FEW_SHEETS = 64, 0.05  # so many times the median area, in at most this share of images
MOST_CROPPED = 0.15  # share of all images together that is cut off unasked
MOST_ART_SIDE = 128  # px of pixel art, before it is enlarged
ART_SHARE = 0.8  # share of images that must be pixel art for all to count as such
SAME_SHAPE = 0.95  # share of images that must have a shape for it to count as the shape of all
NEAR = 2 * math.log(1.25)  # a requested size is fitted when its two sides change by at most 25 % on average
SIDES = sorted({s * 2**k for s in STARTS for k in range(11) if SMALLEST_SIDE <= s * 2**k <= LARGEST_SIDE})
SIDES_RULE = "sides are 3 to 8 times a power of two"


@dataclass(frozen=True)
class ImageFormat:
    """Size and channels in which every image is stored, with the reasons."""

    height: int
    width: int  # of both images of a pair
    channels: int
    notes: tuple[str, ...]
    fit: Fit = "crop"
    block: int = 1  # of pixel art: how often each pixel is repeated in the files
    values: ValueFormat | None = None  # how values become pixels; None: the files are ordinary 8-bit images


IMAGE_FORMAT = TypeAdapter(ImageFormat)


def infer_format(infos: Sequence[ImageInfo], options: DataOptions) -> ImageFormat:
    """Return the format for images with these infos; options that are set take precedence.

    Raises DataError for images below 8 px, for a size that networks cannot have, and for options that points in the
    plane cannot have.
    """
    every = [info for info in infos if not info.problem]
    usable = pictures_of(every, options)
    if typical_shape(usable) == POINT[:2]:
        refuse_for_points(options)
        return ImageFormat(*POINT, ("points in the plane: x and y in [-1, 1], each stored in 256 steps",))
    if options.pairs:
        usable = [replace(info, width=info.width // 2) for info in usable]
    block = _art_block(usable, options) if options.fit in ("auto", "pixels") else 0
    is_art = bool(block) or options.fit == "pixels"
    (height, width), notes = _art_shape(usable, options, max(1, block)) if is_art else _shape(usable, options)
    cut = cut_off(usable, height, width)
    channels, reason = channels_of(usable, options)
    fit: Fit = "pixels" if is_art else "pad" if cut > (0 if channels == 4 else MOST_CROPPED) else "crop"
    if options.fit != "auto":
        fit = options.fit
    notes += [reason] if reason else []
    if reduced := sum(info.deep for info in every) - sum(info.deep for info in usable):
        count = f"{reduced:,} of {counted(len(every), 'image')}"
        notes.append(f"{count} have 16 bits and are read as 8-bit pictures, as most are (depth=16 keeps all bits)")
    values, remarks = infer_values(usable, options, channels)
    notes += remarks
    is_picture = values is None or values.colours
    border = "transparent" if channels == 4 and is_picture else "white" if values is None else "black"
    notes += _fit_notes(usable, (height, width), fit, cut, border, is_chosen=options.fit == "auto")
    notes += _sheet_note(usable)
    notes += axes_notes(info.axes for info in usable)
    if stacks := [info.frames for info in usable if info.frames > 1]:
        unused = counted(sum(stacks) - len(stacks), "frame")
        files = f"of {counted(len(stacks), 'file')} with several frames only the first is taken"
        notes.append(f"{unused} not used: {files} (frames=all takes all, frames=every:10 each tenth)")
    if recoloured := sum(info.recoloured for info in usable):
        notes.append(f"{counted(recoloured, 'image')} converted to sRGB from another colour profile")
    whole_width = width * 2 if options.pairs else width
    return ImageFormat(height, whole_width, channels, tuple(notes), fit, max(1, block), values)


def cut_off(infos: Sequence[ImageInfo], height: int, width: int) -> float:
    """Return the mean share of each image that is cut off around the proportions of height x width."""
    ratios = [info.width * height / (info.height * width) for info in infos]
    return float(np.mean([1 - min(ratio, 1 / ratio) for ratio in ratios]))


def _fit_notes(
    infos: Sequence[ImageInfo], shape: tuple[int, int], fit: Fit, cut: float, border: str, *, is_chosen: bool
) -> list[str]:
    """Return notes on images of other proportions and on images that are enlarged."""
    height, width = shape
    if fit == "pixels":
        return []
    notes = []
    others = [info for info in infos if abs(math.log(info.width * height / (info.height * width))) > 0.01]
    if others:
        how = {"crop": "cut around the centre", "pad": f"given a {border} border", "stretch": "stretched"}[fit]
        lost = f"{cut_off(others, height, width):.0%} of their pixels"
        more = f"; fit=crop would cut off {lost}" if fit == "pad" and is_chosen else ""
        more = f": {lost} are cut off" if fit == "crop" else more
        notes.append(f"{counted(len(others), 'image')} with other proportions, {how} (fit={fit}){more}")
        if fit == "crop" and cut > MOST_CROPPED:
            notes[-1] += "; fit=pad keeps all"
    smaller = sum(info.height < height or info.width < width for info in infos)
    if fit == "pad":
        smaller = sum(info.height < height and info.width < width for info in infos)
    if smaller:
        notes.append(f"{counted(smaller, 'image')} smaller than {height} x {width}, enlarged, which adds no detail")
    return notes


def _sheet_note(infos: Sequence[ImageInfo]) -> list[str]:
    """Return a note on images that are much larger than the others, which may be sheets of many pictures."""
    area = float(np.median([info.height * info.width for info in infos]))
    large = [info for info in infos if info.height * info.width >= SHEET_AREA * area]
    if not large or len(large) > FEW_SHEETS * len(infos):
        return []
    named = ", ".join(info.name for info in large[:3] if info.name)
    size = f"{large[0].height} x {large[0].width} px"
    return [
        f"{counted(len(large), 'image')} much larger than the others ({named}: {size}); if they are sheets of many"
        " pictures, remove them"
    ]


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


def _art_block(infos: Sequence[ImageInfo], options: DataOptions) -> int:
    """Return how often each pixel of pixel art is repeated in all files.

    0 if most images are no pixel art, and if a smaller size is asked for: leaving out pixels looks worse than blur.
    """
    decoded = [info for info in infos if info.block is not None]
    blocks = [info.block for info in decoded if info.block]
    if not blocks or len(blocks) < ART_SHARE * len(decoded):
        return 0
    block = math.gcd(*blocks)
    height, width = _art_size(infos, block)
    rows, columns = options.shape or (height, width)
    if options.fit == "auto" and (rows < height or columns < width):
        return 0
    return block if min(height, width) >= SMALLEST_SIDE and max(height, width) <= MOST_ART_SIDE else 0


def _art_size(infos: Sequence[ImageInfo], block: int) -> tuple[int, int]:
    """Return the height and width that hold 95 % of the images, without their enlargement."""
    sides = np.array([(info.height, info.width) for info in infos])
    height, width = np.quantile(-(-sides // block), SAME_SHAPE, axis=0, method="higher")
    return int(height), int(width)


def _art_shape(infos: Sequence[ImageInfo], options: DataOptions, block: int) -> tuple[tuple[int, int], list[str]]:
    """Return the requested size, else the smallest allowed one that holds pixel art, and a note."""
    height, width = _art_size(infos, block)
    if min(height, width) < SMALLEST_SIDE:
        raise _too_small(height, width)
    if options.shape:
        shape, notes = _nearest_size(*options.shape)
    else:
        holding = [shape for shape in _shapes() if shape[0] >= height and shape[1] >= width]
        shape = min(holding, key=lambda shape: (shape[0] * shape[1], shape), default=(LARGEST_SIDE, LARGEST_SIDE))
        notes = [f"inferred size {shape[0]} x {shape[1]}: the smallest that holds pictures of {height} x {width} px"]
    enlarged = f"; the files show each pixel {block} x {block} times" if block > 1 else ""
    why = "few colours and hard edges" if options.fit == "auto" else "fit=pixels"
    notes.append(
        f"pixel art ({why}): scaled by whole factors without blur, with a border{enlarged} (fit=pixels)"
        + ("; fit=crop treats them as photos" if options.fit == "auto" else "")
    )
    return shape, notes


def _shape(infos: Sequence[ImageInfo], options: DataOptions) -> tuple[tuple[int, int], list[str]]:
    """Return (height, width) and notes: the requested size, else one no larger than the images and 128 x 128 px."""
    height, width = typical_shape(infos)
    if min(height, width) < SMALLEST_SIDE:
        raise _too_small(height, width)
    if options.shape:
        return _nearest_size(*options.shape)
    if options.fit == "auto" and height == width and cut_off(infos, height, width) > MOST_CROPPED:
        height, width = _other_shape(infos) or (height, width)
    best = largest_inside(*within(LARGEST_INFERRED_SIDE, height, width), width / height)
    all_alike = len({(info.height, info.width) for info in infos}) == 1
    subject = "all images are" if all_alike else "the images are typically"
    text = f"inferred size {best[0]} x {best[1]}: {subject} {height} x {width} px"
    if height * width > LARGEST_INFERRED_SIDE**2:
        larger = largest_inside(*within(2 * LARGEST_INFERRED_SIDE, height, width), width / height)
        area = (
            f"{LARGEST_INFERRED_SIDE} px"
            if height == width
            else f"the area of {LARGEST_INFERRED_SIDE} x {LARGEST_INFERRED_SIDE} px"
        )
        text += f"; the default is at most {area}, because cost grows with the area"
        text += f" (pass size={_size_text(*larger)} for more)"
    elif best != (height, width):
        text += f", reduced to the nearest allowed size ({SIDES_RULE})"
    return best, [text]


def _too_small(height: int, width: int) -> DataError:
    return DataError(
        "data.images_too_small",
        f"images too small: they are {height} x {width} px, the minimum is {SMALLEST_SIDE} x {SMALLEST_SIDE}"
        "\n  check that the folder does not hold thumbnails or masks, or pass larger images",
    )


def _other_shape(infos: Sequence[ImageInfo]) -> tuple[int, int] | None:
    """Return the shape of the median proportions, if it cuts off less than a square; else None."""
    proportion = math.exp(float(np.median([math.log(info.width / info.height) for info in infos])))
    width = float(np.median([min(info.width, info.height * proportion) for info in infos]))
    shape = max(1, round(width / proportion)), max(1, round(width))
    side = int(np.median([min(info.height, info.width) for info in infos]))
    is_better = cut_off(infos, *shape) < cut_off(infos, side, side) and min(shape) >= SMALLEST_SIDE
    return shape if is_better else None


def within(side: int, height: int, width: int) -> tuple[int, int]:
    """Return the sides of an image scaled down to the area of a square; unchanged if its area is smaller."""
    scale = min(1.0, side / math.sqrt(height * width))
    return int(height * scale), int(width * scale)


@cache
def _shapes() -> list[tuple[int, int]]:
    """Return all shapes that networks can have."""
    found = set()
    for doublings in range(LARGEST_SIDE.bit_length()):
        for shorter in STARTS:
            for longer in range(shorter, LONGEST_PROPORTION * shorter + 1):
                height, width = shorter << doublings, longer << doublings
                if height >= SMALLEST_SIDE and width <= LARGEST_SIDE and stages(height, width):
                    found |= {(height, width), (width, height)}
    return sorted(found)


def largest_inside(height: int, width: int, proportion: float) -> tuple[int, int]:
    """Return an allowed shape within height x width that keeps 90 % of images of a proportion (width/height).

    It is the largest, where a tenth of the area weighs as much as 2.5 % that is cut off. If none keeps 90 %, return the
    shape that keeps most.
    """

    def kept(shape: tuple[int, int]) -> float:
        ratio = shape[1] / shape[0] / proportion
        return min(ratio, 1 / ratio)

    inside = [shape for shape in _shapes() if shape[0] <= height and shape[1] <= width]
    enough = [shape for shape in inside if kept(shape) >= 1 - MOST_CUT_OFF]
    if proportion == 1:
        enough = [shape for shape in enough if shape[0] == shape[1]]
    if not enough:
        return max(inside, key=lambda shape: (kept(shape), shape), default=(SMALLEST_SIDE, SMALLEST_SIDE))
    return max(enough, key=lambda shape: (shape[0] * shape[1] * kept(shape) ** 4, kept(shape)))


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

    candidates = [shape for shape in _shapes() if (height == width) == (shape[0] == shape[1])]
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
        f" {LARGEST_SIDE} px: 3 to 8 times a power of two; one side may be a larger multiple of that power,"
        f" up to {LONGEST_PROPORTION} times as long as the other"
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
