"""The fixed latents over time as a film: GIF and MP4 of the preview grids, enlarged without blur, with captions."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from gansmith.errors import GansmithError
from gansmith.files import commit_file
from gansmith.images import ImageError, decode_image, enlarge, fit_image, on_white, open_image, to_pil

MIN_SIDE_PX, MAX_SIDE_PX = 256, 1600
STRIP_PX, BAR_PX = 30, 3
MAX_FRAMES = 60
GIF_PIXELS = 24_000_000  # of all frames together: larger pictures get fewer frames
FIRST_SEC, LAST_SEC, SHORTEST_SEC, LONGEST_SEC = 0.7, 1.5, 0.04, 0.5
FPS = 25
INK, RAIL = 40, 225  # grays, so that the film of gray pictures stays gray
# H.264 as browsers, phones and office software play it; the colours are said, or players guess them from the size.
ENCODING = (
    *("-f", "mp4", "-movflags", "+faststart", "-preset", "medium", "-crf", "18"),
    *("-vf", "scale=out_color_matrix=bt709:out_range=tv,format=yuv420p"),
    *("-colorspace", "bt709", "-color_primaries", "bt709", "-color_trc", "bt709"),
)

Shot = tuple[Path, str]


def write_film(frames: list[Path], captions: list[str], gif: Path, mp4: Path, *, seconds: float = 8.0) -> None:
    """Write at most 60 of the preview pictures, each with its caption, as ``gif`` and ``mp4``.

    Pictures smaller than 256 px are enlarged by a whole factor. GansmithError without frames, when their sizes differ,
    when one cannot be read, or when the video cannot be encoded.
    """
    _check(frames)
    shots = [(frames[index], captions[index]) for index in spread(len(frames), MAX_FRAMES)]
    height, width, _ = _canvas(shots[-1], 1.0).shape
    fewer = [shots[index] for index in spread(len(shots), max(4, GIF_PIXELS // (height * width)))]
    commit_file(gif, lambda path: _write_gif(list(_canvases(fewer)), durations(len(fewer), seconds), path))
    commit_file(mp4, lambda path: _write_mp4(_canvases(shots), durations(len(shots), seconds), (width, height), path))


def spread(count: int, at_most: int) -> list[int]:
    """Return at most so many of range(count), evenly, with the first and the last."""
    if count <= at_most:
        return list(range(count))
    return [round(index * (count - 1) / (at_most - 1)) for index in range(at_most)]


def durations(count: int, seconds: float) -> list[float]:
    """Return how long each frame is shown: the first and the last are held, the others share what is left."""
    if count == 1:
        return [LAST_SEC]
    between = (seconds - FIRST_SEC - LAST_SEC) / max(1, count - 2)
    return [FIRST_SEC, *[min(max(between, SHORTEST_SEC), LONGEST_SEC)] * (count - 2), LAST_SEC]


def frame_numbers(seconds: Sequence[float]) -> list[int]:
    """Return how many video frames each picture lasts; rounding does not add up."""
    ends = np.round(np.cumsum(seconds) * FPS).astype(int)
    return [int(number) for number in np.diff(ends, prepend=0)]


def _check(frames: Sequence[Path]) -> None:
    if not frames:
        raise GansmithError("there are no preview pictures to make a film of\n  they are in a run's samples folder")
    sizes = {}
    for path in frames:
        try:
            sizes[path] = open_image(path.read_bytes()).size
        except (OSError, ImageError) as problem:
            raise GansmithError(f"{path} cannot be put into the film: {problem}") from problem
        if sizes[path] != sizes[frames[0]]:
            (width, height), (other_width, other_height) = sizes[frames[0]], sizes[path]
            raise GansmithError(
                f"preview pictures differ in size: {frames[0].name} is {width} x {height} px, "
                f"{path.name} is {other_width} x {other_height} px\n  a film needs pictures of one layout"
            )


def _canvases(shots: Sequence[Shot]) -> Iterator[np.ndarray]:
    for index, shot in enumerate(shots):
        yield _canvas(shot, (index + 1) / len(shots))


def _canvas(shot: Shot, done: float) -> np.ndarray:
    """Return uint8 (H, W, 3) with even sides: the picture at the top left, a strip with caption and progress below."""
    path, caption = shot
    try:
        image = decode_image(path.read_bytes())
    except ImageError as problem:
        raise GansmithError(f"{path} cannot be put into the film: {problem}") from problem
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
    canvas[-STRIP_PX:-BAR_PX] = _text(caption, canvas.shape[1], STRIP_PX - BAR_PX)[..., None]
    return canvas


def _text(text: str, width: int, height: int) -> np.ndarray:
    """Return uint8 (height, width): one line of dark text on white, smaller if it would not fit."""
    strip = Image.new("L", (width, height), 255)
    draw = ImageDraw.Draw(strip)
    size = 16
    while size > 8 and draw.textlength(text, ImageFont.load_default(size)) > width - 16:
        size -= 1
    draw.text((8, height / 2), text, INK, ImageFont.load_default(size), anchor="lm")
    return np.asarray(strip)


def _write_gif(canvases: Sequence[np.ndarray], seconds: Sequence[float], path: Path) -> None:
    """Write a GIF that loops for ever; all frames share one palette, so that nothing flickers."""
    if all((canvas[..., 1:] == canvas[..., :1]).all() for canvas in canvases):
        pictures = [to_pil(canvas[..., :1]) for canvas in canvases]
    else:
        some = np.concatenate([canvases[index] for index in spread(len(canvases), 12)])
        palette = to_pil(some).quantize(256, Image.Quantize.MEDIANCUT)
        pictures = [to_pil(canvas).quantize(palette=palette, dither=Image.Dither.NONE) for canvas in canvases]
    times = [round(each * 100) * 10 for each in seconds]
    pictures[0].save(path, "GIF", save_all=True, append_images=pictures[1:], duration=times, loop=0)


def _write_mp4(canvases: Iterable[np.ndarray], seconds: Sequence[float], size: tuple[int, int], path: Path) -> None:
    """Write an H.264 video and count its frames, because the encoder's exit code is not reported."""
    import imageio_ffmpeg

    numbers = frame_numbers(seconds)
    try:
        target, options = str(path.absolute()), {"quality": None, "macro_block_size": 2, "ffmpeg_log_level": "quiet"}
        encoding = {"fps": FPS, "codec": "libx264", "output_params": list(ENCODING), **options}
        with closing(imageio_ffmpeg.write_frames(target, size, **encoding)) as encoder:
            encoder.send(None)
            for canvas, number in zip(canvases, numbers, strict=True):
                for _ in range(number):
                    encoder.send(canvas.tobytes())
        written, _ = imageio_ffmpeg.count_frames_and_secs(target)
    except (OSError, RuntimeError) as problem:
        raise GansmithError(f"the film cannot be encoded as MP4: {str(problem).splitlines()[0]}") from problem
    if written != sum(numbers):
        raise GansmithError(f"the film cannot be encoded as MP4: {written} of {sum(numbers)} frames were written")
