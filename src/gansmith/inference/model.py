"""A trained model run by torch: its networks, its discriminator, its folder."""

import copy
import hashlib
import importlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.torch
import torch
from numpy.typing import ArrayLike
from torch import Tensor, nn

from gansmith.core.atomic_files import METADATA_KEY, commit_file, commit_json
from gansmith.core.errors import ModelError
from gansmith.core.runtime import pick_device
from gansmith.inference.base import (
    LatentInput,
    TrainedModel,
    needs_weights,
    no_latents,
    no_translator,
    no_upscaler,
    one_way,
)
from gansmith.inference.discriminator import TrainedDiscriminator
from gansmith.inference.generators import translating, upscaling
from gansmith.inference.image_to_image import ImageToImage
from gansmith.inference.interpolate import interpolate
from gansmith.inference.model_record import MODEL_JSON, ModelRecord, model_errors
from gansmith.inference.translate import translate
from gansmith.methods.base import Fixed
from gansmith.methods.capabilities import LatentSampler, samples_from_latents, translates, upscales
from gansmith.methods.sampling import generate


@dataclass(frozen=True)
class Origin:
    """The place that a model was read from."""

    address: str  # as given; of the Hub with the commit: hf:NAME/REPO@COMMIT
    path: Path  # the same on this disk


class Model(TrainedModel):
    """A trained model on one device, in evaluation mode.

    ``load.py`` reads it from disk. Tools that take a model have a file each: ``interpolate.py``, ``arithmetic.py``,
    ``directions.py``, ``inversion/``, ``translate.py``, ``upscale.py``, ``score.py`` and ``features.py``.
    """

    interpolate = interpolate
    translate = translate

    def __init__(self, record: ModelRecord, tensors: dict[str, dict[str, Tensor]], device: str = "auto") -> None:
        """Build the networks of a record from tensors by network name (``generator``, ``generator-raw``, ...).

        Raises ModelError for tensors whose names or shapes differ from those of the record's networks.
        """
        self.record, self.kind, self.data, self.classes = record, record.method.kind, record.data, record.data.classes
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

    def latent_input(self, verb: str) -> LatentInput:
        """Return the generator's input; ModelError, which names ``verb``, if the model draws no images from latents."""
        method = self.latent_method(verb)
        part = method.config.generator
        return LatentInput(method.config.latent_dim, method.num_classes, part.mixes_labels, part.kind)

    def draw(self, latents: ArrayLike, labels: ArrayLike | None = None, *, raw: bool = False) -> np.ndarray:
        """Return images of latents (N, latent_dim), stored pixels (N, H, W, C); ``TrainedModel.draw`` explains it."""
        networks = nn.ModuleDict({"generator": self._generator("generator", raw)})
        preview = self.latent_method("draw").preview
        fixed = Fixed(torch.as_tensor(latents), None if labels is None else torch.as_tensor(labels), 8)
        return generate(preview, networks, fixed, self.record.sample_batch, self.data.stored_type)

    def translator(self, *, reverse: bool = False, as_source: bool = False, raw: bool = False) -> ImageToImage:
        """Return the generator that ``translate`` uses; ModelError if the model does not translate in that way."""
        if not translates(self.method):
            raise no_translator(self.kind, upscales=upscales(self.method))
        if reverse and not self.method.config.reverses:
            raise one_way(self.kind)
        generator = self._generator(self.method.translators[reverse], raw)
        return translating(self.method, generator, as_source=as_source)

    def upscaler(self, *, raw: bool = False) -> ImageToImage:
        """Return the generator that ``upscale`` uses; ModelError if the model does not upscale."""
        if not upscales(self.method):
            enlarges = translates(self.method) and self.method.task is not None and self.method.task.scale > 1
            raise no_upscaler(self.kind, enlarges=enlarges)
        return upscaling(self.method, self._generator("generator", raw))

    def facts_shown(self) -> dict[str, str]:
        """Return what a notebook shows, with the number of parameters."""
        networks = {name: net for name, net in self._networks.items() if not name.endswith("-raw")}
        sizes = (f"{name} {sum(p.numel() for p in net.parameters()):,}" for name, net in networks.items())
        return {**super().facts_shown(), "parameters": ", ".join(sizes)}

    def network(self, name: str) -> nn.Module:
        """Return the network of a name; ModelError for an unknown name."""
        if name not in self._networks:
            raise ModelError(
                "model.no_such_weights",
                f"this model has no weights '{name}'; it has: {', '.join(sorted(self._networks))}"
                + ("\n  leave out --raw" if name.endswith("-raw") else "\n  pass a model that has them"),
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
        for name, content in self._weight_files():
            commit_file(folder / name, lambda at, content=content: at.write_bytes(content))  # type: ignore[misc]
            digests[name] = hashlib.sha256(content).hexdigest()
        commit_json(folder / MODEL_JSON, self._model_json(digests))
        return folder

    def model_json(self) -> dict[str, Any]:
        """Return what ``save`` writes to model.json, without writing anything."""
        return self._model_json({name: hashlib.sha256(content).hexdigest() for name, content in self._weight_files()})

    def _model_json(self, digests: dict[str, str]) -> dict[str, Any]:
        return {**self.record.model_dump(mode="json"), "sha256": digests}

    def _weight_files(self) -> Iterator[tuple[str, bytes]]:
        """Yield the name and the bytes of each network's .safetensors file."""
        for name, network in self._networks.items():
            tensors = {key: tensor.detach().cpu().contiguous() for key, tensor in network.state_dict().items()}
            # A single entry, because safetensors writes several in random order and files must be reproducible.
            metadata = {METADATA_KEY: self.record.model_copy(update={"network": name}).model_dump_json()}
            yield f"{name}.safetensors", safetensors.torch.save(tensors, metadata)

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
            raise no_latents(verb, self.kind)
        return self.method

    def _generator(self, name: str, raw: bool) -> nn.Module:
        return self.network(f"{name}-raw" if raw else name)

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
                    f"{got.get(key, 'missing')}, expected {expected.get(key, 'no such tensor')}"
                    "\n  weights and record are from two models: copy the whole model folder again",
                )
        network = copy.deepcopy(self.method.networks[kind])
        floats = {key: value.float() if value.is_floating_point() else value for key, value in tensors.items()}
        network.load_state_dict(floats, assign=True)
        return network


def with_weights(model: TrainedModel, verb: str) -> Model:
    """Return a model that torch runs; ModelError, which names ``verb``, for an exported file."""
    if not isinstance(model, Model):
        raise needs_weights(verb)
    return model
