"""The interface of a trained model, whether torch or onnxruntime runs it."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from gansmith.core.errors import ModelError, counted, some_of, unknown_name
from gansmith.core.html import facts
from gansmith.core.randomness import sample_labels, sample_latents, truncate
from gansmith.data.base import DataSpec
from gansmith.imaging.images import MODES, sample_batch
from gansmith.imaging.pixel_art import nearest_colours
from gansmith.imaging.values import MOST_BANDS
from gansmith.inference.image_to_image import ImageToImage
from gansmith.inference.samples import DrawnSamples, Samples, image_name

MAX_SAMPLES = 1_000_000
MAX_SIDE_PX = 4096
BATCHES_AT_ONCE = 4  # of samples that are held in memory while they are written


@dataclass(frozen=True)
class LatentInput:
    """The input of a generator that makes images from latents."""

    latent_dim: int
    num_classes: int  # 0: images are made without labels
    mixes_labels: bool  # labels may also be weights of several classes
    generator: str  # the name of the network, for messages


class TrainedModel(ABC):
    """A trained model; ``Model`` runs it with torch, ``OnnxModel`` with onnxruntime.

    Tools that take either have a file each: ``interpolate.py``, ``arithmetic.py``, ``translate.py``, ``upscale.py``.
    """

    record: Any  # a ModelRecord, or the entries of one that drawing needs
    kind: str  # the name of its method
    data: DataSpec  # the images that it was trained on; ``data.values`` says what stored pixels mean
    classes: tuple[str, ...]

    def __repr__(self) -> str:
        record, kind = self.record, type(self).__name__
        return f"{kind}({record.name} on {self.data.name}, {record.kimg:,.1f} kimg, {self.data.contents})"

    def _repr_html_(self) -> str:
        return f"<div>{facts(self.record.name, self.facts_shown())}</div>"

    def facts_shown(self) -> dict[str, str]:
        """Return what a notebook shows."""
        trained_on = f"{self.data.name}: {self.data.contents}, {self.record.kimg:,.1f} kimg"
        shown = {"trained on": trained_on, "method": self.kind}
        if self.classes:
            shown["classes"] = some_of(self.classes, 10)
        return shown

    @abstractmethod
    def latent_input(self, verb: str) -> LatentInput:
        """Return the generator's input; ModelError, which names ``verb``, if the model draws no images from latents."""

    @abstractmethod
    def draw(self, latents: ArrayLike, labels: ArrayLike | None = None, *, raw: bool = False) -> np.ndarray:
        """Return the images of latents (N, latent_dim) as stored pixels (N, H, W, C), made as ``sample`` makes them.

        ``labels`` are int64 (N,), or float32 (N, num_classes) weights for a generator with ``mixes_labels``.
        Raises ModelError for missing raw weights.
        """

    @abstractmethod
    def translator(self, *, reverse: bool = False, as_source: bool = False, raw: bool = False) -> ImageToImage:
        """Return the generator that ``translate`` uses; ModelError if the model does not translate in that way."""

    @abstractmethod
    def upscaler(self, *, raw: bool = False) -> ImageToImage:
        """Return the generator that ``upscale`` uses; ModelError if the model does not upscale."""

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
        drawn = self.draw_samples(count, seed=seed, label=label, truncation=truncation, raw=raw)
        names = tuple(image_name(seed, number) for number in range(count))
        return Samples(drawn.draw(0, count), drawn.labels, self.classes, names=names, values=self.data.values)

    def draw_samples(
        self,
        count: int = 64,
        *,
        seed: int = 0,
        label: str | int | None = None,
        truncation: float | None = None,
        raw: bool = False,
    ) -> DrawnSamples:
        """Return the images of ``sample``, drawn while ``save`` writes them: memory does not grow with ``count``.

        The arguments and errors are those of ``sample``.
        """
        wanted = self.latent_input("sample")
        if not 1 <= count <= MAX_SAMPLES:
            raise ModelError("model.num_out_of_range", f"cannot make {count:,} images\n  allowed: 1 to {MAX_SAMPLES:,}")
        if seed < 0:
            raise ModelError("model.seed_out_of_range", f"seed {seed} is below 0; allowed: 0 or more")
        labels = sample_labels(0, count, wanted.num_classes)
        if label is not None:
            labels = np.full(count, self.class_number(label))

        def draw(first: int, number: int) -> np.ndarray:
            latents = truncate(sample_latents(seed, first, number, wanted.latent_dim), truncation)
            images = self.draw(latents, None if labels is None else labels[first : first + number], raw=raw)
            return self.in_palette(images)

        height, width, channels = self.data.height, self.data.width, self.data.channels
        at_once = BATCHES_AT_ONCE * sample_batch(height, width)
        shape = (height, width, channels)
        return DrawnSamples(draw, count, shape, labels, self.classes, at_once, self.data.values)

    def in_palette(self, images: np.ndarray) -> np.ndarray:
        """Return images (N, H, W, C) with the nearest colours of the training images, if palette=keep asked for it."""
        colours = [bytes.fromhex(colour) for colour in self.data.palette]
        palette = np.frombuffer(b"".join(colours), np.uint8).reshape(-1, self.data.channels)
        return nearest_colours(images, palette) if colours else images

    def upscale(self, images: np.ndarray, *, raw: bool = False) -> np.ndarray:
        """Enlarge uint8 (N, H, W, C) to uint8 (N, scale H, scale W, C); ModelError if the model does not upscale."""
        generator = self.upscaler(raw=raw)
        return np.stack([generator.enlarge(image) for image in images])

    def class_number(self, label: str | int) -> int:
        """Return the number of a class given by name or number; ModelError with the nearest name if it is unknown."""
        num_classes = self.latent_input("label").num_classes
        if not num_classes:
            raise ModelError(
                "model.no_labels",
                "this model has no labels: it was not trained with conditional=true\n  leave out the label",
            )
        if str(label) in self.classes:
            return self.classes.index(str(label))
        if str(label).isdigit() and int(label) < num_classes:
            return int(label)
        raise ModelError("model.unknown_label", unknown_name("label", str(label), self.classes))


