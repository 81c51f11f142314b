"""Write frames as a GIF, or as an MP4 that browsers, phones and office software play."""

from collections.abc import Iterable, Sequence
from contextlib import closing
from pathlib import Path

import numpy as np
from PIL import Image

from gansmith.core.errors import GansmithError
from gansmith.imaging.images import to_pil

FPS = 25
# H.264 that plays everywhere. The colour space is written out, because players guess it from the size otherwise.
ENCODING = (
    *("-f", "mp4", "-movflags", "+faststart", "-preset", "medium", "-crf", "18"),
    *("-vf", "scale=out_color_matrix=bt709:out_range=tv,format=yuv420p"),
    *("-colorspace", "bt709", "-color_primaries", "bt709", "-color_trc", "bt709"),
)


def spread(count: int, at_most: int) -> list[int]:
    """Return up to ``at_most`` numbers of range(count), evenly spread, including the first and the last."""
    if count <= at_most:
        return list(range(count))
    return [round(index * (count - 1) / (at_most - 1)) for index in range(at_most)]


def frame_numbers(seconds: Sequence[float]) -> list[int]:
    """Return the number of video frames of each picture; rounding errors do not add up."""
    ends = np.round(np.cumsum(seconds) * FPS).astype(int)
    return [int(number) for number in np.diff(ends, prepend=0)]


def write_gif(canvases: Sequence[np.ndarray], seconds: Sequence[float], path: Path) -> None:
    """Write a GIF that loops forever; all frames share one palette, which prevents flicker."""
    if all((canvas[..., 1:] == canvas[..., :1]).all() for canvas in canvases):
        pictures = [to_pil(canvas[..., :1]) for canvas in canvases]
    else:
        sampled = np.concatenate([canvases[index] for index in spread(len(canvases), 12)])
        palette = to_pil(sampled).quantize(256, Image.Quantize.MEDIANCUT)
        pictures = [to_pil(canvas).quantize(palette=palette, dither=Image.Dither.NONE) for canvas in canvases]
    times = [round(each * 100) * 10 for each in seconds]
    pictures[0].save(path, "GIF", save_all=True, append_images=pictures[1:], duration=times, loop=0)


def write_mp4(canvases: Iterable[np.ndarray], seconds: Sequence[float], size: tuple[int, int], path: Path) -> None:
    """Write an H.264 video and count its frames, because imageio-ffmpeg hides the encoder's exit code."""
    import imageio_ffmpeg  # here: only films need the encoder

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
        raise GansmithError(
            "output.film_not_encoded", f"the film cannot be encoded as MP4: {str(problem).splitlines()[0]}"
        ) from problem
    if written != sum(numbers):
        raise GansmithError(
            "output.film_not_encoded",
            f"the film cannot be encoded as MP4: {written} of {sum(numbers)} frames were written",
        )
