"""Read safetensors files safely: the length is checked first, and paths may have any bytes."""

from pathlib import Path

from safetensors.torch import load, load_file
from torch import Tensor

from gansmith.core.file_names import escaped
from gansmith.core.plain_files import read_bytes, refuse_damaged_tensors


def load_tensors(path: str | Path) -> dict[str, Tensor]:
    """Return the tensors of a file; raises as ``refuse_damaged_tensors``.

    Raises SafetensorError as well, for types and shapes that the library does not know.
    """
    refuse_damaged_tensors(path)
    # The library opens only paths in UTF-8; for others the content takes memory twice for a moment.
    tensors: dict[str, Tensor] = load_file(path) if escaped(path) == str(path) else load(read_bytes(path))
    return tensors
