"""A trained model: its files, which hold weights and names and never code, and what can be done with it."""

import copy
import hashlib
import json
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pydantic import Field, ValidationError
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from gansmith.core.atomic_files import METADATA_KEY, commit_file, commit_json
from gansmith.core.errors import CheckpointError, GansmithError, GansmithWarning, ModelError, unknown_name
from gansmith.core.randomness import sample_latents, truncate
from gansmith.core.registry import FrozenModel
from gansmith.core.runtime import pick_device
from gansmith.core.version import __version__
from gansmith.data.base import DataSpec
from gansmith.inference.discriminator import TrainedDiscriminator
from gansmith.inference.samples import Samples, image_name
from gansmith.inference.tiled_upscaling import enlarge_image, enlarging
from gansmith.methods.base import Fixed, MethodField
from gansmith.methods.capabilities import LatentSampler, samples_from_latents
from gansmith.methods.latent import sample_labels
from gansmith.methods.sampling import generate, sample_batch
from gansmith.recipes.load import explain, read_run_recipe
from gansmith.recipes.old_files import from_old_file
from gansmith.runs.checkpoint import Checkpoint, weights_of
from gansmith.runs.folder import RECORD, RunFolder, find_checkpoint, is_run

FORMAT = 1
MODEL_JSON = "model.json"
MAX_SIDE_PX = 4096
MAX_SAMPLES = 1_000_000


class ModelRecord(FrozenModel):
    """What model.json says, and the metadata of every weights file: enough to rebuild the networks."""

    format: int = Field(FORMAT, ge=1, le=FORMAT)
    gansmith: str
    name: str
    method: MethodField
    data: DataSpec
    seed: int
    kimg: float
    sample_batch: int = Field(ge=1, le=1024)
    network: str = Field("", max_length=100, description="in a weights file: which network it holds")


