"""Format ``torch-export``: a program of torch.export, which runs in torch without gansmith."""

import io
import json
import warnings
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch
from torch import nn
from torch.export import ExportedProgram

from gansmith.core.atomic_files import METADATA_KEY, commit_bytes
from gansmith.exporting.agreement import Run, compare, facts_of, size_words
from gansmith.exporting.base import Exported, FileFormat, formats
from gansmith.exporting.graph import graph_of
from gansmith.inference.model import Model
from gansmith.inference.onnx_file import EXPORT_KEY
from gansmith.runs.folder import RunFolder


@formats.register("torch-export")
class TorchExport(FileFormat):
    """Inputs and outputs of format ``onnx``, bit-equal to torch; it is read by ``torch.export.load``.

    That reader may run code of the file, so a .pt2 is for those who trust its author. gansmith reads none but its own.
    """

    ending: ClassVar[str] = ".pt2"

    def write(self, model: Model, name: str, target: Path, *, raw: bool, run: RunFolder | None) -> Exported:
        """Write a generator, after comparing the program that a reader gets with the network."""
        graph = graph_of(model, name, raw=raw)
        program = graph.trace()
        again = torch.export.load(io.BytesIO(_saved(program, {}))).module()
        found = compare(graph, _run(again), _run(graph.module))
        found.require(f"'{target}'", 0, 1.0, "a network that draws random numbers cannot be exported")
        record, facts = model.record.model_copy(update={"network": name}), facts_of(graph, found)
        content = _saved(program, {METADATA_KEY: record.model_dump_json(), EXPORT_KEY: json.dumps(facts)})
        commit_bytes(target, content)
        return Exported(target, name, facts, f"{size_words(content)}; {found.words()}")


def _saved(program: ExportedProgram, texts: dict[str, str]) -> bytes:
    content = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of torch, about weights that are channels_last
        torch.export.save(program, content, extra_files=texts)
    return content.getvalue()


def _run(module: nn.Module) -> Run:
    @torch.no_grad()
    def run(arrays: tuple[np.ndarray, ...]) -> np.ndarray:
        return module(*map(torch.from_numpy, arrays)).numpy()

    return run
