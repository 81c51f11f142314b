"""Check that the Fréchet distance of `fashion` orders image sets as a person would."""

# Run: python benchmarks/fd_order.py --data-root FOLDER [--num 5000]
# Reference set: the test split of Fashion-MNIST. Image sets: real training images, unchanged, with noise, blurred, and
# with classes left out. Prints a table. Exits with 1 unless real < noise < blur and all < 9 < 5 < 1 classes.

import argparse
import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional as F

from gansmith.data.base import ImageData
from gansmith.data.open import open_data
from gansmith.evaluation.features import features_of
from gansmith.parts.extractors.base import Extractor
from gansmith.parts.extractors.fashion import Fashion
from gansmith.parts.metrics.base import Number, over_sets
from gansmith.parts.metrics.frechet import frechet_distances

NOISE, BLUR_PX = 16, 5  # standard deviation in levels of 255; side of the averaged box
CLASSES_KEPT = (10, 9, 5, 1)


def noisy(images: np.ndarray, draws: np.random.Generator) -> np.ndarray:
    """Return uint8 images with Gaussian noise."""
    return (images + draws.normal(0, NOISE, images.shape)).round().clip(0, 255).astype(np.uint8)


def blurred(images: np.ndarray) -> np.ndarray:
    """Return uint8 (N, H, W, 1) images whose pixels are means of their neighbourhoods."""
    values = torch.from_numpy(images).permute(0, 3, 1, 2).float()
    mean = F.avg_pool2d(values, BLUR_PX, 1, BLUR_PX // 2, count_include_pad=False)
    return mean.round().permute(0, 2, 3, 1).to(torch.uint8).numpy()


def measure(reference: ImageData, pool: ImageData, extractor: Extractor, num: int, sets: int) -> dict[str, Number]:
    """Return the distance to the reference of ``sets`` sets of ``num`` pool images, for each way of changing them."""

    def seen(data: ImageData) -> torch.Tensor:
        return features_of(data, np.arange(len(data)), extractor, lambda *_: None)[0]

    real, features, labels = seen(reference), seen(pool), pool.labels
    assert labels is not None
    found: dict[str, list[float]] = {}
    for index in range(sets):
        draws = np.random.default_rng(index)
        for kept in CLASSES_KEPT:
            chosen = draws.choice(np.flatnonzero(labels < kept), num, replace=False)
            name = "real images" if kept == 10 else f"{kept} of 10 classes"
            found.setdefault(name, []).extend(frechet_distances(real, [features[chosen]]))
            if kept == 10:
                images = pool.read(chosen)
                for kind, changed in (("with noise", noisy(images, draws)), ("blurred", blurred(images))):
                    found.setdefault(kind, []).extend(frechet_distances(real, [extractor(changed)[0]]))
    return {name: over_sets(values, num) for name, values in found.items()}


def is_in_order(found: dict[str, Number]) -> bool:
    """Say whether the sets are in a person's order by more than twice the deviations."""
    orders = (("real images", "with noise", "blurred"), ("real images", "9 of 10 classes", "5 of 10 classes"))
    orders += (("5 of 10 classes", "1 of 10 classes"),)
    pairs = [pair for order in orders for pair in pairwise(order)]
    return all(
        found[low].value + 2 * (found[low].deviation or 0) < found[high].value - 2 * (found[high].deviation or 0)
        for low, high in pairs
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data-root", type=Path)
    parser.add_argument("--num", type=int, default=5000)
    parser.add_argument("--sets", type=int, default=4)
    args = parser.parse_args()
    reference, pool = (open_data(f"fashion-mnist:{split}", root=args.data_root) for split in ("test", "train"))
    extractor = Fashion().load()
    found = measure(reference, pool, extractor, args.num, args.sets)
    print(f"| set of {args.num:,} | fd to the {len(reference):,} images of the test split |\n|---|---|")
    for name, number in found.items():
        print(f"| {name} | {number.value:.3f} +- {number.deviation:.3f} |")
    sys.exit(not is_in_order(found))


if __name__ == "__main__":
    main()
