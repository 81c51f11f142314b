"""gansmith: train a GAN on your images with one command, evaluate it, and use it."""

from typing import TYPE_CHECKING, Any

from gansmith.core.version import __version__

if TYPE_CHECKING:
    from gansmith.api import (
        Run,
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
        schema,
        sweep,
        train,
        translate,
        upscale,
    )
    from gansmith.core.errors import GansmithError
    from gansmith.core.events import Event, silent
    from gansmith.inference.model import Model

__all__ = [
    "Event",
    "GansmithError",
    "Model",
    "Run",
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
    "schema",
    "silent",
    "sweep",
    "train",
    "translate",
    "upscale",
]


# The other names are in ``api``, which imports torch. These also serve models that onnxruntime runs.
PLACES = {
    "Event": "core.events",
    "GansmithError": "core.errors",
    "Model": "inference.model",
    "arithmetic": "inference.arithmetic",
    "interpolate": "inference.interpolate",
    "load": "inference.open",
    "pick": "inference.latents",
    "silent": "core.events",
    "translate": "inference.translate",
    "upscale": "inference.upscale",
}


def __getattr__(name: str) -> Any:
    """Import on first use, so that ``import gansmith`` does not wait for torch."""
    import importlib

    if name in __all__:
        return getattr(importlib.import_module(f"gansmith.{PLACES.get(name, 'api')}"), name)
    raise AttributeError(f"module 'gansmith' has no attribute '{name}'")
