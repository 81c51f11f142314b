"""What the images themselves say about size and channels: a look at each, and the decision with its reasons."""

import hashlib
import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from PIL import Image

from gansmith.core.errors import DataError
from gansmith.data.base import DataOptions, Payload
from gansmith.imaging.images import (
    LARGEST_SIDE,
    MODES,
    POINT,
    STARTS,
    ImageError,
    decode_image,
    is_gray,
    is_transparent,
    open_image,
    stages,
    to_pil,
    upright_shape,
)

SMALLEST_SIDE = 8
LARGEST_INFERRED_SIDE = 128
MOST_CUT_OFF = 0.1
SAME_SHAPE = 0.95
NEAR = 2 * math.log(1.25)  # a size that was asked for is fitted when both sides change by less
SIDES = sorted({s * 2**k for s in STARTS for k in range(11) if SMALLEST_SIDE <= s * 2**k <= LARGEST_SIDE})
SHAPES = [(height, width) for height in SIDES for width in SIDES if stages(height, width)]


@dataclass(frozen=True, slots=True)
class ImageInfo:
    """What a look at one image found."""

    sha256: bytes = b""  # of the file; empty when it could not be read
    height: int = 0
    width: int = 0
    mode: str = ""  # Pillow's name, of the file
    gray: bool | None = None  # None: nobody looked
    transparent: bool | None = None
    sketch: Any = None  # what ``look`` was asked to draw of it
    problem: str = ""


@dataclass(frozen=True)
class ImageFormat:
    """How every image is stored, and why."""

    height: int
    width: int  # of both images of a pair
    channels: int
    notes: tuple[str, ...]


def digest(payload: Payload) -> bytes:
    """Return the SHA-256 of a file or an array row."""
    if isinstance(payload, np.ndarray):
        payload = str(payload.shape).encode() + payload.tobytes()
    return hashlib.sha256(payload).digest()


def as_image(payload: Payload) -> Image.Image:
    """Return a payload in mode L, RGB or RGBA; ImageError if it cannot be."""
    return decode_image(payload) if isinstance(payload, bytes) else to_pil(payload)


def look(read: Callable[[], Payload], decode: bool, draw: Callable[[Image.Image], Any] | None = None) -> ImageInfo:
    """Return what the header says, or with ``decode`` what the pixels say as well, and what ``draw`` makes of them."""
    sha256 = b""
    try:
        payload = read()
        sha256 = digest(payload)
        if isinstance(payload, bytes):
            header = open_image(payload)
            (height, width), mode = upright_shape(header), header.mode
        else:
            (height, width), mode = payload.shape[:2], MODES[payload.shape[2]]
        if not decode:
            return ImageInfo(sha256, height, width, mode)
        image = as_image(payload)
        sketch = draw(image) if draw else None
        return ImageInfo(sha256, height, width, mode, is_gray(image), is_transparent(image), sketch)
    except ImageError as problem:
        return ImageInfo(sha256, problem=str(problem))


