"""Named data sets, each read from small files that the test writes in its format."""

import gzip
import hashlib
import io
import json
import os
import pickle
import struct
import sys
import tarfile
import types
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import small_runs
from gansmith import api
from gansmith.data.datasets import base, cifar, mnist
from gansmith.data.datasets.base import data_sets
from gansmith.data.find import find_source
from gansmith.data.open import open_data
from gansmith.training import prepare

pytestmark = pytest.mark.usefixtures("cache_folder")
RANDOM = np.random.default_rng(0)
DIGITS = RANDOM.integers(0, 256, (30, 28, 28), np.uint8)
LABELS = (np.arange(30) % 10).astype(np.uint8)


@pytest.fixture(autouse=True)
def root(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("GANSMITH_DATA", str(tmp_path / "root"))
    return tmp_path / "root"


@pytest.fixture(autouse=True)
def _no_downloads(monkeypatch):
    monkeypatch.setitem(sys.modules, "torchvision", None)


# idx


def idx(values: np.ndarray) -> bytes:
    return struct.pack(f">HBB{values.ndim}I", 0, 8, values.ndim, *values.shape) + values.tobytes()


def write_digits(folder: Path, *, prefix: str = "train", packed: bool = False, first: int = 0) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, values in (("images-idx3", DIGITS[first:]), ("labels-idx1", LABELS[first:])):
        file = folder / f"{prefix}-{name}-ubyte{'.gz' if packed else ''}"
        file.write_bytes(gzip.compress(idx(values)) if packed else idx(values))
    return folder


@pytest.mark.parametrize("name", ["mnist", "fashion-mnist", "kmnist"])
@pytest.mark.parametrize("packed", [False, True])
def test_idx_sets_are_read_from_torchvisions_folders(prose, root, name, packed):
    part = data_sets.get(name)
    write_digits(root / part.place, packed=packed)
    data = open_data(name)
    assert (data.read(range(30))[..., 0] == DIGITS).all()
    assert data.labels.tolist() == LABELS.tolist()
    assert data.spec.classes == part.classes
    assert len(set(part.classes)) == 10
    assert data.spec.name == name
    prose("notes of an idx set", "\n".join(data.summary.notes))


@pytest.mark.parametrize("folder", ["", "MNIST", "mnist", "MNIST/raw"])
def test_files_may_lie_bare_or_in_a_folder_of_the_name(refused, tmp_path, folder):
    write_digits(tmp_path / "mine" / folder)
    assert open_data("mnist", root=tmp_path / "mine").spec.count == 30
    with refused("data.not_downloaded"):
        open_data("mnist")


def test_one_file_packed_and_the_other_not(root):
    write_digits(root)
    packed = root / "train-images-idx3-ubyte"
    (root / f"{packed.name}.gz").write_bytes(gzip.compress(packed.read_bytes()))
    packed.unlink()
    assert open_data("mnist").spec.count == 30


def test_splits_are_named_after_a_colon(refused, root):
    write_digits(root / "MNIST/raw")
    write_digits(root / "MNIST/raw", prefix="t10k", first=10)
    train, test = open_data("mnist"), open_data("mnist:test")
    assert (train.spec.count, test.spec.count) == (30, 20)
    assert open_data("mnist:train").spec == train.spec
    assert test.spec.name == "mnist-test"
    assert find_source("mnist:test").location == "mnist:test"
    with refused("data.unknown_split"):
        open_data("mnist:tset")
    with refused("data.unknown_split"):
        open_data("mnist:")
    with refused("data.no_splits"):
        open_data("fashion-sample:test")


@pytest.mark.parametrize("name", ["images-idx3", "labels-idx1"])
def test_a_changed_file_is_noticed(root, name):
    write_digits(root)
    first = open_data("mnist")
    path = root / f"train-{name}-ubyte"
    path.write_bytes(path.read_bytes()[:-1] + b"\1")
    assert open_data("mnist").spec.fingerprint != first.spec.fingerprint


def test_the_files_of_another_set_are_refused(refused, root):
    """All of the family go by the same names."""
    write_digits(root)
    official = np.frombuffer(mnist.FashionMnist.first_labels["train"], np.uint8)
    (root / "train-labels-idx1-ubyte").write_bytes(idx(np.concatenate([official, LABELS[:14]])))
    assert open_data("fashion-mnist").spec.count == 30
    with refused("data.other_data_set"):
        open_data("mnist")


GOOD = idx(DIGITS)


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"", "data.damaged_idx"),
        (GOOD[:9], "data.damaged_idx"),
        (GOOD[:-1], "data.damaged_idx"),
        (GOOD + b"x", "data.damaged_idx"),
        (b"\0\0\x0d\x03" + GOOD[4:], "data.damaged_idx"),
        (b"\0\0\x08\xff" + GOOD[4:], "data.damaged_idx"),
        (b"\x89PNG" + GOOD[4:], "data.damaged_idx"),
        (struct.pack(">HBB3I", 0, 8, 3, 2**32 - 1, 2**32 - 1, 2**32 - 1), "data.damaged_idx"),
        (struct.pack(">HBB3I", 0, 8, 3, 30_000, 28, 28) + b"x", "data.damaged_idx"),
    ],
)
@pytest.mark.parametrize("packed", [False, True])
def test_a_damaged_idx_file(refused, root, content, code, packed):
    write_digits(root, packed=packed)
    path = root / f"train-images-idx3-ubyte{'.gz' if packed else ''}"
    path.write_bytes(gzip.compress(content) if packed else content)
    with refused(code):
        open_data("mnist")


