"""Read an ONNX file that gansmith exported: check it, read its record, start onnxruntime."""

# An ONNX file is data from anywhere. Its bytes are walked here first, so that onnxruntime never sees a file of another
# tool, or one that makes it read further files.

import hashlib
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from gansmith.core.atomic_files import METADATA_KEY
from gansmith.core.cpus import available_cpus
from gansmith.core.errors import GansmithError, ModelError, reason_of, unknown_name, why_not
from gansmith.core.plain_files import read_bytes
from gansmith.data.base import DataSpec
from gansmith.imaging.images import sample_batch
from gansmith.inference.base import check_image_size

if TYPE_CHECKING:
    import onnxruntime

ENDING = ".onnx"
EXPORT_KEY = "gansmith_export"  # beside METADATA_KEY: the entry in a file's metadata that says how it was exported
EXPORT_FORMAT = 1
VERSION_DIGITS = 16  # of a key: what permalinks and PNG files tell of the weights
MOST_BYTES = 2**31 - 1  # of an ONNX file with its weights inside
MOST_METADATA_BYTES = 4 * 2**20
MOST_FIELDS = 2_000_000  # in all messages of a file; a generator has thousands
PROVIDERS = {"auto": "CPUExecutionProvider", "cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider"}

# The messages of onnx.proto that can hold a tensor, by the numbers of the fields that lead to it.
MESSAGES = {
    "model": {7: "graph", 14: "metadata", 20: "training", 25: "function"},
    "graph": {1: "node", 5: "tensor", 15: "sparse tensor"},
    "training": {1: "graph", 2: "graph"},
    "function": {7: "node", 11: "attribute"},
    "node": {5: "attribute"},
    "attribute": {5: "tensor", 6: "graph", 10: "tensor", 11: "graph", 22: "sparse tensor", 23: "sparse tensor"},
    "sparse tensor": {1: "tensor", 2: "tensor"},
    "tensor": {},
    "metadata": {},
}
EXTERNAL_DATA, DATA_LOCATION = 13, 14  # fields of a tensor whose numbers are in another file


class _Facts(BaseModel):
    """Some entries of a JSON object; the others are not read."""

    model_config = ConfigDict(frozen=True, extra="ignore", allow_inf_nan=False)


FactsT = TypeVar("FactsT", bound=_Facts)


class PartFacts(_Facts):
    """The name of a part."""

    kind: str = Field(max_length=200)


class MethodFacts(_Facts):
    """The entries of a method that drawing needs."""

    kind: str = Field(max_length=200)
    generator: PartFacts
    task: PartFacts | None = None
    latent_dim: int = Field(1, ge=1, le=4096)
    conditional: bool = False


def weights_key(values: dict[str, Any]) -> str:
    """Return what tells the weights of a model folder from others: a digest of the parts of its model.json."""
    return digest_of(json.dumps([values.get("sha256"), values["method"]], sort_keys=True).encode())


def digest_of(content: bytes) -> str:
    """Return the SHA-256 of bytes, which is the key of an ONNX file alone."""
    return hashlib.sha256(content).hexdigest()


class RecordFacts(_Facts):
    """The entries of a ``ModelRecord`` that drawing needs; its parts are names, because the parts import torch."""

    format: int = Field(ge=1, le=1)
    name: str = Field(max_length=1000)
    method: MethodFacts
    data: DataSpec
    seed: int
    kimg: float
    sample_batch: int = Field(ge=1, le=1024)

    @property
    def num_classes(self) -> int:
        """Return the number of classes that the generator gets a label for; 0 without label input."""
        return len(self.data.classes) if self.method.conditional else 0


