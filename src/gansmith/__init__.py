"""gansmith: train a GAN on your images with one command, evaluate it, and use it."""

from typing import TYPE_CHECKING, Any

from gansmith.core.version import __version__

if TYPE_CHECKING:
    from gansmith.api import (
        arithmetic,
        check,
        compare,
        directions,
        evaluate,
        export,
        features,
        from_pretrained,
        import_weights,
        interpolate,
        invert,
        load,
        open_fitted,
        open_parts,
        pick,
        plan,
        probe,
        resume,
        train,
        translate,
        upscale,
    )
    from gansmith.core.events import silent
    from gansmith.inference.model import Model

__all__ = [
    "Model",
    "__version__",
    "arithmetic",
    "check",
    "compare",
    "directions",
    "evaluate",
    "export",
    "features",
    "from_pretrained",
    "import_weights",
    "interpolate",
    "invert",
    "load",
    "open_fitted",
    "open_parts",
    "pick",
    "plan",
    "probe",
    "resume",
    "silent",
    "train",
    "translate",
    "upscale",
]


def __getattr__(name: str) -> Any:
    """Import on first use, so that ``import gansmith`` does not wait for torch."""
    import importlib

    if name == "Model":
        return importlib.import_module("gansmith.inference.model").Model
    if name == "silent":
        return importlib.import_module("gansmith.core.events").silent
    if name in __all__:
        return getattr(importlib.import_module("gansmith.api"), name)
    raise AttributeError(f"module 'gansmith' has no attribute '{name}'")
