"""Interpolate between images in latent space, as a film or a strip."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from gansmith.core.atomic_files import commit_file
from gansmith.core.errors import GansmithError, unknown_name
from gansmith.core.output_paths import make_parent_folders
from gansmith.imaging.album import album_page
from gansmith.imaging.captions import captioned_grid
from gansmith.imaging.images import encode_png, enlarge, on_white
from gansmith.imaging.values import PixelValues, picture_of
from gansmith.imaging.video import write_gif, write_mp4
from gansmith.inference.base import TrainedModel
from gansmith.inference.latents import Latents, Seeds, class_weights, draw, find_latents, refuse_points
from gansmith.inference.samples import Picture

FILM_FRAMES, FILM_STEPS, MAX_FRAMES = 60, 12, 1000
STRIP_STEPS, STRIP_COLUMNS = 4, 13  # of a strip: frames from stop to stop, and frames in a row
FILM_PX, FRAME_SEC = 256, 0.08  # of a film: its smallest side; 0.08 s are two video frames
ALLOWED = "allowed: walk.gif, walk.mp4, walk.html or strip.png"
PARALLEL = 1e-6  # two directions with a smaller sine between them count as parallel


def slerp(start: np.ndarray, end: np.ndarray, shares: np.ndarray) -> np.ndarray:
    """Return float32 (T, D): points on the arc between two latents (D,), at ``shares`` (T,) of its length.

    The direction turns evenly and the norm changes evenly, so every norm on the way stays plausible. Between opposite
    directions the arc goes through the coordinate axis furthest from them. From the origin and between parallel latents
    the way is straight.
    Source: Shoemake 1985, "Animating rotation with quaternion curves"; for latents White 2016, arXiv:1609.04468.
    Differs: interpolates norm and direction separately; White's points depend on both at once.
    """
    first, last, share = start.astype(np.float64), end.astype(np.float64), np.asarray(shares, np.float64)[:, None]
    norms = np.linalg.norm(first), np.linalg.norm(last)
    if min(norms) == 0:
        return lerp(start, end, shares)
    origin, target = first / norms[0], last / norms[1]
    cosine = origin @ target
    across = target - cosine * origin
    angle = np.arctan2(np.linalg.norm(across), cosine)
    if np.linalg.norm(across) < PARALLEL and cosine < 0:
        axis = np.zeros_like(origin)
        axis[np.abs(origin).argmin()] = 1
        across = axis - (axis @ origin) * origin
    if np.linalg.norm(across) < PARALLEL:
        return lerp(start, end, shares)
    directions = np.cos(share * angle) * origin + np.sin(share * angle) * across / np.linalg.norm(across)
    points = directions * ((1 - share) * norms[0] + share * norms[1])
    return np.where(share == 1, last, points).astype(np.float32)


def lerp(start: np.ndarray, end: np.ndarray, shares: np.ndarray) -> np.ndarray:
    """Return float32 (T, D): points on the line between two latents (D,), at ``shares`` (T,) of its length.

    Halfway, the norm is smaller than that of almost every latent in training.
    """
    share = np.asarray(shares, np.float64)[:, None]
    return ((1 - share) * start.astype(np.float64) + share * end.astype(np.float64)).astype(np.float32)


Curve = Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]
MODES: dict[str, Curve] = {"slerp": slerp, "lerp": lerp}


@dataclass(frozen=True)
class Walk:
    """F frames: latents, of which only the stops have names, and images, stored pixels (F, H, W, C)."""

    latents: Latents
    images: np.ndarray
    values: PixelValues | None = None  # the meaning of stored pixels; None: ordinary 8-bit images

    def strip(self) -> Picture:
        """Return the frames as one picture, with the names of the stops."""
        return Picture(captioned_grid(picture_of(self.images, self.values), self.latents.names, STRIP_COLUMNS))

    def _repr_png_(self) -> bytes:
        return self.strip()._repr_png_()

    def save(self, out: str | Path) -> Path:
        """Write a film (.gif, .mp4; enlarged without blur to at least 256 px), an album (.html) or the strip (.png)."""
        path = check_walk_path(out)
        make_parent_folders(path)
        if path.suffix.lower() == ".png":
            return self.strip().save(path)
        if path.suffix.lower() == ".html":
            height, width, _ = self.images[0].shape
            pictures = [encode_png(image) for image in picture_of(self.images, self.values)]
            page = album_page(
                "Interpolation",
                pictures,
                self.latents.names,
                side_px=max(height, width),
                seconds=FRAME_SEC * len(pictures),
            )
            commit_file(path, lambda at: at.write_bytes(page))
            return path
        frames = [enlarge(on_white(image), FILM_PX) for image in picture_of(self.images, self.values)]
        seconds = [FRAME_SEC] * len(frames)
        if path.suffix.lower() == ".gif":
            commit_file(path, lambda at: write_gif(frames, seconds, at))
        else:
            height, width, _ = frames[0].shape
            commit_file(path, lambda at: write_mp4(frames, seconds, (width, height), at))
        return path


def check_walk_path(out: str | Path) -> Path:
    """Return ``out`` as a path; GansmithError unless it ends in .gif, .mp4, .html or .png."""
    path = Path(out)
    if path.suffix.lower() not in (".gif", ".mp4", ".html", ".png"):
        raise GansmithError(
            "output.unknown_ending", f"cannot write a walk as '{path.suffix or path.name}'\n  {ALLOWED}"
        )
    return path


def interpolate(
    model: TrainedModel,
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
    """Return a walk through the images that ``seeds`` names (see ``find_latents``); each of these stops is a frame.

    A ``closed`` walk returns to the first stop and does not repeat it as a frame; an open walk ends at the last stop.
    ``frames`` defaults to 12 from stop to stop and at least 60, or to 4 for an open walk. ``label`` draws all frames as
    one class; ``to_label`` fades from ``label`` to a second class, and then one stop is enough. ``mode`` is slerp or
    lerp. Raises GansmithError for too few stops, or frames out of range, ModelError for an unknown label.
    """
    refuse_points(model, "interpolate")
    if mode not in MODES:
        raise GansmithError("cli.unknown_mode", unknown_name("mode", mode, MODES))
    stops = _stops(model, find_latents(model, seeds, label=label, truncation=truncation), label, to_label)
    latents = walk_latents(stops, frames, closed=closed, mode=mode)
    return Walk(latents, draw(model, latents, raw=raw), model.data.values)


def walk_latents(stops: Latents, frames: int | None = None, *, closed: bool = True, mode: str = "slerp") -> Latents:
    """Return the latents of a walk's frames; ``interpolate`` explains it. GansmithError for frames out of range."""
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
    return _between(stops, at, frames, MODES[mode])