def no_latents(verb: str, kind: str) -> ModelError:
    """Return the error for a verb that needs latents, with a model of another method."""
    return ModelError("model.other_method", f"cannot {verb} with a model of method '{kind}'; it needs 'latent'")


def no_translator(kind: str, *, upscales: bool) -> ModelError:
    """Return the error for a translation by a model of another method."""
    if upscales:
        return ModelError(
            "model.other_method",
            f"cannot translate with a model of method '{kind}': it enlarges images"
            "\n  use: gansmith upscale MODEL IMAGES",
        )
    return ModelError(
        "model.other_method",
        f"cannot translate with a model of method '{kind}'; it needs 'paired' or 'unpaired'"
        "\n  train one: gansmith train photos/ --task colorize",
    )


def one_way(kind: str) -> ModelError:
    """Return the error for ``reverse`` with a model of one direction."""
    return ModelError(
        "model.one_way",
        f"--reverse: a model of method '{kind}' translates in one direction only"
        "\n  to train both directions: gansmith train --from A --to B",
    )


def no_upscaler(kind: str, *, enlarges: bool) -> ModelError:
    """Return the error for upscaling by a model of another method; ``enlarges`` says that its translations do."""
    suggestion = "gansmith translate MODEL IMAGES" if enlarges else "gansmith train photos/ --recipe srresnet"
    return ModelError(
        "model.other_method",
        f"cannot upscale with a model of method '{kind}'; it needs 'super_resolution'\n  use: {suggestion}",
    )


def needs_weights(verb: str) -> ModelError:
    """Return the error for a verb that a model without torch's weights cannot do."""
    return ModelError(
        "model.needs_weights",
        f"cannot {verb} with an ONNX file: it holds a generator without the weights that torch needs"
        "\n  pass the run or the model folder that it was exported from",
    )


def _has_possible_channels(data: DataSpec) -> bool:
    return data.channels in MODES if data.values is None else 1 <= data.channels <= MOST_BANDS


def check_image_size(data: DataSpec, where: object) -> None:
    """Raise ModelError, which names the file ``where``, if a record has images of an impossible size."""
    if not (1 <= data.height <= MAX_SIDE_PX and 1 <= data.width <= MAX_SIDE_PX) or not _has_possible_channels(data):
        size = f"{data.height} x {data.width} px with {counted(data.channels, 'channel')}"
        raise ModelError(
            "model.size_out_of_range",
            f"'{where}' gives an impossible image size: {size}\n  the file is damaged: copy it again",
        )
