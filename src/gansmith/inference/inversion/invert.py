"""Search for the latent whose image is nearest to a target; with a mask, fill holes."""

from collections.abc import Callable
from dataclasses import dataclass
from math import cos, pi
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from gansmith.core.errors import GansmithError
from gansmith.core.events import say
from gansmith.core.output_paths import make_parent_folders
from gansmith.imaging.captions import beside, captioned, framed, tile
from gansmith.imaging.tensors import to_float
from gansmith.imaging.values import PixelValues, levels_of, picture_of
from gansmith.inference.image_files import ImageLike
from gansmith.inference.inversion.blend import blend
from gansmith.inference.inversion.distance import Distance
from gansmith.inference.inversion.target import Target, load_target
from gansmith.inference.latents import (
    FIGURE_LATENT_ENDING,
    LATENTS_ENDING,
    Latents,
    draw,
    find_latents,
    label_input,
    refuse_points,
)
from gansmith.inference.model import Model
from gansmith.inference.samples import Picture

STARTS, CANDIDATES = 4, 256
LEARNING_RATE = 0.1
HIGHEST_DB = 100.0  # the PSNR of equal images


@dataclass(frozen=True)
class Inversion:
    """The latent found, its image and, with a mask, the filled target, stored pixels (H, W, C)."""

    target: Target
    latents: Latents
    label: str  # empty for an unconditional model
    image: np.ndarray
    filled: np.ndarray | None
    psnr_db: float  # over the known pixels
    random_db: tuple[float, float]  # best and mean PSNR of the random latents
    compared: str
    values: PixelValues | None = None  # the meaning of stored pixels; None: ordinary 8-bit images

    def lines(self) -> list[str]:
        """Return the result in words: PSNR, the PSNR of random latents, and the terms compared."""
        where = "" if self.filled is None else " where the image is known"
        best, mean = self.random_db
        label = f"; label: {self.label}" if self.label else ""
        return [
            f"PSNR {self.psnr_db:.1f} dB{where}{label}",
            f"{CANDIDATES} random latents: {best:.1f} dB at best, {mean:.1f} dB on average",
            f"compared: {self.compared}",
        ]

    def sheet(self) -> Picture:
        """Return a figure with target and found image; with a mask also the masked and the filled image."""
        given, found = (self.target.image, "given"), (self.image, f"found: {self.psnr_db:.1f} dB")
        pictures = [given, found]
        if self.filled is not None:
            pictures = [(self.target.with_hole(), "masked"), found, (self.filled, "filled"), given]
        return Picture(
            framed(beside([captioned(tile(picture_of(image, self.values)), caption) for image, caption in pictures]))
        )

    def _repr_png_(self) -> bytes:
        return self.sheet()._repr_png_()

    def save(self, out: str | Path) -> tuple[Path, Path]:
        """Write the figure (.png) with the latent beside it (.latent.safetensors), or a folder with all pictures.

        Returns the path of the figure or folder, and the path of the latent.
        """
        path = check_inversion_path(out)
        if path.suffix:
            return self.sheet().save(path), self.latents.save(path.with_suffix(FIGURE_LATENT_ENDING))
        pictures = {"sheet": self.sheet(), "found": Picture(picture_of(self.image, self.values))}
        if self.filled is not None:
            pictures["filled"] = Picture(picture_of(self.filled, self.values))
        for name, picture in pictures.items():
            picture.save(path / f"{name}.png")
        return path, self.latents.save(path / f"latent{LATENTS_ENDING}")


def check_inversion_path(out: str | Path) -> Path:
    """Return ``out`` as a path; GansmithError unless it ends in .png or is a folder that can be made."""
    path = Path(out)
    if path.suffix and path.suffix.lower() != ".png":
        raise GansmithError(
            "output.unknown_ending", f"cannot write an inversion as '{path.suffix}'\n  allowed: x.png or a folder"
        )
    make_parent_folders(path)
    return path