@pytest.mark.parametrize(
    "damage", [lambda data: data[:-9], lambda data: data[:40] + b"xxxx" + data[44:], lambda _: b"x"]
)
def test_a_damaged_packed_file(refused, root, damage):
    write_digits(root, packed=True)
    path = root / "train-images-idx3-ubyte.gz"
    path.write_bytes(damage(path.read_bytes()))
    with refused("data.damaged_idx", ["(?<=is damaged: ).*"]):
        open_data("mnist")


def test_labels_that_do_not_fit(refused, root):
    write_digits(root)
    (root / "train-labels-idx1-ubyte").write_bytes(idx(LABELS[:-1]))
    with refused("data.labels_shape"):
        open_data("mnist")
    (root / "train-labels-idx1-ubyte").write_bytes(idx(LABELS + 1))
    with refused("data.labels_range"):
        open_data("mnist")
    (root / "train-labels-idx1-ubyte").write_bytes(idx(DIGITS))
    with refused("data.labels_shape"):
        open_data("mnist")


# downloads


def test_without_torchvision_the_error_names_files_folder_and_sums(refused):
    with refused("data.not_downloaded"):
        open_data("kmnist:test")


def stub(monkeypatch, name: str, download) -> list:
    calls = []

    def made(root, *, download_now=download, download=True, **how):
        calls.append((root, download, how))
        print("chatter")
        download_now(Path(root))

    torchvision = types.ModuleType("torchvision")
    torchvision.datasets = types.ModuleType("torchvision.datasets")
    setattr(torchvision.datasets, name, made)
    monkeypatch.setitem(sys.modules, "torchvision", torchvision)
    monkeypatch.setitem(sys.modules, "torchvision.datasets", torchvision.datasets)
    return calls


def test_missing_files_are_downloaded_once_through_torchvision(root, monkeypatch, capsys):
    calls = stub(monkeypatch, "MNIST", lambda place: write_digits(place / "MNIST/raw", prefix="t10k", packed=True))
    for _ in range(2):
        assert open_data("mnist:test").spec.count == 30
    assert calls == [(root, True, {"train": False})]
    assert capsys.readouterr().out == ""


