"""Load a model with what its file needs: torch, or onnxruntime alone."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from gansmith.core.registry import load_plugins
from gansmith.inference.onnx_file import ENDING
from gansmith.inference.onnx_model import OnnxModel

if TYPE_CHECKING:
    from gansmith.inference.model import Model


def load(path: str | Path, device: str = "auto", plugins: Sequence[str | Path] = ()) -> "Model | OnnxModel":
    """Load a run folder, a model folder, a .safetensors or .onnx file, or hf:NAME/REPO[@REVISION] on the Hub.

    An .onnx file is run by onnxruntime; torch and ``plugins`` are not imported for it.
    Raises ModelError where loading fails.
    """
    if Path(path).suffix.lower() == ENDING:
        return OnnxModel(path, device)
    from gansmith.inference.load import load_model  # here: it imports torch

    load_plugins(tuple(Path(plugin) for plugin in plugins))
    return load_model(path, device)
