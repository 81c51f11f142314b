"""Hostile files for every door: what a stranger's model, run, archive, image or table may be, and who reads it."""

import bz2
import gzip
import io
import json
import lzma
import os
import resource
import shutil
import socket
import struct
import sys
import tarfile
import traceback
import warnings
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, NoReturn
from unittest import mock

import numpy as np
import yaml
from PIL import Image

from gansmith import api
from gansmith.core.errors import GansmithError, StoppedError
from gansmith.core.plain_files import sha256_of
from gansmith.core.registry import load_plugins
from gansmith.data.base import DataOptions
from gansmith.data.open import open_data
from gansmith.evaluation.result import last_evaluation
from gansmith.inference.import_weights import import_weights
from gansmith.inference.latents import find_latents
from gansmith.inference.load import load_model
from gansmith.inference.onnx_model import OnnxModel
from gansmith.recipes.load import load_recipe
from gansmith.reporting.verify import repair, verify
from gansmith.runs.folder import RunFolder
from gansmith.training import trainer
from small_models import make_model
from small_runs import quick_curves, quick_film, train, with_results

try:  # an extra
    from gansmith.web.judge import _evaluation
    from gansmith.web.listing import _card
    from gansmith.web.models import Models
    from gansmith.web.places import Places
    from gansmith.web.runs import Seen, Watch
except ModuleNotFoundError:
    Watch = None  # type: ignore[assignment,misc]

MB, GB = 10**6, 10**9
TABLES = ("labels.csv", "dataset.json", "metadata.jsonl")
ALLOWED = (GansmithError, OSError)  # what the command line prints as a message
IMPORTED = "imported"  # the file that a plugin leaves which should not have been imported
OUTSIDE = Path("/tmp/gansmith-left.png")  # the file of archives with names that leave


@dataclass(frozen=True)
class Door:
    """A reader of files: its valid files, the one that is attacked, and how it is read."""

    name: str
    base: str  # the folder or file of ``make_bases`` that it reads
    file: str  # the attacked file inside the base; "" for the base itself
    read: Callable[[Path], object]
    kind: str  # of the content: a key of CONTENTS

    def place(self, bases: Path, folder: Path) -> tuple[Path, Path]:
        """Copy the valid files; return the path to read, and the file to attack, which is removed."""
        source, top = bases / self.base, folder / self.base
        if source.is_dir():
            shutil.copytree(source, top)
        else:
            shutil.copy(source, top)
        target = top / self.file if self.file else top
        target.parent.mkdir(exist_ok=True)
        if self.kind != "names":
            target.unlink(missing_ok=True)
        if self.file in TABLES:
            for name in TABLES:
                (top / name).unlink(missing_ok=True)
        return top, target


def make_bases(folder: Path, tiny_file: Path, *, onnx: bool = True) -> None:
    """Write one valid example of everything that is read."""
    model = make_model("hidden=[8]")
    model.save(folder / "model")
    if onnx:
        api.export(folder / "model", to="onnx", out=folder / "model.onnx")
    with with_results(quick_film, quick_curves):
        train(tiny_file, folder / "run", "mlp-small")
    find_latents(model, "3").save(folder / "latents.safetensors")
    photos = folder / "photos"
    photos.mkdir()
    for number in range(8):
        noise = np.random.default_rng(number).integers(0, 256, (16, 16, 3), np.uint8)
        Image.fromarray(noise).save(photos / f"{number}.png")
    (photos / "labels.csv").write_text("file,label\n" + "".join(f"{n}.png,{'ab'[n % 2]}\n" for n in range(8)))
    (photos / "dataset.json").write_text(json.dumps({"labels": [[f"{n}.png", n % 2] for n in range(8)]}))
    (photos / "metadata.jsonl").write_text(
        "".join(json.dumps({"file_name": f"{n}.png", "label": n % 2}) + "\n" for n in range(8))
    )
    shutil.copy(folder / "photos" / "0.png", folder / "photo")
    (folder / "scan.nii").write_bytes(_nifti((8, 8, 2)))
    shutil.make_archive(str(folder / "photos"), "zip", photos)
    for ending in ("tar", "tar.gz", "tar.xz", "tar.bz2"):
        with tarfile.open(folder / f"photos.{ending}", "w" if ending == "tar" else f"w:{ending[4:]}") as archive:
            archive.add(photos, "photos")
    shutil.copy(tiny_file, folder / "tiny.npz")
    np.save(folder / "tiny.npy", np.load(tiny_file)["images"])
    (folder / "plugin.py").write_text("")
    shutil.copy(folder / "run" / "recipe.yaml", folder / "recipe.yaml")


def _resumed(run: Path) -> object:
    """Resume up to the first step, which a fork of a process that has trained cannot make."""
    with mock.patch.object(trainer, "train_step", side_effect=StoppedError("run.stopped", "here")):
        return api.resume(run, kimg=0.104, progress=False)


def _labelled(folder: Path) -> object:
    return open_data(folder, DataOptions(size="16", labels=None))


def _watched(folder: Path) -> None:
    """Show a run and its model as Studio does: lists, details, curves, snapshots, evaluation and model card."""
    places = Places([folder.parent])
    watch = Watch(mock.Mock(places=places))
    told: list[Any] = [watch.summaries(), [_card(each) or each.to_json() for each in Models(places).list()]]
    for name, path in places.search().runs.items():
        reader = watch.reader(name)
        reader.refresh()
        while reader.log.catch_up():
            pass
        news = list(reader.news(Seen(reader.life, reader.log.version, whole=1)))
        told += [reader.details(), reader.log.thinned(reader.log.columns, 0, 1e12, 1000), news, _evaluation(path, 0.1)]
    json.dumps(told, allow_nan=False)  # as an answer of the server


