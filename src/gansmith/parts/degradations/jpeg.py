"""The losses of JPEG compression, computed on tensors without a file."""

import math

import torch
from torch import Tensor
from torch.nn import functional as F

BLOCK = 8
LUMINANCE = (
    16, 11, 10, 16, 24, 40, 51, 61, 12, 12, 14, 19, 26, 58, 60, 55, 14, 13, 16, 24, 40, 57, 69, 56,
    14, 17, 22, 29, 51, 87, 80, 62, 18, 22, 37, 56, 68, 109, 103, 77, 24, 35, 55, 64, 81, 104, 113, 92,
    49, 64, 78, 87, 103, 121, 120, 101, 72, 92, 95, 98, 112, 100, 103, 99,
)  # fmt: skip
CHROMINANCE = (
    17, 18, 24, 47, 99, 99, 99, 99, 18, 21, 26, 66, 99, 99, 99, 99, 24, 26, 56, 99, 99, 99, 99, 99,
    47, 66, 99, 99, 99, 99, 99, 99, *(99,) * 32,
)  # fmt: skip
TO_YCBCR = ((0.299, 0.587, 0.114), (-0.168736, -0.331264, 0.5), (0.5, -0.418688, -0.081312))


def jpeg_compressed(images: Tensor, quality: Tensor) -> Tensor:
    """Return images (N, 1 or 3, H, W) in [-1, 1] as JPEG files of ``quality`` (N,), 1 to 100, would store them.

    Luminance and chrominance are coded in 8 x 8 blocks, chrominance at half the sides. The cosines of each block are
    rounded to multiples of the tables. Entropy coding is left out because it loses nothing. Rounding has no gradient.
    Source: ITU-T T.81, annexes A.3.3 and K.1; colours: T.871; quality: as in the IJG library.
    """
    levels = (images.clamp(-1, 1) * 127.5 + 127.5).round()
    if images.shape[1] == 1:
        return _as_levels(_coded(levels - 128, LUMINANCE, quality) + 128)
    mix = torch.tensor(TO_YCBCR, dtype=images.dtype, device=images.device)
    planes = torch.einsum("ij,njhw->nihw", mix, levels)
    height, width = images.shape[2:]
    even = F.pad(planes[:, 1:], (0, width % 2, 0, height % 2), mode="replicate")
    luma = _coded(planes[:, :1].round() - 128, LUMINANCE, quality)
    chroma = _coded(F.avg_pool2d(even, 2).round(), CHROMINANCE, quality)
    chroma = F.interpolate(chroma, scale_factor=2, mode="bilinear", align_corners=False)[..., :height, :width]
    back = torch.linalg.inv(mix.double()).to(mix.dtype)
    return _as_levels(torch.einsum("ij,njhw->nihw", back, torch.cat([luma + 128, chroma], 1)))


def _as_levels(levels: Tensor) -> Tensor:
    return levels.round().clamp(0, 255) / 127.5 - 1


def _coded(planes: Tensor, table: tuple[int, ...], quality: Tensor) -> Tensor:
    """Return planes (N, P, H, W), centred at 0, with the cosines of each block rounded to multiples of a table."""
    height, width = planes.shape[2:]
    padded = F.pad(planes, (0, -width % BLOCK, 0, -height % BLOCK), mode="replicate")
    blocks = padded.unflatten(3, (-1, BLOCK)).unflatten(2, (-1, BLOCK)).transpose(3, 4)  # (N, P, rows, columns, 8, 8)
    cosines = _cosines(planes)
    steps = _steps(table, quality, planes)[:, None, None, None]
    found = ((cosines @ blocks @ cosines.T) / steps).round() * steps
    values = (cosines.T @ found @ cosines).transpose(3, 4).flatten(4, 5).flatten(2, 3)
    return values[..., :height, :width]


def _steps(table: tuple[int, ...], quality: Tensor, like: Tensor) -> Tensor:
    """Return the rounding steps (N, 8, 8) of each image: the table at quality 50, finer above, coarser below."""
    percent = torch.where(quality < 50, (5000 / quality).floor(), 200 - 2 * quality)
    base = torch.tensor(table, dtype=like.dtype, device=like.device)
    return ((base * percent[:, None] + 50) / 100).floor().clamp(1, 255).view(-1, BLOCK, BLOCK)


def _cosines(like: Tensor) -> Tensor:
    """Return the orthonormal matrix (8, 8) of the discrete cosine transform; row k is the k-th cosine."""
    places = torch.arange(BLOCK, dtype=torch.float64)
    matrix = torch.cos(math.pi / BLOCK * (places + 0.5) * places[:, None]) * math.sqrt(2 / BLOCK)
    matrix[0] /= math.sqrt(2)
    return matrix.to(like)