def _between(stops: Latents, at: list[int], frames: int, curve: Curve) -> Latents:
    """Return the latents of all frames: ``stops`` at the frames ``at``, and even steps between them."""
    values, classes = [], []
    for leg in range(len(at) - 1):
        first, next_ = at[leg], at[leg + 1]
        shares = np.arange(next_ - first + 1) / (next_ - first)
        kept = shares if leg == len(at) - 2 else shares[:-1]  # the stop is the first frame of the next leg
        values.append(curve(stops.values[leg], stops.values[leg + 1], kept))
        if stops.classes is not None:
            classes.append(lerp(stops.classes[leg], stops.classes[leg + 1], kept))
    names = dict(zip(at, stops.names, strict=True))
    every = tuple(names.get(frame, "") for frame in range(frames))
    return Latents(np.concatenate(values)[:frames], np.concatenate(classes)[:frames] if classes else None, every)


def _stops(model: TrainedModel, latents: Latents, label: str | int | None, to_label: str | int | None) -> Latents:
    """Return two or more stops; with ``to_label`` their class weights fade evenly from ``label`` to it."""
    if to_label is not None:
        if label is None:
            raise GansmithError(
                "cli.to_label_without_label",
                "--to-label needs --label, the class to start from\n  for example --seeds 3 --label A --to-label B",
            )
        latents = latents.take([0, 0]) if len(latents) == 1 else latents
        ends = class_weights(model, label, 1)[0], class_weights(model, to_label, 1)[0]
        shares = np.linspace(0, 1, len(latents))
        names = (f"{latents.names[0]} {label}", *latents.names[1:-1], f"{latents.names[-1]} {to_label}")
        return Latents(latents.values, lerp(*ends, shares), names)
    if len(latents) < 2:
        raise GansmithError(
            "cli.walk_of_one_image",
            f"a walk needs at least two images, got one: {latents.names[0]}"
            "\n  for example --seeds 3,9,27, or with labels --seeds 3 --label A --to-label B",
        )
    return latents
