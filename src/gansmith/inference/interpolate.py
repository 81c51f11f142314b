"""Walks through the latent space: from image to image, as a film or as a strip."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from gansmith.core.atomic_files import commit_file
from gansmith.core.errors import GansmithError, unknown_name
from gansmith.core.output_paths import make_room
from gansmith.imaging.captions import captioned_grid
from gansmith.imaging.images import enlarge, on_white
from gansmith.imaging.video import write_gif, write_mp4
from gansmith.inference.latents import Latents, Seeds, class_weights, draw, find_latents, refuse_points
from gansmith.inference.model import Model
from gansmith.inference.samples import Picture

FILM_FRAMES, FILM_STEPS, MAX_FRAMES = 60, 12, 1000
STRIP_STEPS, STRIP_COLUMNS = 4, 13  # frames from image to image of a strip, and in a row of it
FILM_PX, FRAME_SEC = 256, 0.08  # two frames of the video
ALLOWED = "allowed: walk.gif, walk.mp4 or strip.png"
PARALLEL = 1e-6  # sine of the angle below which two directions span no plane


def slerp(start: Tensor, end: Tensor, shares: Tensor) -> Tensor:
    """Return float32 (T, D): the points at ``shares`` (T,) of the way on the arc between two latents (D,).

    The direction turns evenly and the norm changes evenly, so that the norm stays plausible on the way. Opposite
    directions span no plane: the arc then goes over the axis that is furthest from them. From the origin, or between
    parallel latents, the way is straight.
    Source: Shoemake 1985, "Animating rotation with quaternion curves"; for latents White 2016, arXiv:1609.04468.
    Differs: norms are interpolated apart from directions; White's points depend on both at once.
    """
    first, last, share = start.double(), end.double(), shares.double()[:, None]
    norms = first.norm(), last.norm()
    if min(norms) == 0:
        return lerp(start, end, shares)
    origin, target = first / norms[0], last / norms[1]
    cosine = origin @ target
    across = target - cosine * origin
    angle = torch.atan2(across.norm(), cosine)
    if across.norm() < PARALLEL and cosine < 0:
        axis = torch.zeros_like(origin)
        axis[origin.abs().argmin()] = 1
        across = axis - (axis @ origin) * origin
    if across.norm() < PARALLEL:
        return lerp(start, end, shares)
    directions = (share * angle).cos() * origin + (share * angle).sin() * across / across.norm()
    points = directions * ((1 - share) * norms[0] + share * norms[1])
    return torch.where(share == 1, last, points).float()


def lerp(start: Tensor, end: Tensor, shares: Tensor) -> Tensor:
    """Return float32 (T, D): the points at ``shares`` (T,) of the straight way between two latents (D,).

    In its middle the norm is that of hardly any latent seen in training.
    """
    share = shares.double()[:, None]
    return ((1 - share) * start.double() + share * end.double()).float()


MODES: dict[str, Callable[[Tensor, Tensor, Tensor], Tensor]] = {"slerp": slerp, "lerp": lerp}


@dataclass(frozen=True)
class Walk:
    """A walk: its latents, named where they are those that were asked for, and its images, uint8 (F, H, W, C)."""

    latents: Latents
    images: np.ndarray

    def strip(self) -> Picture:
        """Return the frames as one picture, with the names of the images that were asked for."""
        return Picture(captioned_grid(self.images, self.latents.names, STRIP_COLUMNS))

    def save(self, out: str | Path) -> Path:
        """Write a film (.gif, .mp4; at least 256 px, enlarged without blur) or the strip (.png)."""
        path = check_ending(out)
        make_room(path)
        if path.suffix.lower() == ".png":
            return self.strip().save(path)
        frames = [enlarge(on_white(image), FILM_PX) for image in self.images]
        seconds = [FRAME_SEC] * len(frames)
        if path.suffix.lower() == ".gif":
            commit_file(path, lambda at: write_gif(frames, seconds, at))
        else:
            height, width, _ = frames[0].shape
            commit_file(path, lambda at: write_mp4(frames, seconds, (width, height), at))
        return path


def check_ending(out: str | Path) -> Path:
    """Return the path of a walk; GansmithError for an ending that is not written."""
    path = Path(out)
    if path.suffix.lower() not in (".gif", ".mp4", ".png"):
        raise GansmithError(
            "output.unknown_ending", f"cannot write a walk as '{path.suffix or path.name}'\n  {ALLOWED}"
        )
    return path


def interpolate(
    model: Model,
    seeds: Seeds,
    *,
    frames: int | None = None,
    closed: bool = True,
    mode: str = "slerp",
    label: str | int | None = None,
    to_label: str | int | None = None,
    truncation: float | None = None,
    raw: bool = False,
) -> Walk:
    """Return a walk from image to image; each of them is a frame, with the bytes that ``sample`` makes of it.

    ``seeds`` names images as ``find_latents`` does. A ``closed`` walk goes back to the first and does not repeat it;
    an open one ends at the last. ``frames`` are 60 or more, or of an open walk 4 from image to image. ``label`` draws
    all as one class; ``to_label`` changes it evenly from image to image, and then one image is enough.
    Raises GansmithError for too few images or frames, ModelError for labels that the model does not have.
    """
    refuse_points(model, "interpolate")
    if mode not in MODES:
        raise GansmithError("cli.unknown_mode", unknown_name("mode", mode, MODES))
    stops = _stops(model, find_latents(model, seeds, label=label, truncation=truncation), label, to_label)
    if closed:
        stops = stops.take([*range(len(stops)), 0])
    legs = len(stops) - 1
    if frames is None:
        frames = max(FILM_FRAMES, FILM_STEPS * legs) if closed else STRIP_STEPS * legs + 1
    fewest = legs if closed else legs + 1
    if not fewest <= frames <= MAX_FRAMES:
        raise GansmithError(
            "cli.frames_out_of_range",
            f"--frames {frames} is out of range for a walk over {fewest} images\n  allowed: {fewest} to {MAX_FRAMES:,}",
        )
    steps = frames if closed else frames - 1
    at = [round(leg * steps / legs) for leg in range(legs + 1)]
    latents = _between(stops, at, frames, MODES[mode])
    return Walk(latents, draw(model, latents, raw=raw))


def _between(stops: Latents, at: list[int], frames: int, way: Callable[[Tensor, Tensor, Tensor], Tensor]) -> Latents:
    """Return the latents of the first ``frames`` frames, each stop at its frame and named, the ways between even."""
    values, classes = [], []
    for leg in range(len(at) - 1):
        first, next_ = at[leg], at[leg + 1]
        shares = torch.arange(0, next_ - first + 1, dtype=torch.float64) / (next_ - first)
        kept = shares if leg == len(at) - 2 else shares[:-1]  # the next leg begins with the stop
        values.append(way(stops.values[leg], stops.values[leg + 1], kept))
        if stops.classes is not None:
            classes.append(lerp(stops.classes[leg], stops.classes[leg + 1], kept))
    names = dict(zip(at, stops.names, strict=True))
    every = tuple(names.get(frame, "") for frame in range(frames))
    return Latents(torch.cat(values)[:frames], torch.cat(classes)[:frames] if classes else None, every)


def _stops(model: Model, latents: Latents, label: str | int | None, to_label: str | int | None) -> Latents:
    """Return the latents with their labels, changing evenly to ``to_label`` if there is one; two or more."""
    if to_label is not None:
        if label is None:
            raise GansmithError(
                "cli.to_label_without_label",
                "--to-label says where the label goes: pass --label too, which says where it starts",
            )
        latents = latents.take([0, 0]) if len(latents) == 1 else latents
        ends = class_weights(model, label, 1)[0], class_weights(model, to_label, 1)[0]
        shares = torch.linspace(0, 1, len(latents), dtype=torch.float64)
        names = (f"{latents.names[0]} {label}", *latents.names[1:-1], f"{latents.names[-1]} {to_label}")
        return Latents(latents.values, lerp(*ends, shares), names)
    if len(latents) < 2:
        raise GansmithError(
            "cli.walk_of_one_image",
            f"a walk needs two images or more, got one: {latents.names[0]}"
            "\n  for example --seeds 3,9,27, or with labels --seeds 3 --label A --to-label B",
        )
    return latents
