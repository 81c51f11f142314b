"""A generator as a module that makes finished images: uint8, or floats in units."""

import copy
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram
from torch.nn.functional import interpolate, one_hot

from gansmith.core.randomness import derive_seed, per_image, sample_labels, sample_latents
from gansmith.imaging.tensors import to_float, uint8_pixels, unit_values
from gansmith.imaging.values import PixelValues
from gansmith.inference.model import Model
from gansmith.methods.base import Fixed
from gansmith.methods.capabilities import LatentSampler, Translator, samples_from_latents, translates, upscales

FEWEST_VALUES = 50_000  # of the images that are compared: the share of equal ones then means something
BLOBS = 8  # px: drawn images are this many random colours each way, enlarged


class Finish(nn.Module):
    """Images (N, C, H, W) in [-1, 1] -> uint8 (N, H, W, C); of deep data float32 in its units, not rounded."""

    low: Tensor
    high: Tensor

    def __init__(self, values: PixelValues | None) -> None:
        super().__init__()
        self.is_deep = values is not None
        for name in ("low", "high"):
            self.register_buffer(name, torch.tensor(getattr(values, name) if values else (0.0,)), persistent=False)

    def forward(self, images: Tensor) -> Tensor:
        """Return finished images."""
        return unit_values(images, self.low, self.high) if self.is_deep else uint8_pixels(images)


class LatentModule(nn.Module):
    """(latents (N, latent_dim), label weights (N, num_classes) or None) -> images (N, H, W, C), or points (N, 2)."""

    def __init__(
        self, method: LatentSampler, network: nn.Module, values: PixelValues | None, *, makes_points: bool
    ) -> None:
        super().__init__()
        self.finish = Finish(values)
        self.preview, self.mixes_labels, self.makes_points = method.preview, mixes_labels(method), makes_points
        self.networks = nn.ModuleDict({"generator": network})

    def forward(self, latents: Tensor, labels: Tensor | None = None) -> Tensor:
        """Return images as ``methods/sampling.generate`` makes them; points as float32 in [-1, 1]."""
        if labels is not None and not self.mixes_labels:
            labels = labels.argmax(1)
        images = self.preview(self.networks, Fixed(latents, labels, 1))
        return images.flatten(1) if self.makes_points else self.finish(images)


class ImageModule(nn.Module):
    """Images (N, h, w, C) -> images (N, H, W, C); a model that fills holes takes one more channel, the mask.

    Images are uint8; of deep data float32 in its units, where a mask is 0 or above.
    """

    low: Tensor
    high: Tensor

    def __init__(
        self, method: Translator, network: nn.Module, source: PixelValues | None, values: PixelValues | None
    ) -> None:
        super().__init__()
        self.method, self.network, self.is_deep = method, network, values is not None
        self.finish = Finish(values)
        for name in ("low", "high"):
            self.register_buffer(name, torch.tensor(getattr(source, name) if source else (0.0,)), persistent=False)

    def forward(self, images: Tensor) -> Tensor:
        """Return translated or enlarged images, as ``translate`` and ``upscale`` make them of one tile."""
        values, task = self._signed(images), self.method.task
        if task is not None:
            colours, marks = values.split([self.method.spec.channels, int(task.takes_mask)], 1)
            values = task.prepare(colours, (marks > 0).float() if task.takes_mask else None)
        return self.finish(self.method.translate(self.network, values))

    def _signed(self, images: Tensor) -> Tensor:
        """Return images (N, C, h, w) in [-1, 1]."""
        if not self.is_deep:
            return to_float(images)
        count = self.method.spec.channels
        colours = (images[..., :count] - self.low) * (2 / (self.high - self.low)) - 1
        return torch.cat([colours.clamp(-1, 1), images[..., count:]], -1).permute(0, 3, 1, 2)


@dataclass(frozen=True)
class Graph(ABC):
    """A generator, ready for export: the module, its inputs, and draws that its exports are compared on."""

    model: Model
    name: str  # of the network, without "-raw"
    raw: bool
    module: nn.Module

    inputs: tuple[str, ...] = ()
    output: str = "images"
    multiple: int = 1  # sides of input images are multiples of it
    scale: int = 1  # sides of a result divided by sides of its input image
    mixes_labels: bool = False  # label weights may be of several classes

    @abstractmethod
    def axes(self) -> tuple[dict[int, Any], ...]:
        """Return the free dimensions of each input, for ``torch.export``."""

    @abstractmethod
    def draw(self) -> list[tuple[Tensor, ...]]:
        """Return inputs to compare an export on: one entry for each size of input images."""

    @torch.no_grad()
    def trace(self) -> ExportedProgram:
        """Return the module as a program of torch.export, with a free batch size, and free sides for images."""
        example = tuple(each[:2] for each in self.draw()[0])  # a batch of 1 would fix the size
        return torch.export.export(self.module, example, dynamic_shapes=self.axes())

    @torch.no_grad()
    def made_here(self, inputs: tuple[Tensor, ...]) -> np.ndarray:
        """Return what gansmith itself makes of inputs: images (N, H, W, C) like the module's."""
        return self.module(*inputs).numpy()


