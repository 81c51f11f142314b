"""Preview grids of the fixed inputs, from averaged and from raw weights."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from gansmith.data.base import ImageData
from gansmith.imaging.images import make_grid, sample_batch, save_png
from gansmith.imaging.scatter import draw_points, plane
from gansmith.imaging.tensors import to_float
from gansmith.imaging.values import picture_of
from gansmith.methods.base import Method
from gansmith.methods.capabilities import samples_from_latents
from gansmith.methods.sampling import generate
from gansmith.recipes.recipe import Recipe
from gansmith.runs.folder import RunFolder
from gansmith.training.state import RunState

REAL_COLUMNS = 8


class PreviewWriter:
    """Writes the preview grids of a run into its folder ``samples``."""

    def __init__(self, run: RunFolder, method: Method, recipe: Recipe, seed: int, data: ImageData) -> None:
        self._run, self._method, self._data = run, method, data
        fixed = method.fixed(seed, recipe.fixed_images, data)
        columns = recipe.fixed_columns if recipe.fixed_images else fixed.columns
        self._fixed = replace(fixed, columns=columns)
        self._batch = sample_batch(data.spec.height, data.spec.width)

    def write(self, state: RunState) -> Path:
        """Write NUMBER-ema.png and NUMBER-raw.png, with the iteration as NUMBER; return the first."""
        networks = {"ema": state.preview_networks(), "raw": self._method.networks}
        scores = self._scores_of_plane() if self._data.spec.is_points else None
        pictures = {}
        for name, each in networks.items():
            images = generate(self._method.preview, each, self._fixed, self._batch, self._data.spec.stored_type)
            pictures[name] = self._picture(images, scores)
        for name in ("raw", "ema"):  # the last one says that both are there: pages ask for either
            save_png(pictures[name], self._path(state, name))
        return self._path(state, "ema")

    def _path(self, state: RunState, name: str) -> Path:
        return self._run.samples / f"{state.iteration:09d}-{name}.png"

    def _picture(self, images: np.ndarray, scores: np.ndarray | None = None) -> np.ndarray:
        """Return a grid of images; for points, a scatter plot with as many real points."""
        if not self._data.spec.is_points:
            return make_grid(self._shown(images), self._fixed.columns)
        some = np.linspace(0, len(self._data) - 1, len(images)).astype(np.int64)
        return draw_points(images, self._data.read(some), scores)

    def _shown(self, images: np.ndarray) -> np.ndarray:
        """Return the pictures of generated images, uint8; a method with image inputs lays several beside each other."""
        spec = self._data.spec
        if spec.source_values is None or images.shape[2] == spec.width // 2:
            return picture_of(images, spec.values)
        source, rest = np.split(images, [spec.width // 2], axis=2)
        return np.concatenate([picture_of(source, spec.source_values), picture_of(rest, spec.values)], axis=2)

    @torch.no_grad()
    def _scores_of_plane(self) -> np.ndarray | None:
        """Return D's scores on a grid of points over the plane, (3600,); None if D has a label input."""
        method = self._method
        if not samples_from_latents(method) or method.num_classes:
            return None
        discriminator = method.networks["discriminator"]
        points = to_float(plane()).to(next(discriminator.parameters()).device)
        training = discriminator.training
        scores = method.score(discriminator.eval(), points, None).float().cpu().numpy()
        discriminator.train(training)
        return scores

    def write_real(self) -> None:
        """Write real.png: real images in the layout of the previews, by class if the fixed inputs have classes."""
        count, labels = len(self._fixed.inputs), self._data.labels
        if self._data.spec.is_points:
            everything = np.linspace(0, len(self._data) - 1, count).astype(np.int64)
            picture = draw_points(self._data.read([]), self._data.read(everything))
            save_png(picture, self._run.samples / "real.png")
            return
        if self._fixed.labels is None or labels is None:
            places = np.linspace(0, len(self._data) - 1, count).astype(np.int64)
        else:
            wanted = self._fixed.labels.tolist()
            everything = np.arange(len(self._data))  # stands in for a class without images
            found = {label: np.flatnonzero(labels == label) for label in set(wanted)}
            by_class = {label: places if len(places) else everything for label, places in found.items()}
            seen: dict[int, int] = {}
            chosen = []
            for label in wanted:
                number = seen[label] = seen.get(label, -1) + 1
                chosen.append(by_class[label][number % len(by_class[label])])
            places = np.array(chosen)
        # Methods with images as input preview about three images in a cell; real.png has one, so more columns fit.
        columns = self._fixed.columns if self._fixed.inputs.ndim == 2 else REAL_COLUMNS
        save_png(make_grid(self._data.spec.picture(self._data.read(places)), columns), self._run.samples / "real.png")
