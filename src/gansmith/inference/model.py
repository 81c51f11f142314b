"""A trained model: sample it, score images with it, upscale with it, save it."""

import copy
import hashlib
import importlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from gansmith.core.atomic_files import METADATA_KEY, commit_file, commit_json
from gansmith.core.errors import ModelError, unknown_name
from gansmith.core.randomness import sample_latents, truncate
from gansmith.core.runtime import pick_device
from gansmith.inference.discriminator import TrainedDiscriminator
from gansmith.inference.model_record import MODEL_JSON, ModelRecord, model_errors
from gansmith.inference.samples import Samples, image_name
from gansmith.inference.tiled_upscaling import enlarge_image, enlarging
from gansmith.methods.base import Fixed
from gansmith.methods.capabilities import LatentSampler, samples_from_latents
from gansmith.methods.latent import sample_labels
from gansmith.methods.sampling import generate

MAX_SAMPLES = 1_000_000


@dataclass(frozen=True)
class Origin:
    """The place that a model was read from."""

    address: str  # as given; of the Hub with the commit: hf:NAME/REPO@COMMIT
    path: Path  # the same on this disk


class Model:
    """A trained model on one device, in evaluation mode.

    ``load.py`` reads it from disk. Tools that take a model have a file each: ``interpolate.py``, ``arithmetic.py``,
    ``directions.py``, ``inversion/``, ``translate.py``, ``upscale.py``, ``score.py`` and ``features.py``.
    """

    def __init__(self, record: ModelRecord, tensors: dict[str, dict[str, Tensor]], device: str = "auto") -> None:
        """Build the networks of a record from tensors by network name (``generator``, ``generator-raw``, ...).

        Raises ModelError for tensors whose names or shapes differ from those of the record's networks.
        """
        self.record, self.classes = record, record.data.classes
        self.origin: Origin | None = None  # None: it was not read from a file
        # Networks on the meta device take no memory, so a file that claims huge layers does no harm.
        with model_errors(f"the record of '{record.name}'"), torch.device("meta"):
            self.method = record.method.build(record.data)
        self._networks = {name: self._build(name, values) for name, values in tensors.items()}
        self._device = pick_device(device)
        for network in self._networks.values():
            network.to(self._device).to(memory_format=torch.channels_last).eval().requires_grad_(False)

    @property
    def networks(self) -> dict[str, nn.Module]:
        """Return the networks by name; a network with an EMA has a second entry, ``NAME-raw``, without it."""
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
        """Return ``count`` new images, 1 to 1,000,000; image i of a seed has the same bytes for every ``count``.

        ``label`` asks for one class by name or number; without it a conditional model makes 8 of each class in turn.
        ``truncation`` draws the latents from a normal distribution cut off at that many standard deviations (Brock et
        al. 2019, arXiv:1809.11096, section 3.1): less variety, fewer failures. ``raw`` uses the weights without EMA.
        Raises ModelError for an unknown label, a number out of range, or missing raw weights.
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
        """Return the images of latents (N, latent_dim) as uint8 (N, H, W, C), made as ``sample`` makes them.

        ``labels`` are int64 (N,), or float32 (N, num_classes) weights for a generator with ``mixes_labels``.
        Raises ModelError for missing raw weights.
        """
        networks = nn.ModuleDict({"generator": self.network("generator-raw" if raw else "generator")})
        preview = self.latent_method("draw").preview
        return generate(preview, networks, Fixed(latents, labels, 8), self.record.sample_batch)

    def network(self, name: str) -> nn.Module:
        """Return the network of a name; ModelError for an unknown name."""
        if name not in self._networks:
            raise ModelError(
                "model.no_such_weights",
                f"this model has no '{name}' weights; it has: {', '.join(sorted(self._networks))}",
            )
        return self._networks[name]

    def score(self, images: np.ndarray, label: str | int | None = None) -> np.ndarray:
        """Return the discriminator's scores of uint8 (N, H, W, C) images, float32 (N,): P(real), or a raw logit.

        Raises ModelError for images of another shape, or a conditional model without ``label``.
        """
        discriminator = self.discriminator("score")
        if discriminator.method.num_classes and label is None:
            raise ModelError(
                "model.label_needed",
                f"this model scores images by class: pass --label\n  known: {', '.join(self.classes)}",
            )
        return discriminator.scores(images, None if label is None else self.class_number(label))

    def discriminator_features(
        self, images: np.ndarray, layers: Sequence[str] = (), label: str | int | None = None
    ) -> np.ndarray:
        """Return the discriminator's features of uint8 (N, H, W, C) images, float32 (N, F).

        ``TrainedDiscriminator.features`` says how they are pooled and which label input it uses.
        """
        discriminator = self.discriminator("extract features")
        return discriminator.features(images, layers, None if label is None else self.class_number(label))

    def upscale(self, images: np.ndarray, *, raw: bool = False) -> np.ndarray:
        """Enlarge uint8 (N, H, W, C) to uint8 (N, scale H, scale W, C); ModelError if the model does not upscale."""
        method = enlarging(self.method, self.record.method.kind)
        generator = self.network("generator-raw" if raw else "generator")
        return np.stack([enlarge_image(method, generator, image) for image in images])

    def discriminator(self, verb: str) -> TrainedDiscriminator:
        """Return the trained discriminator, to ``verb`` with; ModelError if these weights have none."""
        if "discriminator" not in self._networks:
            raise ModelError(
                "model.no_discriminator",
                "these weights have no discriminator; pass the model's folder instead of one file",
            )
        network, record = self._networks["discriminator"], self.record
        return TrainedDiscriminator(self.latent_method(verb), network, record.data, record.sample_batch)

    def save(self, folder: Path) -> Path:
        """Write the model folder: model.json, and a .safetensors file per network that can also be loaded alone."""
        folder.mkdir(parents=True, exist_ok=True)
        digests = {}
        for name, network in self._networks.items():
            tensors = {key: tensor.detach().cpu().contiguous() for key, tensor in network.state_dict().items()}
            path = folder / f"{name}.safetensors"
            # A single entry, because safetensors writes several in random order and files must be reproducible.
            metadata = {METADATA_KEY: self.record.model_copy(update={"network": name}).model_dump_json()}
            commit_file(path, lambda at, tensors=tensors, metadata=metadata: save_file(tensors, at, metadata))  # type: ignore[misc]
            digests[path.name] = hashlib.sha256(path.read_bytes()).hexdigest()
        commit_json(folder / MODEL_JSON, {**self.record.model_dump(mode="json"), "sha256": digests})
        return folder

    def push_to_hub(self, repo: str, *, license: str = "", private: bool = False, token: str | None = None) -> str:
        """Publish the model on the Hugging Face Hub as NAME/REPO; return its address, hf:NAME/REPO@COMMIT.

        The repository gets what ``gansmith export --to hub-folder`` writes; it is made if it does not exist.
        ``license`` is one of the Hub's, for example "cc-by-4.0". Raises GansmithError for a wrong name, without login,
        and if the Hub does not answer.
        """
        # By name: exporting stands above this package, since a card tells of the run and its evaluation.
        hub = importlib.import_module("gansmith.exporting.hub")
        return hub.push_to_hub(self, repo, license=license, private=private, token=token)

    def latent_method(self, verb: str) -> LatentSampler:
        """Return the method; ModelError, which names ``verb``, if it does not make images from latents."""
        if not samples_from_latents(self.method):
            raise ModelError(
                "model.other_method",
                f"cannot {verb} with a model of method '{self.record.method.kind}'; it needs 'latent'",
            )
        return self.method

    def class_number(self, label: str | int) -> int:
        """Return the number of a class given by name or number; ModelError with the nearest name if it is unknown."""
        num_classes = self.latent_method("label").num_classes
        if not num_classes:
            raise ModelError("model.no_labels", "this model has no labels: it was not trained with conditional=true")
        if str(label) in self.classes:
            return self.classes.index(str(label))
        if str(label).isdigit() and int(label) < num_classes:
            return int(label)
        raise ModelError("model.unknown_label", unknown_name("label", str(label), self.classes))

    def _build(self, name: str, tensors: dict[str, Tensor]) -> nn.Module:
        """Return the network of a name with these tensors, after checking their names and shapes."""
        kind = name.removesuffix("-raw")
        if kind not in self.method.networks:
            raise ModelError(
                "model.unknown_weights",
                f"weights '{name}' belong to no network of this model; it has: {', '.join(self.method.networks)}",
            )
        expected = {key: tuple(value.shape) for key, value in self.method.networks[kind].state_dict().items()}
        got = {key: tuple(value.shape) for key, value in tensors.items()}
        for key in sorted(expected.keys() | got.keys()):
            if expected.get(key) != got.get(key):
                raise ModelError(
                    "model.weights_unfit",
                    f"weights '{name}' do not fit the model's record: {key} is "
                    f"{got.get(key, 'missing')}, expected {expected.get(key, 'no such tensor')}",
                )
        network = copy.deepcopy(self.method.networks[kind])
        floats = {key: value.float() if value.is_floating_point() else value for key, value in tensors.items()}
        network.load_state_dict(floats, assign=True)
        return network