@dataclass(frozen=True)
class LatentGraph(Graph):
    """A generator from latents, with label weights if it is conditional."""

    def axes(self) -> tuple[dict[int, Any], ...]:
        """Return the free batch size of latents and labels."""
        return tuple({0: Dim("batch")} for _ in self.inputs)

    def draw(self) -> list[tuple[Tensor, ...]]:
        """Return the latents that ``sample`` draws, with its labels; the second half blends them if it can."""
        data, method = self.model.record.data, self.model.latent_method("export")
        count = max(self.model.record.sample_batch, -(-FEWEST_VALUES // (data.height * data.width * data.channels)))
        latents = torch.from_numpy(sample_latents(0, 0, count, method.config.latent_dim))
        labels = sample_labels(0, count, method.num_classes)
        if labels is None:
            return [(latents,)]
        weights = one_hot(torch.from_numpy(labels), method.num_classes).float()
        if mixes_labels(method):
            weights[count // 2 :] = (weights + weights.roll(1, 1))[count // 2 :] / 2
        return [(latents, weights)]

    def made_here(self, inputs: tuple[Tensor, ...]) -> np.ndarray:
        """Return the images that ``sample`` makes."""
        labels = inputs[1] if len(inputs) > 1 else None
        if labels is not None and not mixes_labels(self.model.latent_method("export")):
            labels = labels.argmax(1)
        made, values = self.model.draw(inputs[0], labels, raw=self.raw), self.model.record.data.values
        return made if values is None else values.in_units_exactly(made)


@dataclass(frozen=True)
class ImageGraph(Graph):
    """A generator from images of any size."""

    def axes(self) -> tuple[dict[int, Any], ...]:
        """Return free batch size, height and width."""
        rows, columns = Dim("rows"), Dim("columns")
        return ({0: Dim("batch"), 1: self.multiple * rows, 2: self.multiple * columns},)

    def draw(self) -> list[tuple[Tensor, ...]]:
        """Return images of random colours: of the size of training, and two of another size."""
        method = self.model.method
        assert translates(method) or upscales(method)
        spec = method.spec
        channels = spec.channels + int(method.task is not None and method.task.takes_mask)
        height, width = (max(self.multiple, side // self.scale) for side in (spec.height, spec.width))
        count = max(4, -(-FEWEST_VALUES // (spec.height * spec.width * spec.channels)))
        return [
            (self._in_units(_random_images(each, rows, columns, channels)),)
            for each, rows, columns in ((count, height, width), (2, height + self.multiple, 2 * width))
        ]

    def _in_units(self, images: Tensor) -> Tensor:
        """Return uint8 images as they are, and for a model of deep data as values in the units of its sources."""
        meaning, count = self.model.record.data.source_meaning, self.model.record.data.channels
        if meaning is None:
            return images
        low, high = torch.tensor(meaning.low), torch.tensor(meaning.high)
        colours = low + images[..., :count] / 255 * (high - low)
        return torch.cat([colours, (images[..., count:] > 127).float()], -1)


def mixes_labels(method: LatentSampler) -> bool:
    """Say whether a generator blends classes by their weights; another one takes the class with the most weight."""
    return method.config.generator.mixes_labels


def _random_images(count: int, height: int, width: int, channels: int) -> Tensor:
    """Return smooth images of random colours, uint8 (N, H, W, C)."""
    blobs = per_image((channels, BLOBS, BLOBS), [derive_seed("export", index) for index in range(count)], uniform=True)
    images = interpolate(torch.from_numpy(blobs), (height, width), mode="bilinear", align_corners=False)
    return (images * 255).to(torch.uint8).permute(0, 2, 3, 1).contiguous()


def graph_of(model: Model, name: str, *, raw: bool) -> Graph:
    """Return the graph of a generator, a copy on the CPU; ModelError for missing raw weights."""
    network = copy.deepcopy(model.network(f"{name}-raw" if raw else name)).cpu()
    method = model.method
    if samples_from_latents(method):
        points = model.record.data.is_points
        latent = LatentModule(method, network, model.record.data.values, makes_points=points).eval()
        inputs = ("latents", "labels") if method.num_classes else ("latents",)
        output, mixes = "points" if points else "images", mixes_labels(method)
        return LatentGraph(model, name, raw, latent, inputs, output, mixes_labels=mixes)
    assert translates(method) or upscales(method), "generators_of has named its generators"
    enlarges = 1 if method.task is None else method.task.scale
    multiple = max(1, int(network.multiple) // enlarges)  # type: ignore[arg-type]
    data = model.record.data
    image = ImageModule(method, network, data.source_meaning, data.values).eval()
    # An ONNX file cannot have one name for an input and for an output.
    return ImageGraph(model, name, raw, image, ("images",), "results", multiple, enlarges * method.spec.scale)
