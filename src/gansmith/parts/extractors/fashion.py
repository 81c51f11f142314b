"""The built-in Fashion-MNIST classifier: an extractor for small gray pictures of clothes."""

from functools import partial
from importlib import resources
from pathlib import Path

from gansmith.core.errors import MetricError, counted
from gansmith.core.events import OnProgress
from gansmith.parts.extractors.base import DataInfo, Extractor, ExtractorPart, extractors
from gansmith.parts.extractors.convnet import extract, folded, open_convnet, weights_digest

SIDE = 28
CLASSES = (
    "T-shirt/top",
    "Trouser",
    "Pullover",
    "Dress",
    "Coat",
    "Sandal",
    "Shirt",
    "Sneaker",
    "Bag",
    "Ankle boot",
)


@extractors.register("fashion")
class Fashion(ExtractorPart):
    """A convolutional network of 0.3 M weights trained on the 60,000 training images of Fashion-MNIST.

    128 features, 10 classes, for gray images of 28 to 32 px. It recognises 90.0 % of the test split;
    ``scripts/make_fashion_extractor.py --kimg 120`` trained it.
    """

    def open(self, data: DataInfo, weights: Path | None, on_progress: OnProgress) -> Extractor:
        """Load it; MetricError for images that are not gray or not 28 to 32 px."""
        if (
            data.values is not None
            or data.channels != 1
            or not all(SIDE <= side <= 32 for side in (data.height, data.width))
        ):
            raise MetricError(
                "metric.images_unfit_for_extractor",
                f"extractor 'fashion' takes gray images of 28 to 32 px, got {data.height} x {data.width} px with"
                f" {counted(data.channels, 'channel')}\n  pass --features own, which is trained on your images",
            )
        return self.load()

    def load(self) -> Extractor:
        """Load it."""
        with resources.as_file(resources.files("gansmith.parts.extractors") / "fashion.safetensors") as path:
            network = open_convnet(path, SIDE, 1, len(CLASSES))
        return Extractor(
            "fashion",
            weights_digest(network),
            "28 px, bicubic, antialiased",
            CLASSES,
            partial(extract, folded(network), SIDE),
        )
