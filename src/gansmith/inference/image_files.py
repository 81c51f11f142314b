"""Read image files for a model and write its results; used by translate and upscale."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from gansmith.core.errors import DataError, counted
from gansmith.core.output_paths import make_parent_folders, refuse_used_folder
from gansmith.data.sources.walk import image_files
from gansmith.imaging.images import MODES, decode_image, on_white, quiet_pillow, save_png, to_pil
from gansmith.inference.samples import Picture

ImageLike = str | Path | np.ndarray


def name_of(image: ImageLike, kind: str = "image") -> str:
    """Return the name of an image, or of another ``kind`` of image, in messages."""
    return f"the {kind}" if isinstance(image, np.ndarray) else f"'{image}'"


def open_picture(image: ImageLike) -> Image.Image:
    """Open an image file, or uint8 (H, W, C) with 1, 3 or 4 channels, upright; DataError if that fails."""
    if isinstance(image, np.ndarray):
        if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] not in MODES:
            raise DataError(
                "data.image_array_shape", f"an image must be uint8 (H, W, 1, 3 or 4), got {image.dtype} {image.shape}"
            )
        return to_pil(image)
    try:
        with quiet_pillow():
            return decode_image(Path(image).read_bytes())
    except DataError as problem:
        raise DataError("data.unreadable_image", f"'{image}' cannot be read: {problem}") from problem
    except OSError as problem:
        raise DataError("data.unreadable_image", f"'{image}' cannot be read: {problem.strerror}") from problem


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


def write_pictures(
    paths: Sequence[str | Path],
    out: str | Path,
    make: Callable[[Path], Picture],
    verb: str,
    on_left_out: Callable[[str], None] = lambda _: None,
) -> list[Path]:
    """Apply ``make`` to image files and folders of them; write PNG files into a new or empty folder, and return them.

    ``on_left_out`` gets a message for each unusable file of a folder. Raises DataError for a named file that cannot be
    used, and if no file can. ``verb`` names the work in messages.
    """
    folder = Path(out)
    refuse_used_folder(folder, ": --out DIR")

    def other_files(place: str, counts: str) -> None:
        on_left_out(f"{place} ({counts})")

    files = [(file, Path(path)) for path in paths for file in image_files(Path(path), other_files)]
    if not files:
        raise DataError("data.empty", f"no images to {verb}\n  pass image files or folders of them")
    written: list[Path] = []
    for file, path in files:
        try:
            picture = make(file)
        except DataError as problem:
            if file == path:
                raise
            on_left_out(str(problem).partition("\n")[0])
            continue
        target = folder / f"{file.stem}.png"
        number = 2
        while target.exists():
            target, number = folder / f"{file.stem}-{number}.png", number + 1
        make_parent_folders(target)
        save_png(picture.array, target)
        written.append(target)
    if not written:
        raise DataError(
            "data.none_readable",
            f"0 of {counted(len(files), 'image')} could be {verb}d; the warnings say why\n  pass other images",
        )
    return written
