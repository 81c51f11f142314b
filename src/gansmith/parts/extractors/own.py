"""An extractor trained on the user's images, offline."""

from functools import partial
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import save_file

from gansmith.core.atomic_files import commit_file, one_at_a_time
from gansmith.core.errors import MetricError
from gansmith.core.events import OnProgress, Progress
from gansmith.core.plain_files import refuse_damaged_tensors
from gansmith.parts.extractors.base import DataInfo, Extractor, ExtractorPart, extractors
from gansmith.parts.extractors.convnet import (
    ConvNet,
    extract,
    folded,
    input_side,
    open_convnet,
    train_on_labels,
    train_on_views,
    weights_digest,
)

FEWEST = 200  # training images
DIGEST = "sha256"  # the entry of the weights in the header of their file


@extractors.register("own")
class Own(ExtractorPart):
    """A small network trained once on the training images and cached by their fingerprint.

    With labels it learns to classify, without labels to tell images apart (SimCLR). It never sees held-out images.
    Metrics of two such networks cannot be compared, so the SHA-256 of its weights is in the protocol.
    """

    kimg_with_labels: int = 150
    kimg_without: int = 60

    def kept_at(self, data: DataInfo) -> Path:
        """Return the path of the cached weights."""
        kind, kimg = self._training(data)
        return data.cache / f"own-{data.fingerprint}-{kind}-{kimg}.safetensors"

    def _training(self, data: DataInfo) -> tuple[str, int]:
        return ("labels", self.kimg_with_labels) if data.classes else ("views", self.kimg_without)

    def open(self, data: DataInfo, weights: Path | None, on_progress: OnProgress) -> Extractor:
        """Load it, and train it first if it is not cached; MetricError for fewer than 200 images."""
        path, side = self.kept_at(data), input_side(data.height, data.width)
        network = _kept(path, side, data)
        if network is None:
            data.cache.mkdir(parents=True, exist_ok=True)
            waiting = "another command trains the extractor 'own' on the same images; this one waits for it"
            with one_at_a_time(path.with_suffix(".lock"), waiting):
                if (network := _kept(path, side, data)) is None:
                    network = self._trained(data, on_progress)
                    tensors = {name: value.contiguous() for name, value in network.state_dict().items()}
                    texts = {DIGEST: weights_digest(network)}
                    commit_file(path, lambda temporary: save_file(tensors, temporary, texts))
        resize = f"{side} px, bicubic, antialiased"
        return Extractor(
            "own",
            weights_digest(network),
            resize,
            data.classes,
            partial(extract, folded(network), side),
        )

    def _trained(self, data: DataInfo, on_progress: OnProgress) -> ConvNet:
        """Return a network that has learnt from the images; MetricError for fewer than 200."""
        kind, kimg = self._training(data)
        images, labels = data.read()
        if len(images) < FEWEST:
            raise MetricError(
                "metric.too_few_training_images",
                f"extractor 'own' needs at least {FEWEST} training images, got {len(images)}"
                "\n  add images, or pass --features inception",
            )

        def tell(done: int) -> None:
            on_progress(Progress(f"training extractor 'own' ({kind})", done, kimg * 1000))

        if labels is None or not data.classes:
            return train_on_views(images, kimg, tell)
        return train_on_labels(images, labels, len(data.classes), kimg, tell)


def _kept(path: Path, side: int, data: DataInfo) -> ConvNet | None:
    """Return the cached network; None if there is none, or its file is damaged."""
    try:
        texts = refuse_damaged_tensors(path)
        network = open_convnet(path, side, data.channels, len(data.classes))
    except (OSError, ValueError, SafetensorError, RuntimeError):  # RuntimeError: other tensors
        return None
    return network if texts.get(DIGEST, "") in ("", weights_digest(network)) else None  # older files have none
