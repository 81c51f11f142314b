"""How usual image files are to a model: what its discriminator thinks, or how well its generator can make them."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from gansmith.core.errors import DataError, GansmithError, unknown_name
from gansmith.core.events import silent
from gansmith.data.base import DataSpec
from gansmith.data.sources.folder_labels import image_files
from gansmith.imaging.images import decode_image, fit_image, quiet_pillow
from gansmith.inference.inversion.invert import invert
from gansmith.inference.latents import refuse_points
from gansmith.inference.model import Model

HOW = ("discriminator", "inversion")


def score_files(
    model: Model,
    paths: Sequence[str | Path],
    label: str | None = None,
    how: str = "discriminator",
    *,
    on_left_out: Callable[[str, str], None] = lambda *_: None,
) -> list[tuple[str, float]]:
    """Return a score of image files or of folders of them, fitted to the model's size: the lower, the less usual.

    ``how``: the discriminator's opinion, or with ``inversion`` the PSNR in dB of the image that ``invert`` finds.
    Source: Schlegl et al. 2017, arXiv:1703.05921 (AnoGAN), section 2.2, for the residual of an inversion.
    Differs: PSNR alone, of the search of ``invert``; the discriminator's share is a score of its own.
    ``on_left_out`` is told the name of a damaged file in a folder, and the reason. Raises DataError for one that was
    named, and when none can be judged.
    """
    refuse_points(model, "score")
    if how not in HOW:
        raise GansmithError("cli.unknown_way_to_score", unknown_name("way to score", how, HOW))
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
                    raise DataError("data.unreadable_image", f"'{file}' cannot be judged: {reason}") from problem
                left_out.append(f"{file} ({reason})")
                on_left_out(str(file), reason)
        if fitted:
            images = np.stack([image for _, image in fitted])
            opinions = model.score(images, label) if how == "discriminator" else _inverted(model, images, label)
            out += [(file, float(opinion)) for (file, _), opinion in zip(fitted, opinions, strict=True)]
    if not out:
        raise DataError("data.none_readable", f"none of the {len(files):,} images could be judged: {left_out[0]}")
    return out


def _inverted(model: Model, images: np.ndarray, label: str | None) -> np.ndarray:
    return np.array([invert(model, image, label=label, on_progress=silent).psnr_db for image in images])


def _fitted(file: Path, spec: DataSpec) -> np.ndarray:
    with quiet_pillow():
        return fit_image(decode_image(file.read_bytes()), spec.height, spec.width, spec.channels)
