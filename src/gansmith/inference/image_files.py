"""Read image files for a model and write its results; used by translate and upscale."""

import errno
import os
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from gansmith.core.errors import DataError, GansmithError, counted, some_of, unknown_name
from gansmith.core.events import OnProgress, Progress, saying_what_is_there, silent
from gansmith.core.file_names import escaped
from gansmith.core.output_paths import FILE_ENDINGS, refuse_used_folder
from gansmith.core.plain_files import open_plain, read_bytes
from gansmith.data.image_info import as_image, as_values
from gansmith.data.sources.array_files import images_in
from gansmith.data.sources.walk import ARRAY_ENDINGS, image_files, is_array_file
from gansmith.data.value_format import ValueFormat
from gansmith.imaging.deep_files import checked, frames_of, open_any
from gansmith.imaging.images import (
    MODES,
    QUALITY,
    TIFF_STARTS,
    WRITTEN_AS,
    ImageError,
    decode_image,
    image_endings,
    on_white,
    quiet_readers,
    to_pil,
)
from gansmith.imaging.values import PixelValues
from gansmith.inference.samples import Picture, is_whole, save_stack

ImageLike = str | Path | bytes | np.ndarray  # bytes: an encoded file
FORMATS = ("png", "jpg", "webp", "tif", "bmp", "npy")  # of results
FORMS = {**WRITTEN_AS, ".npy": "NPY"}  # of files that hold a result, by ending
MOST_NAMES = 20  # in a message
STACK_STARTS = (b"GIF8", b"RIFF", *TIFF_STARTS)  # of files that may hold several frames; AVIF, HEIF and APNG too
NAME_ERRORS = (errno.ENAMETOOLONG, errno.EILSEQ, errno.EINVAL, errno.EISDIR, errno.ENOTDIR)  # of one result's name
START_BYTES = 4096  # that tell whether a PNG is animated


def name_of(image: ImageLike, kind: str = "image") -> str:
    """Return the name of an image, or of another ``kind`` of image, in messages."""
    return f"the {kind}" if isinstance(image, np.ndarray | bytes) else f"'{escaped(image)}'"


def open_picture(image: ImageLike, *, keep_profile: bool = False) -> Image.Image:
    """Open an image file, its bytes, or uint8 (H, W, C) with 1, 3 or 4 channels, upright; DataError if it fails.

    Colours are converted to sRGB, unless ``keep_profile`` leaves them as they are, with their profile.
    """
    if isinstance(image, np.ndarray):
        if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] not in MODES:
            raise DataError(
                "data.image_array_shape", f"an image must be uint8 (H, W, 1, 3 or 4), got {image.dtype} {image.shape}"
            )
        return to_pil(image)
    try:
        with quiet_readers():
            if not isinstance(image, bytes) and is_array_file(Path(image)):
                return as_image(array_images(image)[0])
            content = image if isinstance(image, bytes) else read_bytes(image)
            return decode_image(content, keep_profile=keep_profile)
    except DataError as problem:
        if problem.code == "machine.no_memory":
            raise
        raise DataError("data.unreadable_image", f"{name_of(image)} cannot be read: {problem}") from problem
    except OSError as problem:
        raise DataError("data.unreadable_image", f"'{escaped(image)}' cannot be read: {problem.strerror}") from problem


def read_as_values(image: ImageLike) -> np.ndarray:
    """Return the values of an image file, also of .npy, DICOM and NIfTI, (H, W, C) in their type; DataError.

    Of a file with several images it is the first. An array (H, W) or (H, W, C) is taken as it is.
    """
    try:
        if isinstance(image, np.ndarray):
            return checked(image[..., None] if image.ndim == 2 else image)
        with quiet_readers():
            if isinstance(image, bytes):
                return as_values(image)
            if is_array_file(Path(image)):
                return checked(array_images(image)[0])
            return as_values(read_bytes(image))
    except DataError as problem:
        raise DataError("data.unreadable_image", f"{name_of(image)} cannot be read: {problem}") from problem
    except OSError as problem:
        raise DataError("data.unreadable_image", f"{name_of(image)} cannot be read: {problem.strerror}") from problem


def array_images(file: str | Path) -> np.ndarray:
    """Return the images of a .npy, .npz, DICOM or NIfTI file, (N, H, W, C) in their type; ImageError, OSError."""
    return images_in(read_bytes(file), Path(file).name)


def as_stored(array: np.ndarray, meaning: PixelValues, channels: int, name: str) -> np.ndarray:
    """Return values (H, W, bands) in units as stored pixels (H, W, channels); DataError, which says ``name``."""
    try:
        return meaning.stored(ValueFormat.of(meaning).with_channels(array, channels))
    except ImageError as problem:
        raise DataError("data.unreadable_image", f"{name} cannot be used: {problem}") from problem


