"""The types of a data set: its options, spec, summary and images, and the Source protocol."""

# A source (a named data set, a folder, an archive, an array file) lists its items and streams them. ``cache.py``
# decodes and fits them once into a memory-mapped file. ``ImageData`` reads images from that file.

import codecs
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, Protocol

import numpy as np
from pydantic import Field, field_validator

from gansmith.core.errors import by_reason, counted, some_of
from gansmith.core.file_names import escaped, path_of
from gansmith.core.registry import FrozenModel, NotNegative, Positive, Share
from gansmith.imaging.images import PIXEL_LIMIT, POINT, Fit, Pages
from gansmith.imaging.values import MOST_BANDS, STORED, PixelValues, picture_of

MOST_BAD = 0.05  # share of images that cannot be read; more of them stop a run
FEWEST_STREAMED = 2**20
EACH_CHANNEL = "channels"  # the option range: one is found for each channel


@dataclass(frozen=True)
class Frame:
    """One frame of a stack or animation: the encoded file, and its page from 0, or those of its channels."""

    file: bytes
    pages: Pages


Payload = bytes | np.ndarray | Frame  # an encoded file, values (H, W, C) of any number type, or a frame of a file


class DataOptions(FrozenModel):
    """A recipe's options for its images; None means inferred from the images.

    size: one side, or (height, width), in px; also written "64", "48x64" (height x width) or [48, 64].
    fit: "crop" cuts around the centre, "pad" adds a border (white, or transparent with 4 channels), "stretch" scales,
        "pixels" scales pixel art by whole factors without blur and adds a border. "auto" takes pixels for pixel art,
        pad for images with alpha and where crop would cut off more than 15 %, else crop.
    channels: 1 gray, 3 colour, 4 colour with alpha; up to 32 bands of files that have them.
    depth: how values are stored: "8", "16" or "float"; "auto" keeps what the files have.
    range: LOW:HIGH, the values that networks see as -1 and 1; with commas one for each channel, or "channels" to find
        one for each; of pairs SOURCE/TARGET. None: found from the whole set.
    bands: names of the channels, where they are no colours.
    preview: the bands of pictures, counted from 1: one for gray, or three.
    mirror: flip images at random from left to right while training.
    pairs: each image is two side by side, a source and its target; ``size`` is the size of one of them.
    direction: "source-target" has sources at the left (or in the first folder), "target-source" at the right.
    labels: None takes the labels that are found, "none" takes none, "folders" takes the sub-folders, "names" the
        first words of the file names (cat.1.jpg), and FILE[:FILECOLUMN:LABELCOLUMN] a table (.csv, .tsv or .jsonl).
    zip_encoding: the code page of the names in a .zip that are not UTF-8, such as "gbk".
    max_pixels: larger images are left out; also written "100M".
    frames: of stacks and animations: "first", "all", or "every:N" for each N-th.
    palette: "keep" gives samples only colours that the images have, at most 256.
    stream: bytes of disk, also written "4G", that decoded images go through instead of being kept all. None: all are
        kept, unless they do not fit the disk: then 4 GiB.
    allow_left_out: go on although more files are left out than read.
    """

    size: int | tuple[int, int] | None = None
    fit: Literal["auto", "crop", "pad", "stretch", "pixels"] = "auto"
    channels: int | None = Field(None, ge=1, le=MOST_BANDS)
    depth: Literal["auto", "8", "16", "float"] = "auto"
    range: str | None = None
    bands: tuple[str, ...] | None = None
    preview: tuple[int, ...] | None = None
    mirror: bool = False
    pairs: bool = False
    direction: Literal["source-target", "target-source"] = "source-target"
    labels: str | None = None
    zip_encoding: str | None = None
    max_pixels: int = Field(PIXEL_LIMIT, ge=64)
    frames: str = "first"
    palette: Literal["keep"] | None = None
    stream: int | None = Field(None, ge=FEWEST_STREAMED)
    allow_left_out: bool = False

    @field_validator("max_pixels", mode="before")
    @classmethod
    def _number_of_pixels(cls, value: Any) -> Any:
        """Return "100M" as 100,000,000."""
        if isinstance(value, str) and re.fullmatch(r"\d+(\.\d+)?\s*[mM]", value.strip()):
            return round(float(value.strip()[:-1]) * 10**6)
        return value

    @field_validator("stream", mode="before")
    @classmethod
    def _number_of_bytes(cls, value: Any) -> Any:
        """Return "4G" as 4 * 2**30."""
        if isinstance(value, str) and (found := re.fullmatch(r"(\d+(?:\.\d+)?) ?([KMGT])i?B?", value.strip(), re.I)):
            return round(float(found[1]) * 2 ** (10 * (1 + "KMGT".index(found[2].upper()))))
        return value

    @field_validator("frames")
    @classmethod
    def _known_frames(cls, value: str) -> str:
        """Return "first", "all" or "every:N" as it is."""
        if not re.fullmatch(r"first|all|every:[1-9]\d{0,5}", value):
            raise ValueError(f"frames must be first, all or every:N, for example every:10, got {value!r}")
        return value

    @field_validator("labels")
    @classmethod
    def _path_from_anywhere(cls, value: str | None) -> str | None:
        """Return the path of a table as an absolute one, so that a run is resumed from any folder."""
        if value in (None, "none", "folders", "names"):
            return value
        assert value is not None
        for file in (value, value.rsplit(":", 2)[0]):
            if (path := path_of(file)).is_file():
                return escaped(path.absolute()) + value.removeprefix(file)
        return value

    @field_validator("zip_encoding")
    @classmethod
    def _known_encoding(cls, value: str | None) -> str | None:
        """Return the name of an encoding that Python knows."""
        try:
            return value if value is None else codecs.lookup(value).name
        except LookupError:
            raise ValueError(f"zip_encoding is a code page such as gbk, cp932 or cp866, got {value!r}") from None

    @field_validator("size", mode="before")
    @classmethod
    def _canonical_size(cls, value: Any) -> Any:
        """Return None, one side for a square, or (height, width)."""
        if value is None:
            return None
        sides = value.lower().replace("*", "x").split("x") if isinstance(value, str) else value
        sides = list(sides) if isinstance(sides, list | tuple) else [sides]
        try:
            numbers = [int(side) for side in sides]
        except (TypeError, ValueError):
            numbers = []
        if len(numbers) not in (1, 2) or any(str(n) != str(s).strip() for n, s in zip(numbers, sides, strict=True)):
            raise ValueError(f"size must be one side or HEIGHTxWIDTH, for example 64 or 48x64, got {value!r}")
        return numbers[0] if len(set(numbers)) == 1 else (numbers[0], numbers[1])

    @field_validator("channels", mode="before")
    @classmethod
    def _number_of_channels(cls, value: Any) -> Any:
        """Return "3", as the command line passes it, as 3."""
        return int(value) if isinstance(value, str) and value.strip().isdigit() else value

    @field_validator("depth", mode="before")
    @classmethod
    def _depth_as_text(cls, value: Any) -> Any:
        """Return 8 and 16 as "8" and "16"."""
        return str(value) if isinstance(value, int) else value

    @field_validator("range")
    @classmethod
    def _readable_range(cls, value: str | None) -> str | None:
        """Return the range; ValueError for another form."""
        if value not in (None, EACH_CHANNEL):
            try:
                parsed_range(value or "")
            except ValueError:
                raise ValueError(
                    f"range must be LOW:HIGH, for example -1000:3000, or {EACH_CHANNEL}, got {value!r}"
                ) from None
        return value

    @field_validator("bands", mode="before")
    @classmethod
    def _names_of_bands(cls, value: Any) -> Any:
        """Return "red,nir" as ("red", "nir")."""
        return tuple(name.strip() for name in value.split(",")) if isinstance(value, str) else value

    @field_validator("preview", mode="before")
    @classmethod
    def _numbers_of_bands(cls, value: Any) -> Any:
        """Return "3,2,1" as (3, 2, 1); ValueError unless it names one band or three."""
        if value is None:
            return None
        parts = value.split(",") if isinstance(value, str) else [value] if isinstance(value, int) else list(value)
        if len(parts) not in (1, 3) or not all(str(part).strip().isdigit() and int(part) > 0 for part in parts):
            raise ValueError(f"preview must be one band or three, counted from 1, for example 3,2,1, got {value!r}")
        return tuple(int(part) for part in parts)

    @property
    def ranges(self) -> list[list[tuple[float, float]]]:
        """Return [(low, high), ...] for each side that ``range`` gives; [] if it gives no numbers."""
        return [] if self.range in (None, EACH_CHANNEL) else parsed_range(self.range or "")

    @property
    def shape(self) -> tuple[int, int] | None:
        """Return (height, width) in px; None: inferred."""
        return (self.size, self.size) if isinstance(self.size, int) else self.size

    def reading(self) -> dict[str, Any]:
        """Return the options, but size and channels, that decide how another program reads the same files."""
        return self.model_dump(exclude={"size", "channels", "mirror", "pairs", "palette"})

    def with_format(self, height: int, width: int, channels: int, fit: str | None = None) -> "DataOptions":
        """Return these options with size, channels and fit as stored; ``width`` is the width of a whole pair."""
        size = (height, width // 2 if self.pairs else width)
        exact = {"size": size, "channels": channels, "fit": fit or self.fit}
        return DataOptions.model_validate({**self.model_dump(), **exact})

    def like(self, spec: "DataSpec") -> "DataOptions":
        """Return these options with the size, channels, fit and range in which a data set is stored."""
        fitted = self.with_format(spec.height, spec.width, spec.channels, spec.fit)
        values, source = spec.values, spec.source_values
        if values is None:
            return fitted
        text = values.range_text if source is None else f"{source.range_text}/{values.range_text}"
        stored = {
            "depth": values.depth,
            "range": text,
            "bands": values.bands or None,
            "preview": values.preview or None,
        }
        return DataOptions.model_validate({**fitted.model_dump(), **stored})


def parsed_range(text: str) -> list[list[tuple[float, float]]]:
    """Return [(low, high), ...] for each side of the option ``range``; ValueError for another form."""
    sides = []
    for side in text.split("/"):
        pairs = [tuple(map(float, part.split(":"))) for part in side.split(",")]
        if not all(len(pair) == 2 and np.isfinite(pair).all() and pair[0] < pair[1] for pair in pairs):
            raise ValueError(text)
        sides.append([(pair[0], pair[1]) for pair in pairs])
    return sides


@dataclass(frozen=True)
class Split:
    """A part of a data set: "all", or "train" or "holdout" with the held-out share and its seed."""

    name: str = "all"
    share: Share = 0.0
    seed: int = 0


@dataclass(frozen=True)
class DataSpec:
    """The facts about a data set that networks, runs and metrics need."""

    name: str
    height: int
    width: int
    channels: int  # 1 gray, 3 colour, 4 colour with alpha; up to 32 where ``values`` names bands
    count: NotNegative  # images in this split; 0 in a model made from weights alone
    classes: tuple[str, ...]  # () when there are no labels
    fingerprint: str  # SHA-256 of names, labels and contents of all splits, and of size, fit and channels
    held_out: NotNegative = 0  # images in the holdout split
    split: Split = Split()
    pixels_sha256: str = ""  # of the decoded and fitted images of all splits
    pairs: bool = False  # each image is a source and its target, side by side; ``width`` is the width of both
    source_scale: Positive = 1  # how often the sides of a source, as it came, fit into those of its target
    fit: Fit = "crop"  # how images of other proportions were fitted
    palette: tuple[str, ...] = ()  # all colours, as "ff00aa" (RGB or RGBA) or "7f" (gray), which samples keep
    gray_sides: tuple[bool, bool] = (False, False)  # of coloured pairs or domains: all sources, all targets are gray
    values: PixelValues | None = None  # the meaning of stored pixels; None: ordinary 8-bit images
    source_values: PixelValues | None = None  # of the sources of pairs, where ``values`` has those of the targets

    @property
    def stored_type(self) -> np.dtype[Any]:
        """Return the number type of stored pixels."""
        return np.dtype(STORED[self.values.depth] if self.values else np.uint8)

    @property
    def source_meaning(self) -> PixelValues | None:
        """Return the meaning of the stored pixels of images that are translated; None: ordinary 8-bit images."""
        return self.source_values or self.values

    @property
    def kind_words(self) -> str:
        """Return what the channels are: "gray", "colour, 16 bit", "8 bands of floats"."""
        return channel_words(self.channels, self.values)

    def picture(self, pixels: np.ndarray) -> np.ndarray:
        """Return the picture of stored pixels (N, H, W, C), uint8; of pairs source and target each by its own range."""
        if self.values is None or self.source_values is None or self.source_values == self.values:
            return picture_of(pixels, self.values)
        halves = np.split(pixels, 2, axis=-2)
        sides = (self.source_values, self.values)
        return np.concatenate([side.picture(half) for side, half in zip(sides, halves, strict=True)], axis=-2)

    @property
    def is_points(self) -> bool:
        """Say whether the images are points in the plane."""
        return (self.height, self.width, self.channels) == POINT

    @property
    def contents(self) -> str:
        """Return the number and size of the images in words."""
        if self.is_points:
            return f"{self.count:,} points in the plane"
        return f"{self.count:,} images of {self.height} x {self.width} px, {counted(self.channels, 'channel')}"

    def to_json(self) -> dict[str, Any]:
        """Return the spec as JSON values."""
        found = {**asdict(self), "classes": list(self.classes)}
        return {name: value for name, value in found.items() if value is not None}

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> "DataSpec":
        """Return the spec that ``to_json`` wrote."""
        values = {
            name: PixelValues.from_json(value[name])
            for name in ("values", "source_values")
            if value.get(name) is not None
        }
        fixed = {
            "classes": tuple(value["classes"]),
            "split": Split(**value["split"]),
            "palette": tuple(value.get("palette", ())),
            "gray_sides": tuple(value.get("gray_sides", (False, False))),
        }
        return cls(**{**value, **fixed, **values})


def channel_words(channels: int, values: PixelValues | None = None) -> str:
    """Return the channels of images in words: "gray", "colour, 16 bit", "8 bands of floats"."""
    colours = {1: "gray", 3: "colour", 4: "colour with alpha"}
    has_colours = channels in colours and not (values and values.bands)
    words = colours[channels] if has_colours else counted(channels, "band")
    form = {"8": "", "16": "16 bit", "float": "floats"}[values.depth if values else "8"]
    return f"{words}, {form}" if form else words


@dataclass(frozen=True)
class DataSummary:
    """The findings in a source and the choices made for it, for a person and for the run folder."""

    source: str
    spec: DataSpec
    class_counts: tuple[int, ...]  # of this split, () without labels
    ignored: Mapping[str, int]  # files and folders that are not read: noun -> number
    notes: tuple[str, ...]  # inferred values with their reasons, and remarks
    quarantine: tuple[dict[str, str], ...]  # {"file", "reason"} of every image left out

    def lines(self) -> list[str]:
        """Return the summary as lines of plain English."""
        spec = self.spec
        kind = spec.kind_words + (", in pairs" if spec.pairs else "")
        classes = f", {len(spec.classes)} classes" if spec.classes else ", no labels"
        images = f"{spec.count:,} images, {spec.height} x {spec.width}, {kind}"
        out = [f"{spec.name}: {spec.contents if spec.is_points else images}{classes}"]
        if spec.held_out:
            out.append(f"held out: {counted(spec.held_out, 'image')}, for evaluation only")
        if spec.classes:
            pairs = [f"{name} {count:,}" for name, count in zip(spec.classes, self.class_counts, strict=True)]
            out.append("classes: " + ", ".join(pairs[:12]) + (", ..." if len(pairs) > 12 else ""))
        return [*out, *self.notes, *self._left_out()]

    def not_used(self) -> list[str]:
        """Return the lines on images and files that are not among the images."""
        notes = [note for note in self.notes if note.startswith("splits:") or "left out" in note or "not used" in note]
        return [*notes, *self._left_out()]

    def _left_out(self) -> list[str]:
        out = [left_out_line(self.ignored)] if self.ignored else []
        if self.quarantine:
            named = by_reason((entry["file"], entry["reason"]) for entry in self.quarantine)
            out.append(f"left out: {counted(len(self.quarantine), 'bad file')}: {some_of(named, 3, '; ')}")
        return out

    def to_json(self) -> dict[str, Any]:
        """Return the summary as JSON values."""
        return {**asdict(self), "spec": self.spec.to_json(), "lines": self.lines()}


class Pixels(Protocol):
    """Images (N, H, W, C): a memory-mapped array, or ``StreamedPixels``."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Return (N, H, W, C)."""
        ...

    def __len__(self) -> int: ...

    def __getitem__(self, key: Any, /) -> np.ndarray:
        """Return rows."""
        ...


@dataclass(frozen=True)
class ImageData:
    """An open data set: one split of a memory-mapped cache of images, or of images that are streamed."""

    spec: DataSpec
    summary: DataSummary
    labels: np.ndarray | None  # int64 (count,)
    pixels: Pixels  # (all splits, H, W, C) of ``spec.stored_type``
    rows: np.ndarray  # int64 (count,): the rows of ``pixels`` that belong to this split
    digests: np.ndarray  # uint8 (all splits, 2, 16): half a SHA-256 of each image's file, and of its pixels
    held_out: "ImageData | None" = None

    def __len__(self) -> int:
        return self.spec.count

    @property
    def room(self) -> int | None:
        """Return the bytes of disk that the decoded images go through; None: all are kept."""
        return getattr(self.pixels, "room", None)

    def read(self, indices: np.ndarray | Sequence[int]) -> np.ndarray:
        """Return copies of images, (N, H, W, C) of ``spec.stored_type``; IndexError for an index outside the split."""
        return np.asarray(self.pixels[self.rows[np.asarray(indices, np.int64)]])

    def read_labels(self, indices: np.ndarray | Sequence[int]) -> np.ndarray | None:
        """Return labels, int64 (N,); None without labels."""
        return None if self.labels is None else self.labels[np.asarray(indices, np.int64)]

    @property
    def class_frequencies(self) -> np.ndarray | None:
        """Return each class's share of the split, float64 (classes,) with sum 1; None without labels."""
        if self.labels is None:
            return None
        return np.bincount(self.labels, minlength=len(self.spec.classes)) / self.spec.count


@dataclass(frozen=True, slots=True)
class Item:
    """One image of a source: its name, its class (-1: none), and the source's own key to it."""

    name: str
    label: int
    locator: Any


@dataclass(frozen=True)
class Listing:
    """The contents of a source before decoding: items sorted by name."""

    items: tuple[Item, ...]
    classes: tuple[str, ...] = ()
    ignored: Mapping[str, int] = field(default_factory=dict)  # what is not read: noun -> number
    notes: tuple[str, ...] = ()
    source_scale: int = 1  # of pairs: how often a source's sides fit into its target's
    are_arrays: bool = False  # files of numbers, one image or several in each


def left_out_line(counts: Mapping[str, int]) -> str:
    """Return "left out: 90 .avif files, 1 @eaDir folder"; "" for nothing."""
    nouns = sorted(counts.items(), key=lambda entry: (-entry[1], entry[0]))
    return "left out: " + ", ".join(counted(number, noun) for noun, number in nouns) if counts else ""


class Source(Protocol):
    """A place that images come from; ``sources/`` has folders, archives, arrays and the Hub."""

    name: str
    location: str  # absolute path or registered name: the key of the cache's index
    items_per_job: int  # items that one thread takes at a time

    def stamp(self) -> str:
        """Return a text that changes with the size or time of any file; read no file for it."""
        ...

    def scan(self) -> Listing:
        """List the items; DataError if there are none."""
        ...

    def stream(self, items: Sequence[Item]) -> Iterator[tuple[int, Callable[[], Payload]]]:
        """Yield each item's position in ``items`` and a function that reads it, in the source's fastest order.

        The function may be called in another thread. It raises ImageError for an item that cannot be read.
        """
        ...


def random_images(shape: tuple[int, int, int], count: int) -> ImageData:
    """Return ``count`` random images of shape (height, width, channels), the same in each call, to measure speed."""
    spec, rows = DataSpec("random", *shape, count, (), ""), np.arange(count)
    pixels = np.random.Generator(np.random.Philox(0)).integers(0, 256, (count, *shape), np.uint8)
    digests = np.zeros((count, 2, 16), np.uint8)
    return ImageData(spec, DataSummary("", spec, (), {}, (), ()), None, pixels, rows, digests)
