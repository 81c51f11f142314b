"""An extractor trained on the user's own images: sees every domain, offline."""

from functools import partial
from pathlib import Path

from safetensors.torch import save_file

from gansmith.core.atomic_files import commit_file
from gansmith.core.errors import MetricError
from gansmith.core.events import OnProgress, Progress
from gansmith.parts.extractors.base import DataInfo, Extractor, ExtractorPart, extractors
from gansmith.parts.extractors.convnet import (
    folded,
    input_side,
    look,
    open_convnet,
    train_on_labels,
    train_on_views,
    weights_digest,
)

FEWEST = 200


@extractors.register("own")
class Own(ExtractorPart):
    """A small network trained once on the training images, and kept by their fingerprint.

    With labels it learns to tell the classes apart, without them to tell images apart (SimCLR). It never sees images
    that are held out. Numbers of two such networks cannot be compared: the SHA-256 of its weights is in the protocol.
    """

    kimg_with_labels: int = 150
    kimg_without: int = 60

    def kept_at(self, domain: DataInfo) -> Path:
        """Return the file that holds the weights once they are trained."""
        kind, kimg = self._training(domain)
        return domain.cache / f"own-{domain.fingerprint}-{kind}-{kimg}.safetensors"

    def _training(self, domain: DataInfo) -> tuple[str, int]:
        return ("labels", self.kimg_with_labels) if domain.classes else ("views", self.kimg_without)

    def open(self, domain: DataInfo, weights: Path | None, on_progress: OnProgress) -> Extractor:
        """Return it, trained now if it was not before; MetricError for too few images."""
        kind, kimg = self._training(domain)
        path = self.kept_at(domain)
        side, channels = input_side(domain.height, domain.width), domain.channels
        if not path.is_file():
            images, labels = domain.read()
            if len(images) < FEWEST:
                raise MetricError(
                    "metric.too_few_training_images",
                    f"extractor 'own' needs {FEWEST} training images to learn from, got {len(images)}"
                    "\n  add images, or pass --features inception",
                )

            def report(done: int) -> None:
                on_progress(Progress(f"training the extractor on your images ({kind})", done, kimg * 1000))

            if labels is None or not domain.classes:
                network = train_on_views(images, kimg, report)
            else:
                network = train_on_labels(images, labels, len(domain.classes), kimg, report)
            domain.cache.mkdir(parents=True, exist_ok=True)
            tensors = {name: value.contiguous() for name, value in network.state_dict().items()}
            commit_file(path, lambda temporary: save_file(tensors, temporary))
        network = open_convnet(path, side, channels, len(domain.classes))
        resize = f"{side} px, bicubic, antialiased"
        return Extractor("own", weights_digest(network), resize, domain.classes, partial(look, folded(network), side))
