"""Features of a data set, cached, and the default extractor for it."""

import hashlib

import numpy as np
from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor

from gansmith.core.atomic_files import commit_file
from gansmith.core.events import OnProgress, Progress
from gansmith.core.tensor_files import load_tensors
from gansmith.data.base import DataSpec, ImageData
from gansmith.data.cache_folder import cache_folder
from gansmith.parts.extractors.base import DataInfo, Extractor
from gansmith.parts.extractors.fashion import CLASSES, SIDE


def features_of(
    data: ImageData, order: np.ndarray, extractor: Extractor, on_progress: OnProgress
) -> tuple[Tensor, Tensor]:
    """Return features (N, F) and class probabilities (N, K) of the images at ``order``, from the cache if possible."""
    spec = data.spec
    identity = f"{extractor.sha256} {spec.fingerprint} {spec.split} {len(order)} {order[:16].tolist()} 1"
    path = cache_folder() / "judge" / f"features-{hashlib.sha256(identity.encode()).hexdigest()[:40]}.safetensors"
    try:
        kept = load_tensors(path)
        if len(kept["features"]) == len(kept["probabilities"]) == len(order):
            return kept["features"], kept["probabilities"]
    except (OSError, SafetensorError, ValueError, KeyError, TypeError):
        pass  # missing or cut off: computed again
    found = extractor(
        data.read(order),
        lambda done: on_progress(Progress(f"reference features ({extractor.name})", done, len(order))),
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    tensors = {"features": found[0].contiguous(), "probabilities": found[1].contiguous()}
    commit_file(path, lambda temporary: save_file(tensors, temporary))
    return found


def data_info_of(data: ImageData) -> DataInfo:
    """Return the facts that an extractor needs about a data set."""
    spec = data.spec
    return DataInfo(
        spec.height,
        spec.width,
        spec.channels,
        spec.classes,
        f"{spec.fingerprint[:24]}{spec.split.name}{spec.split.share:g}s{spec.split.seed}",
        lambda: (data.read(np.arange(len(data))), data.labels),
        cache_folder() / "judge",
        spec.values,
    )


def default_extractor(spec: DataSpec) -> str:
    """Return ``points`` for points, ``fashion`` or ``fashion_stacked`` for Fashion-MNIST images, else ``own``.

    Deep images get ``own``: no other extractor is trained on images like them.
    """
    if spec.is_points:
        return "points"
    if spec.values is not None:
        return "own"
    if spec.name.startswith("stacked-fashion") and spec.channels == 3 and SIDE <= spec.height == spec.width <= 32:
        return "fashion_stacked"
    small = min(spec.height, spec.width) >= SIDE and max(spec.height, spec.width) <= 32
    return "fashion" if spec.classes == CLASSES and spec.channels == 1 and small else "own"
