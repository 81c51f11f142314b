"""A tiny set, a tiny network, and a process that kills itself once: for runs in several processes."""

import os
import signal
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from gansmith.training import trainer

TINY = (
    "size=8", "batch_size=8", "hidden=[16]", "latent_dim=4", "fixed_images=4", "log_rows=3", "previews=4",
    "ema_half_life_kimg=0.05",
)  # fmt: skip


def write_tiny(path: Path) -> Path:
    """Write 96 gray images of 8 x 8 px in 3 classes, each class with a brightness of its own."""
    labels = np.arange(96) % 3
    noise = np.random.default_rng(0).integers(0, 40, (96, 8, 8, 1))
    images = (noise + 80 * labels[:, None, None, None]).astype(np.uint8)
    np.savez(path, images=images, labels=labels, class_names=np.array(["dark", "gray", "light"]))
    return path


def let_one_die(at: int, mark: Path | None, *, step_sec: float = 0.0) -> None:
    """Use one thread, make each step last longer, and kill process 1 after iteration ``at``.

    Only the first process that comes to it is killed: it leaves the file ``mark``. None: no process is killed.
    """
    torch.set_num_threads(1)
    step = getattr(trainer.train_step, "undisturbed", trainer.train_step)

    def disturbed(state: Any, *arguments: Any) -> None:
        step(state, *arguments)
        time.sleep(step_sec)
        if mark and state.iteration == at and os.environ["RANK"] == "1" and not mark.exists():
            mark.touch()
            os.kill(os.getpid(), signal.SIGKILL)

    disturbed.undisturbed = step  # type: ignore[attr-defined]
    trainer.train_step = disturbed
