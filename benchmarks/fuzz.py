"""Generated and altered files for each reader, for so many minutes: no crash, hang, over-use of memory."""

# Run: python benchmarks/fuzz.py [READER ...] [--minutes 10]. A failure is printed with its bytes, smallest first. The
# readers of texts may raise ValueError; those that a user calls only what the command line prints as a message. Files
# that once failed are kept, small, in tests/attacks.py. benchmarks/fuzz_atheris.py has the same readers of
# images and models, guided by coverage.

import argparse
import contextlib
import copy
import gzip
import io
import json
import os
import resource
import shutil
import sys
import tarfile
import tempfile
import time
import traceback
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

import numpy as np
import yaml
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from PIL import Image

from attacks import _resumed, _watched, make_bases
from gansmith import api
from gansmith.core.errors import GansmithError
from gansmith.core.plain_files import parse_json, parse_yaml, refuse_damaged_tensors, sha256_of
from gansmith.data.base import DataOptions
from gansmith.data.cache_folder import META, _sum_of, data_folder
from gansmith.data.datasets.mnist import read_idx
from gansmith.data.open import open_data
from gansmith.evaluation.evaluate import EvaluationOptions
from gansmith.evaluation.result import last_evaluation
from gansmith.exporting.hub_folder import card_of
from gansmith.imaging.deep_files import open_any, read_values, write_tiff
from gansmith.imaging.images import decode_image, num_frames
from gansmith.inference.import_weights import import_weights
from gansmith.inference.latents import find_latents
from gansmith.inference.load import load_model
from gansmith.inference.onnx_model import OnnxModel
from gansmith.recipes.load import parse_recipe
from gansmith.reporting.evaluation_section import evaluation_sections
from gansmith.reporting.run_results import refresh_report
from gansmith.reporting.verify import verify
from gansmith.runs.folder import RunFolder
from gansmith.runs.log import read_rows
from gansmith.runs.sweep import SweepFolder
from small_models import make_model

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(max_size=10), inner, max_size=5),
    max_leaves=30,
)
NAME = st.sampled_from(
    ("0", "1", "2", "a/3", "b/4", "../5", "/6", "a//7", ".8", "x" * 300, "9\x1b[2J", "\u202e10", "é")
)
JSON_BYTES = JSON.map(lambda value: json.dumps(value).encode())
TEXT = st.text(alphabet="[]{}:,-?&*!|>'\"# a1\n\t\\\u202e\ufeff").map(lambda text: text.encode("utf-8"))
CSV = st.text(alphabet='file,label0123.png;"\n\t\\\u202e\0é').map(lambda text: text.encode("utf-8"))
BYTES = st.binary(max_size=4096)
MOST_BYTES = 8 * 2**30
HOSTILE = JSON | st.sampled_from(
    [-1, 0, 2**31, 2**63, 2**64, 10**30, 1e308, -1e308, 1e-308, "", "\x00", "\x1b[2J", "../x"]
)
EDIT = st.tuples(
    st.floats(0, 1), st.binary(min_size=1, max_size=8), st.sampled_from(("over", "insert", "cut", "twice"))
)
SNAPSHOT = json.dumps({
    "iteration": 12, "kimg": 0.096, "fd2k_own_train": 3.5, "coverage2k_own_train": 0.25, "fd_of_one": 9.0,
    "texture2k_train": 1.1, "modes": {"a": [0.5, 0.7]}, "verdict": "stalled", "deviations": {"fd": 0.5, "texture": 0.1},
})  # fmt: skip
FEW = EvaluationOptions(num=64, features="untrained", on_training=True)
CARD = b"---\ntags:\n- gan\n---\n# A model\n"
SWEEP_VALUES = {
    "format": 1, "gansmith": "", "created": "", "source": "x", "recipe": {"name": "x"}, "vary": {"lr": ["1", "2"]},
    "seeds": [0, 1], "search": "grid", "trials": 2, "keywords": {},
    "runs": [{"folder": "a", "changes": ["lr=1"], "seed": 0, "state": "finished", "error": ""}],
}  # fmt: skip
Read = Callable[[bytes, Path], object]
Reader = tuple[Any, Read, tuple[type[Exception], ...]]
INNER, DOOR = (OSError, ValueError, yaml.YAMLError), (GansmithError, OSError)  # GansmithError is a ValueError