def test_a_failed_download_is_refused_with_its_reason(refused, monkeypatch):
    def fail(_):
        raise RuntimeError("Error downloading:\nTried http://example, got:\nno route")

    stub(monkeypatch, "CIFAR10", fail)
    with refused("data.not_downloaded"):
        open_data("cifar10")
    stub(monkeypatch, "CelebA", lambda _: None)
    with refused("data.not_downloaded"):
        open_data("celeba:valid")


@pytest.mark.slow
def test_the_sums_are_torchvisions(monkeypatch):
    monkeypatch.delitem(sys.modules, "torchvision")
    datasets = pytest.importorskip("torchvision.datasets")
    for part in (mnist.Mnist, mnist.FashionMnist, mnist.Kmnist):
        theirs = getattr(datasets, part.torchvision)
        assert part.sums == dict(theirs.resources)
        assert theirs.__name__ == part.place.removesuffix("/raw")
    for part in (cifar.Cifar10, cifar.Cifar100):
        theirs = getattr(datasets, part.torchvision)
        assert part.sums == {theirs.filename: theirs.tgz_md5}
        assert part.url == theirs.url
        assert part.place == theirs.base_folder
        files = [*theirs.train_list, *theirs.test_list, [theirs.meta["filename"], theirs.meta["md5"]]]
        assert part.batch_sums == dict(files)
        assert part.names == (theirs.meta["filename"], theirs.meta["key"])
    md5 = next(md5 for _, md5, name in datasets.CelebA.file_list if name == "img_align_celeba.zip")
    assert list(data_sets.get("celeba").sums.values()) == [md5]


