"""The film of a run: its preview grids over time as GIF and MP4, with captions."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from gansmith.core.atomic_files import commit_file
from gansmith.core.errors import GansmithError
from gansmith.core.plain_files import read_bytes
from gansmith.imaging.captions import INK, text_strip
from gansmith.imaging.images import ImageError, decode_image, enlarge, fit_image, on_white, to_pil
from gansmith.imaging.video import spread, write_gif, write_mp4

MAX_PICTURE_BYTES = 2**28
MIN_SIDE_PX, MAX_SIDE_PX = 256, 1600
STRIP_PX, BAR_PX = 30, 3
MAX_FRAMES = 60
GIF_PIXELS = 24_000_000  # at most in all frames together: larger pictures get fewer frames
FIRST_SEC, LAST_SEC, SHORTEST_SEC, LONGEST_SEC = 0.7, 1.5, 0.04, 0.5
RAIL = 225  # a gray, to keep the film of gray pictures gray

Shot = tuple[Path, str]


def write_film(frames: list[Path], captions: list[str], gif: Path, mp4: Path, *, seconds: float = 8.0) -> list[Path]:
    """Write at most 60 preview pictures with their captions as ``gif`` and ``mp4`` of about ``seconds``.

    Pictures smaller than 256 px are enlarged by a whole factor, without blur. Returns the pictures that cannot be read,
    which a power cut may have cut short; the film is made of the others. Raises GansmithError if there are no others,
    their sizes differ, or the video cannot be encoded.
    """
    broken = _broken(frames)
    whole = [shot for shot in zip(frames, captions, strict=True) if shot[0] not in broken]
    shots = [whole[index] for index in spread(len(whole), MAX_FRAMES)]
    height, width, _ = _canvas(shots[-1], 1.0).shape
    fewer = [shots[index] for index in spread(len(shots), max(4, GIF_PIXELS // (height * width)))]
    commit_file(gif, lambda path: write_gif(list(_canvases(fewer)), durations(len(fewer), seconds), path))
    commit_file(mp4, lambda path: write_mp4(_canvases(shots), durations(len(shots), seconds), (width, height), path))
    return broken


def durations(count: int, seconds: float) -> list[float]:
    """Return the duration of each frame in seconds: longer for the first and the last, equal for the others."""
    if count == 1:
        return [LAST_SEC]
    between = (seconds - FIRST_SEC - LAST_SEC) / max(1, count - 2)
    return [FIRST_SEC, *[min(max(between, SHORTEST_SEC), LONGEST_SEC)] * (count - 2), LAST_SEC]


def _broken(frames: Sequence[Path]) -> list[Path]:
    """Return the frames that cannot be read; GansmithError if all of them cannot, or if the sizes of others differ."""
    if not frames:
        raise GansmithError(
            "output.film_without_pictures",
            "no preview pictures for the film\n  training writes them into the samples folder of the run",
        )
    sizes, problems = dict[Path, tuple[int, int]](), dict[Path, Exception]()
    for path in frames:
        try:
            sizes[path] = decode_image(read_bytes(path, MAX_PICTURE_BYTES)).size
        except (OSError, ImageError) as problem:
            problems[path] = problem
            continue
        first = next(iter(sizes))
        if sizes[path] != sizes[first]:
            (width, height), (other_width, other_height) = sizes[first], sizes[path]
            raise GansmithError(
                "output.film_sizes_differ",
                f"preview pictures differ in size: {first.name} is {width} x {height} px, "
                f"{path.name} is {other_width} x {other_height} px"
                "\n  all frames of a film need the same size: move pictures of other sizes away",
            )
    if not sizes:
        path, why = next(iter(problems.items()))
        raise GansmithError("output.film_picture_unreadable", f"{path} cannot be read for the film: {why}") from why
    return [*problems]


def _canvases(shots: Sequence[Shot]) -> Iterator[np.ndarray]:
    for index, shot in enumerate(shots):
        yield _canvas(shot, (index + 1) / len(shots))


def _canvas(shot: Shot, done: float) -> np.ndarray:
    """Return uint8 (H, W, 3) with even sides: the picture, below it a strip with the caption and a progress bar."""
    path, caption = shot
    image = decode_image(read_bytes(path, MAX_PICTURE_BYTES))
    if max(image.size) > MAX_SIDE_PX:
        scale = MAX_SIDE_PX / max(image.size)
        image = to_pil(fit_image(image, round(image.height * scale), round(image.width * scale), 3, "stretch"))
    array = np.asarray(image)
    picture = enlarge(on_white(array if array.ndim == 3 else array[..., None]), MIN_SIDE_PX)
    height, width = picture.shape[:2]
    canvas = np.full((height + STRIP_PX + height % 2, width + width % 2, 3), 255, np.uint8)
    canvas[:height, :width] = picture
    canvas[-BAR_PX:] = RAIL
    canvas[-BAR_PX:, : round(done * canvas.shape[1])] = INK
    canvas[-STRIP_PX:-BAR_PX] = text_strip(caption, canvas.shape[1], STRIP_PX - BAR_PX)
    return canvas
