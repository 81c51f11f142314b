"""Latents: find them by the names of images, draw them, save and load them."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load, save_file

from gansmith.core.atomic_files import commit_file
from gansmith.core.errors import GansmithError, ModelError
from gansmith.core.output_paths import make_parent_folders
from gansmith.core.plain_files import read_bytes, refuse_damaged_tensors
from gansmith.core.randomness import sample_labels, sample_latents, truncate
from gansmith.inference.base import MAX_SAMPLES, TrainedModel
from gansmith.inference.samples import Samples, image_name

LATENTS_ENDING = ".safetensors"
FIGURE_LATENT_ENDING = f".latent{LATENTS_ENDING}"  # a figure x.png must not overwrite weights x.safetensors


@dataclass(frozen=True)
class Latents:
    """N latents with their names; for a conditional model also a weight for each class."""

    values: np.ndarray  # float32 (N, latent_dim)
    classes: np.ndarray | None  # float32 (N, num_classes)
    names: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.names)

    def take(self, rows: list[int]) -> "Latents":
        """Return the given rows, in that order."""
        classes = None if self.classes is None else self.classes[rows]
        return Latents(self.values[rows], classes, tuple(self.names[row] for row in rows))

    def save(self, path: str | Path) -> Path:
        """Write a .safetensors file, which every ``seeds`` argument and --seeds option accepts."""
        target = Path(path)
        if target.suffix.lower() != LATENTS_ENDING:
            raise GansmithError(
                "output.unknown_ending", f"cannot write latents as '{target.suffix}'\n  allowed: x{LATENTS_ENDING}"
            )
        make_parent_folders(target)
        tensors = {"latents": self.values, **({} if self.classes is None else {"classes": self.classes})}
        commit_file(
            target, lambda at: save_file({name: np.ascontiguousarray(each) for name, each in tensors.items()}, at)
        )
        return target


Seed = str | int | Path | Latents
Seeds = Seed | Sequence[Seed]
EntryT = TypeVar("EntryT")


def find_latents(
    model: TrainedModel, seeds: Seeds, *, label: str | int | None = None, truncation: float | None = None
) -> Latents:
    """Return the latents of named images: ``3`` (image 3 of ``sample``), ``7:3`` (image 3 of seed 7) or a latents file.

    A text may hold several names with commas between. Without ``label``, an image keeps the label that ``sample``
    gives it. Raises GansmithError for a name of no image, ModelError for latents of another model.
    """
    names = [name for entry in as_list(seeds) for name in (entry.split(",") if isinstance(entry, str) else [entry])]
    found = [_with_label(model, _find_one(model, name, truncation), label) for name in names]
    if not found:
        raise GansmithError(
            "cli.no_image_named", "no image is named\n  for example 3,9,27: images of 'gansmith sample', counted from 0"
        )
    return join(found)


def as_list(entries: Seed | Sequence[EntryT]) -> Sequence[Seed | EntryT]:
    """Return a list as it is, and a single entry as a list."""
    return [entries] if isinstance(entries, str | int | Path | Latents) else entries


def join(parts: Sequence[Latents]) -> Latents:
    """Concatenate latents of one model."""
    classes = [part.classes for part in parts if part.classes is not None]
    names = tuple(name for part in parts for name in part.names)
    return Latents(np.concatenate([part.values for part in parts]), np.concatenate(classes) if classes else None, names)


def class_weights(model: TrainedModel, label: str | int, count: int) -> np.ndarray:
    """Return float32 (count, num_classes) with all weight on one class; ModelError for an unknown label."""
    return one_hot(np.full(count, model.class_number(label)), len(model.classes))


def one_hot(labels: np.ndarray, num_classes: int) -> np.ndarray:
    """Return float32 (N, num_classes) with all weight on the classes ``labels`` (N,)."""
    return np.eye(num_classes, dtype=np.float32)[labels]


def label_input(model: TrainedModel, classes: np.ndarray | None) -> np.ndarray | None:
    """Return a generator's label input: int64 (N,) if every row of ``classes`` is a single class, else the weights.

    Raises ModelError for a mixture of classes if the generator does not mix labels.
    """
    if classes is None:
        return None
    numbers = classes.argmax(1)
    if np.array_equal(one_hot(numbers, classes.shape[1]), classes):
        return numbers
    wanted = model.latent_input("draw")
    if not wanted.mixes_labels:
        raise ModelError(
            "model.class_changes",
            f"generator '{wanted.generator}' draws one class at a time, and between these images the class changes"
            "\n  pass --label NAME for one class throughout",
        )
    return classes


def draw(model: TrainedModel, latents: Latents, *, raw: bool = False) -> np.ndarray:
    """Return the images of latents, stored pixels (N, H, W, C), equal byte for byte to those of ``sample``."""
    return model.in_palette(model.draw(latents.values, label_input(model, latents.classes), raw=raw))


def pick(
    model: TrainedModel,
    seeds: Seeds,
    *,
    label: str | int | None = None,
    truncation: float | None = None,
    raw: bool = False,
) -> Samples:
    """Return the images that ``seeds`` names, as ``sample`` makes them; ``find_latents`` explains the names."""
    latents = find_latents(model, seeds, label=label, truncation=truncation)
    numbers = None if latents.classes is None else latents.classes.argmax(1)
    return Samples(draw(model, latents, raw=raw), numbers, model.classes, names=latents.names, values=model.data.values)


def _find_one(model: TrainedModel, name: Seed, truncation: float | None) -> Latents:
    if isinstance(name, Latents):
        return _fitting(model, name, ", ".join(name.names))
    text = str(name).strip()
    number = re.fullmatch(r"(?:(\d+):)?(\d+)", text, re.ASCII)
    if number:
        return _image(model, int(number[1] or 0), int(number[2]), truncation)
    if text.lower().endswith(LATENTS_ENDING):
        return _read(model, Path(text))
    raise GansmithError(
        "cli.unknown_image",
        f"'{text}' names no image"
        "\n  allowed: 3 (image 3 of 'gansmith sample', counted from 0), 7:3 (image 3 of --seed 7), or a latents file"
        f"\n  several: 3,7:3,latent{LATENTS_ENDING}; 'gansmith sample --numbered' writes the numbers below the images",
    )


def _with_label(model: TrainedModel, latents: Latents, label: str | int | None) -> Latents:
    if label is not None:
        return Latents(latents.values, class_weights(model, label, len(latents)), latents.names)
    if model.latent_input("draw").num_classes and latents.classes is None:
        raise ModelError(
            "model.label_needed",
            f"{', '.join(latents.names)} has no label, and this model is conditional: pass --label"
            f"\n  known: {', '.join(model.classes)}",
        )
    return latents


def _image(model: TrainedModel, seed: int, number: int, truncation: float | None) -> Latents:
    wanted = model.latent_input("draw")
    if number >= MAX_SAMPLES:
        raise GansmithError(
            "cli.image_out_of_range", f"a sample has no image {number:,}\n  allowed: 0 to {MAX_SAMPLES - 1:,}"
        )
    values = truncate(sample_latents(seed, number, 1, wanted.latent_dim), truncation)
    labels = sample_labels(number, 1, wanted.num_classes)
    classes = None if labels is None else one_hot(labels, wanted.num_classes)
    return Latents(values, classes, (image_name(seed, number),))


def _read(model: TrainedModel, path: Path) -> Latents:
    try:
        refuse_damaged_tensors(path)
        tensors = load(read_bytes(path))
    except (OSError, SafetensorError, ValueError, KeyError, TypeError) as problem:
        reason = "it does not exist" if isinstance(problem, FileNotFoundError) else str(problem).splitlines()[0]
        raise ModelError(
            "model.unreadable_latents",
            f"latents '{path}' cannot be read: {reason}\n  pass a file that 'gansmith invert' or 'arithmetic' wrote",
        ) from problem
    if "latents" not in tensors:
        raise ModelError(
            "model.not_latents",
            f"'{path}' holds no latents\n  'gansmith invert' and 'gansmith arithmetic' write latents files",
        )
    values = tensors["latents"]
    count = values.shape[0] if values.ndim else 0
    name = path.stem.removesuffix(".latent")
    names = (name,) if count == 1 else tuple(f"{name}[{row}]" for row in range(count))
    return _fitting(model, Latents(values, tensors.get("classes"), names), f"'{path}'")


def _fitting(model: TrainedModel, latents: Latents, where: str) -> Latents:
    """Return latents after checking them; ModelError if they do not fit this model, or are empty or not finite."""
    wanted = model.latent_input("draw")
    classes = latents.classes if wanted.num_classes else None
    for tensor, wide in ((latents.values, wanted.latent_dim), (classes, wanted.num_classes)):
        if tensor is None:
            continue
        if tensor.shape != (len(latents), wide):
            raise ModelError(
                "model.latents_unfit",
                f"{where} is from another model: its shape is {tensor.shape}, expected {(len(latents), wide)}"
                "\n  make the file with this model: gansmith invert, or gansmith arithmetic",
            )
        if not (len(latents) and np.isfinite(tensor).all()):
            raise ModelError(
                "model.latents_not_finite",
                f"{where} cannot be drawn: it holds no latents, or numbers that are not finite"
                "\n  make the file again: gansmith invert, or gansmith arithmetic",
            )
    weights = None if classes is None else classes.astype(np.float32)
    return Latents(latents.values.astype(np.float32), weights, latents.names)


def refuse_points(model: TrainedModel, verb: str) -> None:
    """Raise ModelError if the model makes points in the plane, because ``verb`` needs images."""
    if model.data.is_points:
        raise ModelError(
            "model.points",
            f"cannot {verb} with a model of points in the plane; it needs a model of images"
            "\n  allowed for points: sample (picture.png or x.npz), evaluate, diagnose, compare",
        )