def refuse_large(image: ImageLike, height: int, width: int, limit: int) -> None:
    """Raise DataError if the result of an image would have more than ``limit`` pixels."""
    if height * width > limit:
        raise DataError(
            "data.enlarged_too_large",
            f"{name_of(image)} would become {width} x {height} px"
            f"\n  allowed: up to {limit // 10**6} million pixels; cut the image into parts",
        )


def pixels_of(image: Image.Image, channels: int) -> np.ndarray:
    """Return uint8 (H, W, channels); below 4 channels alpha is dropped, not blended."""
    opaque = image.convert("RGB") if image.mode == "RGBA" and channels < 4 else image
    array = np.asarray(opaque.convert(MODES[channels]))
    return array[..., None] if channels == 1 else array


def with_alpha_of(opened: Image.Image, made: np.ndarray) -> np.ndarray:
    """Return a result with the resized alpha of its input, uint8 (H, W, 4); unchanged if the input has no alpha."""
    if opened.mode != "RGBA" or made.shape[2] == 4:
        return made
    alpha, size = opened.getchannel("A"), (made.shape[1], made.shape[0])
    resized = alpha if alpha.size == size else alpha.resize(size, Image.Resampling.BICUBIC)
    colour = on_white(made)  # gray becomes red, green and blue
    return np.concatenate([colour, np.asarray(resized)[..., None]], axis=2)


def profile_of(opened: Image.Image) -> bytes | None:
    """Return the ICC colour profile of an opened image file, None without one."""
    return opened.info.get("icc_profile")


@dataclass(frozen=True)
class WriteOptions:
    """How ``write_pictures`` writes."""

    format: str | None = None  # png, jpg, webp, tif or bmp; None: that of the source, else png
    quality: int | None = None  # of JPEG and WebP, 1 to 100; None: QUALITY
    resume: bool = False  # go on in a folder: results that are there and whole are done


KEEP_FORMAT = WriteOptions()


@dataclass(frozen=True)
class WrittenPictures:
    """The results of ``write_pictures``."""

    out: Path
    files: list[Path]  # every result, in the order of the sources
    already: int  # of these, results of an earlier call
    failed: list[tuple[str, str]]  # name and reason of each source that could not be used

    def lines(self, done: str) -> list[str]:
        """Return how many were there already, and which failed; ``done`` is the work: "upscaled"."""
        total = len(self.files) + len(self.failed)
        there = f"{self.already:,} of {counted(total, 'image')} skipped: already {done}"
        failed = failures_text(self.failed, total, done)
        return [line for line, number in ((there, self.already), (failed, len(self.failed))) if number]

    def to_json(self) -> dict[str, Any]:
        """Return them as JSON values."""
        return {
            "out": escaped(self.out),
            "files": [escaped(file) for file in self.files],
            "already": self.already,
            "failed": [{"file": file, "reason": reason} for file, reason in self.failed],
        }


@dataclass(frozen=True)
class _Source:
    file: Path
    name: Path  # below ``out``
    named: bool  # by the user, not found in a folder


