"""The number type and range in which a set is stored, inferred or set by options."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from gansmith.core.errors import DataError, counted, some_of
from gansmith.data.base import EACH_CHANNEL, MOST_BAD, DataOptions, DataSpec, Payload
from gansmith.data.image_info import ImageInfo, as_image, as_values
from gansmith.imaging.images import PIXEL_LIMIT, Fit, ImageError, fit_image, fit_values
from gansmith.imaging.values import (
    LUMINANCE,
    QUANTILE,
    STEPS,
    PixelValues,
    ValueSample,
    are_labels,
    mark_for_ignored,
    robust_range,
)

DIM = 64  # 8-bit sets whose largest value is below it do not fill their type: masks, label maps, weak signals
FEW_LEVELS = 32  # sets of gray files that stay below it are looked at, whatever they begin with
MOST_NAMED = 5
COLOUR_MODES = ("RGB", "RGBA", "YCbCr", "CMYK", "LAB", "HSV")  # of Pillow; a file of one is no label map
HALF_OF_16_BITS = 2**15
MOST_CROWDED = 0.66  # share of values in the lowest 1/255 of the range above which that is said
NEARLY = 1e-3  # floats of 0..1 may be this far outside


@dataclass(frozen=True)
class ValueFormat:
    """How values become stored pixels: those of images, or of the targets and sources of pairs."""

    values: PixelValues
    source: PixelValues | None  # of pairs
    white_of_8_bits: float  # 8-bit values are multiplied by it / 255 where the others have more bits
    nearest: tuple[bool, ...]  # masks and label maps: resized without mixing values; two of pairs: source, target
    colours: bool

    @classmethod
    def of(cls, values: PixelValues) -> "ValueFormat":
        """Return the format for single images that are taken in units as ``values`` has them."""
        return cls(values, None, 255.0, (False,), not values.bands)

    @property
    def is_ordinary(self) -> bool:
        """Say whether the stored pixels are 8-bit gray or RGB like those of photos."""
        values = self.values
        whole = (values.depth, values.kind, values.low, values.high) == ("8", "uint8", (0.0,), (255.0,))
        return whole and not values.bands and self.source in (None, values)

    def sides(self) -> tuple[PixelValues, ...]:
        """Return the values of an image, or of the source and the target of a pair."""
        return (self.values,) if self.source is None else (self.source, self.values)

    def fitted(
        self,
        array: np.ndarray,
        values: PixelValues,
        shape: tuple[int, int, int],
        fit: Fit,
        *,
        nearest: bool = False,
    ) -> np.ndarray:
        """Return values (H, W, bands) as stored pixels of a shape (height, width, channels)."""
        height, width, channels = shape
        empty = np.broadcast_to(values.low, channels)
        array = self.with_channels(array, channels)
        return values.stored(fit_values(array, height, width, fit, nearest=nearest, empty=empty))

    def with_channels(self, array: np.ndarray, channels: int) -> np.ndarray:
        """Return values (H, W, bands) as float64 or whole numbers (H, W, channels); ImageError for too few bands."""
        if array.dtype == np.uint8 and self.white_of_8_bits != 255:
            array = array * (self.white_of_8_bits / 255)
        bands = array.shape[2]
        if bands == channels:
            return array
        if channels == 1 and bands in (3, 4) and self.colours:
            return np.asarray(array[..., :3] @ np.array(LUMINANCE))[..., None]
        if bands > channels:
            return array[..., :channels]
        if bands == 1 and channels == 3:
            return array.repeat(3, axis=2)
        raise ImageError("image.array_shape", f"{counted(bands, 'band')}, but the set has {channels}")


def stored_image(payload: Payload, spec: DataSpec, limit: int = PIXEL_LIMIT) -> np.ndarray:
    """Return one image, not of a pair, as stored pixels of a data set, fitted to its size; ImageError if it cannot be.

    Files and arrays of other types than the set's are taken in their own units.
    """
    if spec.values is None:
        return fit_image(as_image(payload, limit), spec.height, spec.width, spec.channels, spec.fit)
    form = ValueFormat.of(spec.values)
    return form.fitted(as_values(payload, limit), form.values, (spec.height, spec.width, spec.channels), spec.fit)


def needs_values(infos: Sequence[ImageInfo], options: DataOptions) -> bool:
    """Say whether the values of all images have to be looked at: some are deep, dim, or a range is asked for."""
    usable = [info for info in infos if not info.problem]
    if all(info.samples for info in usable):
        return False
    if (
        any(info.deep for info in pictures_of(usable, options))
        or options.depth in ("16", "float")
        or options.range is not None
    ):
        return True
    sides = zip(*(info.extremes for info in usable if info.extremes), strict=True)
    can_be_labels = all(info.mode not in COLOUR_MODES for info in usable)
    return any(_is_dim(side, can_be_labels=can_be_labels) for side in sides)


def pictures_of(infos: Sequence[ImageInfo], options: DataOptions) -> Sequence[ImageInfo]:
    """Return the infos, with 16-bit pictures as 8-bit ones where most are ordinary: icons and photos of many hands.

    They must be PNG files whose values go beyond half of their type: others may be measurements.
    """
    deep = [info for info in infos if info.deep]
    is_free = options.depth == "auto" and options.range is None and options.bands is None
    if not (is_free and 0 < 2 * len(deep) < len(infos)) or not all(
        info.reducible and info.kind == "uint16" and info.colours for info in deep
    ):
        return infos
    if max(float(sample.high.max()) for info in deep for sample in info.samples) < HALF_OF_16_BITS:
        return infos
    white = ((0, 255),) * (2 if options.pairs else 1)
    return [replace(info, deep=False, samples=(), extremes=white) if info.deep else info for info in infos]


def _is_dim(extremes: Sequence[tuple[int, int]], *, can_be_labels: bool) -> bool:
    """Say whether pictures would be nearly black, and are no dark photos.

    None reaches a quarter of white; most begin at 0, as masks do, or have one band and few values, as label maps do.
    """
    top = max(high for _, high in extremes)
    most_begin_at_0 = 2 * sum(high > low == 0 for low, high in extremes) > len(extremes)
    return top < DIM and (most_begin_at_0 or (can_be_labels and top < FEW_LEVELS and _most_vary(extremes)))


def _most_vary(extremes: Sequence[tuple[int, int]]) -> bool:
    """Say whether most pictures have more than one value."""
    return 2 * sum(high > low for low, high in extremes) > len(extremes)


def infer_values(
    infos: Sequence[ImageInfo], options: DataOptions, channels: int
) -> tuple[ValueFormat | None, list[str]]:
    """Return how the values of a set are stored, and notes; None for ordinary 8-bit images.

    Raises DataError for types that do not mix, and for options that do not fit.
    """
    usable = [info for info in infos if not info.problem]
    if not usable or not all(info.samples for info in usable):
        _refuse_options(options, channels)
        return None, _dark_notes(usable, options)
    kind, white, notes = _common_kind(usable, options)
    colours = all(info.colours for info in usable) and channels in (1, 3, 4)
    notes += _other_bands(usable, channels)
    bands = _bands(usable, options, channels, colours=colours)
    preview = _preview(options, channels)
    ranges = _asked_ranges(options, channels)
    sides = list(zip(*(info.samples for info in usable), strict=True))
    if options.pairs and options.direction == "target-source":
        sides.reverse()
    found, labels = [], []
    for side, samples in enumerate(sides):
        scaled = [
            sample.scaled(white / 255) if info.kind == "uint8" else sample
            for info, sample in zip(usable, samples, strict=True)
        ]
        name = ("sources: ", "targets: ")[side] if len(sides) > 1 else ""
        labels.append(np.dtype(kind).kind in "uib" and are_labels(scaled))
        asked = ranges[side] if ranges else None
        values, remarks = _side(scaled, kind, options, asked, channels, is_labels=labels[-1])
        found.append(PixelValues(*values, bands, preview))
        notes += [name + remark for remark in remarks]
    depth = max((each.depth for each in found), key=["8", "16", "float"].index)
    found = [PixelValues(depth, *(each.low, each.high, each.kind, each.bands, each.preview)) for each in found]
    if bands:
        names = ", ".join(f"{at + 1} {name}" for at, name in enumerate(bands))
        notes.append(counted(channels, "band") if bands == _numbered(channels) else f"bands: {names}")
    return ValueFormat(found[-1], found[0] if len(found) > 1 else None, white, tuple(labels), colours), notes


def _refuse_options(options: DataOptions, channels: int) -> None:
    """Raise DataError for options that ordinary 8-bit images cannot have."""
    _preview(options, channels)
    if options.bands is not None and len(options.bands) != channels:
        raise _wrong_bands(options, channels)


def _dark_notes(infos: Sequence[ImageInfo], options: DataOptions) -> list[str]:
    """Return a note on 8-bit images, or a side of pairs, that stay below a quarter of white."""
    sides = list(zip(*(info.extremes for info in infos if info.extremes), strict=True))
    names = ["sources", "targets"] if options.direction == "source-target" else ["targets", "sources"]
    notes = []
    for side, extremes in enumerate(sides):
        if _most_vary(extremes) and (top := max(high for _, high in extremes)) < DIM:
            name = f"the {names[side]}" if len(sides) > 1 else "the images"
            asked = f"{top}/0:255" if name == "the sources" else f"255/0:{top}" if len(sides) > 1 else str(top)
            notes.append(
                f"dark: {name} have values up to {top} of 255, so networks see them as nearly black; range=0:{asked}"
                " spreads them"
            )
    return notes


def _common_kind(infos: Sequence[ImageInfo], options: DataOptions) -> tuple[str, float, list[str]]:
    """Return the type of all values, what is white in 8-bit files, and notes; DataError for types that do not mix."""
    kinds = Counter(info.kind for info in infos)
    forms = {np.dtype(kind).kind for kind in kinds}
    if len(kinds) == 1:
        return next(iter(kinds)), 255.0, []
    told = " and ".join(f"{counted(count, 'image')} of {kind}" for kind, count in kinds.most_common())
    if set(kinds) == {"uint8", "uint16"}:
        top = max(float(sample.high.max()) for info in infos if info.kind == "uint16" for sample in info.samples)
        bits = max(8, int(top).bit_length())
        white = float(2**bits - 1)
        note = (
            f"mixed bit depths: {told}; 8-bit values are multiplied by {white / 255:g}, so that 255 becomes {white:g}"
        )
        return "uint16", white, [note]
    alike = len(forms) == 1 or forms == {"u", "i"}
    if alike and ("uint8" not in kinds or options.range is not None):
        return str(np.result_type(*kinds)), 255.0, [f"mixed types: {told}; their numbers are taken as they are"]
    if options.range is not None:
        return "float32", 255.0, [f"mixed types: {told}; their numbers are taken as they are, because range is given"]
    rarest = kinds.most_common()[-1][0]
    names = [info.name for info in infos if info.kind == rarest and info.name]
    files = f"\n  of {rarest}: {some_of(names, MOST_NAMED)}" if names else ""
    raise DataError(
        "data.mixed_depths",
        f"mixed bit depths: {told}; it is not clear that their numbers have the same meaning{files}"
        "\n  keep the images of one type, or convert them; if the numbers have one unit, say so: range=LOW:HIGH",
    )


def _bands(infos: Sequence[ImageInfo], options: DataOptions, channels: int, *, colours: bool) -> tuple[str, ...]:
    """Return the names of bands that are no colours."""
    if options.bands is not None:
        if len(options.bands) != channels:
            raise _wrong_bands(options, channels)
        return options.bands
    named = Counter(info.band_names for info in infos if len(info.band_names) >= channels)
    if named and channels > 1:
        return named.most_common(1)[0][0][:channels]
    return () if channels in (1, 3) or colours else _numbered(channels)


def _numbered(channels: int) -> tuple[str, ...]:
    return tuple(f"band {at + 1}" for at in range(channels))


def _other_bands(infos: Sequence[ImageInfo], channels: int) -> list[str]:
    """Return a note on images with too few bands, which are left out; DataError for more than MOST_BAD of them."""
    few = [info for info in infos if info.bands < channels and (info.bands, channels) != (1, 3)]
    if not few:
        return []
    counts = Counter(info.bands for info in infos)
    told = " and ".join(
        f"{counted(count, 'image')} of {counted(bands, 'band')}" for bands, count in counts.most_common()
    )
    named = ", ".join(info.name for info in few[:MOST_NAMED] if info.name)
    if len(few) <= MOST_BAD * len(infos):
        return [f"mixed bands: {told}; those with fewer than {channels} are left out: {named}"]
    least = min(counts)
    raise DataError(
        "data.mixed_bands",
        f"mixed bands: {told}; fewer than {channels}: {named}"
        f"\n  keep the images with the same bands, or take the first {least} of each: channels={least}",
    )


def _wrong_bands(options: DataOptions, channels: int) -> DataError:
    assert options.bands is not None
    return DataError(
        "data.band_names",
        f"bands names {len(options.bands)} bands, but the images have {counted(channels, 'channel')}"
        "\n  give one name for each, separated by commas: bands=red,green,blue,nir",
    )


def _preview(options: DataOptions, channels: int) -> tuple[int, ...]:
    """Return the bands of the picture, from 1; DataError for bands that are not there."""
    if options.preview and max(options.preview) > channels:
        raise DataError(
            "data.preview_bands",
            f"preview={','.join(map(str, options.preview))} names band {max(options.preview)}, but the images have"
            f" {counted(channels, 'channel')}\n  allowed: one or three bands of 1 to {channels}: preview=3,2,1",
        )
    return options.preview or ()


def _asked_ranges(options: DataOptions, channels: int) -> list[tuple[tuple[float, ...], tuple[float, ...]]]:
    """Return (low, high) for each side as the option ``range`` gives them; [] without."""
    ranges = options.ranges
    sides = 2 if options.pairs else 1
    if not ranges:
        return []
    if any(len(side) not in (1, channels) for side in ranges) or len(ranges) not in (1, sides):
        raise DataError(
            "data.range_count",
            f"range={options.range} does not fit {counted(channels, 'channel')}"
            "\n  allowed: LOW:HIGH for all, one LOW:HIGH for each channel with commas between,"
            " or range=channels to find one for each; of pairs SOURCE/TARGET",
        )
    found = [(tuple(low for low, _ in side), tuple(high for _, high in side)) for side in ranges]
    return found * sides if len(found) == 1 else found


def _side(
    samples: Sequence[ValueSample],
    kind: str,
    options: DataOptions,
    asked: tuple[tuple[float, ...], tuple[float, ...]] | None,
    channels: int,
    *,
    is_labels: bool,
) -> tuple[tuple[str, tuple[float, ...], tuple[float, ...], str], list[str]]:
    """Return depth, low, high and kind of the values of one side, and notes."""
    lowest, highest = min(float(s.low.min()) for s in samples), max(float(s.high.max()) for s in samples)
    is_whole, marks = np.dtype(kind).kind in "uib", ""
    ignored = mark_for_ignored(samples) if is_whole else None
    is_tiny = 0 < max(abs(lowest), abs(highest)) < 0.5 / 255  # floats that would all be rounded to one level
    is_unit = not is_whole and not is_tiny and lowest >= -1.001 and highest <= 1.001
    steps = is_unit and _in_steps(samples, 0.15 if kind == "float16" else 0.01, signed=lowest < -NEARLY)
    if asked:
        low, high = asked
    elif kind == "bool" or (steps and lowest >= -NEARLY):
        low, high = (0.0,), (1.0,)
    elif steps:
        low, high = (-1.0,), (1.0,)
    elif is_whole and lowest >= 0 and DIM <= highest <= 255 and options.range is None and ignored is None:
        low, high = (0.0,), (255.0,)
    elif is_labels and highest > lowest and options.range is None:
        low, high, marks = _label_range(samples, ignored)
    else:
        samples, marks = (samples, "") if options.range == EACH_CHANNEL else _without_marks(samples)
        low, high = robust_range(
            [_of_channels(sample, channels) for sample in samples], each_channel=options.range == EACH_CHANNEL
        )
    span = max(top - bottom for bottom, top in zip(low, high, strict=True))
    depth = options.depth
    if depth == "auto":
        depth = (
            "8" if steps or (is_whole and span <= STEPS["8"]) else "16" if is_whole and span <= STEPS["16"] else "float"
        )
    notes = [f"all values are {lowest:g}: there is nothing to learn"] if lowest == highest else []
    if not (asked or is_labels) and len(low) == 1:
        notes += _crowded_note(samples, low[0], high[0])
    if (depth, kind, low, high) != ("8", "uint8", (0.0,), (255.0,)):
        stored = {"8": "8-bit numbers", "16": "16-bit numbers", "float": "floats"}[depth]
        ranges = "; ".join(f"{a:g} to {b:g}" for a, b in zip(low, high, strict=True))
        each = " (one range for each channel)" if len(low) > 1 else ""
        rule = "set by range=" if asked else "the range of the others" if marks else "the range of the whole set"
        notes.append(
            f"values {lowest:g} to {highest:g} ({kind}) are stored as {stored}; networks see {ranges}{each} as -1 to 1,"
            f" {rule}"
        )
        if is_labels:
            notes.append(f"masks or label maps: {len(_labels(samples))} different values, resized without mixing them")
        elif kind == "uint8" and not asked and len(high) == 1 and high[0] < DIM:
            notes.append(f"dark pictures: values up to {high[0]:g} of 255 are spread; range=0:255 keeps them dark")
        if marks:
            notes.append(f"{marks}; range={lowest:g}:{highest:g} keeps them")
        beyond = _beyond(samples, low, high)
        if beyond > 0 and not (is_labels and marks):
            notes.append(
                f"{beyond:.2g} of the values lie outside and are clipped to the ends; range=LOW:HIGH sets them"
            )
    return (depth, low, high, kind), notes


def _label_range(
    samples: Sequence[ValueSample], ignored: float | None
) -> tuple[tuple[float, ...], tuple[float, ...], str]:
    """Return low and high of masks or label maps, and a remark on the mark for ignored pixels, next to the labels."""
    some = np.concatenate([sample.some.ravel() for sample in samples])
    low, high = (float(edge) for edge in (some.min(), max(sample.high.max() for sample in samples)))
    if ignored is None:
        return (min(0.0, low),), (high,), ""
    others = some[some != ignored]
    first, last = float(others.min()), float(others.max())
    place = last + 1 if ignored > last else min(0.0, first) - 1
    remark = (
        f"{(some == ignored).mean():.2%} of the values are {ignored:g}, far from the other labels ({first:g} to"
        f" {last:g}): they are taken as a mark for ignored pixels and stored as {place:g}"
    )
    return (min(0.0, first, place),), (max(last, place),), remark


def _crowded_note(samples: Sequence[ValueSample], low: float, high: float) -> list[str]:
    """Return a note if most values lie at the low end of the range, as powers without a logarithm do.

    The smallest value itself does not count: it is often the ground.
    """
    some = np.concatenate([sample.some.ravel() for sample in samples])
    above = some[some > some.min()]
    share = float((above <= low + (high - low) / STEPS["8"]).mean()) if len(above) else 0.0
    if share < MOST_CROWDED:
        return []
    return [
        f"{share:.0%} of the values lie in the lowest 1/255 of the range, so networks see them as nearly one value;"
        " take their logarithm, or pass range=LOW:HIGH"
    ]


def _without_marks(samples: Sequence[ValueSample]) -> tuple[Sequence[ValueSample], str]:
    """Return samples without the values that mark no data, such as -9999, and a remark on these.

    A mark is the smallest or the largest value of the set, frequent, and further from the others than these from each
    other.
    """
    some = np.concatenate([sample.some.ravel() for sample in samples])
    ends = float(some.min()), float(some.max())
    inner = some[(some > ends[0]) & (some < ends[1])]
    if len(np.unique(inner)) < 2:
        return samples, ""
    low, high = float(inner.min()), float(inner.max())
    gaps = low - ends[0], ends[1] - high
    marks = [
        end
        for end, gap in zip(ends, gaps, strict=True)
        if gap >= high - low and (some == end).mean() >= QUANTILE / 2  # rarer ones are beyond the range in any case
    ]
    if not marks:
        return samples, ""
    kept = some[~np.isin(some, marks)]
    low, high = float(kept.min()), float(kept.max())
    share = np.isin(some, marks).mean()
    remark = (
        f"{share:.2%} of the values are {' or '.join(f'{mark:g}' for mark in marks)}, far from the others ({low:g} to"
        f" {high:g}): they are taken as marks for no data and clipped to the nearer end"
    )
    return [ValueSample(np.array([low]), np.array([high]), kept[:, None])], remark


def _of_channels(sample: ValueSample, channels: int) -> ValueSample:
    """Return a sample for the channels that are stored; a single band stands for all of them."""
    if len(sample.low) == channels:
        return sample
    if len(sample.low) > channels:
        return ValueSample(sample.low[:channels], sample.high[:channels], sample.some[:, :channels])
    return ValueSample(
        np.repeat(sample.low[:1], channels),
        np.repeat(sample.high[:1], channels),
        sample.some[:, :1].repeat(channels, 1),
    )


def _labels(samples: Sequence[ValueSample]) -> set[float]:
    return {value for sample in samples for value in np.unique(sample.some).tolist()}


def _in_steps(samples: Sequence[ValueSample], tolerance: float, *, signed: bool) -> bool:
    """Say whether floats of 0..1 or -1..1 are 8-bit levels, divided by 255 or 127.5, to ``tolerance`` of a level."""
    for sample in samples:
        levels = (sample.some.astype(np.float64) + 1) * 127.5 if signed else sample.some.astype(np.float64) * 255
        if np.abs(levels - levels.round()).max() > tolerance:
            return False
    return len(_labels(samples)) > 2 or not signed


def _beyond(samples: Sequence[ValueSample], low: Sequence[float], high: Sequence[float]) -> float:
    """Return the share of values outside the range, as far as the kept ones show it."""
    total = outside = 0
    for sample in samples:
        some = sample.some[:, : len(low)] if len(low) > 1 else sample.some
        outside += int(((some < np.asarray(low, np.float32)) | (some > np.asarray(high, np.float32))).sum())
        total += some.size
    return outside / max(1, total)