def _beside_plugin(read: Callable[[Path], object]) -> Callable[[Path], object]:
    """Read a file with the folder of its plugin on Python's path, so that an import by name would find it."""

    def run(path: Path) -> object:
        sys.path.insert(0, str(path if path.is_dir() else path.parent))
        return read(path)

    return run


STUDIO = (
    Door("run.json, in Studio", "run", "run.json", _watched, "watched json"),
    Door("recipe.yaml, in Studio", "run", "recipe.yaml", _watched, "yaml"),
    Door("log.jsonl, in Studio", "run", "log.jsonl", _watched, "watched rows"),
    Door("timing.jsonl, in Studio", "run", "timing.jsonl", _watched, "watched times"),
    Door("snapshots.jsonl, in Studio", "run", "snapshots.jsonl", _watched, "watched snapshots"),
    Door("model.json, in Studio", "run", "model/model.json", _watched, "json"),
    Door("model card, in Studio", "run", "model/README.md", _watched, "text"),
    Door("evaluation, in Studio", "run", "evaluation/evaluation.json", _watched, "json"),
)
DOORS = (
    Door("record of a model", "model", "model.json", load_model, "json"),
    Door("weights of a model", "model", "generator.safetensors", load_model, "tensors"),
    Door("model to be verified", "model", "model.json", verify, "json"),
    Door("onnx", "model.onnx", "", OnnxModel, "onnx"),
    Door("recipe", "recipe.yaml", "", lambda path: load_recipe(str(path)), "yaml"),
    Door("run.json, sampled", "run", "run.json", load_model, "json"),
    Door("run.json, resumed", "run", "run.json", _resumed, "json"),
    Door("recipe.yaml of a run", "run", "recipe.yaml", _resumed, "yaml"),
    Door("log.jsonl, resumed", "run", "log.jsonl", _resumed, "rows"),
    Door("log.jsonl, diagnosed", "run", "log.jsonl", api.diagnose, "rows"),
    Door("timing.jsonl", "run", "timing.jsonl", _resumed, "rows"),
    Door("snapshots.jsonl", "run", "snapshots.jsonl", load_model, "rows"),
    Door("state.json", "run", "checkpoints/000000012/state.json", load_model, "json"),
    Door("manifest.json", "run", "checkpoints/000000012/manifest.json", load_model, "json"),
    Door("state.safetensors", "run", "checkpoints/000000012/state.safetensors", load_model, "tensors"),
    Door("run to be verified", "run", "run.json", verify, "json"),
    Door("image in a folder", "photos", "3.png", _labelled, "image"),
    Door("volume", "scan.nii", "", open_data, "volume"),
    Door("image without an ending", "photo", "", open_data, "image"),
    Door("preview of a run", "run", "samples/000000012-ema.png", verify, "image"),
    Door("evaluation", "run", "evaluation/evaluation.json", lambda run: last_evaluation(RunFolder(run).path), "json"),
    Door("labels.csv", "photos", "labels.csv", _labelled, "table"),
    Door("dataset.json", "photos", "dataset.json", _labelled, "json"),
    Door("metadata.jsonl", "photos", "metadata.jsonl", _labelled, "rows"),
    Door("zip", "photos.zip", "", open_data, "zip"),
    Door("tar", "photos.tar", "", open_data, "tar"),
    Door("npz", "tiny.npz", "", open_data, "arrays"),
    Door("npy", "tiny.npy", "", open_data, "array"),
    Door("latents", "latents.safetensors", "", lambda path: find_latents(make_model("hidden=[8]"), path), "tensors"),
    Door("weights of other programs", "latents.safetensors", "", lambda path: import_weights(path, "dcgan"), "tensors"),
    Door("plugin", "plugin.py", "", lambda path: load_plugins((path,)), "text"),
    Door("plugin named by a model", "model", "model.json", _beside_plugin(load_model), "names"),
    Door("plugin named by a run", "run", "run.json", _beside_plugin(load_model), "names"),
    Door("plugin named by a run, verified", "run", "run.json", _beside_plugin(verify), "names"),
    Door("plugin named by a run, repaired", "run", "run.json", _beside_plugin(repair), "names"),
    Door("plugin named by a recipe", "recipe.yaml", "", _beside_plugin(lambda path: load_recipe(str(path))), "names"),
    *(STUDIO if Watch is not None else ()),
)  # fmt: skip


# --- what is no plain file ----------------------------------------------------------------------------------------


def _pipe(path: Path) -> None:
    os.mkfifo(path)


def _device(path: Path) -> None:
    path.symlink_to("/dev/zero")


def _socket(path: Path) -> None:
    here = os.getcwd()
    os.chdir(path.parent)  # the names of sockets are short
    place = socket.socket(socket.AF_UNIX)
    place.bind(path.name)
    place.close()
    os.chdir(here)


def _folder(path: Path) -> None:
    path.mkdir()


