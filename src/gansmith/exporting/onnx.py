"""Format ``onnx``: a generator for onnxruntime and other programs that read ONNX."""

import json
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal

import torch
from pydantic import Field

from gansmith.core.atomic_files import METADATA_KEY, commit_bytes
from gansmith.core.errors import GansmithError, ModelError
from gansmith.exporting.agreement import Run, compare, facts_of, size_words
from gansmith.exporting.base import Exported, FileFormat, formats, require_extra
from gansmith.exporting.graph import Graph, graph_of
from gansmith.exporting.int8 import cost_in_fd, method_for_fd, quantized
from gansmith.inference.directions import strongest
from gansmith.inference.model import Model
from gansmith.inference.onnx_file import EXPORT_KEY
from gansmith.runs.folder import RunFolder

if TYPE_CHECKING:
    import onnx

OPSET = 20
WORST, EQUAL = 1, 0.999  # level, share of equal values
WORST_OF_HALF, EQUAL_OF_HALF = 2, 0.9  # with fp16 weights; docs/decisions/exporting.md has what was measured
DIRECTIONS = 8  # as many as ``gansmith directions`` shows
AXES = ("batch", "height", "width")


@formats.register("onnx")
class Onnx(FileFormat):
    """One file with its weights inside; batch size, and height and width of input images, are free.

    Its output are finished images, uint8 (N, H, W, C): clipping, rounding and the order of the axes are in the graph.
    Models of deep data make float32 (N, H, W, C) in the units of that data.
    docs/export.md names inputs and metadata.
    """

    ending: ClassVar[str] = ".onnx"
    weights: Literal["fp32", "fp16"] = Field("fp32", description="fp16: half the size, still computed in fp32")
    quantize: Literal["int8"] | None = Field(None, description="int8: a third of the size, if FD hardly rises")

    def write(self, model: Model, name: str, target: Path, *, raw: bool, run: RunFolder | None) -> Exported:
        """Write a generator, after running it in onnxruntime on drawn inputs."""
        if self.quantize and self.weights == "fp16":
            raise GansmithError(
                "export.options_clash", "--weights fp16 and --quantize int8 exclude each other\n  pass one of them"
            )
        require_extra(self.kind, "onnx", "onnxscript", "onnxruntime")
        graph = graph_of(model, name, raw=raw)
        if self.quantize:
            method_for_fd(graph, run)  # fails before minutes of work
        made = _as_onnx(graph)
        exact = onnx_run(made.SerializeToString(), graph.inputs)
        found, kind, words = compare(graph, exact), self.quantize or self.weights, ""
        found.require(f"'{target}'", WORST, EQUAL, "a network that draws random numbers cannot be exported")
        if kind != "fp32":
            made = _halved(made) if kind == "fp16" else quantized(made, graph)
            smaller = onnx_run(made.SerializeToString(), graph.inputs)
            found = compare(graph, smaller)
            if kind == "fp16":
                found.require(f"'{target}'", WORST_OF_HALF, EQUAL_OF_HALF, "leave out --weights fp16")
            else:
                cost = cost_in_fd(graph, run, exact, smaller)
                cost.require(target)
                words = f"; {cost.words()}"
        facts = facts_of(graph, found, opset=OPSET, weights=kind, directions=_directions(model, raw=raw))
        record = model.record.model_copy(update={"network": name})
        del made.metadata_props[:]
        for key, text in ((METADATA_KEY, record.model_dump_json()), (EXPORT_KEY, json.dumps(facts))):
            made.metadata_props.add(key=key, value=text)
        content = made.SerializeToString()
        commit_bytes(target, content)
        words = f"{size_words(content)}, opset {OPSET}, {kind} weights; {found.words()}{words}"
        return Exported(target, name, facts, words)


def _directions(model: Model, *, raw: bool) -> list[list[float]]:
    """Return the strongest directions of the latents, for programs without the weights; none where there are none."""
    try:
        vectors, _ = strongest(model, raw=raw)
    except ModelError:  # not of latents, of points, or without a linear start
        return []
    return [[float(f"{value:.6g}") for value in vector] for vector in vectors[:DIRECTIONS].tolist()]


def onnx_run(content: bytes, inputs: tuple[str, ...]) -> Run:
    """Return a function that runs an ONNX model on the CPU: arrays in the order of ``inputs`` -> its first output."""
    import onnxruntime  # here: an extra

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    return lambda arrays: session.run(None, dict(zip(inputs, arrays, strict=True)))[0]


@contextmanager
def _quiet_exporter() -> Iterator[None]:
    """Keep back what torch's exporter says about itself, such as that torchvision is not installed."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)


def _as_onnx(graph: Graph) -> "onnx.ModelProto":
    """Return a graph as ONNX, with named axes and without the traces of this machine's files."""
    program = graph.trace()
    with _quiet_exporter(), torch.no_grad():
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
    values = (*proto.graph.input, *proto.graph.output)
    del proto.graph.value_info[:], proto.graph.metadata_props[:]
    for part in (*proto.graph.node, *proto.graph.initializer, *values):
        part.doc_string = ""
        del part.metadata_props[:]
    for value in values:
        scale = graph.scale if value.name == graph.output else 1
        for axis, dim in zip(AXES, value.type.tensor_type.shape.dim, strict=False):
            if dim.dim_param:
                dim.dim_param = axis if scale == 1 or axis == "batch" else f"{scale}*{axis}"
    return proto


def _halved(proto: "onnx.ModelProto") -> "onnx.ModelProto":
    """Return a model whose matrices and kernels are stored as fp16; they become fp32 when it is loaded."""
    import onnx  # here: an extra
    from onnx import numpy_helper

    out = onnx.ModelProto()
    out.CopyFrom(proto)
    casts = []
    for tensor in out.graph.initializer:
        if tensor.data_type == onnx.TensorProto.FLOAT and len(tensor.dims) > 1:
            name, stored = tensor.name, f"{tensor.name}_fp16"
            values = numpy_helper.to_array(tensor).astype("float16")
            tensor.CopyFrom(numpy_helper.from_array(values, stored))
            casts.append(onnx.helper.make_node("Cast", [stored], [name], to=onnx.TensorProto.FLOAT))
    nodes = [*casts, *proto.graph.node]
    del out.graph.node[:]
    out.graph.node.extend(nodes)
    return out
