"""Format ``safetensors``: a generator's weights and the model's record, for gansmith."""

from pathlib import Path
from typing import ClassVar

from safetensors.torch import save

from gansmith.core.atomic_files import METADATA_KEY, commit_bytes
from gansmith.exporting.agreement import size_words
from gansmith.exporting.base import Exported, FileFormat, formats
from gansmith.inference.model import Model
from gansmith.runs.folder import RunFolder


@formats.register("safetensors")
class Weights(FileFormat):
    """One file that ``gansmith.load`` reads alone: no discriminator, no second set of weights."""

    ending: ClassVar[str] = ".safetensors"

    def write(self, model: Model, name: str, target: Path, *, raw: bool, run: RunFolder | None) -> Exported:
        """Write a generator; raw weights too are called ``name``, because the file has no others."""
        network = model.network(f"{name}-raw" if raw else name)
        tensors = {key: value.detach().cpu().contiguous() for key, value in network.state_dict().items()}
        record = model.record.model_copy(update={"network": name})
        content = save(tensors, {METADATA_KEY: record.model_dump_json()})
        commit_bytes(target, content)
        return Exported(target, name, {"raw": raw}, f"{size_words(content)}, for gansmith.load")
