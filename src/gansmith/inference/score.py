"""Score how typical image files are for a model, by its discriminator or by inversion."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np

from gansmith.core.errors import DataError, GansmithError, counted, unknown_name
from gansmith.core.events import OnProgress, Progress, silent
from gansmith.core.file_names import escaped
from gansmith.core.plain_files import read_bytes
from gansmith.data.base import DataSpec
from gansmith.data.sources.walk import image_files, is_array_file
from gansmith.data.value_format import stored_image
from gansmith.imaging.deep_files import checked
from gansmith.imaging.images import quiet_readers
from gansmith.inference.image_files import array_images, raise_failures
from gansmith.inference.inversion.invert import invert
from gansmith.inference.latents import refuse_points
from gansmith.inference.model import Model

WAYS = ("discriminator", "inversion")
BATCHES_AT_ONCE = 4  # of images that are decoded before they are scored


def score_files(
    model: Model,
    paths: Sequence[str | Path],
    label: str | None = None,
    how: str = "discriminator",
    *,
    skip: int = 0,
    on_left_out: Callable[[str, str], None] = silent,
    on_failed: Callable[[str, str], None] = silent,
    on_progress: OnProgress = silent,
) -> Iterator[tuple[str, float]]:
    """Yield (file, score) of image files and folders of them, fitted to the model's size; low means unusual.

    Each image of an array file is scored: FILE#NUMBER.
    ``how="discriminator"`` gives the discriminator's score; ``"inversion"`` gives the PSNR in dB of the image that
    ``invert`` finds. A few images are in memory at a time. ``skip`` leaves out the first files, which an earlier call
    has scored; ``on_progress`` is told after each file. ``on_failed`` gets the name of each unreadable file, and the
    reason; ``on_left_out`` a folder, and the number of other files in it. Raises DataError if no file can be read, and
    after the others are scored if a file that ``paths`` names cannot.
    Source: Schlegl et al. 2017, arXiv:1703.05921 (AnoGAN), section 2.2, for the residual of an inversion.
    Differs: PSNR alone, found by the search of ``invert``; the discriminator's term is a score of its own.
    """
    refuse_points(model, "score")
    if how not in WAYS:
        raise GansmithError("cli.unknown_way_to_score", unknown_name("way to score", how, WAYS))
    files = [(file, Path(path)) for path in paths for file in image_files(Path(path), on_left_out)]
    if not 0 <= skip < max(1, len(files)):
        raise GansmithError(
            "cli.nothing_to_score",
            f"--skip {skip} is not possible with {counted(len(files), 'file')}\n  allowed: 0 to {len(files) - 1}",
        )
    at_once = BATCHES_AT_ONCE * model.record.sample_batch
    failed, named = list[tuple[str, str]](), False
    for start in range(skip, len(files), at_once):
        fitted: list[list[tuple[str, np.ndarray]]] = []  # of each file
        for file, path in files[start : start + at_once]:
            fitted.append([])
            try:
                fitted[-1] += _fitted(file, model.record.data)
            except (DataError, OSError) as problem:
                reason = getattr(problem, "strerror", None) or str(problem).partition("\n")[0]
                if len(files) == 1 and file == path:
                    raise DataError(
                        "data.unreadable_image", f"'{escaped(file)}' cannot be scored: {reason}"
                    ) from problem
                named |= file == path
                failed.append((escaped(file), f"{escaped(file)} ({reason})"))
                on_failed(escaped(file), reason)
        scores = _scored(model, [image for each in fitted for _, image in each], label, how)
        for done, each in enumerate(fitted, start + 1):
            yield from ((name, next(scores)) for name, _ in each)
            on_progress(Progress("files", done, len(files)))
    raise_failures(failed, len(files) - skip, "scored", named=named)


def _scored(model: Model, images: Sequence[np.ndarray], label: str | None, how: str) -> Iterator[float]:
    """Return the scores of images."""
    if not images:
        return iter(())
    rows = np.stack(images)
    scores = model.score(rows, label) if how == "discriminator" else _inversion_psnr_db(model, rows, label)
    return iter(scores.tolist())


def _inversion_psnr_db(model: Model, images: np.ndarray, label: str | None) -> np.ndarray:
    return np.array([invert(model, image, label=label, on_progress=silent).psnr_db for image in images])


def _fitted(file: Path, spec: DataSpec) -> list[tuple[str, np.ndarray]]:
    """Return (name, stored pixels) of a file; of an array file with several images FILE#NUMBER each."""
    with quiet_readers():
        if not is_array_file(file):
            return [(escaped(file), stored_image(read_bytes(file), spec))]
        images = array_images(file)
        names = [escaped(file)] if len(images) == 1 else [f"{escaped(file)}#{row:05d}" for row in range(len(images))]
        return [(name, stored_image(checked(image), spec)) for name, image in zip(names, images, strict=True)]