def _sparse(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(6 * GB)


def _closed(path: Path) -> None:
    path.symlink_to("/proc/self/mem")  # a file that cannot be read, also by root


def _circle(path: Path) -> None:
    path.symlink_to(path.name)


SPECIAL = {
    "pipe": _pipe,
    "device": _device,
    "socket": _socket,
    "folder": _folder,
    "sparse": _sparse,
    "closed": _closed,
    "circle": _circle,
}


# --- contents -----------------------------------------------------------------------------------------------------


def _bytes(content: bytes) -> Callable[[Path], None]:
    return lambda path: path.write_bytes(content) and None


def _repeated(part: bytes, times: int) -> Callable[[Path], None]:
    def write(path: Path) -> None:
        with path.open("wb") as file:
            for _ in range(times):
                file.write(part)

    return write


ANY = {
    "empty": _bytes(b""),
    "zeros": _bytes(b"\0" * 5000),
    "not utf-8": _bytes(b"\xff\xfe\xfa" * 100),
    "nul and escapes": _bytes(b'{"a\x1b[31m": "\x00\x9b\xe2\x80\xae"}'),
}
JSON = {
    "deep lists": _bytes(b"[" * 100_000 + b"]" * 100_000),
    "deep mappings": _bytes(b'{"a":' * 100_000 + b"1" + b"}" * 100_000),
    "lists of lists": _bytes(b"[" + b"[],[{}]," * 2_000_000 + b"[]]"),
    "spaces": _repeated(b" " * MB, 32),
    "not a number": _bytes(b'{"iteration": NaN, "kimg": -Infinity, "seed": 1e999}'),
    "digits": _bytes(b'{"iteration": ' + b"9" * 5000 + b', "seed": ' + b"9" * 100_000 + b"}"),
    "twice": _bytes(b'{"seed": 1, "seed": 2}'),
    "a text": _bytes(b'"text"'),
    "null": _bytes(b"null"),
    "a list": _bytes(b"[1, 2]"),
    "utf-16": _bytes('{"a": 1}'.encode("utf-16")),
    "surrogates": _bytes(b'{"\\ud800": "\\udfff"}'),
}
YAML = {
    "brackets": _bytes(b"a: " + b"[" * 250_000),
    "comment": _repeated(b"#" * MB, 4),
    "numbers": _bytes(b"a: [" + b"1," * 131_000 + b"1]"),
    "anchors": _bytes(b"a: &a [x,x]\nb: &b [*a,*a]\nc: &c [*b,*b]\n"),
    "base 60": _bytes(b"seed: 1" + b":1" * 130_000),
    "digits": _bytes(b"seed: " + b"9" * 5000),
    "not a number": _bytes(b"batch_size: .nan\nseed: .inf\nname: 1e999"),
    "twice": _bytes(b"name: a\nname: b"),
    "an object": _bytes(b"!!python/object/apply:os.system ['true']"),
    "questions": _bytes(b"? " * 100_000),
    "a merge": _bytes(b"<<: [{a: 1}, {a: 2}]"),
    "a date": _bytes(b"name: 2001-99-99"),
}
ROWS = {
    "an empty row": _bytes(b"{}\n{}\n"),
    "a long line": _repeated(b"x" * MB, 40),
    "a deep line": _bytes(b"[" * 200_000 + b"\n{}\n"),
    "not a number": _bytes(b'{"iteration": NaN, "kimg": 1}\n{"iteration": 1, "kimg": Infinity}\n'),
    "digits": _bytes(b'{"iteration": ' + b"9" * 5000 + b', "kimg": 1}\n{}\n'),
    "other types": _bytes(b'{"iteration": "1", "kimg": [], "loss_generator": {}}\n' * 2),
    "large numbers": _bytes(b'{"iteration": 1000000000000000000000000000000, "kimg": 1e308, "wall_sec": 1e308}\n' * 9),
    "many rows": _repeated(b"[]\n" * 100_000, 10),
    "escapes": _bytes(b'{"iteration": 1, "kimg": 1, "event": "\\u001b]0;x\\u0007", "message": "\\u202e"}\n' * 2),
}


WATCHED_JSON = {
    **JSON,
    "another type everywhere": _bytes(
        b'{"created": {}, "seed": [1], "length": {"schedule_kimg": "a", "iterations": {}}, "data": {"spec": 5},'
        b' "ended_by": {}}'
    ),
    "no objects": _bytes(b'{"length": [1], "data": [], "seed": null}'),
}
WATCHED_ROWS = {
    **ROWS,
    "other types of events": _bytes(
        b'{"event": {}, "iteration": "x", "kimg": {}}\n{"event": "health", "iteration": 1, "kimg": 0, "message": 5,'
        b' "verdict": {}, "began_kimg": "x"}\n{"event": "health", "iteration": "x", "kimg": 0}\n'
    ),
    "texts as numbers": _bytes(b'{"iteration": 1, "kimg": 1, "loss": "x"}\n{"iteration": [], "kimg": null}\n' * 2),
    "20,000 columns": _bytes(
        b"".join(b'{"iteration": %d, "kimg": 1, "c%d": 1.0}\n' % (number, number) for number in range(20_000))
    ),
}
WATCHED_TIMES = {
    **ROWS,
    "no objects": _bytes(b'5\nnull\n[]\n"event"\n'),
    "other types of numbers": _bytes(
        b'{"event": {}, "iteration": "x"}\n{"img_per_sec": "x", "iteration": 3, "eta_sec": "x", "memory_mb": []}\n'
        b'{"event": "started", "iteration": null, "utc": 5}\n{"event": "started", "iteration": 3, "utc": {}}\n'
        b'{"img_per_sec": 1, "iteration": 3, "eta_sec": NaN}\n'
    ),
}
WATCHED_SNAPSHOTS = {
    **ROWS,
    "shares of no images": _bytes(
        b'{"iteration": 1, "kimg": 1, "verdict": {}, "coverage2k_own_train": 0.5, "coverage0_own_train": 0.5,'
        b' "modes": 5, "kinds": [1]}\n'
    ),
}


def _tensors(header: bytes | dict[str, Any], data: bytes = b"", length: int | None = None) -> Callable[[Path], None]:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return _bytes(struct.pack("<Q", len(text) if length is None else length) + text + data)


def _entry(shape: list[int], start: int, end: int, kind: str = "F32") -> dict[str, Any]:
    return {"dtype": kind, "shape": shape, "data_offsets": [start, end]}


TENSORS = {
    "long header": _tensors(b"{}", length=2**63),
    "deep header": _tensors(b"[" * 200_000),
    "list as a header": _tensors(b"[1]"),
    "text as a header": _tensors(b'"a"'),
    "number as an entry": _tensors(b'{"a": 1}'),
    "large shape": _tensors({"a": _entry([2**31, 2**31], 0, 4)}, b"\0" * 4),
    "negative place": _tensors({"a": _entry([1], -4, 0)}),
    "overlap": _tensors({"a": _entry([1], 0, 4), "b": _entry([1], 0, 4)}, b"\0" * 4),
    "unknown type": _tensors({"a": _entry([1], 0, 4, "F33")}, b"\0" * 4),
    "no offsets": _tensors({"a": {"dtype": "F32", "shape": [1]}}),
    "many empty tensors": _tensors({str(n): _entry([0], 0, 0) for n in range(100_000)}),
    "metadata that is no text": _tensors({"__metadata__": {"gansmith": 1}}),
    "metadata that is deep": _tensors({"__metadata__": {"gansmith": "[" * 200_000, "format": "pt"}}),
    "not finite": _tensors({"latents": _entry([1, 4], 0, 16)}, struct.pack("<4f", *[float("nan")] * 4)),
}


def _protobuf(field: int, content: bytes) -> bytes:
    size, out = len(content), b""
    while size > 127:
        out, size = out + bytes([size & 127 | 128]), size >> 7
    return bytes([field << 3 | 2]) + out + bytes([size]) + content


def _nested(times: int) -> bytes:
    content = b""
    for _ in range(times):
        content = _protobuf(7, content)
    return content


ONNX = {
    "deep": _bytes(_nested(3000)),
    "many fields": _bytes(_protobuf(7, b"") * 2_000_000),
    "long varint": _bytes(b"\x3a" + b"\xff" * 1000),
    "metadata of 16 MB": _bytes(
        _protobuf(7, b"") + _protobuf(14, _protobuf(1, b"gansmith") + _protobuf(2, b"[" * 16 * MB))
    ),
    "metadata that is deep": _bytes(
        _protobuf(7, b"")
        + _protobuf(14, _protobuf(1, b"gansmith") + _protobuf(2, b"[" * 100_000))
        + _protobuf(14, _protobuf(1, b"gansmith_export") + _protobuf(2, b"{}"))
    ),
}  # fmt: skip


def _header(text: str) -> bytes:
    head = text.encode()
    head += b" " * (-(len(head) + 11) % 64) + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(head)) + head