class ExportFacts(_Facts):
    """How a file was exported."""

    format: int = Field(ge=1, le=EXPORT_FORMAT)
    raw: bool
    multiple: int = Field(ge=1, le=1024)  # sides of input images are multiples of it
    scale: int = Field(ge=1, le=16)  # sides of a result divided by sides of its input image
    direction: str | None = Field(None, max_length=200)  # the generator's name, where a model has two
    mixes_labels: bool = False
    directions: tuple[tuple[float, ...], ...] = Field((), max_length=64)  # unit vectors in the space of latents


@dataclass(frozen=True)
class OnnxFile:
    """A file that was checked, and its session."""

    path: Path
    record: RecordFacts
    facts: ExportFacts
    session: "onnxruntime.InferenceSession"


def read_onnx(path: Path, device: str) -> OnnxFile:
    """Return an open ONNX file of gansmith; ModelError for any other file, and for one that contradicts itself."""
    content, record, facts = read_facts(path)
    return OnnxFile(path, record, facts, _session(path, content, device))


def read_facts(path: Path) -> tuple[bytes, RecordFacts, ExportFacts]:
    """Return the bytes of an ONNX file of gansmith and what its metadata says; ModelError as for ``read_onnx``."""
    content = _content_of(path)
    try:
        metadata = _walk(content)
    except ValueError as problem:
        raise ModelError(
            "model.unreadable", f"'{path}' cannot be read: {problem}\n  export the model again, or copy the file again"
        ) from problem
    if METADATA_KEY not in metadata or EXPORT_KEY not in metadata:
        raise ModelError(
            "model.not_ours",
            f"'{path}' was not written by gansmith: its metadata has no '{METADATA_KEY}' and '{EXPORT_KEY}' entries"
            "\n  gansmith export MODEL --to onnx writes such files",
        )
    record = _parsed(RecordFacts, metadata[METADATA_KEY], path, METADATA_KEY)
    facts = _parsed(ExportFacts, metadata[EXPORT_KEY], path, EXPORT_KEY)
    check_image_size(record.data, path)
    # A file cannot ask for a larger batch, and so for more memory, than images of this size are sampled in.
    batch = min(record.sample_batch, sample_batch(record.data.height, record.data.width))
    return content, record.model_copy(update={"sample_batch": batch}), facts


def _content_of(path: Path) -> bytes:
    """Return the bytes of a file; ModelError for anything else, and for a file that is too large."""
    if not path.is_file():
        what = "is not a file" if path.exists() else "does not exist"
        raise ModelError("model.not_found", f"'{path}' {what}\n  pass a file that 'gansmith export' wrote")
    try:
        size = path.stat().st_size
        if size > MOST_BYTES:
            raise ModelError(
                "model.file_too_large",
                f"'{path}' has {size:,} bytes\n  allowed: up to {MOST_BYTES:,}, the most that an ONNX file can have",
            )
        return read_bytes(path)
    except OSError as problem:
        raise ModelError(
            "model.unreadable", f"'{path}' cannot be read: {problem.strerror}\n  check the path and its permissions"
        ) from problem


def _walk(content: bytes) -> dict[str, str]:
    """Return the metadata of an ONNX file, after looking at every tensor in it.

    Raises ValueError, with the reason, for bytes of another kind and for tensors whose numbers are in another file.
    """
    metadata: dict[str, str] = {}
    found_graph, seen = False, 0
    waiting = [("model", memoryview(content))]
    while waiting:
        message, data = waiting.pop()
        entry = {}
        for field, value in _fields(data):
            seen += 1
            if seen > MOST_FIELDS:
                raise ValueError(f"it has more than {MOST_FIELDS:,} entries")
            if message == "tensor" and (field == EXTERNAL_DATA or (field == DATA_LOCATION and value)):
                raise ValueError("some of its weights are in another file; export it with all weights inside")
            inner = MESSAGES[message].get(field)
            if inner is not None:
                if isinstance(value, int):
                    raise ValueError("it is not an ONNX file")
                found_graph |= inner == "graph"
                waiting.append((inner, value))
            elif message == "metadata" and not isinstance(value, int):
                if len(value) > MOST_METADATA_BYTES:
                    raise ValueError(f"its metadata has more than {MOST_METADATA_BYTES:,} bytes")
                entry[field] = str(value, "utf-8")  # 1: the key, 2: the value
        if message == "metadata":
            metadata[entry.get(1, "")] = entry.get(2, "")
    if not found_graph:
        raise ValueError("it is not an ONNX file, or its end is missing")
    return metadata


