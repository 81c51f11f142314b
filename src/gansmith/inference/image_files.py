"""Image files in, pictures out: what translating and upscaling share."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from gansmith.core.errors import DataError
from gansmith.core.output_paths import make_room, refuse_used_folder
from gansmith.data.sources.folder_labels import image_files
from gansmith.imaging.images import MODES, decode_image, on_white, quiet_pillow, save_png, to_pil
from gansmith.inference.samples import Picture

ImageLike = str | Path | np.ndarray


def named(image: ImageLike) -> str:
    """Return what an image is called in a message."""
    return "the image" if isinstance(image, np.ndarray) else f"'{image}'"


def open_picture(image: ImageLike) -> Image.Image:
    """Return an image file, or uint8 (H, W, 1, 3 or 4), upright; DataError for what cannot be used."""
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
    """Raise DataError where what an image would become has more pixels than allowed."""
    if height * width > limit:
        raise DataError(
            "data.enlarged_too_large",
            f"{named(image)} would become {width} x {height} px"
            f"\n  allowed: up to {limit // 10**6} million pixels; cut it into parts",
        )


def pixels_of(image: Image.Image, channels: int) -> np.ndarray:
    """Return uint8 (H, W, channels); alpha is left out, not blended, unless it is asked for."""
    opaque = image.convert("RGB") if image.mode == "RGBA" and channels < 4 else image
    array = np.asarray(opaque.convert(MODES[channels]))
    return array[..., None] if channels == 1 else array


def under_alpha_of(opened: Image.Image, made: np.ndarray) -> np.ndarray:
    """Return uint8 (H, W, 4): what was made of an image, under its alpha at that size; without alpha as it is."""
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
    """Write what is made of image files, or of folders of them, into a new or empty folder; return the files.

    ``on_left_out`` is told of a file of a folder that cannot be used; DataError for one that was named, and where none
    is left. ``verb`` is what is done, for messages.
    """
    folder = Path(out)
    refuse_used_folder(folder, ": --out DIR")
    files = [(file, Path(path)) for path in paths for file in image_files(Path(path))]
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
        make_room(target)
        save_png(picture.array, target)
        written.append(target)
    if not written:
        raise DataError("data.none_readable", f"none of the {len(files):,} images could be {verb}d")
    return written
