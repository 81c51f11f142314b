"""Make four sets of images with values in units, from public formulas, and compare samples with held-out images."""

# science.py sets FOLDER makes FOLDER/tones, terrain, counts and bands, and FOLDER/*-held-out.
# science.py compare HELD_OUT SAMPLES.npy [PICTURE.png] compares the histograms of their values.
# docs/science.md shows the results.

import argparse
from collections.abc import Callable
from pathlib import Path

import numpy as np

from gansmith.data.open import open_data
from gansmith.imaging.deep_files import encode_png16, write_tiff
from gansmith.imaging.values import units_of

SIDE, TRAINING, HELD_OUT = 32, 4000, 4000
BANDS = ("blue", "green", "yellow", "red", "edge", "nir", "swir1", "swir2")
# Reflectances of water, soil and plants in these bands, in 1/10000, after the shapes of common spectral libraries.
SPECTRA = np.array([
    [800, 700, 500, 350, 250, 150, 80, 50],
    [900, 1200, 1500, 1800, 2100, 2500, 3200, 3000],
    [300, 700, 550, 350, 1800, 4200, 2300, 1100],
], float)  # fmt: skip
BINS, SETS, WITHIN = 40, 200, 0.98  # of a histogram; drawn sets of real images; share of them that an interval holds


def tones(draw: np.random.Generator) -> np.ndarray:
    """Return the spectrogram of a synthesised sound, float32 (32, 32, 1) in dB, 0 to -80: a swept tone and overtones.

    x(t) = sum_k a^k sin(2 pi k phi(t)) exp(-d t) + noise; 20 log10 |STFT| below its peak, with a Hann window.
    """
    time = np.arange(32 * 32 + 32) / 1056
    start, end = draw.uniform(30, 120), draw.uniform(30, 120)
    phase = np.cumsum(start + (end - start) * time) / 1056
    sound = sum(draw.uniform(0.3, 0.7) ** k * np.sin(2 * np.pi * k * phase) for k in range(1, 5))
    sound = sound * np.exp(-draw.uniform(0.5, 4) * time) + 10 ** draw.uniform(-3, -2) * draw.standard_normal(len(time))
    frames = np.stack([*(sound[at : at + 64] for at in range(0, 32 * 31, 32)), sound[-64:]])
    levels = np.abs(np.fft.rfft(frames * np.hanning(64), axis=1))[:, 1:33].T[::-1]
    return np.maximum(20 * np.log10(levels / levels.max() + 1e-12), -80)[..., None].astype(np.float32)


def terrain(draw: np.random.Generator) -> np.ndarray:
    """Return heights by diamond-square, float32 (32, 32, 1) in metres.

    Source: Fournier, Fussell and Carpenter 1982, "Computer rendering of stochastic models".
    """
    height = np.zeros((33, 33))
    height[::32, ::32] = draw.normal(800, 300, (2, 2))
    step, spread = 32, 250.0
    while step > 1:
        half = step // 2
        middle = (height[:-1:step, :-1:step] + height[step::step, :-1:step]) / 4
        middle += (height[:-1:step, step::step] + height[step::step, step::step]) / 4
        height[half::step, half::step] = middle + draw.normal(0, spread, middle.shape)
        for row in range(0, 33, half):
            for column in range(half if row % step == 0 else 0, 33, step):
                near = [(row - half, column), (row + half, column), (row, column - half), (row, column + half)]
                values = [height[y, x] for y, x in near if 0 <= y < 33 and 0 <= x < 33]
                height[row, column] = np.mean(values) + draw.normal(0, spread)
        step, spread = half, spread * 0.5
    return height[:32, :32, None].astype(np.float32)


def counts(draw: np.random.Generator) -> np.ndarray:
    """Return cells under a microscope as counts of a 12-bit sensor, uint16 (32, 32, 1): Gaussians and Poisson noise."""
    y, x = np.mgrid[:SIDE, :SIDE]
    light = np.full((SIDE, SIDE), 100.0)
    for _ in range(draw.integers(1, 5)):
        top, left, size = draw.uniform(4, 28), draw.uniform(4, 28), draw.uniform(2, 5)
        light += draw.uniform(800, 3500) * np.exp(-((y - top) ** 2 + (x - left) ** 2) / (2 * size**2))
    return draw.poisson(light).clip(0, 4095)[..., None].astype(np.uint16)


