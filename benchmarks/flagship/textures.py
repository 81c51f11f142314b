"""Draw textures with real fine detail, so that blur cannot win: COUNT images of SIDE px into FOLDER.

Each is a sum of waves with random directions and power falling with the frequency, cut into two colours by a random
threshold or left smooth, over a colour gradient, with fine noise of a random strength: cloth, stone, wood and bark.
"""

import sys
from pathlib import Path

import numpy as np
from PIL import Image


def texture(draws: np.random.Generator, side: int) -> np.ndarray:
    """Return one image uint8 (side, side, 3)."""
    rows, columns = np.fft.fftfreq(side)[:, None], np.fft.fftfreq(side)[None]
    angle, stretch = draws.uniform(0, np.pi), draws.uniform(1, 6)
    along = rows * np.cos(angle) + columns * np.sin(angle)
    across = columns * np.cos(angle) - rows * np.sin(angle)
    radius = np.sqrt(along**2 + (stretch * across) ** 2)
    power = 1 / (0.02 + radius) ** draws.uniform(1.0, 1.8)
    waves = np.fft.ifft2(power * np.exp(2j * np.pi * draws.random((side, side)))).real
    waves = (waves - waves.mean()) / waves.std()
    if draws.random() < 0.5:
        waves = np.tanh(3 * (waves - draws.uniform(-0.5, 0.5)))
    dark, light = draws.uniform(20, 130, 3), draws.uniform(120, 240, 3)
    share = np.clip((waves[..., None] + 1.5) / 3, 0, 1)
    grain = draws.normal(0, draws.uniform(2, 14), (side, side, 1))
    return (dark + (light - dark) * share + grain).clip(0, 255).round().astype(np.uint8)


if __name__ == "__main__":
    folder, count, side = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        Image.fromarray(texture(np.random.default_rng(number), side)).save(folder / f"{number:05d}.png")