def invert(
    model: Model,
    image: ImageLike,
    *,
    mask: str | Path | None = None,
    label: str | int | None = None,
    steps: int = 200,
    seed: int = 0,
    raw: bool = False,
    on_progress: Callable[[str], None] = say,
) -> Inversion:
    """Return the latent whose image is nearest to an image file, or to stored pixels (H, W, C) of the model's size.

    Samples 256 images with ``seed``, and runs ``steps`` steps of Adam from the 4 nearest of them, in one batch. The
    learning rate falls from 0.1 to 0 as half a cosine. It minimises ``Distance`` and returns the nearest of the 4
    results. Without ``label``, each start keeps the label of its sample. A ``mask`` file is white where the image is
    missing. The same arguments give the same latent. Raises DataError for a file that cannot be used, GansmithError for
    ``steps`` below 1.
    """
    refuse_points(model, "invert")
    if steps < 1:
        raise GansmithError("cli.steps_out_of_range", f"--steps {steps} is below 1\n  for example 500")
    target = load_target(image, mask, model.record.data)
    distance = Distance(model, target, raw=raw)
    candidates = find_latents(model, [f"{seed}:{number}" for number in range(CANDIDATES)], label=label)
    images = draw(model, candidates, raw=raw)
    numbers = label_input(model, candidates.classes)
    labels = None if numbers is None else torch.from_numpy(numbers)
    distances = distance.calibrate(to_float(images), labels, model.record.sample_batch)
    nearest = distances.argsort(stable=True)[:STARTS].cpu()
    start_labels = None if labels is None else labels[nearest]
    values, best = _descend(distance, torch.from_numpy(candidates.values)[nearest], start_labels, steps, on_progress)
    number = None if start_labels is None else int(start_labels[best])
    classes = None if candidates.classes is None else candidates.classes[nearest.numpy()][best : best + 1]
    latents = Latents(values.numpy(), classes, ("found",))
    found = draw(model, latents, raw=raw)[0]
    random_db = [psnr_db(each, target.image, target.known) for each in images]
    return Inversion(
        target,
        latents,
        "" if number is None else model.classes[number],
        found,
        None if target.missing is None else blend(target.image, found, target.missing),
        psnr_db(found, target.image, target.known),
        (max(random_db), sum(random_db) / len(random_db)),
        distance.compared,
        model.data.values,
    )


def psnr_db(one: np.ndarray, other: np.ndarray, known: np.ndarray) -> float:
    """Return 10 log10(255^2 / mean squared difference) in levels of 255 where ``known`` (H, W); 100 at most."""
    error = np.square(levels_of(one[known]) - levels_of(other[known])).mean()
    return float(min(HIGHEST_DB, 10 * np.log10(255**2 / max(error, 1e-12))))


def _descend(
    distance: Distance, starts: Tensor, labels: Tensor | None, steps: int, on_progress: Callable[[str], None]
) -> tuple[Tensor, int]:
    """Minimise the distance from all starts; return the best latent (1, latent_dim) and the number of its start."""
    latents = starts.to(distance.device).requires_grad_()
    labels = None if labels is None else labels.to(distance.device)
    optimizer = torch.optim.Adam([latents], lr=LEARNING_RATE)
    for step in range(steps):
        optimizer.param_groups[0]["lr"] = LEARNING_RATE * (1 + cos(pi * step / steps)) / 2
        totals = distance(latents, labels)
        optimizer.zero_grad()
        totals.sum().backward()
        optimizer.step()
        if step % max(1, steps // 10) == 0:
            on_progress(f"step {step} of {steps}: distance {totals.min().item():.3f}")
    with torch.no_grad():
        totals = distance(latents, labels)
    best = int(totals.argmin())
    on_progress(f"step {steps} of {steps}: distance {totals[best].item():.3f}")
    return latents.detach()[best : best + 1].cpu(), best
