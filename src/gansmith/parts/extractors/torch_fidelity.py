"""Extractors of torch-fidelity: Inception, DINOv2 and CLIP."""

import hashlib
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from gansmith.core.errors import MetricError, counted
from gansmith.core.events import OnProgress
from gansmith.core.plain_files import sha256_of
from gansmith.imaging.images import on_white
from gansmith.parts.extractors.base import DataInfo, Extractor, ExtractorPart, extractors

INCEPTION_SHA256 = "6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2"
INCEPTION_URL = (
    "https://github.com/toshas/torch-fidelity/releases/download/v0.2.0/weights-inception-2015-12-05-6726825d.pth"
)


class FidelityExtractor(ExtractorPart):
    """An extractor of torch-fidelity, which downloads its weights at first use."""

    fidelity_name: ClassVar[str]
    layers: ClassVar[tuple[str, ...]]  # of features, and of logits if it has classes
    resize: ClassVar[str]
    sha256: ClassVar[str] = ""  # of the official weights file, if known
    url: ClassVar[str] = ""

    def open(self, data: DataInfo, weights: Path | None, on_progress: OnProgress) -> Extractor:
        """Load it; MetricError if torch-fidelity or the weights are missing, or the weights are not official."""
        if data.values is not None:
            raise MetricError(
                "metric.extractor_needs_pictures",
                f"extractor '{self.kind}' knows 8-bit pictures, but these are images of"
                f" {counted(data.channels, 'channel')} of {data.values.words}"
                "\n  pass --features own, which is trained on your images, or untrained",
            )
        try:
            from torch_fidelity.utils import create_feature_extractor
        except ImportError as problem:
            raise MetricError(
                "metric.library_missing",
                f"extractor '{self.kind}' needs torch-fidelity"
                "\n  pip install 'gansmith[metrics]', or pass --features own",
            ) from problem
        more: dict[str, Any] = {"feature_extractor_weights_path": str(self._checked(weights))} if weights else {}
        try:
            network = create_feature_extractor(self.fidelity_name, list(self.layers), cuda=False, verbose=False, **more)
        except (OSError, RuntimeError) as problem:
            where = f"\n  download {self.url} (SHA-256 {self.sha256}) and pass --weights FILE" if self.url else ""
            raise MetricError(
                "metric.weights_unavailable", f"the weights of '{self.kind}' are not available: {problem}{where}"
            ) from problem
        digest = self.sha256 or _digest_of(network)
        return Extractor(self.kind, digest, self.resize, (), partial(self._extract, network))

    def _checked(self, weights: Path) -> Path:
        if not weights.is_file():
            where = f"download {self.url}" if self.url else "leave out --weights"
            raise MetricError("metric.weights_not_found", f"weights file '{weights}' does not exist\n  {where}")
        found = sha256_of(weights)
        if found != self.sha256:  # the file is a pickle, so no other one is ever opened
            raise MetricError(
                "metric.weights_not_official",
                f"'{weights}' is not the weights file of '{self.kind}': its SHA-256 is {found}"
                + (f"\n  expected {self.sha256}" if self.sha256 else "\n  this extractor takes no file")
                + (f"\n  download {self.url}" if self.url else "\n  leave out --weights"),
            )
        return weights

    def _extract(self, network: Any, images: np.ndarray) -> tuple[Tensor, Tensor | None]:
        three = np.stack([on_white(image) for image in images])
        three = np.repeat(three, 3, 3) if three.shape[3] == 1 else three
        found = network(torch.from_numpy(three).permute(0, 3, 1, 2).contiguous())
        return found[0].float(), found[1].float().softmax(1) if len(found) > 1 else None


@extractors.register("inception")
class Inception(FidelityExtractor):
    """Inception-v3 of the original TensorFlow FID, 2048 features; only its Fréchet distance is called FID.

    Source: Heusel et al. 2017, arXiv:1706.08500; weights converted by torch-fidelity.
    """

    fidelity_name: ClassVar[str] = "inception-v3-compat"
    layers: ClassVar[tuple[str, ...]] = ("2048", "logits_unbiased")
    resize: ClassVar[str] = "299 px, bilinear as TensorFlow 1"
    sha256: ClassVar[str] = INCEPTION_SHA256
    url: ClassVar[str] = INCEPTION_URL


@extractors.register("dinov2")
class DinoV2(FidelityExtractor):
    """DINOv2 ViT-B/14, 768 features: closer to human judgement than Inception.

    Source: Oquab et al. 2023, arXiv:2304.07193; for evaluation: Stein et al. 2023, arXiv:2306.04675.
    """

    fidelity_name: ClassVar[str] = "dinov2-vit-b-14"
    layers: ClassVar[tuple[str, ...]] = ("dinov2",)
    resize: ClassVar[str] = "224 px, bicubic"


@extractors.register("clip")
class Clip(FidelityExtractor):
    """CLIP ViT-B/32, 512 features.

    Source: Radford et al. 2021, arXiv:2103.00020.
    """

    fidelity_name: ClassVar[str] = "clip-vit-b-32"
    layers: ClassVar[tuple[str, ...]] = ("clip",)
    resize: ClassVar[str] = "224 px, bicubic"


def _digest_of(network: torch.nn.Module) -> str:
    digest = hashlib.sha256()
    for name, value in sorted(network.state_dict().items()):
        digest.update(name.encode() + value.cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()