def test_the_folder_of_data_sets_follows_the_environment(monkeypatch, tmp_path):
    assert base.data_root() == tmp_path / "root"
    monkeypatch.delenv("GANSMITH_DATA")
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "xdg"))
    assert base.data_root() == tmp_path / "xdg" / "gansmith"
    monkeypatch.delenv("XDG_DATA_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert base.data_root() == tmp_path / ".local" / "share" / "gansmith"


# CIFAR


def py2(value: object) -> bytes:
    """Return what Python 2's cPickle wrote in protocol 2, without the memo."""
    if isinstance(value, str | bytes):
        text = value.encode() if isinstance(value, str) else value
        return b"U" + bytes([len(text)]) + text if len(text) < 256 else b"T" + struct.pack("<i", len(text)) + text
    if isinstance(value, int):
        return b"J" + struct.pack("<i", value)
    if isinstance(value, list):
        return b"](" + b"".join(map(py2, value)) + b"e"
    if isinstance(value, dict):
        return b"}(" + b"".join(py2(each) for pair in value.items() for each in pair) + b"u"
    assert isinstance(value, np.ndarray)
    dtype = b"cnumpy\ndtype\n" + py2("u1") + b"K\0K\1\x87R(K\3" + py2("|") + b"NNN" + py2(-1) + py2(-1) + b"K\0tb"
    shape = b"".join(map(py2, value.shape)) + b"\x86"
    empty = b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\0\x85" + py2("b") + b"\x87R"
    return empty + b"(K\1" + shape + dtype + b"\x89" + py2(value.tobytes()) + b"tb"


COLOURS = RANDOM.integers(0, 256, (12, 32, 32, 3), np.uint8)
NAMES = [f"thing {number}" for number in range(10)]


def batch(first: int, last: int, key: str = "labels") -> bytes:
    rows = COLOURS[first:last].transpose(0, 3, 1, 2).reshape(-1, 3072)
    return b"\x80\2" + py2({"batch_label": "a batch", key: [n % 10 for n in range(first, last)], "data": rows}) + b"."


CIFAR10 = {f"data_batch_{number + 1}": batch(2 * number, 2 * number + 2) for number in range(5)}
CIFAR10 |= {"test_batch": batch(10, 12), "batches.meta": b"\x80\2" + py2({"label_names": NAMES}) + b"."}
FINE = [f"kind {number}" for number in range(100)]
CIFAR100 = {"train": batch(0, 10, "fine_labels"), "test": batch(10, 12, "fine_labels")}
CIFAR100 |= {"meta": b"\x80\2" + py2({"fine_label_names": FINE}) + b"."}


@pytest.fixture
def sums(monkeypatch):
    """Let the files of the test be the official ones."""
    for part, files in ((cifar.Cifar10, CIFAR10), (cifar.Cifar100, CIFAR100)):
        monkeypatch.setattr(part, "batch_sums", {name: hashlib.md5(data).hexdigest() for name, data in files.items()})


def write_cifar(root: Path, kind: str, *, packed: bool) -> None:
    folder, files = {"cifar10": ("cifar-10-batches-py", CIFAR10), "cifar100": ("cifar-100-python", CIFAR100)}[kind]
    root.mkdir(parents=True, exist_ok=True)
    if packed:
        with tarfile.open(root / next(iter(data_sets.get(kind).sums)), "w:gz") as archive:
            for name, data in files.items():
                member = tarfile.TarInfo(f"{folder}/{name}")
                member.size = len(data)
                archive.addfile(member, io.BytesIO(data))
    else:
        (root / folder).mkdir()
        for name, data in files.items():
            (root / folder / name).write_bytes(data)


@pytest.mark.usefixtures("sums")
@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize(("kind", "classes"), [("cifar10", NAMES), ("cifar100", FINE)])
def test_cifar_is_read_from_its_batches_and_from_the_archive(root, kind, classes, packed):
    write_cifar(root, kind, packed=packed)
    train, test = open_data(kind), open_data(f"{kind}:test")
    assert (train.read(range(10)) == COLOURS[:10]).all()
    assert (test.read(range(2)) == COLOURS[10:]).all()
    assert train.spec.classes == tuple(classes)
    assert train.labels.tolist() == list(range(10))
    assert test.labels.tolist() == [0, 1]


@pytest.mark.parametrize("packed", [False, True])
def test_only_official_files_are_unpickled(refused, root, packed, monkeypatch):
    """Without the fixture ``sums`` the files of the test are not official."""
    write_cifar(root, "cifar10", packed=packed)
    monkeypatch.setattr(cifar, "ArrayUnpickler", lambda *_, **__: pytest.fail("a pickle was read"))
    with refused("data.not_official", [r"(?<=its MD5 is )\w+"]):
        open_data("cifar10")


class Harm:
    def __reduce__(self):
        return os.system, ("echo harm",)


@pytest.mark.parametrize(
    "harm",
    [pickle.dumps(Harm(), 2), pickle.dumps({"labels": Harm()}), pickle.dumps(len, 2)],
    ids=["call", "nested", "name"],
)
def test_the_unpickler_knows_nothing_but_arrays(refused, harm, monkeypatch):
    monkeypatch.setattr(os, "system", lambda _: pytest.fail("code was run"))
    with refused("data.unsafe_pickle"):
        cifar.read_batch(harm, hashlib.md5(harm).hexdigest(), "batch", "url")


def test_a_damaged_archive_of_cifar(refused, root):
    root.mkdir()
    path = root / "cifar-10-python.tar.gz"
    path.write_bytes(b"no archive")
    with refused("data.damaged_archive", ["(?<=is damaged: ).*"]):
        open_data("cifar10")
    with tarfile.open(path, "w:gz"):
        pass
    with refused("data.incomplete"):
        open_data("cifar10")


# CelebA


def face(number: int) -> bytes:
    """A frame of 178 x 218 whose 128 x 128 around (89, 121) are of one colour."""
    pixels = np.full((218, 178, 3), 200, np.uint8)
    pixels[57:185, 25:153] = number
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=100)
    return buffer.getvalue()


