"""A trained model in an ONNX file, run by onnxruntime without torch."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
from numpy.typing import ArrayLike

from gansmith.core.errors import ModelError, reason_of
from gansmith.imaging.images import POINT, as_levels, padded_batches
from gansmith.inference.base import (
    LatentInput,
    TrainedModel,
    needs_weights,
    no_latents,
    no_translator,
    no_upscaler,
    one_way,
)
from gansmith.inference.image_to_image import ImageToImage
from gansmith.inference.interpolate import interpolate
from gansmith.inference.latents import one_hot
from gansmith.inference.onnx_file import read_onnx
from gansmith.inference.translate import translate

LATENTS, LABELS, IMAGES = "latents", "labels", "images"  # names of a graph's inputs
FLOATS, PIXELS = "tensor(float)", "tensor(uint8)"
SUPER_RESOLUTION, UNPAIRED = "super_resolution", "unpaired"


class OnnxModel(TrainedModel):
    """A generator that ``gansmith export`` wrote as ONNX; it draws the images that torch draws, within one level.

    It has no discriminator and no gradients: ``score``, ``features``, ``invert``, ``directions``, ``evaluate`` and
    training need the model that it was exported from.
    """

    interpolate = interpolate
    translate = translate

    def __init__(self, path: str | Path, device: str = "auto") -> None:
        """Open a file; ModelError if it is damaged, of another tool, or contradicts itself.

        ``device`` is auto or cpu, or cuda where the installed onnxruntime has it.
        """
        file = read_onnx(Path(path), device)
        self.path, self.record, self._facts, self._session = file.path, file.record, file.facts, file.session
        self.kind, self.data, self.classes = file.record.method.kind, file.record.data, file.record.data.classes
        self.directions = np.asarray(self._facts.directions, np.float32)  # (num, latent_dim); (0,) without any
        self._takes_mask = False
        try:
            self._inputs = [each.name for each in self._session.get_inputs()]
            self._draws_latents = self._inputs != [IMAGES]
            if self._draws_latents:
                self._check_latent_graph()
            else:
                self._check_image_graph()
        except UnicodeDecodeError as problem:
            raise ModelError(
                "model.unreadable",
                f"'{path}' cannot be read: a name in its graph is not UTF-8\n  export the model again",
            ) from problem

    @property
    def draws_latents(self) -> bool:
        """Say whether it makes images from latents, and not from images."""
        return self._draws_latents

    @property
    def scale(self) -> int:
        """Return the sides of a result divided by the sides of its image."""
        return self._facts.scale

    @property
    def takes_mask(self) -> bool:
        """Say whether it fills holes, which a mask shows."""
        return self._takes_mask

    def latent_input(self, verb: str) -> LatentInput:
        """Return the generator's input; ModelError, which names ``verb``, if the model draws no images from latents."""
        if not self._draws_latents:
            raise no_latents(verb, self.kind)
        method = self.record.method
        return LatentInput(method.latent_dim, self.record.num_classes, self._facts.mixes_labels, method.generator.kind)

    def draw(self, latents: ArrayLike, labels: ArrayLike | None = None, *, raw: bool = False) -> np.ndarray:
        """Return images of latents (N, latent_dim), stored pixels (N, H, W, C); ``TrainedModel.draw`` explains it."""
        self._check_raw(raw)
        values = np.asarray(latents, np.float32)
        count, given = len(values), None if labels is None else np.asarray(labels)
        out = [
            self.draw_batch(values[places], None if given is None else given[places])
            for places in padded_batches(count, self.record.sample_batch)
        ]
        return np.concatenate(out)[:count]

    def draw_batch(self, latents: np.ndarray, labels: np.ndarray | None = None) -> np.ndarray:
        """Return what ``draw`` returns, drawn in one batch of any size."""
        num_classes = self.latent_input("draw").num_classes
        feed = {LATENTS: latents}
        if num_classes:
            weights = np.asarray(labels)
            feed[LABELS] = one_hot(weights, num_classes) if weights.ndim == 1 else weights.astype(np.float32)
        count, data = len(latents), self.data
        shape = (count, 2) if data.is_points else (count, data.height, data.width, data.channels)
        made = self._run(feed, np.uint8 if self._makes_pixels else np.float32, shape)
        if data.values is not None:
            made = data.values.stored(made)
        return as_levels(made).reshape(-1, *POINT) if data.is_points else made

    def translator(self, *, reverse: bool = False, as_source: bool = False, raw: bool = False) -> ImageToImage:
        """Return the generator that ``translate`` uses; ModelError if the model does not translate in that way."""
        if self._draws_latents or self.kind == SUPER_RESOLUTION:
            raise no_translator(self.kind, upscales=self.kind == SUPER_RESOLUTION)
        if reverse and self.kind != UNPAIRED:
            raise one_way(self.kind)
        if reverse:
            raise ModelError(
                "model.one_direction",
                f"--reverse: '{self.path}' holds one direction, {self._facts.direction}"
                "\n  'gansmith export' writes a file for each direction: pass the other file",
            )
        if as_source and self.record.method.task is not None:
            raise ModelError(
                "model.needs_weights",
                f"--as-source: '{self.path}' makes the sources of task '{self.record.method.task.kind}' itself"
                "\n  pass the run or the model folder that it was exported from",
            )
        self._check_raw(raw)
        return self._image_to_image()

    def upscaler(self, *, raw: bool = False) -> ImageToImage:
        """Return the generator that ``upscale`` uses; ModelError if the model does not upscale."""
        if self._draws_latents or self.kind != SUPER_RESOLUTION:
            raise no_upscaler(self.kind, enlarges=not self._draws_latents and self._facts.scale > 1)
        self._check_raw(raw)
        return self._image_to_image()

    def score(self, images: np.ndarray, label: str | int | None = None) -> NoReturn:
        """Raise ModelError: the file has no discriminator."""
        raise needs_weights("score")

    def discriminator_features(
        self, images: np.ndarray, layers: Sequence[str] = (), label: str | int | None = None
    ) -> NoReturn:
        """Raise ModelError: the file has no discriminator."""
        raise needs_weights("extract features")

    def discriminator(self, verb: str) -> NoReturn:
        """Raise ModelError, which names ``verb``: the file has no discriminator."""
        raise needs_weights(verb)

    def latent_method(self, verb: str) -> NoReturn:
        """Raise ModelError, which names ``verb``: the file has no networks for torch."""
        raise needs_weights(verb)

    def save(self, folder: Path) -> NoReturn:
        """Raise ModelError: the file has no weights for torch."""
        raise needs_weights("save a model folder")

    def push_to_hub(self, repo: str, **options: Any) -> NoReturn:
        """Raise ModelError: the file has no weights for torch."""
        raise needs_weights("publish a model")

    def _image_to_image(self) -> ImageToImage:
        data, scale, source = self.data, self._facts.scale, self.data.source_meaning

        def work(tile: np.ndarray) -> np.ndarray:
            shape = (1, tile.shape[0] * scale, tile.shape[1] * scale, data.channels)
            if source is not None and data.values is not None:
                colours, marks = np.split(tile, [data.channels], axis=2)
                units = np.concatenate([source.in_units_exactly(colours), (marks > 0).astype(np.float32)], axis=2)
                made = self._run({IMAGES: np.ascontiguousarray(units[None])}, np.float32, shape)[0]
                return replace(data.values, depth="float").stored(made)
            return self._run({IMAGES: np.ascontiguousarray(tile[None])}, np.uint8, shape)[0].astype(np.float32)

        width = data.width // 2 if data.pairs else data.width
        least = (data.height // scale, width // scale)
        return ImageToImage(work, data.channels, data.channels, scale, self._facts.multiple, least, self._takes_mask)

    def _run(self, feed: dict[str, np.ndarray], kind: type, shape: tuple[int, ...]) -> np.ndarray:
        """Return the graph's output; ModelError if the graph fails, or makes something else than it should."""
        try:
            (made,) = self._session.run(None, feed)
        except Exception as problem:  # onnxruntime has a class for each of its status codes, and no base class
            raise ModelError(
                "model.unreadable",
                f"'{self.path}' fails in onnxruntime: {reason_of(problem)}\n  export the model again",
            ) from problem
        if not isinstance(made, np.ndarray) or made.dtype != kind or made.shape != shape:
            raise self._contradiction(f"makes {getattr(made, 'shape', type(made).__name__)}", f"{shape}")
        return made

    def _check_raw(self, raw: bool) -> None:
        if raw and not self._facts.raw:
            raise ModelError(
                "model.no_such_weights",
                f"'{self.path}' holds only the averaged weights\n  export the raw weights: gansmith export MODEL --raw",
            )

    @property
    def _makes_pixels(self) -> bool:
        """Say whether the graph makes uint8 images; of deep data it makes floats in units, as of points."""
        return self.data.values is None and not self.data.is_points

    def _check_latent_graph(self) -> None:
        record = self.record
        wanted = [(LATENTS, FLOATS, [record.method.latent_dim])]
        if record.num_classes:
            wanted.append((LABELS, FLOATS, [record.num_classes]))
        self._check_ports("input", self._session.get_inputs(), wanted, free=1)
        images = (
            IMAGES,
            PIXELS if self._makes_pixels else FLOATS,
            [record.data.height, record.data.width, record.data.channels],
        )
        made = ("points", FLOATS, [2]) if record.data.is_points else images
        self._check_ports("output", self._session.get_outputs(), [made], free=1)

    def _check_image_graph(self) -> None:
        channels = self.data.channels
        self._takes_mask = self._session.get_inputs()[0].shape[3:] == [channels + 1]
        kind = PIXELS if self._makes_pixels else FLOATS
        wanted = [(IMAGES, kind, [channels + self._takes_mask])]
        self._check_ports("input", self._session.get_inputs(), wanted, free=3)
        self._check_ports("output", self._session.get_outputs(), [("results", kind, [channels])], free=3)

    def _check_ports(self, what: str, ports: list[Any], wanted: list[tuple[str, str, list[int]]], free: int) -> None:
        """Raise ModelError unless inputs or outputs have these names, types and, after ``free`` free ones, sides."""
        found = [(port.name, port.type, port.shape[free:]) for port in ports]
        fixed = [side for port in ports for side in port.shape[:free] if isinstance(side, int)]
        if found != wanted or fixed:
            words = [_port(port.name, port.type, port.shape) for port in ports]
            expected = [_port(name, kind, ["any"] * free + sides) for name, kind, sides in wanted]
            raise self._contradiction(f"has the {what} {' and '.join(words) or 'none'}", " and ".join(expected))

    def _contradiction(self, found: str, wanted: str) -> ModelError:
        return ModelError(
            "model.graph_unfit",
            f"the graph of '{self.path}' does not fit its record: it {found}"
            f"\n  expected: {wanted}\n  export the model again",
        )


def _port(name: str, kind: str, sides: list[Any]) -> str:
    return f"{name}, {kind} of {' x '.join(map(str, sides))}"