def write_pictures(
    paths: Sequence[str | Path],
    out: str | Path,
    make: Callable[[ImageLike], Picture],
    verb: str,
    options: WriteOptions,
    *,
    on_left_out: Callable[[str], None] = silent,
    on_progress: OnProgress = silent,
) -> WrittenPictures:
    """Apply ``make`` to image files and folders of them, and write each result as soon as it is made.

    The tree of a folder is mirrored in ``out``, a new or empty folder; each of several folders keeps its name there.
    The result of a single file can also be a file: ``out`` is x.png or x.jpg then. Of .npy, .npz, DICOM and NIfTI files
    the result is .npy, with all images of the file. Results appear when they are whole, so ``resume`` takes those that
    are there as done, but for files that something else cut short. ``on_left_out`` gets a message for each unusable
    file, and for what else is in a folder. ``verb`` names the work in messages.

    Raises DataError if no file can be used, and after the others are done if a file that ``paths`` names cannot.
    """
    folder = Path(out)
    is_file = folder.suffix.lower() in FORMS and not folder.is_dir()
    _refuse_unwritten(folder)
    check_write_options(options, folder.suffix if is_file else "")
    if not options.resume:
        refuse_used_folder(folder, "" if is_file else ": --out DIR; or go on in it: --continue")
    sources = _sources([Path(path) for path in paths], folder, on_left_out)
    if not sources:
        raise DataError("data.empty", f"no images to {verb}\n  pass image files or folders of them")
    if is_file and not (len(sources) == 1 and sources[0].named):
        raise GansmithError(
            "output.one_file_for_many",
            f"'{folder}' is the name of one picture, but several images or a folder of images need a folder"
            "\n  name a folder: --out DIR; for another format: --format",
        )
    targets = [folder] if is_file else [folder / name for name in _names(sources, options.format)]
    for source, target in zip(sources, targets, strict=True):
        if target.exists() and target.samefile(source.file):
            raise _over_source(target)
    files, failed, already, named = list[Path](), list[tuple[str, str]](), 0, False

    def there() -> str:
        number = f"{len(files):,} of {counted(len(sources), 'image')}"
        return f"stopped: {number} {verb}d in '{escaped(folder)}'; the same command with --continue goes on"

    with saying_what_is_there(there):
        for number, (source, target) in enumerate(zip(sources, targets, strict=True)):
            if options.resume and is_whole(target):
                already += 1
                files.append(target)
            else:
                try:
                    _save(_made(source.file, make, on_left_out), target, options.quality, source.file)
                    files.append(target)
                except DataError as problem:
                    if len(sources) == 1 and source.named:
                        raise
                    failed.append((escaped(source.file), str(problem).partition("\n")[0]))
                    named |= source.named
                    on_left_out(failed[-1][1])
            if len(sources) > 1:
                on_progress(Progress("images", number + 1, len(sources)))
    raise_failures(failed, len(sources), f"{verb}d", named=named)
    return WrittenPictures(folder, files, already, failed)


def failures_text(failed: Sequence[tuple[str, str]], total: int, done: str) -> str:
    """Return "2 of 5 images could not be upscaled: 'a.png', 'b.png'"; of many names the first ones."""
    names = some_of([f"'{name}'" for name, _ in failed], MOST_NAMES)
    return f"{len(failed):,} of {counted(total, 'image')} could not be {done}: {names}"


def raise_failures(failed: Sequence[tuple[str, str]], total: int, done: str, *, named: bool) -> None:
    """Raise DataError if all images failed, or if one failed that the user ``named``."""
    if len(failed) == total:
        raise DataError(
            "data.none_readable",
            f"0 of {counted(total, 'image')} could be {done}; the first: {failed[0][1]}\n  pass other images",
        )
    if named:
        raise DataError(
            "data.some_unreadable",
            f"{failures_text(failed, total, done)}\n  the first: {failed[0][1]}\n  the other images are done",
        )


def check_write_options(options: WriteOptions, ending: str = "") -> None:
    """Raise GansmithError for options that cannot be, also together with the ``ending`` of the only file."""
    form = FORMS.get(f".{options.format or ending.removeprefix('.')}".lower())
    if options.format is not None and form is None:
        raise GansmithError("output.unknown_format", unknown_name("format", options.format, FORMATS))
    if options.format is not None and ending and FORMS[ending.lower()] != form:
        raise GansmithError(
            "output.two_formats",
            f"--format {options.format} contradicts the extension of --out, '{ending}'\n  leave out --format",
        )
    if options.quality is None:
        return
    if not 1 <= options.quality <= 100:
        raise GansmithError(
            "output.quality_out_of_range", f"quality {options.quality} is not possible\n  allowed: 1 to 100"
        )
    if form not in (None, "JPEG", "WEBP"):
        raise GansmithError(
            "output.quality_not_used",
            f"--quality is only for JPEG and WebP; {form} keeps every pixel\n  leave out --quality",
        )


def _sources(paths: Sequence[Path], out: Path, on_left_out: Callable[[str], None]) -> list[_Source]:
    """Return the image files of paths, without results of an earlier call in a folder of them."""

    def other_files(place: str, counts: str) -> None:
        on_left_out(f"{place} ({counts})")

    sources, tops = list[_Source](), set[str]()
    for path in paths:
        if path.is_file():
            sources.append(_Source(path, Path(path.name), named=True))
            continue
        place, results = Path(os.path.realpath(path)), Path(os.path.realpath(out))
        if place == results:
            raise _over_source(out)
        top = _free_name(Path(place.name), tops) if len(paths) > 1 else Path()
        for file in image_files(path, other_files):
            name = file.relative_to(path)
            if results in place.parents or results not in (place / name).parents:
                sources.append(_Source(file, top / name, named=False))
    return sources


