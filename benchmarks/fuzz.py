"""Generated and altered files for each reader, for so many minutes: no crash, hang, over-use of memory."""

# Run: python benchmarks/fuzz.py [READER ...] [--minutes 10]. A failure is printed with its bytes, smallest first. The
# readers of texts may raise ValueError; those that a user calls only what the command line prints as a message. Files
# that once failed are kept, small, in tests/attacks.py. benchmarks/fuzz_atheris.py has the same readers of
# images and models, guided by coverage.

import argparse
import contextlib
import copy
import io
import json
import os
import resource
import sys
import tempfile
import time
import warnings
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

from attacks import make_bases
from gansmith.core.errors import GansmithError
from gansmith.core.plain_files import parse_json, parse_yaml, refuse_damaged_tensors
from gansmith.data.base import DataOptions
from gansmith.data.open import open_data
from gansmith.imaging.deep_files import open_any, read_values
from gansmith.imaging.images import decode_image, num_frames
from gansmith.inference.load import load_model
from gansmith.inference.onnx_model import OnnxModel
from gansmith.recipes.load import parse_recipe
from gansmith.runs.log import read_rows

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(max_size=10), inner, max_size=5),
    max_leaves=30,
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


def readers(bases: Path) -> dict[str, Reader]:
    """Return each reader with the files it gets and the errors that it may raise."""
    model, run = json.loads((bases / "model" / "model.json").read_text()), bases / "run"
    weights = (bases / "model" / "generator.safetensors").read_bytes()
    record = json.loads((run / "run.json").read_text())
    log, photos = (run / "log.jsonl").read_bytes(), bases / "photos"

    def of(path: Path, load: Callable[[Path], object], top: Path) -> Read:
        def read(data: bytes, _: Path) -> None:
            path.write_bytes(data)
            load(top)

        return read

    def opened(folder: Path) -> object:
        return open_data(folder, DataOptions(size="16"))

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
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("readers", nargs="*")
    parser.add_argument("--minutes", type=float, default=10.0)
    args = parser.parse_args()
    warnings.simplefilter("ignore")
    resource.setrlimit(resource.RLIMIT_AS, (MOST_BYTES, MOST_BYTES))
    with tempfile.TemporaryDirectory() as folder:
        os.environ["GANSMITH_CACHE"] = f"{folder}/cache"
        bases = Path(folder) / "bases"
        bases.mkdir()
        images = np.random.default_rng(0).integers(0, 256, (96, 8, 8, 1), np.uint8)
        np.savez(bases / "images.npz", images=images)
        make_bases(bases, bases / "images.npz")
        known = readers(bases)
        for name in args.readers or known:
            print(f"{name}: {fuzz(*known[name], args.minutes):,} files, no failure", flush=True)


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