def bands(draw: np.random.Generator) -> np.ndarray:
    """Return a landscape of water, soil and plants in eight bands, uint16 (32, 32, 8) in 1/10000 of reflectance."""
    height = terrain(draw)[..., 0]
    wet = 1 / (1 + np.exp((height - 550) / 60))
    green = 1 / (1 + np.exp((height - draw.uniform(800, 1200)) / 120)) * (1 - wet)
    shares = np.stack([wet, 1 - wet - green, green], -1)
    light = 1 + 0.15 * np.tanh(np.gradient(height, axis=1) / 100)
    values = shares @ SPECTRA * light[..., None] * draw.normal(1, 0.02, (SIDE, SIDE, 8))
    return values.clip(0, 10000).round().astype(np.uint16)


def make_sets(folder: Path) -> None:
    """Write the four sets, and as many held-out images of each."""
    written: dict[Callable[[np.random.Generator], np.ndarray], str] = {
        tones: ".npy", terrain: ".tif", counts: ".png", bands: ".tif"
    }  # fmt: skip
    for seed, (make, ending) in enumerate(written.items()):
        draw = np.random.default_rng(seed)
        for name, count in ((make.__name__, TRAINING), (f"{make.__name__}-held-out", HELD_OUT)):
            place = folder / name
            place.mkdir(parents=True, exist_ok=True)
            for number in range(count):
                _write(place / f"{number:05d}{ending}", make(draw))


def _write(path: Path, values: np.ndarray) -> None:
    if path.suffix == ".npy":
        np.save(path, values)
    elif path.suffix == ".png":
        path.write_bytes(encode_png16(values))
    else:
        write_tiff(path, [values], BANDS if values.shape[2] == len(BANDS) else ())


def compare(held_out: Path, samples: Path, picture: Path | None) -> list[float]:
    """Print, for each band, the share of bins of samples that lie within the intervals of real sets of that size."""
    data = open_data(held_out)
    real, fake = units_of(data.read(range(len(data))), data.spec.values), np.load(samples)
    shares, curves = [], []
    for band in range(real.shape[3]):
        edges = np.quantile(real[..., band], np.linspace(0, 1, BINS + 1))
        edges = np.unique(edges)
        each = np.stack([np.histogram(image[..., band].clip(edges[0], edges[-1]), edges)[0] for image in real])
        draw = np.random.default_rng(0)
        sets = np.stack([each[draw.choice(len(each), len(fake))].sum(0) for _ in range(SETS)]) / fake[..., band].size
        low, high = np.quantile(sets, [(1 - WITHIN) / 2, (1 + WITHIN) / 2], axis=0)
        made = np.histogram(fake[..., band].clip(edges[0], edges[-1]), edges)[0] / fake[..., band].size
        shares.append(float(((made >= low) & (made <= high)).mean()))
        curves.append((edges, low, high, made))
        one, other = fake[..., band], real[..., band]
        print(
            f"{held_out.name} band {band + 1}: {shares[-1]:.0%} of {len(made)} bins within; mean {one.mean():.1f}"
            f" (real {other.mean():.1f}), deviation {one.std():.1f} ({other.std():.1f})"
        )
    if picture is not None:
        _draw(curves, picture)
    return shares


def _draw(curves: list[tuple[np.ndarray, ...]], picture: Path) -> None:
    import matplotlib

    matplotlib.use("agg")
    from matplotlib import pyplot

    count = len(curves)
    columns = min(4, count)
    rows = -(-count // columns)
    figure, axes = pyplot.subplots(rows, columns, figsize=(2.6 * columns + 1, 2.2 * rows), squeeze=False)
    for axis, (edges, low, high, made) in zip(axes.flat, curves, strict=False):
        width = np.diff(edges)
        lower, upper = (np.append(end / width, 0) for end in (low, high))
        axis.fill_between(edges, lower, upper, step="post", alpha=0.35, label="real")
        axis.step(edges, np.append(made / width, 0), where="post", linewidth=1, color="black", label="samples")
        axis.set_yticks([])
    axes.flat[0].legend(frameon=False, fontsize=8)
    figure.tight_layout()
    figure.savefig(picture, dpi=70)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    verbs = parser.add_subparsers(dest="verb", required=True)
    verbs.add_parser("sets").add_argument("folder", type=Path)
    comparing = verbs.add_parser("compare")
    comparing.add_argument("held_out", type=Path)
    comparing.add_argument("samples", type=Path)
    comparing.add_argument("picture", type=Path, nargs="?")
    asked = parser.parse_args()
    if asked.verb == "sets":
        make_sets(asked.folder)
    else:
        compare(asked.held_out, asked.samples, asked.picture)
