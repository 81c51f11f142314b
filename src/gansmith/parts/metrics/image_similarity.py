"""Similarity of results and targets: PSNR, SSIM, L1, features, colourfulness."""

# Images are stored pixels (N, H, W, C), results and targets in the same order. Each function returns float64 (N,), one
# value an image.

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from gansmith.imaging.values import levels_of
from gansmith.parts.metrics.base import Number

PEAK = 255.0
WINDOW_PX, WINDOW_SIGMA = 11, 1.5
K1, K2 = 0.01, 0.03
AT_ONCE = 256  # images whose SSIM maps are in memory at a time
BEST = {  # as Metric.best
    "psnr": "high",
    "ssim": "high",
    "l1": "low",
    "feature_distance": "low",
    "cycle_error": "low",
    "colourfulness_ratio": "one",
}


def l1(results: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """Return the mean absolute difference, in grey levels of 0 to 255; of deep images in 255ths of their range."""
    return np.array(
        [np.abs(levels_of(one) - levels_of(other)).mean() for one, other in zip(results, targets, strict=True)]
    )


def psnr(results: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """Return the peak signal-to-noise ratio 10 log10(255^2 / MSE), in dB.

    For equal images, where it is infinite, it is the value for a difference of one level in one pixel.
    """
    errors = [((levels_of(one) - levels_of(other)) ** 2).mean() for one, other in zip(results, targets, strict=True)]
    return 10 * np.log10(PEAK**2 / np.maximum(errors, 1 / targets[0].size))


def window_px(height: int, width: int) -> int:
    """Return the side of SSIM's window: 11 px, or the largest odd number that fits into smaller images."""
    side = min(WINDOW_PX, height, width)
    return side - 1 + side % 2


def ssim(results: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """Return the structural similarity, -1 to 1: the mean over channels and over all windows inside the image.

    (2 m_x m_y + C1) (2 s_xy + C2) / ((m_x^2 + m_y^2 + C1) (s_x^2 + s_y^2 + C2)) with C1 = (0.01 255)^2,
    C2 = (0.03 255)^2 and moments under a Gaussian of sigma 1.5 px.
    Source: Wang et al. 2004, IEEE Transactions on Image Processing 13(4), equation 13.
    Differs: every channel instead of luminance; smaller windows for images below 11 px.
    """
    side = window_px(*targets.shape[1:3])
    places = torch.arange(side, dtype=torch.float64) - side // 2
    line = torch.exp(-places.square() / (2 * WINDOW_SIGMA**2))
    line = line / line.sum()

    def smoothed(values: Tensor) -> Tensor:
        return F.conv2d(F.conv2d(values, line.view(1, 1, -1, 1)), line.view(1, 1, 1, -1))

    def each_channel(images: np.ndarray) -> Tensor:
        return torch.from_numpy(levels_of(images)).permute(0, 3, 1, 2).flatten(0, 1)[:, None]

    found = []
    for start in range(0, len(targets), AT_ONCE):
        part = slice(start, start + AT_ONCE)
        x, y = each_channel(results[part]), each_channel(targets[part])
        mean_x, mean_y = smoothed(x), smoothed(y)
        spread_x, spread_y = smoothed(x * x) - mean_x**2, smoothed(y * y) - mean_y**2
        shared, c1, c2 = smoothed(x * y) - mean_x * mean_y, (K1 * PEAK) ** 2, (K2 * PEAK) ** 2
        likeness = (2 * mean_x * mean_y + c1) * (2 * shared + c2)
        likeness = likeness / ((mean_x**2 + mean_y**2 + c1) * (spread_x + spread_y + c2))
        found.append(likeness.view(-1, targets.shape[3] * likeness[0].numel()).mean(1))
    return torch.cat(found).numpy()


def colourfulness(images: np.ndarray) -> np.ndarray:
    """Return M3 = sqrt(s_rg^2 + s_yb^2) + .3 sqrt(m_rg^2 + m_yb^2), rg = R - G, yb = (R + G) / 2 - B; 0 for gray.

    Source: Hasler and Suesstrunk 2003, Human Vision and Electronic Imaging VIII, equations 7 to 9. Ignores alpha.
    """
    found = []
    for image in images:
        red, green, blue = (levels_of(image[..., channel]) for channel in range(3))
        rg, yb = red - green, (red + green) / 2 - blue
        found.append(np.hypot(rg.std(), yb.std()) + 0.3 * np.hypot(rg.mean(), yb.mean()))
    return np.array(found)


def feature_distance(results: Tensor, targets: Tensor) -> np.ndarray:
    """Return the squared distance of features (N, F) scaled to length 1: 0 if parallel, 4 if opposite.

    Source: after Zhang et al. 2018 (LPIPS), arXiv:1801.03924, equation 1.
    Differs: only the last features of any extractor, without learnt weights: it is not LPIPS.
    """
    one, other = (F.normalize(features.double(), dim=1) for features in (results, targets))
    return (one - other).square().sum(1).numpy()


def mean_of(values: np.ndarray) -> Number:
    """Return the mean over images and its standard error."""
    count = len(values)
    return Number(float(values.mean()), float(values.std(ddof=1) / count**0.5), f"{count:,} images", count)