class Model:
    """A trained model, ready to sample and to score."""

    def __init__(self, record: ModelRecord, tensors: dict[str, dict[str, Tensor]], device: str = "auto") -> None:
        """Build the networks of a record around tensors by network name (``generator``, ``generator-raw``, ...).

        Raises ModelError when a tensor has not the shape that the record says.
        """
        self.record, self.classes = record, record.data.classes
        # On the meta device there are shapes and no memory, whatever sizes a file claims; weights are in ``networks``.
        with _model_errors(f"the record of '{record.name}'"), torch.device("meta"):
            self.method = record.method.build(record.data)
        self._networks = {name: self._build(name, values) for name, values in tensors.items()}
        self._device = pick_device(device)
        for network in self._networks.values():
            network.to(self._device).to(memory_format=torch.channels_last).eval().requires_grad_(False)

    @property
    def networks(self) -> dict[str, nn.Module]:
        """Return the networks in evaluation mode, by name; averaged ones have a twin with ``-raw``."""
        return self._networks

    def sample(
        self,
        count: int = 64,
        *,
        seed: int = 0,
        label: str | int | None = None,
        truncation: float | None = None,
        raw: bool = False,
    ) -> Samples:
        """Return new images; image i of a seed has the same bytes whatever ``count`` is.

        ``label`` asks for one class by name or number; without it a conditional model makes eight of each in turn.
        ``truncation`` draws the latents from a normal distribution cut off at that many standard deviations (Brock et
        al. 2019, arXiv:1809.11096, section 3.1): less variety, fewer failures. ``raw`` uses weights without averaging.
        Raises ModelError for a label, a number or weights that the model does not have.
        """
        method = self.latent_method("sample")
        if not 1 <= count <= MAX_SAMPLES:
            raise ModelError("model.num_out_of_range", f"cannot make {count:,} images\n  allowed: 1 to {MAX_SAMPLES:,}")
        if seed < 0:
            raise ModelError("model.seed_out_of_range", f"seed {seed} is below 0; allowed: 0 or more")
        latents = truncate(sample_latents(seed, 0, count, method.config.latent_dim), truncation)
        labels = sample_labels(0, count, method.num_classes)
        if label is not None:
            labels = torch.full((count,), self.class_number(label))
        images = self.draw(latents, labels, raw=raw)
        names = tuple(image_name(seed, number) for number in range(count))
        return Samples(images, None if labels is None else labels.numpy(), self.classes, names=names)

    def draw(self, latents: Tensor, labels: Tensor | None = None, *, raw: bool = False) -> np.ndarray:
        """Return uint8 (N, H, W, C) images of latents (N, latent_dim), made as ``sample`` makes them.

        ``labels`` are int64 (N,), or float32 (N, num_classes) weights for a generator with ``mixes_labels``.
        Raises ModelError for weights that the model does not have.
        """
        networks = nn.ModuleDict({"generator": self.network("generator-raw" if raw else "generator")})
        preview = self.latent_method("draw").preview
        return generate(preview, networks, Fixed(latents, labels, 8), self.record.sample_batch)

    def network(self, name: str) -> nn.Module:
        """Return one of the networks; ModelError for a name that is not there."""
        if name not in self._networks:
            raise ModelError(
                "model.no_such_weights",
                f"this model has no '{name}' weights; it has: {', '.join(sorted(self._networks))}",
            )
        return self._networks[name]

    def score(self, images: np.ndarray, label: str | int | None = None) -> np.ndarray:
        """Return the discriminator's opinion of uint8 (N, H, W, C) images, float32 (N,): P(real), or a raw score.

        Raises ModelError for images of another shape, or a conditional model without ``label``.
        """
        judge = self.judge("score")
        if judge.method.num_classes and label is None:
            raise ModelError(
                "model.label_needed",
                f"this model judges images by class: pass --label\n  known: {', '.join(self.classes)}",
            )
        return judge.opinions(images, None if label is None else self.class_number(label))

    def discriminator_features(
        self, images: np.ndarray, layers: Sequence[str] = (), label: str | int | None = None
    ) -> np.ndarray:
        """Return what the discriminator sees in uint8 (N, H, W, C) images, float32 (N, F): see ``Judge.features``."""
        judge = self.judge("look through")
        return judge.features(images, layers, None if label is None else self.class_number(label))

    def upscale(self, images: np.ndarray, *, raw: bool = False) -> np.ndarray:
        """Return uint8 (N, scale H, scale W, C) of uint8 (N, H, W, C); ModelError if the model does not enlarge."""
        method = enlarging(self.method, self.record.method.kind)
        generator = self.network("generator-raw" if raw else "generator")
        return np.stack([enlarge_image(method, generator, image) for image in images])

    def judge(self, verb: str = "judge") -> TrainedDiscriminator:
        """Return the discriminator at work; ModelError if these weights have none."""
        if "discriminator" not in self._networks:
            raise ModelError(
                "model.no_discriminator",
                "these weights have no discriminator; pass the model's folder instead of one file",
            )
        network, record = self._networks["discriminator"], self.record
        return TrainedDiscriminator(self.latent_method(verb), network, record.data, record.sample_batch)

    def save(self, folder: Path) -> Path:
        """Write the model folder: one safetensors file for each network, each of which can be loaded alone."""
        folder.mkdir(parents=True, exist_ok=True)
        digests = {}
        for name, network in self._networks.items():
            tensors = {key: tensor.detach().cpu().contiguous() for key, tensor in network.state_dict().items()}
            path = folder / f"{name}.safetensors"
            # One entry alone: safetensors writes several in any order, and the same model must make the same bytes.
            metadata = {METADATA_KEY: self.record.model_copy(update={"network": name}).model_dump_json()}
            commit_file(path, lambda at, tensors=tensors, metadata=metadata: save_file(tensors, at, metadata))  # type: ignore[misc]
            digests[path.name] = hashlib.sha256(path.read_bytes()).hexdigest()
        commit_json(folder / MODEL_JSON, {**self.record.model_dump(mode="json"), "sha256": digests})
        return folder

    def latent_method(self, verb: str) -> LatentSampler:
        """Return the method; ModelError if its images are not made from latents, so that ``verb`` cannot be done."""
        if not samples_from_latents(self.method):
            raise ModelError(
                "model.other_method",
                f"cannot {verb} with a model of method '{self.record.method.kind}'; it needs 'latent'",
            )
        return self.method

    def class_number(self, label: str | int) -> int:
        """Return the number of a class given by name or number; ModelError with the nearest name if there is none."""
        num_classes = self.latent_method("label").num_classes
        if not num_classes:
            raise ModelError("model.no_labels", "this model knows no labels: it was not trained with conditional=true")
        if str(label) in self.classes:
            return self.classes.index(str(label))
        if str(label).isdigit() and int(label) < num_classes:
            return int(label)
        raise ModelError("model.unknown_label", unknown_name("label", str(label), self.classes))

    def _build(self, name: str, tensors: dict[str, Tensor]) -> nn.Module:
        """Return a network holding tensors, whose names and shapes were checked against the record's."""
        kind = name.removesuffix("-raw")
        if kind not in self.method.networks:
            raise ModelError(
                "model.unknown_weights",
                f"weights '{name}' belong to no network of this model: {', '.join(self.method.networks)}",
            )
        expected = {key: tuple(value.shape) for key, value in self.method.networks[kind].state_dict().items()}
        got = {key: tuple(value.shape) for key, value in tensors.items()}
        for key in sorted(expected.keys() | got.keys()):
            if expected.get(key) != got.get(key):
                raise ModelError(
                    "model.weights_unfit",
                    f"weights '{name}' do not fit what the model says of itself: {key} is "
                    f"{got.get(key, 'missing')}, expected {expected.get(key, 'nothing of that name')}",
                )
        network = copy.deepcopy(self.method.networks[kind])
        floats = {key: value.float() if value.is_floating_point() else value for key, value in tensors.items()}
        network.load_state_dict(floats, assign=True)
        return network


