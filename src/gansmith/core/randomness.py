"""Every random number of a run, as a pure function of (seed, role, iteration, position in the global batch).

Nothing has to be saved to resume, and any number of processes draws the same numbers for the same global batch. The
draws are made on the CPU, so they are the same on every device.
"""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from gansmith.core.errors import ModelError


def derive_seed(*parts: int | str) -> int:
    """Return a 63-bit seed that depends on every part and on their order (BLAKE2b of their text)."""
    text = "\x1f".join(f"{type(part).__name__}:{part}" for part in parts)
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little") >> 1


def per_image(shape: tuple[int, ...], seeds: list[int], *, uniform: bool = False) -> Tensor:
    """Return (len(seeds), *shape) float32: image i drawn by a generator of its own, so it never depends on its batch.

    Normal(0, 1), or uniform in [0, 1).
    """
    out = np.empty((len(seeds), *shape), np.float32)
    bits = np.random.Philox(0)  # torch's CPU generator uses 32 bits of a seed: images would repeat
    state, generator = bits.state, np.random.Generator(bits)
    draw = generator.random if uniform else generator.standard_normal
    for row, seed in enumerate(seeds):
        state["state"]["key"][0] = seed
        bits.state = state
        out[row] = draw(shape, np.float32)
    return torch.from_numpy(out)


def sample_latents(seed: int, first: int, count: int, latent_dim: int) -> Tensor:
    """Return the latents (count, latent_dim) of a seed's images from ``first`` on, as sampling draws them."""
    return per_image((latent_dim,), [derive_seed("sample", seed, index) for index in range(first, first + count)])


def truncate(latents: Tensor, threshold: float | None) -> Tensor:
    """Map standard normal numbers to the normal distribution cut off at +-threshold, keeping their order.

    z' = Phi^-1(Phi(-t) + Phi(z) (Phi(t) - Phi(-t))), so an image changes smoothly with the threshold.
    """
    if threshold is None:
        return latents
    if not threshold > 0:
        raise ModelError(
            "model.truncation_out_of_range",
            f"truncation {threshold:g} is not above 0\n  allowed: above 0, for example 1.0; smaller is tamer",
        )
    low, high = torch.special.ndtr(torch.tensor([-threshold, threshold], dtype=torch.float64))
    shares = low + torch.special.ndtr(latents.double()) * (high - low)
    return torch.special.ndtri(shares).clamp(-threshold, threshold).float()


def epoch_order(seed: int, epoch: int, count: int) -> np.ndarray:
    """Return the order in which an epoch shows the ``count`` images."""
    return np.random.Generator(np.random.Philox(derive_seed("order", seed, epoch))).permutation(count)


@dataclass(frozen=True)
class Noise:
    """The draws of one repeat of one phase of one iteration, for this process's slice of the global batch.

    ``salt`` is 0 until a rollback raises it, so that the draws after a rollback are new ones.
    """

    seed: int
    salt: int
    iteration: int
    phase: str
    repeat: int
    positions: range  # this process's slice of the global batch
    batch_size: int  # images in the global batch
    device: torch.device

    @property
    def count(self) -> int:
        """Return this process's number of images."""
        return len(self.positions)

    def seeds(self, role: str) -> list[int]:
        """Return one seed for each image of this process's slice."""
        head = (self.seed, self.salt, self.iteration, self.phase, self.repeat, role)
        return [derive_seed(*head, position) for position in self.positions]

    def normal(self, role: str, *shape: int) -> Tensor:
        """Return (count, *shape) normal draws on the device; another role gives other draws."""
        return per_image(shape, self.seeds(role)).to(self.device)

    def uniform(self, role: str, *shape: int) -> Tensor:
        """Return (count, *shape) uniform draws in [0, 1) on the device; another role gives other draws."""
        return per_image(shape, self.seeds(role), uniform=True).to(self.device)

    @contextmanager
    def inside_networks(self) -> Iterator[None]:
        """Seed the global generators for draws inside networks (dropout), and give the caller's state back after.

        These alone depend on the number of processes: each draws for its own slice.
        """
        # torch.manual_seed would record a stack trace for CUDA on every call
        seed = derive_seed(self.seed, self.salt, self.iteration, self.phase, self.repeat, self.positions.start)
        devices = [self.device] if self.device.type in ("cuda", "mps") else []
        with torch.random.fork_rng(devices, device_type=self.device.type if devices else "cuda"):
            torch.default_generator.manual_seed(seed)
            if self.device.type == "cuda":
                torch.cuda.manual_seed(seed)
            elif self.device.type == "mps":
                torch.mps.manual_seed(seed)
            yield
