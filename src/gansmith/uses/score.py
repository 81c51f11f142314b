"""What a discriminator thinks of image files."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from gansmith.data.base import DataSpec
from gansmith.data.tree import image_files
from gansmith.errors import DataError
from gansmith.images import decode_image, fit_image, quiet_pillow
from gansmith.model import Model


def score_files(
    model: Model,
    paths: Sequence[str | Path],
    label: str | None = None,
    *,
    on_left_out: Callable[[str, str], None] = lambda *_: None,
) -> list[tuple[str, float]]:
    """Return the discriminator's opinion of image files or of folders of them, fitted to the model's size.

    ``on_left_out`` is told the name of a damaged file in a folder, and the reason. Raises DataError for one that was
    named, and when none can be judged.
    """
    files = [(file, Path(path)) for path in paths for file in image_files(Path(path))]
    out: list[tuple[str, float]] = []
    left_out: list[str] = []
    for start in range(0, len(files), 256):
        fitted = []
        for file, path in files[start : start + 256]:
            try:
                fitted.append((str(file), _fitted(file, model.record.data)))
            except (DataError, OSError) as problem:
                reason = getattr(problem, "strerror", None) or str(problem)
                if file == path:
                    raise DataError(f"'{file}' cannot be judged: {reason}") from problem
                left_out.append(f"{file} ({reason})")
                on_left_out(str(file), reason)
        if fitted:
            opinions = model.score(np.stack([image for _, image in fitted]), label)
            out += [(file, float(opinion)) for (file, _), opinion in zip(fitted, opinions, strict=True)]
    if not out:
        raise DataError(f"none of the {len(files):,} images could be judged: {left_out[0]}")
    return out


def _fitted(file: Path, spec: DataSpec) -> np.ndarray:
    with quiet_pillow():
        return fit_image(decode_image(file.read_bytes()), spec.height, spec.width, spec.channels)