def load_model(path: str | Path, device: str = "auto") -> Model:
    """Return the model of a run folder, a model folder or a .safetensors file; ModelError if it cannot be.

    Of a run it is the checkpoint that ``find_checkpoint`` finds: the best, unless the path names another. If there is
    none, it is the run's model folder, with a GansmithWarning.
    """
    path = Path(path)
    try:
        found = find_checkpoint(path)
    except CheckpointError as problem:
        folder = RunFolder(path).model
        if not (is_run(path) and (folder / MODEL_JSON).is_file()):
            raise
        warnings.warn(GansmithWarning(f"{problem}\n  used instead: {folder}"), stacklevel=2)
        return _from_folder(folder, device)
    if found is not None:
        return _from_run(*found, device)
    if (path / MODEL_JSON).is_file():
        return _from_folder(path, device)
    if path.is_file() and path.suffix == ".safetensors":
        text, tensors = _read_weights(path)
        record = _parse_record(text, path)
        return Model(record, {record.network or path.stem: tensors}, device)
    if path.is_file():
        raise ModelError(
            "model.not_safetensors",
            f"'{path}' is no .safetensors file"
            "\n  gansmith never loads pickled files (.pt, .pth, .pkl): they can run code",
        )
    where = "has no run.json and no model.json" if path.is_dir() else "does not exist"
    raise ModelError("model.not_found", f"'{path}' {where}\n  pass a run folder, a model folder or a .safetensors file")


def make_record(name: str, method: Any, data: DataSpec, seed: int, kimg: float) -> ModelRecord:
    """Return the record of a model."""
    batch = sample_batch(data.height, data.width)
    return ModelRecord(
        gansmith=__version__, name=name, method=method, data=data, seed=seed, kimg=kimg, sample_batch=batch
    )


def _from_run(run: RunFolder, checkpoint: Checkpoint, device: str) -> Model:
    record, recipe = run.record, read_run_recipe(run.recipe)
    with _model_errors(str(run.path / RECORD)):
        spec = DataSpec.from_json(record["data"]["spec"])
        made = make_record(recipe.name, recipe.method, spec, record["seed"], checkpoint.values["kimg"])
        made = _parse_record(made.model_dump_json(), run.path / RECORD)
    return Model(made, weights_of(checkpoint.tensors), device)


def _from_folder(folder: Path, device: str) -> Model:
    with _model_errors(str(folder / MODEL_JSON)):
        values = json.loads((folder / MODEL_JSON).read_text())
        digests = values.pop("sha256")
        if not digests:
            raise ModelError(
                "model.no_weights", f"'{folder / MODEL_JSON}' cannot be read: it names no weights, 'sha256' is empty"
            )
        files = {name: folder / Path(name).name for name in digests}
        for name, path in files.items():
            if hashlib.sha256(path.read_bytes()).hexdigest() != digests[name]:
                raise ModelError(
                    "model.altered", f"{path} was altered or cut off: its SHA-256 is not that of {MODEL_JSON}"
                )
    tensors = {path.stem: _read_weights(path)[1] for path in files.values()}
    return Model(_parse_record(json.dumps(values), folder / MODEL_JSON), tensors, device)


def _read_weights(path: Path) -> tuple[str, dict[str, Tensor]]:
    with _model_errors(str(path)):
        with safe_open(path, "pt") as file:
            metadata = file.metadata() or {}
        if METADATA_KEY not in metadata:
            raise ModelError(
                "model.not_ours", f"'{path}' was not written by gansmith: its header has no '{METADATA_KEY}' entry"
            )
        return metadata[METADATA_KEY], load_file(path)


def _parse_record(text: str, path: Path) -> ModelRecord:
    with _model_errors(str(path)):
        record = ModelRecord.model_validate_json(json.dumps(from_old_file(json.loads(text))))
    sides = (record.data.height, record.data.width)
    if not all(1 <= side <= MAX_SIDE_PX for side in sides) or record.data.channels not in (1, 3, 4):
        raise ModelError(
            "model.size_out_of_range",
            f"'{path}' says its images are {sides[0]} x {sides[1]} x {record.data.channels}: not possible",
        )
    # Never a larger batch than this size of image is sampled in, whatever a file says.
    return record.model_copy(update={"sample_batch": min(record.sample_batch, sample_batch(*sides))})


@contextmanager
def _model_errors(where: str) -> Iterator[None]:
    try:
        yield
    except GansmithError:
        raise
    except ValidationError as problem:
        text = explain(problem, f"'{where}' cannot be read", list(ModelRecord.model_fields))
        if "unknown" in text:
            text += "\n  if a plugin has that part, pass it: --plugin FILE"
        raise ModelError(
            "model.unknown_part" if "unknown" in text else "model.invalid_record", "\n".join(text.split("\n")[:3])
        ) from problem
    except (OSError, SafetensorError, ValueError, KeyError, TypeError, AttributeError, RuntimeError) as problem:
        file = getattr(problem, "filename", None) or where
        reason = getattr(problem, "strerror", None) or str(problem).partition("\n")[0] or "no reason given"
        raise ModelError("model.unreadable", f"'{file}' cannot be read: {reason}") from problem