def _names(sources: Sequence[_Source], form: str | None) -> list[Path]:
    """Return the name of each result: that of its source; x.gif.png where x.png would also be the name of another."""
    wanted = [_result_name(source, form) for source in sources]
    pairs = {(_folded(name), _folded(source.name)) for name, source in zip(wanted, sources, strict=True)}
    times = Counter(name for name, _ in pairs)
    names, taken = list[Path](), {_folded(parent) for name in wanted for parent in name.parents}
    for source, name in zip(sources, wanted, strict=True):
        changed = name.suffix != source.name.suffix
        longer = source.name.with_name(source.name.name + name.suffix)
        names.append(_free_name(longer if changed and times[_folded(name)] > 1 else name, taken))
    return names


def _result_name(source: _Source, form: str | None) -> Path:
    is_array = is_array_file(source.file)
    name = source.name.with_suffix("") if source.name.name.lower().endswith(".nii.gz") else source.name
    suffix = name.suffix if name.suffix.lower() in (*FORMS, *ARRAY_ENDINGS, *image_endings()) else ""
    ending = _ending(suffix, form, is_array=is_array)
    return name.with_suffix(ending) if suffix else name.with_name(name.name + ending)  # 1.2.840.1 has no ending


def _ending(ending: str, form: str | None, *, is_array: bool) -> str:
    """Return the ending of a result: the ending of its source, if it is one of the format ``form``."""
    now = FORMS.get(ending.lower())
    if form is None:
        return ending if now else ".npy" if is_array else ".png"
    return ending if now == FORMS[f".{form.lower()}"] else f".{form.lower()}"


def _free_name(name: Path, taken: set[str]) -> Path:
    """Return a name, with a number if it is taken, and add it to ``taken``."""
    number, free = 2, name
    while _folded(free) in taken:
        free, number = name.with_stem(f"{name.stem}-{number}"), number + 1
    taken.add(_folded(free))
    return free


def _folded(name: Path) -> str:
    """Return a name as file systems that ignore case compare it."""
    return str(name).casefold()


def _over_source(path: Path) -> GansmithError:
    return GansmithError(
        "output.over_source", f"'{escaped(path)}' holds the images to read\n  name another folder: --out DIR"
    )


def _refuse_unwritten(out: Path) -> None:
    """Raise GansmithError for the name of a file that cannot hold a result: x.gif, x.dcm, x.zip, x.txt."""
    ending = out.suffix.lower()
    if ending in FORMS or out.is_dir() or ending not in {*image_endings(), *ARRAY_ENDINGS, *FILE_ENDINGS}:
        return
    raise GansmithError(
        "output.unknown_format",
        f"results cannot be written as '{out.suffix}'\n  allowed: a folder, or a file {', '.join(FORMATS)}",
    )


def _made(file: Path, make: Callable[[ImageLike], Picture], on_left_out: Callable[[str], None]) -> list[Picture]:
    """Return the results of a file: one, or one for each image of an array file; DataError."""
    if not is_array_file(file):
        if frames := _more_frames(file):
            on_left_out(f"{frames:,} of {frames + 1:,} frames of '{escaped(file)}': only the first is used")
        return [make(file)]
    try:
        count = len(array_images(file))
    except DataError as problem:
        raise DataError("data.unreadable_image", f"{name_of(file)} cannot be read: {problem}") from problem
    return [make(file)] if count == 1 else [make(image) for image in array_images(file)]


def _more_frames(file: Path) -> int:
    """Return the number of frames of a picture file beside the first; 0 if it cannot be read."""
    try:
        with open_plain(file) as opened:
            start = opened.read(START_BYTES)
        if not start.startswith(STACK_STARTS) and start[4:8] != b"ftyp" and b"acTL" not in start:
            return 0  # the file is not read twice
        with quiet_readers():
            content = read_bytes(file)
            return len(frames_of(content, open_any(content)[0])[0]) - 1
    except (OSError, ImageError):
        return 0


def _save(pictures: Sequence[Picture], target: Path, quality: int | None, source: Path) -> None:
    try:
        if len(pictures) == 1:
            pictures[0].save(target, quality or QUALITY)
        else:
            save_stack(pictures, target)
    except (ImageError, GansmithError, OSError) as problem:
        is_of_name = isinstance(problem, OSError) and problem.errno in NAME_ERRORS
        if not (isinstance(problem, ImageError) or is_of_name or _code(problem) == "output.file_in_the_way"):
            raise
        reason = problem.strerror if isinstance(problem, OSError) else problem
        raise DataError(
            "output.result_not_written", f"the result of '{escaped(source)}' cannot be written: {reason}"
        ) from problem


def _code(problem: Exception) -> str:
    return problem.code if isinstance(problem, GansmithError) else ""
