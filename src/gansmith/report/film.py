"""The fixed latents over time, as GIF and MP4."""

from pathlib import Path


def write_film(frames: list[Path], captions: list[str], gif: Path, mp4: Path, *, seconds: float = 8.0) -> None:
    """Write the preview pictures as a film, one caption each."""
    raise NotImplementedError
