"""Filling a hole of one image with another, without a seam."""

import numpy as np

TOLERANCE = 1e-4  # of the first residual


def blend(image: np.ndarray, made: np.ndarray, missing: np.ndarray) -> np.ndarray:
    """Return uint8 (H, W, C): ``image`` where it is known, and ``made`` where ``missing`` (H, W), fitted to its edge.

    In the hole the result keeps the gradients of ``made``: it is ``made`` plus the harmonic function that on the edge
    is the difference of the two. At the image's own border the slope of that function is 0.
    Source: Perez et al. 2003, "Poisson image editing", equations 3 and 4.
    """
    difference = (image.astype(np.float64) - made) * ~missing[..., None]
    solved = made + difference + _harmonic(difference, missing[..., None])
    return np.where(missing[..., None], solved.round().clip(0, 255), image).astype(np.uint8)


def _harmonic(known: np.ndarray, missing: np.ndarray) -> np.ndarray:
    """Return what is 0 where known and continues ``known`` harmonically where missing: conjugate gradients."""
    solution = np.zeros_like(known)
    residual = -_laplacian(known) * missing
    step, size = residual, (residual**2).sum()
    enough = size * TOLERANCE**2
    while size > enough:
        turned = _laplacian(step) * missing
        share = size / (step * turned).sum()
        solution = solution + share * step
        residual = residual - share * turned
        before, size = size, (residual**2).sum()
        step = residual + size / before * step
    return solution


def _laplacian(values: np.ndarray) -> np.ndarray:
    """Return for each pixel (H, W, C) the sum of its differences from the neighbours that it has."""
    down, right = np.diff(values, axis=0), np.diff(values, axis=1)
    out = np.zeros_like(values)
    out[:-1] -= down
    out[1:] += down
    out[:, :-1] -= right
    out[:, 1:] += right
    return out
