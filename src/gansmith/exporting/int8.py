"""Quantize an ONNX generator to 8 bits, and measure what that costs in FD."""

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from torch.nn.functional import one_hot

from gansmith.core.errors import ModelError
from gansmith.core.metric_name import TRAIN, MetricName
from gansmith.core.randomness import epoch_order
from gansmith.evaluation.features import features_of
from gansmith.evaluation.reference import open_reference, run_data_of
from gansmith.evaluation.snapshot import open_snapshot_extractor, snapshot_inputs
from gansmith.exporting.agreement import Run
from gansmith.exporting.graph import Graph
from gansmith.methods.capabilities import LatentSampler, samples_from_latents
from gansmith.parts.metrics.frechet import frechet_distance, moments
from gansmith.recipes.recipe import MonitorOptions
from gansmith.runs.folder import RunFolder

if TYPE_CHECKING:
    import onnx

IMAGES = 5000  # of each model, from the same latents, for FD
MOST_GAIN = 1.05  # FD after, divided by FD before
BATCH = 16
WEIGHTED = ["Conv", "ConvTranspose", "Gemm", "MatMul"]  # operators that are quantized


@dataclass(frozen=True)
class Cost:
    """FD to the training images before and after quantization."""

    metric: str  # its full name, as in evaluations
    before: float
    after: float

    def require(self, target: Path) -> None:
        """Raise ModelError if FD has risen by more than 5 %."""
        if not self.after <= MOST_GAIN * self.before:
            raise ModelError(
                "export.quantization_costs",
                f"'{target}' was not kept: {self.words()}"
                f"\n  int8 is kept if FD rises by at most {MOST_GAIN - 1:.0%}; --weights fp16 halves the size instead",
            )

    def words(self) -> str:
        """Return both numbers for a person."""
        return f"{self.metric} {self.before:.4g} with fp32, {self.after:.4g} with int8"


def quantized(proto: "onnx.ModelProto", graph: Graph) -> "onnx.ModelProto":
    """Return a model with 8-bit weights (a scale for each channel) and 8-bit inputs of layers.

    The ranges of these inputs are those of a few drawn images.
    """
    import onnx  # here: extras
    from onnxruntime.quantization import CalibrationDataReader, QuantType, quantize_static
    from onnxruntime.quantization.quant_utils import add_pre_process_metadata

    arrays = [each.numpy() for each in graph.draw()[0]]
    feeds = iter(
        {name: array[start : start + BATCH] for name, array in zip(graph.inputs, arrays, strict=True)}
        for start in range(0, graph.model.record.sample_batch, BATCH)
    )

    class Drawn(CalibrationDataReader):  # type: ignore[misc]  # has no types
        def get_next(self) -> dict[str, Any] | None:
            return next(feeds, None)

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "int8.onnx"
        add_pre_process_metadata(proto)  # which would be for other graphs; without it there is advice in the log
        quantize_static(
            proto, path, Drawn(), per_channel=True, op_types_to_quantize=WEIGHTED, activation_type=QuantType.QUInt8
        )
        return onnx.load(path)


def method_for_fd(graph: Graph, run: RunFolder | None) -> tuple[LatentSampler, RunFolder]:
    """Return method and run of a model whose FD can be measured; ModelError for another."""
    method = graph.model.method
    if not samples_from_latents(method):
        raise ModelError(
            "export.quantization_unmeasured",
            "--quantize int8 is kept only if FD hardly rises, and a model of method "
            f"'{graph.model.record.method.kind}' has no FD\n  --weights fp16 halves the size",
        )
    if run is None:
        raise ModelError(
            "export.quantization_unmeasured",
            "--quantize int8 is kept only if FD hardly rises, and FD needs the images of the run"
            "\n  pass the run folder as MODEL",
        )
    return method, run


def cost_in_fd(graph: Graph, run: RunFolder | None, before: Run, after: Run) -> Cost:
    """Return FD of images of the same latents, made by two versions of a generator."""
    method, run = method_for_fd(graph, run)
    data = open_reference(graph.model.record.data, run_data_of(run), None, on_training=True)[0]
    extractor = open_snapshot_extractor(data, None)
    real = moments(features_of(data, epoch_order(0, 0, len(data)), extractor, lambda *_: None)[0])
    fixed = snapshot_inputs(method, data, MonitorOptions(images=IMAGES), 0)
    arrays = [fixed.inputs.numpy()]
    if fixed.labels is not None:
        arrays.append(one_hot(fixed.labels, method.num_classes).float().numpy())

    def distance(made: Run) -> float:
        batch = graph.model.record.sample_batch
        images = [made(tuple(each[start : start + batch] for each in arrays)) for start in range(0, IMAGES, batch)]
        made_pixels, values = np.concatenate(images), data.spec.values
        pixels = made_pixels if values is None else values.stored(made_pixels)
        return frechet_distance(real, moments(extractor(pixels)[0]))

    return Cost(str(MetricName("fd", IMAGES, extractor.name, split=TRAIN)), distance(before), distance(after))