def altered(base: bytes) -> Any:
    """Return a strategy of the bytes with a few places overwritten, inserted, cut out or doubled."""

    def apply(edits: list[tuple[float, bytes, str]]) -> bytes:
        data = bytearray(base)
        for share, some, how in edits:
            at = int(share * len(data))
            if how == "over":
                data[at : at + len(some)] = some
            elif how == "insert":
                data[at:at] = some
            elif how == "cut":
                del data[at : at + 16 * len(some)]
            else:
                data[at:at] = data[at : at + 16 * len(some)]
        return bytes(data)

    return st.lists(EDIT, min_size=1, max_size=6).map(apply)


def altered_json(base: Any) -> Any:
    """Return a strategy of a JSON value with one of its parts replaced, removed, or added to."""

    def apply(choice: tuple[int, Any, str]) -> bytes:
        number, new, how = choice
        value = copy.deepcopy(base)
        places = list(_places(value))
        parent, key = places[number % len(places)]
        if how == "replace":
            parent[key] = new
        elif how == "remove":
            del parent[key]
        elif isinstance(parent, dict):
            parent[f"{key}2"] = new
        else:
            parent.insert(key, new)
        return json.dumps(value).encode()

    return st.tuples(st.integers(0, 10**6), HOSTILE, st.sampled_from(("replace", "replace", "remove", "add"))).map(
        apply
    )


def _places(value: Any) -> Any:
    for key, inner in list(value.items() if isinstance(value, dict) else enumerate(value)):
        yield value, key
        if isinstance(inner, dict | list):
            yield from _places(inner)


def altered_rows(text: str) -> Any:
    """Return a strategy of JSON lines of which one is altered as ``altered_json`` does, or some bytes are."""
    lines = text.splitlines()

    def replaced(chosen: tuple[int, bytes]) -> bytes:
        number, line = chosen
        here = [each.encode() for each in lines]
        here[number] = line
        return b"\n".join(here) + b"\n"

    one = st.integers(0, len(lines) - 1).flatmap(
        lambda number: st.tuples(st.just(number), altered_json(json.loads(lines[number])))
    )
    return one.map(replaced) | altered(text.encode())


def in_file(name: str, read: Callable[[Path], object]) -> Read:
    def run(data: bytes, folder: Path) -> None:
        (folder / name).write_bytes(data)
        read(folder / name)

    return run


def read_picture(data: bytes, _: Path) -> None:
    """Read an image in both ways that training reads it."""
    opened, is_deep = open_any(data)
    if opened is not None:
        num_frames(opened)
        decode_image(data, shrink=True)
    if is_deep:
        read_values(data, opened)


def pictures() -> list[bytes]:
    """Return small valid images of each format."""
    noise, found = np.random.default_rng(0).integers(0, 256, (12, 12, 3), np.uint8), list[bytes]()
    for form in ("PNG", "JPEG", "WEBP", "GIF", "TIFF", "BMP", "PPM"):
        out = io.BytesIO()
        Image.fromarray(noise).save(out, form)
        found.append(out.getvalue())
    out = io.BytesIO()
    Image.fromarray(noise[..., 0].astype(np.uint16) * 257).save(out, "TIFF")
    return [*found, out.getvalue()]