def _npy(shape: str, descr: str = "'|u1'") -> bytes:
    return _header(f"{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}, }}") + b"\0" * 64


ARRAY = {
    "large shape": _bytes(_npy("(1152921504606846976, 8, 8, 1)")),
    "product beyond 64 bits": _bytes(_npy("(4294967296, 4294967296, 4294967296)")),
    "negative shape": _bytes(_npy("(-1, 8, 8)")),
    "no images": _bytes(_npy("(0, 8, 8)")),
    "objects": _bytes(_npy("(1,)", "'|O'")),
    "records": _bytes(_npy("(1, 1, 1)", "[('a', '|u1', (64,))]")),
    "items without bytes": _bytes(_npy("(1000000000000, 8, 8)", "'|V0'")),
    "texts": _bytes(_npy("(1, 1, 1)", "'<U16'")),
    "deep header": _bytes(_header("(" * 5000)),
    "dates": _bytes(_npy("(1, 2, 4)", "'<M8[s]'")),
    "complex": _bytes(_npy("(1, 2, 2)", "'<c16'")),
}


def _npz(content: bytes, method: int = zipfile.ZIP_DEFLATED, name: str = "images.npy") -> Callable[[Path], None]:
    def write(path: Path) -> None:
        with zipfile.ZipFile(path, "w", method) as archive:
            archive.writestr(name, content)

    return write


def _wrapped(write: Callable[[Path], None], path: Path) -> None:
    inner = path.with_name("inner")
    write(inner)
    _npz(inner.read_bytes())(path)
    inner.unlink()


def _npz_bomb(path: Path) -> None:
    """Write an entry of 3 GB in bzip2, which zipfile unpacks at once, whose array is small."""
    _zip_entry(path, "images.npy", _packed_zeros_bz2(3 * GB, _npy("(1, 8, 8)")), zipfile.ZIP_BZIP2, 200)


ARRAYS = {
    **{f"array: {name}": partial(_wrapped, write) for name, write in ARRAY.items()},
    "two arrays": _npz(b"", name="a"),
    "bzip2": _npz_bomb,
    "a name that leaves": _npz(_npy("(1, 8, 8)"), name="../../images.npy"),
}


# --- archives -----------------------------------------------------------------------------------------------------


