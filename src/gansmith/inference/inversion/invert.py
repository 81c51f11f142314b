"""The latent whose image is nearest to a given one; with a mask, what the generator would put into the hole."""

from collections.abc import Callable
from dataclasses import dataclass
from math import cos, pi
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from gansmith.core.errors import GansmithError
from gansmith.core.events import say
from gansmith.core.output_paths import make_room
from gansmith.imaging.captions import beside, captioned, framed, tile
from gansmith.imaging.images import to_float
from gansmith.inference.inversion.blend import blend
from gansmith.inference.inversion.distance import Distance
from gansmith.inference.inversion.target import Target, load_target
from gansmith.inference.latents import BESIDE, ENDING, Latents, draw, find_latents, refuse_points, told
from gansmith.inference.model import Model
from gansmith.inference.samples import Picture

STARTS, CANDIDATES = 4, 256
LEARNING_RATE = 0.1
HIGHEST_DB = 100.0  # of equal images


@dataclass(frozen=True)
class Inversion:
    """The latent that was found, its image and, with a mask, the target with its hole filled, uint8 (H, W, C)."""

    target: Target
    latents: Latents
    label: str  # of a conditional model, else empty
    image: np.ndarray
    filled: np.ndarray | None
    psnr_db: float  # over the pixels that are known
    random_db: tuple[float, float]  # the best and the mean of the random latents
    compared: str

    def lines(self) -> list[str]:
        """Return the distance in words."""
        where = "" if self.filled is None else " where the image is known"
        best, mean = self.random_db
        label = f"; label: {self.label}" if self.label else ""
        return [
            f"PSNR {self.psnr_db:.1f} dB{where}{label}",
            f"{CANDIDATES} random latents: {best:.1f} dB at best, {mean:.1f} dB on average",
            f"compared: {self.compared}",
        ]

    def sheet(self) -> Picture:
        """Return the image and what was found side by side; with a mask also the filled image."""
        given, found = (self.target.image, "given"), (self.image, f"found: {self.psnr_db:.1f} dB")
        pictures = [given, found]
        if self.filled is not None:
            pictures = [(self.target.with_hole(), "masked"), found, (self.filled, "filled"), given]
        return Picture(framed(beside([captioned(tile(image), caption) for image, caption in pictures])))

    def save(self, out: str | Path) -> tuple[Path, Path]:
        """Write the sheet (.png), its latent beside it (.latent.safetensors), or a folder with each picture for itself.

        Returns the path of either, and that of the latent.
        """
        path = check_place(out)
        if path.suffix:
            return self.sheet().save(path), self.latents.save(path.with_suffix(BESIDE))
        pictures = {"sheet": self.sheet(), "found": Picture(self.image)}
        if self.filled is not None:
            pictures["filled"] = Picture(self.filled)
        for name, picture in pictures.items():
            picture.save(path / f"{name}.png")
        return path, self.latents.save(path / f"latent{ENDING}")


def check_place(out: str | Path) -> Path:
    """Return the path of an inversion; GansmithError for an ending that is not written, or with a file in the way."""
    path = Path(out)
    if path.suffix and path.suffix.lower() != ".png":
        raise GansmithError(
            "output.unknown_ending", f"cannot write an inversion as '{path.suffix}'\n  allowed: x.png or a folder"
        )
    make_room(path)
    return path


def invert(
    model: Model,
    image: str | Path | np.ndarray,
    *,
    mask: str | Path | None = None,
    label: str | int | None = None,
    steps: int = 200,
    seed: int = 0,
    raw: bool = False,
    on_progress: Callable[[str], None] = say,
) -> Inversion:
    """Return the latent whose image is nearest to an image file, or to uint8 (H, W, C) of the model's size.

    The nearest 4 of 256 images of a sample with this ``seed`` are where Adam starts from, in one batch, with a learning
    rate that falls to 0 as half a cosine; the nearest of the 4 that it ends at is returned. Without ``label`` the label
    is that of the nearest start. What is near: ``Distance``. A ``mask`` file is white where the image is missing.
    The same arguments give the same latent. Raises DataError for files that cannot be used, GansmithError for steps.
    """
    refuse_points(model, "invert")
    if steps < 1:
        raise GansmithError("cli.steps_out_of_range", f"--steps {steps} is below 1")
    target = load_target(image, mask, model.record.data)
    distance = Distance(model, target, raw=raw)
    candidates = find_latents(model, [f"{seed}:{number}" for number in range(CANDIDATES)], label=label)
    images = draw(model, candidates, raw=raw)
    labels = told(model, candidates.classes)
    distances = distance.calibrate(to_float(images), labels, model.record.sample_batch)
    nearest = distances.argsort(stable=True)[:STARTS].cpu()
    started = None if labels is None else labels[nearest]
    values, place = _descend(distance, candidates.values[nearest], started, steps, on_progress)
    number = None if started is None else int(started[place])
    classes = None if candidates.classes is None else candidates.classes[nearest][place : place + 1]
    latents = Latents(values, classes, ("found",))
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
    )


def psnr_db(one: np.ndarray, other: np.ndarray, known: np.ndarray) -> float:
    """Return 10 log10(255^2 / mean squared difference) of uint8 (H, W, C) where ``known`` (H, W); 100 at most."""
    error = np.square(one[known].astype(np.float64) - other[known]).mean()
    return float(min(HIGHEST_DB, 10 * np.log10(255**2 / max(error, 1e-12))))


def _descend(
    distance: Distance, starts: Tensor, labels: Tensor | None, steps: int, on_progress: Callable[[str], None]
) -> tuple[Tensor, int]:
    """Return the latent (1, latent_dim) with the smallest distance that the starts come to, and which start it was."""
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
    place = int(totals.argmin())
    on_progress(f"step {steps} of {steps}: distance {totals[place].item():.3f}")
    return latents.detach()[place : place + 1].cpu(), place
