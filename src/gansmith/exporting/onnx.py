"""Format ``onnx``: a generator for onnxruntime, onnxruntime-web and other programs that read ONNX."""

import json
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal

import torch

from gansmith.core.atomic_files import METADATA_KEY, commit_file
from gansmith.exporting.agreement import Run, compare, facts_of, size_words
from gansmith.exporting.base import Exported, FileFormat, formats, require_extra
from gansmith.exporting.graph import Graph, graph_of
from gansmith.inference.model import Model
from gansmith.inference.onnx_file import EXPORT_KEY
from gansmith.runs.folder import RunFolder

if TYPE_CHECKING:
    import onnx

OPSET = 20
WORST, EQUAL = 1, 0.999
AXES = ("batch", "height", "width")


@formats.register("onnx")
class Onnx(FileFormat):
    """One file with its weights inside; batch size, and height and width of input images, are free.

    Its output are finished images, uint8 (N, H, W, C): clipping, rounding and the order of the axes are in the graph.
    docs/export.md names inputs and metadata.
    """

    ending: ClassVar[str] = ".onnx"
    weights: Literal["fp32", "fp16"] = "fp32"

    def write(self, model: Model, name: str, target: Path, *, raw: bool, run: RunFolder | None) -> Exported:
        """Write a generator, after running it in onnxruntime on drawn inputs."""
        require_extra(self.kind, "onnx", "onnxscript", "onnxruntime")
        graph = graph_of(model, name, raw=raw)
        made = _as_onnx(graph)
        found = compare(graph, onnx_run(made.SerializeToString(), graph.inputs))
        found.require(f"'{target}'", WORST, EQUAL)
        facts = facts_of(graph, found, opset=OPSET, weights=self.weights)
        record = model.record.model_copy(update={"network": name})
        for key, text in ((METADATA_KEY, record.model_dump_json()), (EXPORT_KEY, json.dumps(facts))):
            made.metadata_props.add(key=key, value=text)
        content = made.SerializeToString()
        commit_file(target, lambda at: at.write_bytes(content))
        words = f"{size_words(content)}, opset {OPSET}, {self.weights} weights; {found.words()}"
        return Exported(target, name, facts, words)


def onnx_run(content: bytes, inputs: tuple[str, ...]) -> Run:
    """Return a function that runs an ONNX model on the CPU: arrays in the order of ``inputs`` -> its first output."""
    import onnxruntime  # here: an extra

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    return lambda arrays: session.run(None, dict(zip(inputs, arrays, strict=True)))[0]


def _as_onnx(graph: Graph) -> "onnx.ModelProto":
    """Return a graph as ONNX, with named axes and without the traces of this machine's files."""
    program = graph.trace()
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")  # of the exporter, about itself
        exported = torch.onnx.export(
            program,
            input_names=graph.inputs,
            output_names=[graph.output],
            opset_version=OPSET,
            external_data=False,
            dynamo=True,
            verbose=False,
        )
    assert exported is not None, "None is the answer of the old exporter alone"
    proto: onnx.ModelProto = exported.model_proto
    del proto.graph.value_info[:]
    for node in (*proto.graph.node, *(each for function in proto.functions for each in function.node)):
        node.doc_string = ""
        del node.metadata_props[:]
    for value in (*proto.graph.input, *proto.graph.output):
        scale = graph.scale if value.name == graph.output else 1
        for axis, dim in zip(AXES, value.type.tensor_type.shape.dim, strict=False):
            if dim.dim_param:
                dim.dim_param = axis if scale == 1 or axis == "batch" else f"{scale}*{axis}"
    return proto
