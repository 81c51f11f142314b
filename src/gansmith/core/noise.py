"""The random numbers of a training step, as tensors."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor

from gansmith.core.randomness import derive_seed, per_image


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
        return torch.from_numpy(per_image(shape, self.seeds(role))).to(self.device)

    def uniform(self, role: str, *shape: int) -> Tensor:
        """Return (count, *shape) uniform numbers in [0, 1) on the device; each role has its own."""
        return torch.from_numpy(per_image(shape, self.seeds(role), uniform=True)).to(self.device)

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
