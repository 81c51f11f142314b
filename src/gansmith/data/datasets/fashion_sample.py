"""The built-in data set: 10,000 gray images of clothes, 28 x 28 px, in ten classes."""

from pathlib import Path
from typing import ClassVar

from gansmith.data.datasets.base import DataSetPart, register
from gansmith.data.sources.arrays import ArraySource, array_file

FILE = Path(__file__).with_name("fashion_sample.npz")


@register("fashion-sample")
class FashionSample(DataSetPart):
    """The first 1,000 images of each class of Fashion-MNIST's training split; none of its test split.

    Source: Xiao, Rasul, Vollgraf 2017 (arXiv 1708.07747), Zalando SE, MIT licence (fashion_sample.LICENSE).
    """

    about: ClassVar[str] = "clothes; 1,000 of each class of fashion-mnist; 28 x 28 gray; 10 classes; built in"
    licence: ClassVar[str] = "MIT"

    def source(self) -> ArraySource:
        """Return the file beside this module as a source."""
        return array_file(FILE, name=self.kind)
