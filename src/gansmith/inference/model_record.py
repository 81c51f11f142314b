"""The record of a trained model: everything except the weights that rebuilding it takes."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pydantic import Field, ValidationError
from safetensors import SafetensorError

from gansmith.core.errors import GansmithError, ModelError
from gansmith.core.plain_files import parse_json
from gansmith.core.registry import FrozenModel
from gansmith.core.version import __version__
from gansmith.data.base import DataSpec
from gansmith.imaging.images import sample_batch
from gansmith.inference.base import check_image_size
from gansmith.methods.base import MethodField
from gansmith.recipes.load import explain
from gansmith.recipes.old_files import from_old_file

FORMAT = 1
MODEL_JSON = "model.json"


class ModelRecord(FrozenModel):
    """The content of model.json, which every weights file repeats in its header. It holds names and never code."""

    format: int = Field(FORMAT, ge=1, le=FORMAT)
    gansmith: str
    name: str
    method: MethodField
    data: DataSpec
    seed: int
    kimg: float
    sample_batch: int = Field(ge=1, le=1024)
    network: str = Field("", max_length=100, description="in a weights file: the network it holds")


def make_record(name: str, method: Any, data: DataSpec, seed: int, kimg: float) -> ModelRecord:
    """Return the record of a model trained by this version of gansmith."""
    batch = sample_batch(data.height, data.width)
    return ModelRecord(
        gansmith=__version__, name=name, method=method, data=data, seed=seed, kimg=kimg, sample_batch=batch
    )


def parse_record(text: str, path: Path) -> ModelRecord:
    """Return the record in a JSON text of ``path``; ModelError for unknown parts and for impossible values."""
    with model_errors(str(path)):
        record = ModelRecord.model_validate_json(json.dumps(from_old_file(parse_json(text))))
    check_image_size(record.data, path)
    # A file cannot ask for a larger batch, and so for more memory, than images of this size are sampled in.
    return record.model_copy(
        update={"sample_batch": min(record.sample_batch, sample_batch(record.data.height, record.data.width))}
    )


@contextmanager
def model_errors(where: str) -> Iterator[None]:
    """Turn errors of reading a model, named ``where``, into ModelError."""
    try:
        yield
    except GansmithError:
        raise
    except ValidationError as problem:
        text = explain(problem, f"'{where}' cannot be read", list(ModelRecord.model_fields))
        if "unknown" in text:
            text += "\n  if a plugin defines that part, pass it: --plugin FILE"
        else:
            text += "\n  a newer gansmith may have written it; else copy the model again"
        raise ModelError(
            "model.unknown_part" if "unknown" in text else "model.invalid_record", "\n".join(text.split("\n")[:3])
        ) from problem
    except (OSError, SafetensorError, ValueError, KeyError, TypeError, AttributeError, RuntimeError) as problem:
        file = getattr(problem, "filename", None) or where
        reason = getattr(problem, "strerror", None) or str(problem).partition("\n")[0] or "no reason given"
        raise ModelError(
            "model.unreadable", f"'{file}' cannot be read: {reason}\n  check the path, or copy the file again"
        ) from problem