def science() -> dict[str, bytes]:
    """Return a small valid DICOM file, a NIfTI volume and a TIFF of five bands, by ending; needs the extra science."""
    import nibabel
    import pydicom

    found, noise = dict[str, bytes](), np.random.default_rng(0).integers(0, 4096, (12, 12), np.uint16)
    file = pydicom.Dataset()
    file.Rows = file.Columns = 12
    file.SamplesPerPixel, file.PhotometricInterpretation, file.NumberOfFrames = 1, "MONOCHROME2", 1
    file.BitsAllocated = file.BitsStored = 16
    file.HighBit, file.PixelRepresentation, file.RescaleSlope, file.RescaleIntercept = 15, 0, 1, -1000
    file.add_new("PixelData", "OW", noise.tobytes())
    out = io.BytesIO()
    pydicom.dcmwrite(out, file, implicit_vr=True, little_endian=True)
    found["dcm"] = out.getvalue()
    found["nii"] = nibabel.Nifti1Image(np.stack([noise] * 3, 2).astype(np.int16), np.eye(4)).to_bytes()
    found["nii.gz"] = gzip.compress(found["nii"], mtime=0)
    with tempfile.TemporaryDirectory() as folder:
        write_tiff(Path(folder) / "x.tif", [np.stack([noise] * 5, 2)])
        found["tif"] = (Path(folder) / "x.tif").read_bytes()
    return found


def shards(image: bytes) -> Any:
    """Return a strategy of WebDataset shards: images with .cls and .json beside them, some with odd names."""
    label = st.integers(-5, 5).map(lambda number: str(number).encode()) | BYTES | TEXT
    facts = JSON_BYTES | st.dictionaries(st.sampled_from(("label", "class", "caption")), HOSTILE).map(json.dumps).map(
        str.encode
    )
    entry = st.tuples(NAME, st.just(image), label, facts)
    return st.lists(entry, min_size=2, max_size=5).map(_shard)


def _shard(entries: list[tuple[str, bytes, bytes, bytes]]) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for name, *contents in entries:
            for ending, content in zip(("png", "cls", "json"), contents, strict=True):
                member = tarfile.TarInfo(f"{name}.{ending}")
                member.size = len(content)
                archive.addfile(member, io.BytesIO(content))
    return out.getvalue()


def zipped(image: bytes, table: Any) -> Any:
    """Return a strategy of .zip files of images with a dataset.json, as those of StyleGAN."""

    def pack(chosen: tuple[bytes, list[str]]) -> bytes:
        out = io.BytesIO()
        with warnings.catch_warnings(), zipfile.ZipFile(out, "w") as archive:
            warnings.simplefilter("ignore")  # names that stand twice
            archive.writestr("dataset.json", chosen[0])
            for name in chosen[1]:
                archive.writestr(f"{name}.png", image)
        return out.getvalue()

    return st.tuples(table, st.lists(NAME, min_size=2, max_size=5)).map(pack)


def of_checkpoint(folder: Path, name: str, run: Path) -> Read:
    """Return a reader of a checkpoint's file, whose sum in the manifest is made right."""

    def read(data: bytes, _: Path) -> None:
        (folder / name).write_bytes(data)
        names = ("state.safetensors", "state.json")
        files = {each: {"sha256": sha256_of(folder / each)} for each in names}
        (folder / "manifest.json").write_text(json.dumps({"format": 1, "files": files}))
        with contextlib.suppress(GansmithError):
            _resumed(run)
        load_model(run / "checkpoints" / folder.name)

    return read


def of_cached(path: Path, source: Path) -> Read:
    """Return a reader of a description or an index record of the cache, with its own sum made right if it has one."""

    def read(data: bytes, _: Path) -> None:
        values = json.loads(data)
        if isinstance(values, dict) and "sum" in values:
            values["sum"] = _sum_of(values)
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps(values))
        open_data(source).read(range(2))

    return read


def whole_files(folder: Path) -> Path:
    """Make the files that are altered, with a cache of their own; return their folder."""
    os.environ["GANSMITH_CACHE"] = f"{folder}/cache"
    bases = folder / "bases"
    bases.mkdir()
    images = np.random.default_rng(0).integers(0, 256, (96, 8, 8, 1), np.uint8)
    np.savez(bases / "images.npz", images=images)
    make_bases(bases, bases / "images.npz")
    api.evaluate(bases / "run", options=FEW)
    return bases