def infer(facts: Sequence[ImageInfo], options: DataOptions) -> ImageFormat:
    """Decide size and channels from what was seen and what was asked for; DataError if the images are too small."""
    usable = [fact for fact in facts if not fact.problem]
    if typical_shape(usable) == POINT[:2]:
        return _points(options)
    if options.pairs:
        usable = [replace(fact, width=fact.width // 2) for fact in usable]
    (height, width), notes = _shape(usable, options)
    channels, reason = channels_of(usable, options)
    notes += [reason] if reason else []
    deep = Counter(fact.mode[0] for fact in usable if fact.mode.startswith(("I", "F")))
    if deep["I"]:
        notes.append(f"{deep['I']:,} images of 16-bit gray scaled by their full range 0..65535 to 8 bit")
    if deep["F"]:
        notes.append(f"{deep['F']:,} images of floats scaled from 0..1 to 8 bit")
    others = sum(abs(math.log(fact.width * height / (fact.height * width))) > 0.01 for fact in usable)
    if others:
        border = "transparent" if channels == 4 else "white"
        how = {"crop": "cut around the centre", "pad": f"given a {border} border", "stretch": "stretched"}[options.fit]
        notes.append(f"{others:,} images of other proportions are {how} (fit={options.fit})")
    smaller = sum(fact.height < height or fact.width < width for fact in usable)
    if smaller:
        notes.append(f"{smaller:,} images are smaller than {height} x {width} and are enlarged, which adds no detail")
    return ImageFormat(height, width * 2 if options.pairs else width, channels, tuple(notes))


def _points(options: DataOptions) -> ImageFormat:
    """Return the plan for points in the plane; DataError for what can only be done with images."""
    refuse_for_points(options)
    return ImageFormat(*POINT, ("points in the plane, x and y in [-1, 1], each kept in 256 steps",))


def refuse_for_points(options: DataOptions) -> None:
    """Raise DataError for options that only images can have."""
    height, width, channels = POINT
    asked = {"size": options.shape not in (None, (height, width)), "channels": options.channels not in (None, channels)}
    asked |= {"mirror": options.mirror, "pairs": options.pairs}
    if wrong := next((name for name, is_asked in asked.items() if is_asked), None):
        raise DataError(
            "data.options_for_points",
            f"points in the plane cannot be fitted to {wrong}={getattr(options, wrong)}"
            "\n  they are no pictures; train on them with --recipe toy",
        )


def typical_shape(facts: Sequence[ImageInfo]) -> tuple[int, int]:
    """Return the shape that practically all images have, else the median of the shorter sides, squared."""
    shape, count = Counter((fact.height, fact.width) for fact in facts).most_common(1)[0]
    if count >= SAME_SHAPE * len(facts):
        return shape
    side = int(np.median([min(fact.height, fact.width) for fact in facts]))
    return side, side


def _shape(facts: Sequence[ImageInfo], options: DataOptions) -> tuple[tuple[int, int], list[str]]:
    height, width = typical_shape(facts)
    if min(height, width) < SMALLEST_SIDE:
        raise DataError(
            "data.images_too_small",
            f"images too small: they are {height} x {width} px\n  at least {SMALLEST_SIDE} x {SMALLEST_SIDE} are needed"
            "\n  look at what the folder holds (thumbnails, masks?) or pass larger images",
        )
    if options.shape:
        return _fitted(*options.shape)
    best = largest_inside(min(height, LARGEST_INFERRED_SIDE), min(width, LARGEST_INFERRED_SIDE), width / height)
    kind = "all images" if len({(fact.height, fact.width) for fact in facts}) == 1 else "the images typically"
    text = f"inferred size {best[0]} x {best[1]}: {kind} {'are' if kind[0] == 'a' else 'have'} {height} x {width} px"
    if max(height, width) > LARGEST_INFERRED_SIDE:
        text += f", and {LARGEST_INFERRED_SIDE} is the most that is chosen unasked, since the cost grows with the area;"
        most = 2 * LARGEST_INFERRED_SIDE
        larger = largest_inside(min(height, most), min(width, most), width / height)
        text += f" pass size={_written(*larger)} for more"
    elif best != (height, width):
        text += ", fitted to the nearest size below (sides are 3 to 8 times a power of two)"
    return best, [text]


def largest_inside(height: int, width: int, proportion: float) -> tuple[int, int]:
    """Return the largest shape inside one that cuts off at most a tenth of images of a proportion (width / height)."""

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


def _fitted(height: int, width: int) -> tuple[tuple[int, int], list[str]]:
    """Return the shape nearest to one that was asked for which networks can grow to, and a note if it is another.

    Raises DataError, with the two nearest, for one that none is near to.
    """
    within = min(height, width) >= SMALLEST_SIDE and max(height, width) <= LARGEST_SIDE
    if within and (stages(height, width) or stages(height, width, padding=0)):
        return (height, width), []

    def distance(shape: tuple[int, int]) -> float:
        return abs(math.log(shape[0] / max(height, 1))) + abs(math.log(shape[1] / max(width, 1)))

    candidates = [shape for shape in SHAPES if (height == width) == (shape[0] == shape[1])]
    first, second = sorted(candidates, key=distance)[:2]
    if within and distance(first) <= NEAR:
        rule = "sides are 3 to 8 times a power of two"
        return first, [f"size {_written(height, width)} is fitted to {_written(*first)}, the nearest ({rule})"]
    first, second = sorted((first, second))
    if (height, width) == POINT[:2]:
        raise DataError(
            "data.size_of_points",
            "size 1x2 is that of points in the plane, and these are images\n  pass another recipe than toy, or points: "
            "gansmith train gaussians-25 --recipe toy",
        )
    raise DataError(
        "data.size_out_of_range",
        f"size {_written(height, width)} is no size that networks grow to\n  allowed: sides of {SMALLEST_SIDE} to"
        f" {LARGEST_SIDE} that are 3 to 8 times a power of two, the same power for both"
        f"\n  nearest: {_written(*first)} and {_written(*second)}",
    )


def _written(height: int, width: int) -> str:
    """Return a shape as it is written in options."""
    return f"{height}" if height == width else f"{height}x{width}"


def channels_of(facts: Sequence[ImageInfo], options: DataOptions) -> tuple[int, str]:
    """Return the channels of images, and why."""
    seen = [fact for fact in facts if fact.gray is not None]
    transparent = sum(bool(fact.transparent) for fact in seen)
    looked_at = "images" if len(seen) == len(facts) else f"{len(seen):,} images looked at"
    if options.channels:
        blended = f"transparency of {transparent:,} images is blended onto white"
        return options.channels, blended if transparent and options.channels != 4 else ""
    if transparent * 2 > len(seen):
        return 4, f"inferred channels 4: {transparent:,} of {len(seen):,} images looked at have transparent parts"
    lost = (
        f"; {transparent:,} have transparent parts, blended onto white (channels=4 keeps them)" if transparent else ""
    )
    coloured = sum(not fact.gray for fact in seen)
    if not coloured:
        return 1, f"inferred channels 1: all {looked_at} are gray{lost}"
    return 3, f"inferred channels 3: there is colour in {coloured:,} of {len(seen):,} images looked at{lost}"
