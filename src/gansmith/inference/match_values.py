"""Map the values of samples so that their histogram is that of a data set."""

from collections.abc import Callable
from pathlib import Path

import numpy as np

from gansmith.core.errors import DataError
from gansmith.data.base import DataOptions, DataSpec
from gansmith.inference.samples import DrawnSamples

FITTED_ON = 2048  # samples, and images of the data set, of which the quantiles are taken
FITTED_SEED = 977_241_113  # of these samples: another than those that are mapped
KNOTS = 8193  # quantiles that the map goes through; whole numbers need many
VALUES_AT_ONCE = 64  # images


def value_map(
    drawn: DrawnSamples, source: str | Path, spec: DataSpec, root: Path | None = None
) -> Callable[[np.ndarray], np.ndarray]:
    """Return a function of stored pixels (N, H, W, C) that gives them the histogram of a data set, for each channel.

    It is monotone: each quantile of the values of ``drawn``, samples of the model, becomes that quantile of the data
    set, and values between them are interpolated. Only histograms change, not which pixel is larger than another.
    Raises DataError for data of other channels.
    Source: quantile mapping, Panofsky and Brier 1968, "Some applications of statistics to meteorology".
    """
    from gansmith.data.open import open_data  # here: it needs torch, which sampling an .onnx file does not

    options = DataOptions().like(spec)
    if spec.values is None:  # else dark images would be stored with a range of their own
        options = options.model_copy(update={"range": "0:255", "depth": "8"})
    data = open_data(source, options, root=root)
    if data.spec.channels != spec.channels:
        raise DataError(
            "data.other_channels",
            f"'{source}' has {data.spec.kind_words}, but the model makes {spec.kind_words}"
            "\n  pass the images that the model was trained on",
        )
    chosen = np.linspace(0, len(data) - 1, min(FITTED_ON, len(data))).round().astype(np.int64)
    real = data.read(chosen).reshape(-1, spec.channels)
    made = np.concatenate(
        [drawn.draw(first, min(VALUES_AT_ONCE, drawn.count - first)) for first in range(0, drawn.count, VALUES_AT_ONCE)]
    ).reshape(-1, spec.channels)
    places = np.linspace(0, 1, KNOTS)
    knots = []
    for channel in range(spec.channels):
        before, after = (np.quantile(values[:, channel].astype(np.float64), places) for values in (made, real))
        before, first = np.unique(before, return_index=True)
        knots.append((before, after[first]))

    def apply(pixels: np.ndarray) -> np.ndarray:
        out = np.stack([np.interp(pixels[..., at], *knots[at]) for at in range(spec.channels)], axis=-1)
        return np.ascontiguousarray((out.round() if pixels.dtype.kind == "u" else out).astype(pixels.dtype))

    return apply