def _packed_zeros_bz2(size: int, start: bytes = b"") -> bytes:
    packer = bz2.BZ2Compressor(9)
    out, block = packer.compress(start), b"\0" * (45 * MB)
    for _ in range(size // len(block)):
        out += packer.compress(block)
    return out + packer.flush()


def _deflated_zeros(size: int) -> bytes:
    """Return a deflate stream of zeros; it repeats one packed part."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    packer.compress(b"\0")
    packer.flush(zlib.Z_FULL_FLUSH)
    part = packer.compress(b"\0" * MB) + packer.flush(zlib.Z_FULL_FLUSH)
    return part * (size // MB) + packer.flush()


def _zip_entry(
    path: Path, name: str, packed: bytes, method: int, said: int, times: int = 1, start: bytes = b""
) -> None:
    """Write a .zip with entries that say that they have ``said`` bytes."""
    out, listing = io.BytesIO(start), b""
    out.seek(0, 2)
    for number in range(times):
        each, at = f"{number}{name}".encode(), out.tell()
        fixed = struct.pack("<HHHHHIII", 20, 0, method, 0, 0, 0, len(packed), said)
        out.write(b"PK\3\4" + fixed + struct.pack("<HH", len(each), 0) + each + packed)
        listing += b"PK\1\2" + b"\x14\0" + fixed + struct.pack("<HHHHHII", len(each), 0, 0, 0, 0, 0, at) + each
    at = out.tell()
    out.write(listing + b"PK\5\6" + struct.pack("<HHHHIIH", 0, 0, times & 0xFFFF, times & 0xFFFF, len(listing), at, 0))
    path.write_bytes(out.getvalue())


def _overlapping(path: Path) -> None:
    """Write 100 entries that all are the same 250 MB."""
    packed, name = _deflated_zeros(250 * MB), b"a.png"
    fixed = struct.pack("<HHHHHIII", 20, 0, 8, 0, 0, 0, len(packed), 250 * MB)
    body = b"PK\3\4" + fixed + struct.pack("<HH", len(name), 0) + name + packed
    entry = b"PK\1\2" + b"\x14\0" + fixed + struct.pack("<HHHHHII", len(name), 0, 0, 0, 0, 0, 0) + name
    listing = entry * 100
    path.write_bytes(body + listing + b"PK\5\6" + struct.pack("<HHHHIIH", 0, 0, 100, 100, len(listing), len(body), 0))


def _listing_only(path: Path) -> None:
    """Write a list of 3 million entries, without the entries."""
    entry = b"PK\1\2" + b"\x14\0" + struct.pack("<HHHHHIII", 20, 0, 0, 0, 0, 0, 0, 0)
    entry += struct.pack("<HHHHHII", 1, 0, 0, 0, 0, 0, 0) + b"a"
    listing = entry * 3_000_000
    size = len(listing)
    large = b"PK\6\6" + struct.pack("<QHHIIQQQQ", 44, 45, 45, 0, 0, 3_000_000, 3_000_000, size, 0)
    large += b"PK\6\7" + struct.pack("<IQI", 0, size, 1)
    path.write_bytes(listing + large + b"PK\5\6" + struct.pack("<HHHHIIH", 0, 0, 65535, 65535, 2**32 - 1, 2**32 - 1, 0))


ZIP = {
    "says 1 KB, has 2 GB": lambda path: _zip_entry(path, "a.png", _deflated_zeros(2 * GB), 8, 1000),
    "says 1 KB, has 2 GB of bzip2": lambda path: _zip_entry(path, "a.png", _packed_zeros_bz2(2 * GB), 12, 1000),
    "100 entries of 250 MB": lambda path: _zip_entry(path, "a.png", _deflated_zeros(250 * MB), 8, 250 * MB, 100),
    "overlapping entries": _overlapping,
    "3 million entries": _listing_only,
    "a table of 250 MB": lambda path: _zip_entry(path, "labels.csv", _deflated_zeros(250 * MB), 8, 250 * MB),
    "lzma with a dictionary of 4 GB": lambda path: _zip_entry(
        path, "a.png", b"\x09\x04\x05\x00\x5d\xff\xff\xff\xff" + b"\0" * 64, 14, 1000
    ),
    "unknown method": lambda path: _zip_entry(path, "a.png", b"x" * 100, 77, 100, 3),
    "only the end": _bytes(b"PK\5\6" + b"\0" * 18),
    "names that leave": lambda path: _zip_entry(path, "/../../../tmp/gansmith-left.png", b"x" * 40, 0, 40, 5),
    "control characters in names": lambda path: _zip_entry(path, "\x1b[31m\u202e\n.png", b"x" * 40, 0, 40, 5),
}


def _tar_bytes(members: Iterator[tuple[tarfile.TarInfo, bytes]] | list[tuple[tarfile.TarInfo, bytes]]) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for member, content in members:
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return out.getvalue()


def _block(name: str, size: int, kind: bytes = tarfile.REGTYPE) -> bytes:
    member = tarfile.TarInfo(name)
    member.size, member.type = size, kind
    return member.tobuf(tarfile.GNU_FORMAT)


def _link(name: str, to: str, kind: bytes = tarfile.LNKTYPE) -> bytes:
    member = tarfile.TarInfo(name)
    member.linkname, member.type = to, kind
    return member.tobuf(tarfile.GNU_FORMAT)


def _facts(values: dict[str, str]) -> bytes:
    """Return a block of pax facts about the next file."""
    text = b""
    for name, value in values.items():
        line = f" {name}={value}\n".encode()
        length = next(n for n in range(len(line), len(line) + 9) if len(str(n)) + len(line) == n)
        text += str(length).encode() + line
    return _block("x", len(text), tarfile.XHDTYPE) + text.ljust(-(-len(text) // 512) * 512, b"\0")


def _sparse_block(size: int) -> bytes:
    """Return an old GNU header of a sparse file whose only piece is 512 bytes at its end."""
    block = bytearray(_block("a.png", 512, tarfile.GNUTYPE_SPARSE))
    block[386:410] = b"%011o\0%011o\0" % (0, 512)
    block[483:495] = b"\x80" + size.to_bytes(11, "big")
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block)


def _gzipped(head: bytes, zeros: int) -> Callable[[Path], None]:
    def write(path: Path) -> None:
        body = zlib.compressobj(9, zlib.DEFLATED, -15)
        start = body.compress(head) + body.flush(zlib.Z_FULL_FLUSH)
        path.write_bytes(b"\x1f\x8b\x08\0\0\0\0\0\0\xff" + start + _deflated_zeros(zeros) + b"\0" * 8)

    return write


def _repeated_gz(part: bytes, times: int) -> Callable[[Path], None]:
    def write(path: Path) -> None:
        one = gzip.compress(part * 1000)
        path.write_bytes(one * (times // 1000))

    return write


def _xz_dictionary(path: Path) -> None:
    filters = [{"id": lzma.FILTER_LZMA2, "dict_size": 1024 * 2**20}]
    path.write_bytes(lzma.compress(_block("a.png", 10) + b"\0" * 1024, lzma.FORMAT_XZ, filters=filters))


TAR = {
    "a name of 3 GB": _gzipped(_block("././@LongLink", 3 * GB, tarfile.GNUTYPE_LONGNAME), 3 * GB),
    "facts of 3 GB": _gzipped(_block("x", 3 * GB, tarfile.XHDTYPE), 3 * GB),
    "facts of 3 GB for all": _gzipped(_block("x", 3 * GB, tarfile.XGLTYPE), 3 * GB),
    "a file of 20 GB": _gzipped(_block("a.png", 20 * GB), 20 * GB),
    "a file of 8 EB": _bytes(_block("a.png", 2**63 - 1) + b"\0" * 1024),
    "a million empty files": _repeated_gz(_block("a.png", 0), 1_000_000),
    "xz with a dictionary of 1 GB": _xz_dictionary,
    "a sparse file": _bytes(_block("a.png", 512, tarfile.GNUTYPE_SPARSE) + b"\0" * 1536),
    "a link that leaves": _bytes(
        _block("a.png", 0, tarfile.SYMTYPE) + _block("pipe", 0, tarfile.FIFOTYPE) + b"\0" * 1024
    ),
    "many facts before a file": _bytes((_block("x", 12, tarfile.XHDTYPE) + b"12 a=bcdefg\n".ljust(512, b"\0")) * 3000),
    "cut off": _bytes(_block("a.png", 5000) + b"x" * 700),
    "paths outside": _bytes(_block("../../gansmith-left.png", 0) + _block("a/../../../gansmith-left.png", 512)
        + b"x" * 512 + _block("~/gansmith-left.png", 0) + b"\0" * 1024),
    "absolute paths": _bytes(_block("/tmp/gansmith-left.png", 512) + b"x" * 512 + _block("//tmp/b.png", 0)
        + _block("C:\\b.png", 0) + b"\0" * 1024),
    "hard links outside": _bytes(_link("a.png", "/etc/passwd") + _link("b.png", "../../../etc/passwd")
        + _link("c.png", "c.png") + b"\0" * 1024),
    "links in a circle": _bytes(_link("a.png", "b.png", tarfile.SYMTYPE) + _link("b.png", "a.png", tarfile.SYMTYPE)
        + _link("c", ".", tarfile.SYMTYPE) + _block("c/c/c/d.png", 512) + b"x" * 512 + b"\0" * 1024),
    "devices and pipes": _bytes(_block("a.png", 0, tarfile.CHRTYPE) + _block("b.png", 0, tarfile.BLKTYPE)
        + _block("c.png", 0, tarfile.FIFOTYPE) + _block("d.png", 0, b"V") + b"\0" * 1024),
    "a sparse file of 8 EB": _bytes(_sparse_block(2**62) + b"\0" * 1536),
    "a sparse file of 8 EB, as facts": _bytes(_facts({"GNU.sparse.major": "1", "GNU.sparse.minor": "0",
        "GNU.sparse.name": "a.png", "GNU.sparse.realsize": str(2**62)}) + _block("x", 512)
        + b"1\n0\n9\n".ljust(512, b"\0") + b"\0" * 1024),
    "a sparse file of many pieces": _bytes(_facts({"GNU.sparse.map": ",".join(["0,1"] * 100_000),
        "GNU.sparse.size": str(2**40)}) + _block("a.png", 512) + b"x" * 512 + b"\0" * 1024),
    "a size as a fact": _bytes(_facts({"size": str(2**62), "path": "../a.png"}) + _block("a.png", 512) + b"x" * 512),
    "a negative size as a fact": _bytes(_facts({"size": "-512"}) + _block("a.png", 512) + b"x" * 512 + b"\0" * 1024),
    "a negative size": _bytes(_block("a.png", 0).replace(b"00000000000\0", b"\x80" + b"\xff" * 11, 1) + b"\0" * 1024),
}  # fmt: skip


# --- images and tables --------------------------------------------------------------------------------------------


def _chunk(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def _png(width: int, height: int, more: bytes = b"", depth: int = 8, colour: int = 6, packed: bytes = b"") -> bytes:
    header = _chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0))
    return (
        b"\x89PNG\r\n\x1a\n"
        + header
        + more
        + _chunk(b"IDAT", packed or zlib.compress(b"\0" * 100))
        + _chunk(b"IEND", b"")
    )


def _tiff(tags: list[tuple[int, int, int, int]], data: bytes = b"") -> bytes:
    """Return a TIFF of entries (tag, type, count, value)."""
    out = b"II*\0" + struct.pack("<I", 8) + struct.pack("<H", len(tags))
    return out + b"".join(struct.pack("<HHII", *each) for each in tags) + b"\0\0\0\0" + data


def _tiff_of(width: int, height: int, bands: int, bits: int = 16) -> bytes:
    return _tiff([
        (256, 4, 1, width), (257, 4, 1, height), (258, 3, 1, bits), (259, 3, 1, 1), (262, 3, 1, 1), (273, 4, 1, 200),
        (277, 3, 1, bands), (278, 4, 1, height), (279, 4, 1, 100),
    ], b"\0" * 300)  # fmt: skip


_ZEROS = zlib.compress(b"\0" * (4 * MB), 9)
IMAGE = {
    "40 megapixels": _bytes(_png(6300, 6300, packed=zlib.compress(b"\0" * (6300 * 6300 * 4 + 6300), 1))),
    "4 billion pixels a side": _bytes(_png(2**31 - 1, 2**31 - 1)),
    "no pixels": _bytes(_png(0, 0)),
    "a text that unpacks to 1 GB": _bytes(
        _png(8, 8, _chunk(b"zTXt", b"a\0\0" + zlib.compress(b"a" * (200 * MB), 1)) * 5)
    ),
    "a profile that unpacks": _bytes(_png(8, 8, _chunk(b"iCCP", b"a\0\0" + zlib.compress(b"\0" * (100 * MB), 1)))),
    "billions of frames": _bytes(_png(8, 8, _chunk(b"acTL", struct.pack(">II", 2**31 - 1, 0)))),
    "a tiff of 65,535 bands": _bytes(_tiff_of(6000, 6000, 65_535)),
    "a tiff of 64 bits": _bytes(_tiff_of(6000, 6000, 30, 64)),
    "a tiff without pages": _bytes(b"II*\0" + b"\0" * 12),
    "a tiff that goes in a circle": _bytes(b"II*\0\x08\0\0\0\0\0\x08\0\0\0"),
    "a gif without frames": _bytes(b"GIF89a\xff\xff\xff\xff\x80\0\0" + b"\0" * 6 + b";"),
    "a bmp that lies": _bytes(
        b"BM" + struct.pack("<IIIIiiHHIIiiII", 100, 0, 54, 40, 30000, -30000, 1, 32, 0, 0, 0, 0, 0, 0)
    ),
    "a ppm of many digits": _bytes(b"P6 " + b"9" * 5000 + b" 1 255\n"),
    "a jpeg of 65,535 px": _bytes(
        b"\xff\xd8\xff\xc0\0\x0b\x08\xff\xff\xff\xff\x01\x01\x11\0\xff\xda\0\x08\x01\x01\0\0\x3f\0"
        + b"\0" * 50
        + b"\xff\xd9"
    ),
}  # fmt: skip


def _nifti(sides: tuple[int, ...], kind: int = 4, offset: float = 352.0, count: int | None = None) -> bytes:
    """Return a NIfTI volume of zeros whose header has these sides, type and place of the values."""
    header = bytearray(352)
    header[0:4] = struct.pack("<i", 348)
    header[40:56] = struct.pack("<8h", len(sides) if count is None else count, *sides, *[1] * (7 - len(sides)))
    header[70:74] = struct.pack("<2h", kind, 16)
    header[108:112] = struct.pack("<f", offset)
    header[344:348] = b"n+1\0"
    return bytes(header) + b"\0" * 512


VOLUME = {
    "a side of 0": _bytes(_nifti((12, 12, 0))),
    "a negative side": _bytes(_nifti((12, -12, 3))),
    "large sides": _bytes(_nifti((32767, 32767, 32767))),
    "no sides": _bytes(_nifti((), count=0)),
    "many sides": _bytes(_nifti((2,) * 7)),
    "99 sides": _bytes(_nifti((2,), count=99)),
    "an unknown type": _bytes(_nifti((8, 8, 2), kind=9999)),
    "values beyond the end": _bytes(_nifti((8, 8, 2), offset=1e30)),
    "values in the header": _bytes(_nifti((8, 8, 2), offset=-5.0)),
    "no place": _bytes(_nifti((8, 8, 2), offset=float("nan"))),
}
TABLE = {
    "a row of 40 MB": _repeated(b"a," * 500_000, 40),
    "a cell of 40 MB": _repeated(b"a" * MB, 40),
    "one row of quoted line ends": _repeated(b'"\n",' * 250_000, 40),
    "columns without end": _repeated(b"," * 999_999 + b"\n", 40),
    "a label of 5,000 digits": _bytes(b"file,label\n" + b"".join(b"%d.png,%b\n" % (n, b"9" * 5000) for n in range(8))),
    "one letter of 4 bytes": _repeated("\U0001f600".encode() + b"a" * MB, 40),
    "nul": _bytes(b"file,label\n0.png,\0\n"),
    "an open quote": _bytes(b'file,label\n"0.png,a\n' + b"x\n" * 200_000),
    "formulas and escapes": _bytes(b"file,label\n0.png,=1+1\x1b[31m\n1.png,\xe2\x80\xaea\n"),
    "only line ends": _repeated(b"\n" * MB, 20),
}
TEXT = {"a fault": _bytes(b"raise SystemExit(0)"), "endless": _bytes(b"[" * 100_000), "bytes": _bytes(b"\x80abc")}


def _naming(change: Callable[[dict[str, Any], str], object]) -> Callable[[Path], None]:
    """Return a function that writes a plugin beside a valid record or recipe, and makes that name it."""

    def write(path: Path) -> None:
        plugin = path.with_name("evil.py")
        plugin.write_text(f"open({str(path.with_name(IMPORTED))!r}, 'w').close()\nclass Loss: pass\n")
        is_json = path.suffix == ".json"
        values = json.loads(path.read_text()) if is_json else yaml.safe_load(path.read_text())
        change(values, str(plugin))
        path.write_text(json.dumps(values) if is_json else yaml.safe_dump(values))

    return write


def _kind(of: Callable[[str], str]) -> Callable[[Path], None]:
    """Return a function that makes a record or recipe name parts by a text made from the path of a plugin."""

    def change(values: dict[str, Any], plugin: str) -> None:
        method = values.setdefault("method", {"kind": "latent"})
        method["loss"] = {"kind": of(plugin)}
        method["generator"] = {"kind": of(plugin)}
        if "optimizers" in values:
            values["optimizers"]["generator"] = {"kind": of(plugin)}

    return _naming(change)


# Files that name a plugin, in every way in which Python or gansmith could take it; none is ever imported.
NAMES = {
    "plugins as of a run": _naming(
        lambda values, plugin: values.update(plugins=[{"file": plugin, "sha256": sha256_of(plugin)}])
    ),
    "plugin files": _naming(
        lambda values, plugin: values.update(plugins=[plugin], plugin=plugin, plugin_files=[plugin])
    ),
    "plugins of the method": _naming(
        lambda values, plugin: values.setdefault("method", {"kind": "latent"}).update(plugins=[plugin], module="evil")
    ),
    "a path as a part": _kind(lambda plugin: plugin),
    "a module as a part": _kind(lambda _: "evil"),
    "a class as a part": _kind(lambda _: "evil.Loss"),
    "an entry point as a part": _kind(lambda _: "evil:Loss"),
    "the name of a loaded plugin as a part": _kind(lambda plugin: f"gansmith_plugin_{Path(plugin).stem}"),
    "a path as the kind": _naming(lambda values, plugin: values.update(method={"kind": plugin}, kind=plugin)),
}
CONTENTS: dict[str, dict[str, Callable[[Path], None]]] = {
    "watched json": WATCHED_JSON, "watched rows": WATCHED_ROWS, "watched times": WATCHED_TIMES,
    "watched snapshots": WATCHED_SNAPSHOTS, "names": NAMES, "json": JSON, "yaml": YAML, "rows": ROWS,
    "tensors": TENSORS, "onnx": ONNX, "array": ARRAY, "arrays": ARRAYS, "zip": ZIP, "tar": TAR, "image": IMAGE,
    "volume": VOLUME, "table": TABLE, "text": TEXT,
}  # fmt: skip


# Made or refused in more than half a second; benchmarks/attacks.py has them.
HEAVY = {
    "lists of lists", "spaces", "comment", "a long line", "many rows", "many fields", "metadata of 16 MB", "numbers",
    "says 1 KB, has 2 GB", "says 1 KB, has 2 GB of bzip2", "100 entries of 250 MB", "overlapping entries",
    "3 million entries", "a table of 250 MB", "bzip2", "a name of 3 GB", "facts of 3 GB", "facts of 3 GB for all",
    "a file of 20 GB", "a million empty files", "xz with a dictionary of 1 GB", "40 megapixels",
    "a text that unpacks to 1 GB", "a profile that unpacks", "a row of 40 MB", "a cell of 40 MB",
    "one row of quoted line ends", "columns without end", "20,000 columns", "one letter of 4 bytes", "only line ends",
}  # fmt: skip


def attacks_on(door: Door) -> dict[str, Callable[[Path], None]]:
    """Return the functions that put a hostile file in the place of a door's file, by name."""
    return NAMES if door.kind == "names" else {**SPECIAL, **ANY, **CONTENTS[door.kind]}


@dataclass(frozen=True)
class Outcome:
    """How a process that read a hostile file ended."""

    told: str  # class and first line of an error that is allowed, "" for a file that was read; else a traceback
    is_refused: bool  # or read: no other error, no signal
    memory_mb: float  # above the memory before, without the file's own size
    cpu_sec: float


def attack(door: Door, name: str, bases: Path, folder: Path) -> Outcome:
    """Read a hostile file in a fork of this process, which may take 60 s of CPU; bounds are the caller's."""
    return attack_in_turn(door, [name], bases, folder)[name]


def attack_in_turn(door: Door, names: list[str], bases: Path, folder: Path) -> dict[str, Outcome]:
    """Read hostile files in one fork, which costs more than most attacks; none is read after one that ends the fork.

    The memory of a file is then the most that it or one before it took.
    """
    tops, own = {}, {}
    for number, name in enumerate(names):
        place = folder / str(number)
        place.mkdir()
        tops[name], target = door.place(bases, place)
        attacks_on(door)[name](target)
        own[name] = target.stat().st_size / MB if target.is_file() and name != "sparse" else 0.0
    end, begin = os.pipe()
    child = os.fork()
    if child == 0:
        _read(door, tops, begin)
    os.close(begin)
    with open(end, encoding="utf-8") as pipe:
        told = [Outcome(*json.loads(line)) for line in pipe]
    ended = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if len(told) < len(names):
        told.append(Outcome(f"ended with {ended}", False, 0.0, 0.0))
    return {
        name: replace(one, memory_mb=max(0.0, one.memory_mb - own[name]))
        for name, one in zip(names, told, strict=False)
    }


def _read(door: Door, tops: dict[str, Path], report: int) -> NoReturn:
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    os.dup2(1, 2)
    warnings.simplefilter("ignore")
    try:
        for top in tops.values():
            used = _cpu_sec()
            resource.setrlimit(resource.RLIMIT_CPU, (int(used) + 60, resource.RLIM_INFINITY))
            before = int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()
            told, is_refused = _told(door, top)
            memory = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 - before) / MB
            line = json.dumps([told, is_refused, memory, _cpu_sec() - used]) + "\n"
            os.write(report, line.encode())
    finally:
        os._exit(0)


def _told(door: Door, top: Path) -> tuple[str, bool]:
    """Return what the reader of a file said, and whether it may say that."""
    told, is_refused = "", True
    try:
        door.read(top)
    except ALLOWED as problem:
        told = f"{type(problem).__name__}: {problem}"[:2000]
    except BaseException:
        told, is_refused = traceback.format_exc()[-1500:], False
    if any(top.parent.rglob(IMPORTED)):
        return "it imported a plugin", False
    if OUTSIDE.exists() or any(top.parent.parent.glob(OUTSIDE.name)):
        return "it wrote outside", False
    return told, is_refused


def _cpu_sec() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime
