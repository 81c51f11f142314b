"""gansmith: train a GAN on your images with one command, judge it honestly, and use it."""

from typing import TYPE_CHECKING, Any

from gansmith.version import __version__

if TYPE_CHECKING:
    from gansmith.api import check, load, resume, train
    from gansmith.model import Model

__all__ = ["Model", "__version__", "check", "load", "resume", "train"]


def __getattr__(name: str) -> Any:
    """Import on first use, so that ``import gansmith`` does not wait for torch."""
    import importlib

    if name in ("check", "load", "resume", "train"):
        return getattr(importlib.import_module("gansmith.api"), name)
    if name == "Model":
        return importlib.import_module("gansmith.model").Model
    raise AttributeError(f"module 'gansmith' has no attribute '{name}'")
