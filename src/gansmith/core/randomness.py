"""Random numbers as pure functions of seed, role, iteration and position in the batch."""

# A resume needs no saved generator state, and any number of processes draws the same numbers for the same global batch.
# Numbers are drawn on the CPU, so they are the same on every device.

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from gansmith.core.errors import ModelError


def derive_seed(*parts: int | str) -> int:
    """Return a 63-bit seed from the text of all parts, in this order (BLAKE2b)."""
    text = "\x1f".join(f"{type(part).__name__}:{part}" for part in parts)
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little") >> 1


def per_image(shape: tuple[int, ...], seeds: list[int], *, uniform: bool = False) -> Tensor:
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
    return torch.from_numpy(out)


def sample_latents(seed: int, first: int, count: int, latent_dim: int) -> Tensor:
    """Return the latents (count, latent_dim) that sampling uses for a seed's images ``first``, ``first`` + 1, ..."""
    return per_image((latent_dim,), [derive_seed("sample", seed, index) for index in range(first, first + count)])


def truncate(latents: Tensor, threshold: float | None) -> Tensor:
    """Map standard normal numbers to the normal distribution cut off at +-threshold; their order is kept.

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
    low, high = torch.special.ndtr(torch.tensor([-threshold, threshold], dtype=torch.float64))
    shares = low + torch.special.ndtr(latents.double()) * (high - low)
    return torch.special.ndtri(shares).clamp(-threshold, threshold).float()


def epoch_order(seed: int, epoch: int, count: int) -> np.ndarray:
    """Return the order of the ``count`` images in an epoch."""
    return np.random.Generator(np.random.Philox(derive_seed("order", seed, epoch))).permutation(count)


@dataclass(frozen=True)
class Noise:
    """The random numbers of one repeat of a phase in an iteration, for this process's slice of the global batch.

    A rollback raises ``salt``, which is 0 at first: the numbers after a rollback are new.
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
        """Return the number of images of this process."""
        return len(self.positions)

    def seeds(self, role: str) -> list[int]:
        """Return one seed for each image of this process's slice."""
        head = (self.seed, self.salt, self.iteration, self.phase, self.repeat, role)
        return [derive_seed(*head, position) for position in self.positions]

    def normal(self, role: str, *shape: int) -> Tensor:
        """Return (count, *shape) normal numbers on the device; each role has its own."""
        return per_image(shape, self.seeds(role)).to(self.device)

    def uniform(self, role: str, *shape: int) -> Tensor:
        """Return (count, *shape) uniform numbers in [0, 1) on the device; each role has its own."""
        return per_image(shape, self.seeds(role), uniform=True).to(self.device)

    @contextmanager
    def inside_networks(self) -> Iterator[None]:
        """Seed torch's global generators for draws inside networks (dropout); restore their state afterwards.

        Only these numbers depend on the number of processes, because each process draws for its own slice.
        """
        # torch.manual_seed records a stack trace for CUDA at every call.
        seed = derive_seed(self.seed, self.salt, self.iteration, self.phase, self.repeat, self.positions.start)
        devices = [self.device] if self.device.type in ("cuda", "mps") else []
        with torch.random.fork_rng(devices, device_type=self.device.type if devices else "cuda"):
            torch.default_generator.manual_seed(seed)
            if self.device.type == "cuda":
                torch.cuda.manual_seed(seed)
            elif self.device.type == "mps":
                torch.mps.manual_seed(seed)
            yield
