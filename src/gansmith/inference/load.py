"""Load a trained model from a run folder, a model folder or a weights file."""

import json
import warnings
from pathlib import Path

from torch import Tensor

from gansmith.core.atomic_files import METADATA_KEY
from gansmith.core.errors import CheckpointError, GansmithWarning, ModelError
from gansmith.core.plain_files import read_json, refuse_damaged_tensors, sha256_of
from gansmith.core.tensor_files import load_tensors
from gansmith.inference.base import needs_weights
from gansmith.inference.hub import fetch, is_hub_address
from gansmith.inference.import_weights import PICKLED
from gansmith.inference.model import Model, Origin
from gansmith.inference.model_record import MODEL_JSON, make_record, model_errors, parse_record
from gansmith.inference.onnx_file import ENDING
from gansmith.recipes.load import read_run_recipe
from gansmith.runs.checkpoint import Checkpoint, weights_of
from gansmith.runs.folder import RECORD, RunFolder, find_checkpoint, is_run

MODEL_ENDINGS = (ENDING, ".safetensors", ".pt", ".pth", ".pkl", ".pt2")  # the last four are refused


def is_model(path: str | Path) -> bool:
    """Say whether a path is the address of a model by its form or its files; nothing is loaded."""
    place = Path(path).absolute()
    runs = [each.parent for each in (place, place.parent) if each.name == "checkpoints"]
    return (
        is_hub_address(path)
        or place.suffix.lower() in MODEL_ENDINGS
        or (place / MODEL_JSON).is_file()
        or any(map(is_run, [place, *runs]))
    )


def load_model(path: str | Path, device: str = "auto") -> Model:
    """Return the model of a run folder, a model folder, a .safetensors file, or hf:NAME/REPO[@REVISION] on the Hub.

    For a run this is its best checkpoint, or the checkpoint that ``path`` names. A run without a readable checkpoint
    gives its model folder, with a GansmithWarning. Raises ModelError, or CheckpointError for a run without either.
    """
    if not is_hub_address(path):
        model = _load(Path(path), device)
        model.origin = Origin(str(path), Path(path))
        return model
    found = fetch(path)
    try:
        model = _load(found.folder, device)
    except ModelError as problem:
        if problem.code != "model.altered":
            raise
        raise found.damaged(problem) from problem
    model.origin = Origin(found.address, found.folder)
    return model


def _load(path: Path, device: str) -> Model:
    if path.suffix.lower() == ENDING:
        raise needs_weights("train or compare")
    try:
        found = find_checkpoint(path)
    except CheckpointError as problem:
        folder = RunFolder(path).model
        if not (is_run(path) and (folder / MODEL_JSON).is_file()):
            raise
        warnings.warn(GansmithWarning(f"{problem}\n  used instead: {folder}"), stacklevel=3)
        return _from_folder(folder, device)
    if found is not None:
        return _from_run(*found, device)
    if (path / MODEL_JSON).is_file():
        return _from_folder(path, device)
    if path.is_file() and path.suffix == ".safetensors":
        text, tensors = _read_weights(path)
        record = parse_record(text, path)
        return Model(record, {record.network or path.stem: tensors}, device)
    if path.suffix.lower() in (*PICKLED, ".pkl") and path.is_file():
        raise ModelError(
            "model.pickled",
            f"'{path}' is pickled, and pickled files can run code: gansmith does not load them"
            "\n  a state dict of another program becomes a model with: gansmith import WEIGHTS.pth --recipe dcgan",
        )
    if path.is_file() and path.suffix.lower() == ".pt2":
        raise ModelError(
            "model.pickled",
            f"'{path}' is a program for torch.export.load, which can run code of the file: gansmith does not load it"
            "\n  pass the model that it was exported from, or export that --to onnx or safetensors",
        )
    if path.is_file():
        what = "is not a model"
    else:
        what = "has no run.json and no model.json" if path.is_dir() else "does not exist"
    raise ModelError(
        "model.not_found",
        f"'{path}' {what}\n  pass a run folder, a model folder, a .safetensors or .onnx file, or hf:NAME/REPO",
    )


def _from_run(run: RunFolder, checkpoint: Checkpoint, device: str) -> Model:
    record, recipe = run.record, read_run_recipe(run.recipe)
    with model_errors(str(run.path / RECORD)):
        made = make_record(recipe.name, recipe.method, record.data.spec, record.seed, checkpoint.values["kimg"])
        made = parse_record(made.model_dump_json(), run.path / RECORD)
    return Model(made, weights_of(checkpoint.tensors), device)


def _from_folder(folder: Path, device: str) -> Model:
    with model_errors(str(folder / MODEL_JSON)):
        values = read_json(folder / MODEL_JSON)
        digests = values.pop("sha256")
        if not digests:
            raise ModelError(
                "model.no_weights",
                f"'{folder / MODEL_JSON}' cannot be read: it lists no weights, 'sha256' is empty"
                "\n  copy the whole model folder again",
            )
        files = {name: folder / Path(name).name for name in digests}
        for name, path in files.items():
            refuse_damaged_tensors(path)
            if sha256_of(path) != digests[name]:
                raise ModelError(
                    "model.altered",
                    f"{path} was altered or cut off: its SHA-256 differs from the one in {MODEL_JSON}"
                    "\n  copy the whole model folder again",
                )
    tensors = {path.stem: _read_weights(path)[1] for path in files.values()}
    return Model(parse_record(json.dumps(values), folder / MODEL_JSON), tensors, device)


def _read_weights(path: Path) -> tuple[str, dict[str, Tensor]]:
    """Return the JSON record in a weights file's header, and its tensors."""
    with model_errors(str(path)):
        metadata = refuse_damaged_tensors(path)
        if METADATA_KEY not in metadata:
            raise ModelError(
                "model.not_ours",
                f"'{path}' was not written by gansmith: its header has no '{METADATA_KEY}' entry"
                "\n  pass a run folder, a model folder or a file from one",
            )
        return metadata[METADATA_KEY], load_tensors(path)