def _fields(data: memoryview) -> Iterator[tuple[int, int | memoryview]]:
    """Yield the fields of a protobuf message: its number, and an integer or the bytes; ValueError if it is none."""
    at, end = 0, len(data)
    while at < end:
        tag, at = _varint(data, at)
        kind = tag & 7
        value: int | memoryview
        if kind == 0:
            value, at = _varint(data, at)
        elif kind in (1, 2, 5):
            size = 8 if kind == 1 else 4
            if kind == 2:
                size, at = _varint(data, at)
            value, at = data[at : at + size], at + size
        else:
            raise ValueError("it is not an ONNX file")
        if at > end:
            raise ValueError("it is not an ONNX file, or its end is missing")
        yield tag >> 3, value


def _varint(data: memoryview, at: int) -> tuple[int, int]:
    """Return an integer of protobuf that starts at ``at``, and the position behind it."""
    value = 0
    for shift in range(0, 70, 7):
        if at >= len(data):
            raise ValueError("it is not an ONNX file, or its end is missing")
        byte = data[at]
        value, at = value | (byte & 127) << shift, at + 1
        if byte < 128:
            return value, at
    raise ValueError("it is not an ONNX file")


def _parsed(kind: type[FactsT], text: str, path: Path, key: str) -> FactsT:
    try:
        return kind.model_validate_json(text)
    except ValidationError as problem:
        first = problem.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(step) for step in first["loc"])
        raise ModelError(
            "model.invalid_record",
            f"'{path}' cannot be read: its metadata '{key}' is invalid: {f'{where}: ' if where else ''}{first['msg']}"
            "\n  a newer gansmith may have written it; else export the model again",
        ) from problem


def _session(path: Path, content: bytes, device: str) -> "onnxruntime.InferenceSession":
    """Return a session on the bytes of a file, so that onnxruntime knows no folder to look for further files in."""
    if device not in PROVIDERS:
        raise GansmithError("machine.unknown_device", unknown_name("device for an ONNX file", device, PROVIDERS))
    try:
        import onnxruntime  # here: an extra
    except ImportError as problem:
        raise ModelError(
            "model.onnxruntime_missing",
            f"'{path}' needs the library onnxruntime{why_not(problem, 'onnxruntime')}"
            "\n  install it: pip install 'gansmith[export]'",
        ) from problem
    if PROVIDERS[device] not in onnxruntime.get_available_providers():
        raise GansmithError(
            "machine.device_missing",
            f"this onnxruntime has no device '{device}'\n  pass --device cpu, or install onnxruntime-gpu",
        )
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4  # errors are raised, and not printed too
    options.intra_op_num_threads = _threads()
    # threads that spin between two runs take the CPUs from everything else, and from their own process most of all
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    try:
        # without enable_fallback=0 an error is printed too, and tried once more
        return onnxruntime.InferenceSession(content, options, providers=[PROVIDERS[device]], enable_fallback=0)
    except Exception as problem:  # onnxruntime has a class for each of its status codes, and no base class
        raise ModelError(
            "model.unreadable",
            f"'{path}' cannot be run by onnxruntime: {reason_of(problem)}\n  export the model again",
        ) from problem


def _threads() -> int:
    """Return the number of threads: what OMP_NUM_THREADS says, else the CPUs that this process may use."""
    first = os.environ.get("OMP_NUM_THREADS", "").split(",")[0].strip()
    return int(first) if first.isdecimal() else available_cpus()