def readers(bases: Path) -> dict[str, Reader]:
    """Return each reader with the files it gets and the errors that it may raise."""
    model, run = json.loads((bases / "model" / "model.json").read_text()), bases / "run"
    weights = (bases / "model" / "generator.safetensors").read_bytes()
    record = json.loads((run / "run.json").read_text())
    log, photos = (run / "log.jsonl").read_bytes(), bases / "photos"

    def of(path: Path, load: Callable[[Path], object], top: Path) -> Read:
        def read(data: bytes, _: Path) -> None:
            before = path.read_bytes() if path.exists() else None
            path.write_bytes(data)
            try:
                load(top)
            finally:
                path.unlink() if before is None else path.write_bytes(before)

        return read

    def opened(folder: Path) -> object:
        return open_data(folder, DataOptions(size="16"))

    image, other = (photos / "0.png").read_bytes(), make_model("hidden=[8]")
    with_dataset, with_metadata = bases / "with-dataset", bases / "with-metadata"
    for folder in (with_dataset, with_metadata):
        folder.mkdir()
        for number in range(8):
            shutil.copy(photos / f"{number}.png", folder)
    open_data(bases / "tiny.npz")
    entry = next(
        each.parent for each in data_folder("entries").glob(f"*/{META}") if json.loads(each.read_text())["count"] == 96
    )

    checkpoint = run / "checkpoints" / "000000012"
    index = next(each for each in data_folder("index").glob("*.json") if "tiny" in each.read_text())
    rows, table = (
        altered_rows(log.decode()),
        JSON_BYTES | altered_json(json.loads((photos / "dataset.json").read_text())),
    )
    metadata = (photos / "metadata.jsonl").read_text()
    model_in_run = load_model(run, "cpu")

    def reported(folder: Path) -> None:
        api.diagnose(folder)
        refresh_report(RunFolder(folder), model_in_run, always=True)
        evaluation_sections(folder, None)

    of_run = {
        f"{what} {name}": (strategy, of(run / f"{name}.{end}", read, run), DOOR)
        for what, read in (("reported", reported), ("watched", _watched), ("verified", verify))
        for name, end, strategy in (
            ("log", "jsonl", rows),
            ("timing", "jsonl", altered_rows((run / "timing.jsonl").read_text())),
            ("snapshots", "jsonl", altered_rows(SNAPSHOT)),
            ("run", "json", altered_json(record)),
        )
    }
    evaluation = json.loads((run / "evaluation" / "evaluation.json").read_text())
    more = {
        **of_run,
        **{f"{what} evaluation": (altered_json(evaluation), of(run / "evaluation" / "evaluation.json", read, run), DOOR)
           for what, read in (("reported", reported), ("watched", _watched), ("read", last_evaluation))},
        "state": (altered_json(json.loads((checkpoint / "state.json").read_text())),
                  of_checkpoint(checkpoint, "state.json", run), DOOR),
        "state tensors": (altered((checkpoint / "state.safetensors").read_bytes()),
                          of_checkpoint(checkpoint, "state.safetensors", run), DOOR),
        "manifest": (altered_json(json.loads((checkpoint / "manifest.json").read_text())),
                     of(checkpoint / "manifest.json", load_model, run), DOOR),
        "index": (altered_json(json.loads(index.read_text())), of_cached(index, bases / "tiny.npz"), DOOR),
        "cache": (altered_json(json.loads((entry / META).read_text())),
                  of_cached(entry / META, bases / "tiny.npz"), DOOR),
        "shards": (shards(image), in_file("x-000.tar", opened), DOOR),
        "zip with dataset.json": (zipped(image, table), in_file("x.zip", opened), DOOR),
        "dataset.json": (table, of(with_dataset / "dataset.json", opened, with_dataset), DOOR),
        "metadata.jsonl": (altered_rows(metadata) | JSON_BYTES | TEXT,
                           of(with_metadata / "metadata.jsonl", opened, with_metadata), DOOR),
        "latents": (altered((bases / "latents.safetensors").read_bytes()),
                    in_file("x.safetensors", lambda path: find_latents(other, str(path))), DOOR),
        "import": (altered(weights), in_file("x.safetensors", lambda path: import_weights(path, "mlp-small")), DOOR),
        "card": (BYTES | TEXT | altered(CARD), of(bases / "model" / "README.md",
                 lambda path: card_of(load_model(path), None), bases / "model"), DOOR),
        "sweep": (altered_json(SWEEP_VALUES),
                  in_file("sweep.json", lambda path: SweepFolder(path.parent).record), DOOR),
        "idx": (altered(b"\0\0\x08\3" + b"\0\0\0\2" * 3 + bytes(8)), in_file("x", read_idx), DOOR),
        **{f"{ending} file": (altered(content), in_file(f"x.{ending}", opened), DOOR)
           for ending, content in science().items()},
    }  # fmt: skip
    archives = {
        f"altered {name}": (altered((bases / name).read_bytes()), in_file(f"x{name[6:]}", open_data), DOOR)
        for name in ("photos.zip", "photos.tar", "photos.tar.gz", "photos.tar.xz", "photos.tar.bz2")
    }
    return {
        "json": (JSON_BYTES | BYTES | TEXT, lambda data, _: parse_json(data), INNER),
        "yaml": (TEXT, lambda data, _: parse_yaml(data.decode()), INNER),
        "recipe": (JSON_BYTES | TEXT, lambda data, _: parse_recipe(data.decode(), where="recipe"), DOOR),
        "log": (JSON_BYTES | BYTES | TEXT | altered(log), in_file("log.jsonl", read_rows), DOOR),
        "header": (BYTES | altered(weights), in_file("x.safetensors", refuse_damaged_tensors), INNER),
        "weights": (altered(weights), in_file("generator.safetensors", load_model), DOOR),
        "model": (altered_json(model), of(bases / "model" / "model.json", load_model, bases / "model"), DOOR),
        "run": (altered_json(record), of(run / "run.json", load_model, run), DOOR),
        "onnx": (altered((bases / "model.onnx").read_bytes()), in_file("x.onnx", OnnxModel), DOOR),
        "image": (st.one_of(*map(altered, pictures())), read_picture, DOOR),
        "table": (CSV, of(photos / "labels.csv", opened, photos), DOOR),
        "npz": (altered((bases / "tiny.npz").read_bytes()), in_file("x.npz", open_data), DOOR),
        "npy": (altered((bases / "tiny.npy").read_bytes()[:400]), in_file("x.npy", open_data), DOOR),
        **archives,
        **more,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("readers", nargs="*")
    parser.add_argument("--minutes", type=float, default=10.0)
    args = parser.parse_args()
    warnings.simplefilter("ignore")
    resource.setrlimit(resource.RLIMIT_AS, (MOST_BYTES, MOST_BYTES))
    with tempfile.TemporaryDirectory() as folder:
        known = readers(whole_files(Path(folder)))
        failed = 0
        for name in args.readers or known:
            try:
                print(f"{name}: {fuzz(*known[name], args.minutes):,} files, no failure", flush=True)
            except Exception:
                failed += 1
                print(f"{name}: FAILED\n{traceback.format_exc()}", flush=True)
    sys.exit(f"{failed} readers failed" if failed else 0)


def fuzz(strategy: Any, read: Read, allowed: tuple[type[Exception], ...], minutes: float) -> int:
    """Give a reader files for so long; return their number."""
    count, turn, end = 0, 0, time.monotonic() + 60 * minutes
    with tempfile.TemporaryDirectory() as folder:

        def one(data: bytes) -> None:
            nonlocal count
            count += 1
            if time.monotonic() < end:
                with contextlib.suppress(*allowed):
                    read(data, Path(folder))

        while time.monotonic() < end:
            turn += 1
            checked = settings(
                max_examples=100, deadline=60_000, database=None, phases=(Phase.generate, Phase.shrink),
                suppress_health_check=list(HealthCheck),
            )  # fmt: skip
            seed(turn)(checked(given(strategy)(one)))()
    return count


if __name__ == "__main__":
    main()
