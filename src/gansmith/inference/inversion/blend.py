"""Fill the missing pixels of one image with those of another, without a seam."""

import numpy as np

TOLERANCE = 1e-4  # relative to the first residual


def blend(image: np.ndarray, made: np.ndarray, missing: np.ndarray) -> np.ndarray:
    """Return ``image`` with its pixels in ``missing`` (H, W) filled from ``made``; all are stored pixels (H, W, C).

    The filled pixels keep the gradients of ``made``. They are ``made`` plus a harmonic function, which equals the
    difference of the two images at the edge of the hole, and has slope 0 at the image border.
    Source: Perez et al. 2003, "Poisson image editing", equations 3 and 4.
    """
    difference = (image.astype(np.float64) - made) * ~missing[..., None]
    solved = made + difference + _harmonic(difference, missing[..., None])
    if image.dtype == np.float32:
        return np.where(missing[..., None], solved.clip(-1, 1), image).astype(np.float32)
    return np.where(missing[..., None], solved.round().clip(0, np.iinfo(image.dtype).max), image).astype(image.dtype)


def _harmonic(known: np.ndarray, missing: np.ndarray) -> np.ndarray:
    """Solve Laplace's equation in ``missing`` with ``known`` around it, by conjugate gradients; 0 elsewhere."""
    solution = np.zeros_like(known)
    residual = -_laplacian(known) * missing
    step, size = residual, (residual**2).sum()
    enough = size * TOLERANCE**2
    while size > enough:
        curvature = _laplacian(step) * missing
        share = size / (step * curvature).sum()
        solution = solution + share * step
        residual = residual - share * curvature
        before, size = size, (residual**2).sum()
        step = residual + size / before * step
    return solution


def _laplacian(values: np.ndarray) -> np.ndarray:
    """Return for each pixel (H, W, C) the sum of its differences from its neighbours inside the image."""
    down, right = np.diff(values, axis=0), np.diff(values, axis=1)
    out = np.zeros_like(values)
    out[:-1] -= down
    out[1:] += down
    out[:, :-1] -= right
    out[:, 1:] += right
    return out
