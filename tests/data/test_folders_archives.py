import gzip
import io
import lzma
import os
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from gansmith.core.errors import DataError
from gansmith.data import datasets
from gansmith.data.base import DataOptions, ImageData
from gansmith.data.datasets.base import DataSetPart, data_sets, register
from gansmith.data.open import open_data
from gansmith.data.sources import folders_archives as sources

pytestmark = pytest.mark.usefixtures("cache_folder")


def png(value: int, side: int = 16) -> bytes:
    """A gray square."""
    buffer = io.BytesIO()
    Image.new("L", (side, side), value).save(buffer, "PNG")
    return buffer.getvalue()


def write(folder: Path, files: dict[str, bytes]) -> Path:
    for name, data in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    return folder


def zipped(path: Path, files: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return path


def tarred(path: Path, files: dict[str, bytes], mode: str = "w") -> Path:
    with tarfile.open(path, mode) as archive:
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return path


def values(data: ImageData) -> list[int]:
    return data.read(range(len(data)))[:, 0, 0, 0].tolist()


FLAT = {"b.png": png(20), "a.png": png(10), "c.PNG": png(30)}
LABELLED = {"top/dogs/1.png": png(20), "top/cats/2.png": png(10), "top/cats/deep/3.png": png(11)}


def test_a_flat_folder_has_no_labels_and_is_sorted_by_name(tmp_path):
    data = open_data(write(tmp_path / "photos", FLAT))
    assert data.spec.name == "photos"
    assert data.spec.classes == ()
    assert data.labels is None
    assert data.read_labels([0]) is None
    assert data.class_frequencies is None
    assert values(data) == [10, 20, 30]
    assert (data.spec.height, data.spec.width, data.spec.channels, data.spec.count) == (16, 16, 1, 3)


def test_sub_folders_become_labels_and_common_tops_are_stripped(tmp_path):
    data = open_data(write(tmp_path / "set", LABELLED))
    assert data.spec.classes == ("cats", "dogs")
    assert data.labels.tolist() == [0, 0, 1]
    assert data.labels.dtype == np.int64
    assert data.read_labels([2, 0]).tolist() == [1, 0]
    assert data.class_frequencies.tolist() == pytest.approx([2 / 3, 1 / 3])
    assert values(data) == [10, 11, 20]
    assert data.summary.class_counts == (2, 1)


def test_a_single_sub_folder_is_not_a_label(tmp_path):
    assert open_data(write(tmp_path / "set", {f"only/{name}": data for name, data in FLAT.items()})).spec.classes == ()


def test_images_beside_sub_folders_mean_no_labels(prose, tmp_path):
    data = open_data(write(tmp_path / "set", {"a.png": png(1), "cats/b.png": png(2), "dogs/c.png": png(3)}))
    assert data.spec.classes == ()
    prose("notes on labels", "\n".join(data.summary.notes))


def test_a_folder_train_beside_test_is_the_training_set(prose, tmp_path):
    data = open_data(write(tmp_path / "set", {"train/a.png": png(1), "test/b.png": png(2)}))
    prose("notes on labels", "\n".join(data.summary.notes))


def test_hidden_files_are_ignored_and_others_counted(prose, tmp_path):
    hidden = {"__MACOSX/a.png": b"x", ".git/b.png": b"x", "Thumbs.db": b"x", "desktop.ini": b"x", "._a.png": b"x"}
    data = open_data(write(tmp_path / "set", {**FLAT, **hidden, "notes.txt": b"x", "LICENSE": b"x"}))
    assert data.spec.count == 3
    assert data.summary.ignored == {
        "hidden folder": 1, "hidden file": 1, "__MACOSX folder": 1, "Thumbs.db file": 1, "desktop.ini file": 1,
        ".txt file": 1, "extensionless file": 1,
    }  # fmt: skip
    prose("summary with ignored files", "\n".join(data.summary.lines()))
    assert not data.summary.quarantine


def test_links_are_followed_once(tmp_path):
    write(tmp_path / "elsewhere", {"z.png": png(40)})
    folder = write(tmp_path / "set", FLAT)
    (folder / "linked").symlink_to(tmp_path / "elsewhere")
    (folder / "loop").symlink_to(folder)
    (folder / "broken.png").symlink_to(tmp_path / "nothing")
    (folder / "z2.png").symlink_to(tmp_path / "elsewhere" / "z.png")
    assert sorted(values(open_data(folder))) == [10, 20, 30, 40, 40]


def test_a_folder_that_is_linked_too_keeps_its_own_name(tmp_path):
    folder = write(tmp_path / "set", {"a/1.png": png(10), "b/2.png": png(20), "c/3.png": png(30)})
    for name in ("b/link", "c/link"):
        (folder / name).symlink_to(folder / "a")
    data = open_data(folder)
    assert data.spec.classes == ("a", "b", "c")
    assert data.class_frequencies.tolist() == pytest.approx([1 / 3] * 3)


@pytest.mark.parametrize("kind", ["zip", "tar", "tar.gz", "tar.bz2", "tar.xz", "tgz"])
def test_an_archive_is_its_folder(tmp_path, kind):
    path = tmp_path / f"set.{kind}"
    mode = {"tar": "w", "tgz": "w:gz"}.get(kind, f"w:{kind[-2:]}" if kind != "tar.bz2" else "w:bz2")
    files = {**LABELLED, "top/readme.md": b"x", "__MACOSX/top/._1.png": b"x"}
    zipped(path, files) if kind == "zip" else tarred(path, files, mode)
    folder, archive = open_data(write(tmp_path / "folder", LABELLED)), open_data(path)
    assert archive.spec.name == "set"
    assert archive.spec.classes == ("cats", "dogs")
    assert archive.spec.fingerprint == folder.spec.fingerprint
    assert (archive.read(range(3)) == folder.read(range(3))).all()
    assert archive.summary.ignored == {".md file": 1, "__MACOSX folder": 1}


@pytest.mark.parametrize("mode", ["w", "w:gz", "w:bz2"])
def test_archives_that_were_joined_end_to_end(tmp_path, mode):
    parts = [tarred(tmp_path / f"{name}.tar", {name: data}, mode).read_bytes() for name, data in FLAT.items()]
    (tmp_path / "set.tar").write_bytes(b"".join(parts))
    assert values(open_data(tmp_path / "set.tar")) == [10, 20, 30]
    if mode == "w":
        (tmp_path / "set.tar").write_bytes(parts[0] + b"signature of a signer")
        assert values(open_data(tmp_path / "set.tar")) == [20]


@pytest.mark.parametrize("kind", ["tar", "tar.gz", "tar.xz"])
def test_a_tar_that_is_cut_off_between_two_members_is_said(tmp_path, kind):
    whole = tarred(tmp_path / "whole.tar", FLAT).read_bytes()
    start = whole.index(b"c.PNG")
    pack = {"tar": bytes, "tar.gz": gzip.compress, "tar.xz": lzma.compress}[kind]
    path = tmp_path / f"set.{kind}"
    path.write_bytes(pack(whole[:start]))
    cut = open_data(path)
    assert values(cut) == [10, 20]
    assert [f"'set.{kind}'" in note for note in cut.summary.notes if "cut off" in note] == [True]
    for content in (whole, whole[: whole.rindex(b"c.PNG") + 1536], whole[:start] + whole[start:]):
        path.write_bytes(pack(content))
        assert not any("cut off" in note for note in open_data(path).summary.notes)


def everything_in(folder: Path) -> set[str]:
    return {str(path) for path in folder.rglob("*") if "cache" not in path.parts}


def test_members_of_an_archive_are_written_nowhere(tmp_path):
    (tmp_path / "inner").mkdir()
    secret = tmp_path / "secret.png"
    secret.write_bytes(png(99))
    path = tmp_path / "inner" / "evil.tar"
    with tarfile.open(path, "w") as archive:
        for name in ("../escape.png", "/abs.png", "fine.png"):
            member = tarfile.TarInfo(name)
            member.size = len(png(5))
            archive.addfile(member, io.BytesIO(png(5)))
        for name, kind in (
            ("soft.png", tarfile.SYMTYPE),
            ("hard.png", tarfile.LNKTYPE),
            ("pipe.png", tarfile.FIFOTYPE),
        ):
            member = tarfile.TarInfo(name)
            member.type, member.linkname = kind, str(secret)
            archive.addfile(member)
    evil_zip = zipped(tmp_path / "inner" / "evil.zip", {"../escape.png": png(5), "C:\\up\\..\\x.png": png(5)})
    link = zipfile.ZipInfo("link.png")
    link.external_attr = 0o120777 << 16
    with zipfile.ZipFile(evil_zip, "a") as archive:
        archive.writestr(link, str(secret))
    before = everything_in(tmp_path)
    data = open_data(path)
    assert values(data) == [5, 5, 5]
    assert data.summary.ignored == {"link or special file": 3}
    data = open_data(evil_zip)
    assert values(data) == [5, 5]
    assert data.summary.ignored == {"link or special file": 1}
    assert everything_in(tmp_path) == before
    cached = [file.read_bytes() for file in (tmp_path / "cache").rglob("*.u8")]
    assert all(99 not in pixels for pixels in cached)


@pytest.mark.slow
def test_a_member_over_the_limit_is_left_out_unread(tmp_path, monkeypatch):
    files = {f"{index:02d}.png": png(index) for index in range(40)}
    zipped(tmp_path / "a.zip", {**files, "bomb.png": b"\0" * 50_000})
    tarred(tmp_path / "a.tar", {**files, "bomb.png": b"\0" * 50_000})
    write(tmp_path / "a", {**files, "bomb.png": b"\0" * 50_000})
    monkeypatch.setattr(sources, "MAX_FILE_BYTES", 40_000)
    for source in ("a.zip", "a.tar", "a"):
        data = open_data(tmp_path / source)
        assert data.spec.count == 40
        (entry,) = data.summary.quarantine
        assert entry["file"] == "bomb.png"
        assert "over the limit of" in entry["reason"]


@pytest.mark.slow
def test_a_deflated_bomb_is_read_no_further_than_the_limit(tmp_path, monkeypatch):
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for index in range(40):
            archive.writestr(f"{index:02d}.png", png(index))
        archive.writestr("bomb.png", b"\0" * 5_000_000)
    small = path.read_bytes().replace((5_000_000).to_bytes(4, "little"), (100).to_bytes(4, "little"))
    path.write_bytes(small)  # the header lies: 100 bytes
    data = open_data(path)
    assert data.spec.count == 40
    assert "cannot be read from the archive" in data.summary.quarantine[0]["reason"]


def test_an_archive_that_declares_too_much(refused, tmp_path, monkeypatch):
    zipped(tmp_path / "a.zip", FLAT)
    tarred(tmp_path / "a.tar", FLAT)
    for limit in ("MAX_MEMBERS", "MAX_TOTAL_BYTES"):
        with monkeypatch.context() as patch:
            patch.setattr(sources, limit, 2)
            for name in ("a.zip", "a.tar"):
                with refused("data.archive_too_large"):
                    open_data(tmp_path / name)


@pytest.mark.parametrize("name", ["a.zip", "a.tar", "a.tar.gz", "a.tar.xz"])
def test_a_damaged_archive(refused, tmp_path, name):
    path = tmp_path / name
    path.write_bytes(b"this is no archive" * 10)
    with refused("data.damaged_archive", ["(?<=is damaged: ).*"]):
        open_data(path)
    files = {f"{index}.png": np.random.default_rng(index).bytes(5000) for index in range(20)}
    zipped(path, files) if name == "a.zip" else tarred(path, files, "w:" + (name[6:] if name[6:] else ""))
    path.write_bytes(path.read_bytes()[:60_000])
    with refused("data.damaged_archive", ["(?<=is damaged: ).*"]):
        open_data(path)


@pytest.mark.parametrize(("name", "damage"), [("a.tar", "cut"), ("a.tar", "overwritten"), ("a.tar.gz", "overwritten")])
def test_a_header_in_the_middle_of_a_tar_is_no_end_of_it(refused, tmp_path, name, damage):
    path = tarred(tmp_path / "a.tar", {f"{index:02d}.png": png(index) for index in range(40)}, "w:")
    content = path.read_bytes()
    start = content.index(b"20.png")
    content = content[: start + 100] if damage == "cut" else content[:start] + b"?" * 100 + content[start + 100 :]
    (tmp_path / name).write_bytes(gzip.compress(content) if name == "a.tar.gz" else content)
    with refused("data.damaged_archive"):
        open_data(tmp_path / name)


def test_an_encrypted_member_has_its_reason(tmp_path):
    path = zipped(tmp_path / "a.zip", {f"{index:02d}.png": png(index) for index in range(40)})
    data = bytearray(path.read_bytes())
    data[6] |= 1  # the flag of the first member, in its own header
    data[data.index(b"PK\1\2") + 8] |= 1  # and in the directory
    path.write_bytes(data)
    (entry,) = open_data(path).summary.quarantine
    assert entry["file"] == "00.png"
    assert entry["reason"] == "encrypted: unpack the archive with its password, and pass the folder"


@pytest.mark.parametrize(("content", "said"), [(b"7z\xbc\xaf", ".7z file"), (b"", "an empty file")])
def test_a_file_with_another_ending_is_told_by_its_content(tmp_path, content, said):
    (tmp_path / "set.001").write_bytes(content)
    with pytest.raises(DataError, match=said):
        open_data(tmp_path / "set.001")


@pytest.mark.slow
def test_a_source_without_images(refused, tmp_path):
    with refused("data.empty"):
        open_data(write(tmp_path / "set", {"notes.txt": b"x", "more/table.csv": b"x"}))
    zipped(tmp_path / "empty.zip", {})
    with refused("data.empty"):
        open_data(tmp_path / "empty.zip")


def test_an_unknown_name_offers_the_nearest(refused, tmp_path, monkeypatch):
    with refused("data.not_found"):
        open_data("fasion-sample")
    monkeypatch.chdir(write(tmp_path / "here", {"photos/a.png": png(1)}))
    with refused("data.not_found"):
        open_data("photo")


def test_a_link_to_something_that_is_gone_is_named(refused, tmp_path):
    (tmp_path / "photos").symlink_to(tmp_path / "drive" / "photos")
    with refused("data.not_found"):
        open_data(tmp_path / "photos")


@pytest.mark.parametrize("name", ["a.rar", "a.pkl", "a"])
def test_a_file_that_is_not_a_data_set(refused, tmp_path, name):
    (tmp_path / name).write_bytes(b"x")
    with refused("data.unknown_format"):
        open_data(tmp_path / name)


def test_a_folder_that_cannot_be_read(refused, tmp_path, monkeypatch):
    folder = write(tmp_path / "set", FLAT)

    def refuse(path):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(os, "scandir", refuse)
    with refused("data.unreadable_folder"):
        open_data(folder)


def test_names_that_are_not_unicode(tmp_path):
    folder = write(tmp_path / "set", FLAT)
    (folder / os.fsdecode(b"\xff\xfe.png")).write_bytes(png(40))
    assert sorted(values(open_data(folder))) == [10, 20, 30, 40]
    assert sorted(values(open_data(folder))) == [10, 20, 30, 40]


def test_a_new_named_data_set_is_one_class():
    try:

        @register("stripes")
        class Stripes(DataSetPart):
            def source(self):
                from gansmith.data.sources.arrays import Arrays, ArraySource

                images = np.arange(3, dtype=np.uint8)[:, None, None, None] * np.ones((1, 16, 16, 3), np.uint8)
                return ArraySource("stripes", "stripes", lambda: "1", lambda: Arrays(images))

        assert "stripes" in data_sets.names()
        assert values(open_data("stripes", DataOptions(channels=3))) == [0, 1, 2]
    finally:
        data_sets._parts.pop("stripes")


@pytest.mark.slow
def test_the_embedded_sample():
    data = open_data("fashion-sample")
    assert data.spec.classes[0] == "T-shirt/top"
    assert data.spec.classes[-1] == "Ankle boot"
    assert (data.spec.count, data.spec.height, data.spec.width, data.spec.channels) == (10_000, 28, 28, 1)
    assert np.bincount(data.labels).tolist() == [1000] * 10
    # Fashion-MNIST's first training image is an ankle boot; the mean pixel of its training split is 72.9
    assert data.labels[0] == 9
    assert abs(float(data.read(range(10_000)).mean()) - 72.9) < 1
    assert (Path(datasets.__file__).with_name("fashion_sample.LICENSE")).read_text().count("MIT License") == 1


@pytest.mark.parametrize(
    ("name", "start", "told"),
    [
        ("a.zip", b"<!DOCTYPE html><html>", "an HTML page: its download failed"),
        ("a.zip", b"version https://git-lfs.github.com/spec/v1\n", "a pointer of Git LFS, not an archive"),
        ("a.zip", b"\x1f\x8b\x08", "a .tar.gz file\n  give it the ending .tar.gz"),
        ("a.zip", bytes(257) + b"ustar\x00", "a .tar file\n  give it the ending .tar"),
        ("a.zip", b"7z\xbc\xaf\x27\x1c", "a .7z file\n  unpack it and pass the folder"),
        ("a.tar", b"PK\3\4", "a .zip file\n  give it the ending .zip"),
        ("a.tar.gz", b"Rar!\x1a\x07", "a .rar file\n  unpack it and pass the folder"),
    ],
)
def test_an_archive_of_another_kind_than_its_ending_says(tmp_path, name, start, told):
    (tmp_path / name).write_bytes(start + bytes(600))
    with pytest.raises(DataError) as caught:
        open_data(tmp_path / name)
    assert f"archive '{tmp_path / name}' is {told}" in str(caught.value)