def write_faces(folder: Path, numbers: dict[int, int]) -> Path:
    folder.mkdir(parents=True)
    for number, colour in numbers.items():
        (folder / f"{number:06d}.jpg").write_bytes(face(colour))
    (folder / "notes.txt").write_text("x")
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("place", ["celeba/img_align_celeba", "img_align_celeba"])
def test_celeba_is_its_folder_cut_to_the_face(root, place):
    write_faces(root / place, {1: 10, 162_770: 20, 162_771: 30, 182_637: 40, 182_638: 50, 202_599: 60, 202_600: 70})
    for name, colours in (("celeba", [10, 20]), ("celeba:valid", [30, 40]), ("celeba:test", [50, 60])):
        data = open_data(name)
        assert (data.spec.height, data.spec.width, data.spec.channels) == (128, 128, 3) or data.spec.channels == 1
        images = data.read(range(len(data)))[:, 4:-4, 4:-4].astype(int)  # JPEG blurs the edge
        assert abs(images - np.array(colours)[:, None, None, None]).max() <= 2
        assert data.spec.classes == ()


def test_celeba_root_may_be_the_folder_itself(refused, tmp_path):
    folder = write_faces(tmp_path / "img_align_celeba", {1: 10})
    assert open_data("celeba", root=folder).spec.count == 1
    with refused("data.empty"):
        open_data("celeba:test", root=folder)


@pytest.mark.slow
def test_faces_that_are_not_aligned_are_left_out(prose, root):
    folder = write_faces(root / "celeba/img_align_celeba", {number: 10 + number for number in range(1, 40)})
    Image.new("RGB", (64, 64)).save(folder / "000040.jpg")
    data = open_data("celeba")
    assert data.spec.count == 39
    prose("reason of a face of another size", data.summary.quarantine[0]["reason"])


# runs


@pytest.mark.slow
def test_a_run_finds_its_data_again_from_another_folder(tmp_path, monkeypatch):
    write_digits(tmp_path / "mine", prefix="t10k")
    monkeypatch.chdir(tmp_path)
    run = small_runs.train("mnist:test", Path("run"), "mlp-small", stop_at=9, data_root="mine")
    assert not run.finished
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    resumed = small_runs.resume(tmp_path / "run")
    assert resumed.finished
    assert json.loads((tmp_path / "run" / "run.json").read_text())["data"]["source"] == "mnist:test"


@pytest.mark.slow
def test_a_dry_run_takes_the_root_too(tmp_path, monkeypatch):
    monkeypatch.setattr(prepare, "measure_speed", lambda *_: prepare.Speed(100.0))
    write_digits(tmp_path / "mine")
    overrides = small_runs.small("mlp-small")
    root = tmp_path / "mine"
    found = api.dry_run("mnist", recipe="mlp-small", overrides=overrides, steps=1, device="cpu", data_root=root)
    assert found.summary[0].startswith("mnist: 30 images, 8 x 8, gray, 10 classes")


# the list


def test_every_named_set_has_a_description():
    for name in data_sets.names():
        part = data_sets.get(name)
        assert part.about
        assert part.licence
        assert "Source: " in part.__doc__


def test_the_list_says_which_sets_are_here(root, tmp_path):
    write_digits(root / "MNIST/raw")
    here = {each["name"]: each for each in api.list_data()}
    assert list(here) == sorted(data_sets.names())
    assert here["fashion-sample"]["here"]
    assert here["fashion-sample"]["folder"] is None
    assert not here["mnist"]["here"]  # its test split is not
    write_digits(root / "MNIST/raw", prefix="t10k")
    listed = next(each for each in api.list_data() if each["name"] == "mnist")
    assert listed["here"]
    assert listed["folder"] == str(root / "MNIST/raw")
    assert listed["splits"] == ["train", "test"]
    assert json.loads(json.dumps(listed)) == listed
    elsewhere = next(each for each in api.list_data(tmp_path / "other") if each["name"] == "mnist")
    assert not elsewhere["here"]
