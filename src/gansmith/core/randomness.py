"""Random numbers as pure functions of seed, role, iteration and position in the batch."""

# A resume needs no saved generator state, and any number of processes draws the same numbers for the same global batch.
# Numbers are drawn on the CPU, so they are the same on every device. They are arrays, because an exported model is
# sampled without torch; ``noise.py`` makes tensors of them.

import hashlib
from math import erfc, sqrt
from statistics import NormalDist

import numpy as np

from gansmith.core.errors import ModelError

SAMPLE_ROW = 8  # images of one class in a row of a sample's grid


def derive_seed(*parts: int | str) -> int:
    """Return a 63-bit seed from the text of all parts, in this order (BLAKE2b)."""
    text = "\x1f".join(f"{type(part).__name__}:{part}" for part in parts)
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little") >> 1


def per_image(shape: tuple[int, ...], seeds: list[int], *, uniform: bool = False) -> np.ndarray:
    """Return (len(seeds), *shape) float32, normal(0, 1) or uniform in [0, 1).

    Each seed has its own generator, so the numbers of an image do not depend on its batch.
    """
    out = np.empty((len(seeds), *shape), np.float32)
    bits = np.random.Philox(0)  # torch's CPU generator uses only 32 bits of a seed: images would repeat
    state, generator = bits.state, np.random.Generator(bits)
    draw = generator.random if uniform else generator.standard_normal
    for row, seed in enumerate(seeds):
        state["state"]["key"][0] = seed
        bits.state = state
        out[row] = draw(shape, np.float32)
    return out


def sample_latents(seed: int, first: int, count: int, latent_dim: int) -> np.ndarray:
    """Return the latents of a seed's images ``first``, ``first`` + 1, ...: float32 (count, latent_dim)."""
    return per_image((latent_dim,), [derive_seed("sample", seed, index) for index in range(first, first + count)])


def sample_labels(first: int, count: int, num_classes: int) -> np.ndarray | None:
    """Return the default labels of images ``first``, ``first`` + 1, ..., int64: a grid row for each class in turn."""
    return np.arange(first, first + count) // SAMPLE_ROW % num_classes if num_classes else None


def truncate(latents: np.ndarray, threshold: float | None) -> np.ndarray:
    """Map standard normal numbers (N, D) to the normal distribution cut off at +-threshold; their order is kept.

    z' = Phi^-1(Phi(-t) + Phi(z) (Phi(t) - Phi(-t))), so an image changes smoothly with the threshold. Raises ModelError
    for a threshold that is not above 0.
    """
    if threshold is None:
        return latents
    if not threshold > 0:
        raise ModelError(
            "model.truncation_out_of_range",
            f"truncation must be above 0, got {threshold:g}\n  for example 1.0; smaller values give less variety",
        )
    low, high, quantile = _phi(-threshold), _phi(threshold), NormalDist().inv_cdf
    out = np.empty(latents.shape, np.float32)
    for row, values in enumerate(latents):  # one row at a time, because Python's floats take much memory
        out[row] = [quantile(low + _phi(value) * (high - low)) for value in values.tolist()]
    return out.clip(-threshold, threshold)


def _phi(value: float) -> float:
    """Return the share of a standard normal distribution below a value; exact in both tails."""
    return erfc(-value / sqrt(2)) / 2


def epoch_order(seed: int, epoch: int, count: int) -> np.ndarray:
    """Return the order of the ``count`` images in an epoch."""
    return np.random.Generator(np.random.Philox(derive_seed("order", seed, epoch))).permutation(count)
