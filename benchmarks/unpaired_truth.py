"""Make two image sets for `unpaired` whose true translation is known: day and night."""

# Run: python benchmarks/unpaired_truth.py avatars64.zip OUT
# Reads a .zip of 64 px avatars and keeps those with a light background (mean luma of both upper corners above 200 of
# 255). The first half, in an order of seed 0, is set A (day). The second half, changed by the map below, is set B
# (night). No avatar is in both, so the map cannot be read off pairs. 200 images of each half are held out, with the
# truth for A's.
# The map: each colour (r, g, b) becomes 0.7 (b, r, g), so all hues turn by a third and all is darker.
# Writes OUT/day and OUT/night (training), OUT/held/day and OUT/held/night (held out), and OUT/truth/day: the map
# applied to held/day, in the same order.

import sys
from pathlib import Path

import numpy as np
from PIL import Image

from gansmith.data.open import open_data

LUMA = np.array([0.299, 0.587, 0.114])
CORNER_PX, LIGHT, KEPT_APART = 4, 200, 200


def night(images: np.ndarray) -> np.ndarray:
    """Return the night version of uint8 images (N, H, W, 3)."""
    return np.round(0.7 * images[..., [2, 0, 1]].astype(np.float64)).astype(np.uint8)


def main() -> None:
    if len(sys.argv) != 3:
        raise SystemExit("usage: python benchmarks/unpaired_truth.py avatars64.zip OUT")
    source, out = sys.argv[1], Path(sys.argv[2])
    data = open_data(source)
    images = data.read(np.arange(len(data)))
    corners = np.concatenate([images[:, :CORNER_PX, :CORNER_PX], images[:, :CORNER_PX, -CORNER_PX:]], 1)
    light = images[corners.mean((1, 2)) @ LUMA > LIGHT]
    light = light[np.random.default_rng(0).permutation(len(light))]
    half = len(light) // 2
    day, other = light[:half], night(light[half:])
    sets = {
        "day": day[KEPT_APART:],
        "night": other[KEPT_APART:],
        "held/day": day[:KEPT_APART],
        "held/night": other[:KEPT_APART],
        "truth/day": night(day[:KEPT_APART]),
    }
    for name, content in sets.items():
        folder = out / name
        folder.mkdir(parents=True)
        for index, image in enumerate(content):
            Image.fromarray(image).save(folder / f"{index:04d}.png")
        print(f"{folder}: {len(content)} images")


if __name__ == "__main__":
    main()
