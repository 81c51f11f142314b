"""Stacks and animations: the first frame, all frames, or every N-th; unused frames are counted."""

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pydantic import ValidationError

from gansmith.core.errors import DataError
from gansmith.data.base import DataOptions
from gansmith.data.open import open_data

pytestmark = pytest.mark.usefixtures("cache_folder")

FRAMES = np.random.default_rng(0).integers(0, 256, (3, 7, 16, 16), np.uint8)


def write_stacks(folder: Path, form: str = "TIFF") -> Path:
    folder.mkdir()
    for number, frames in enumerate(FRAMES):
        first, *rest = map(Image.fromarray, frames)
        first.save(folder / f"{number}.{form.lower()}", form, save_all=True, append_images=rest)
    Image.fromarray(255 - FRAMES[0, 0]).save(folder / "single.png")
    return folder


@pytest.mark.parametrize("form", ["TIFF", "GIF"])
@pytest.mark.parametrize(("frames", "step"), [("all", 1), ("every:3", 3)])
def test_frames_are_images(tmp_path, form, frames, step):
    data = open_data(write_stacks(tmp_path / "a", form), DataOptions(channels=1, frames=frames))
    wanted = [*FRAMES[:, ::step].reshape(-1, 16, 16), 255 - FRAMES[0, 0]]
    assert (data.read(range(len(data)))[..., 0] == np.array(wanted)).all()


@pytest.mark.slow
def test_unused_frames_are_counted(tmp_path, prose):
    folder = write_stacks(tmp_path / "a")
    for frames in ("first", "all", "every:4"):
        data = open_data(folder, DataOptions(channels=1, size=16, frames=frames))
        assert len(data) == {"first": 3, "all": 21, "every:4": 6}[frames] + 1
        prose("notes on frames", "\n".join(note for note in data.summary.notes if "frame" in note))


@pytest.mark.parametrize(("frames", "step"), [("first", 1), ("all", 1), ("every:3", 3)])
def test_images_of_arrays_are_frames(tmp_path, frames, step):
    stacks = np.random.default_rng(0).integers(0, 256, (3, 40, 16, 16), np.uint8)
    (tmp_path / "a").mkdir()
    for number, stack in enumerate(stacks):
        np.save(tmp_path / "a" / f"{number}.npy", stack)
    data = open_data(tmp_path / "a", DataOptions(frames=frames))
    assert (data.read(range(len(data)))[..., 0] == stacks[:, ::step].reshape(-1, 16, 16)).all()
    assert any("78 not used" in note for note in data.summary.notes) == (step == 3)
    one = open_data(tmp_path / "a" / "1.npy", DataOptions(frames=frames))
    assert (one.read(range(len(one)))[..., 0] == stacks[1, ::step]).all()
    assert any("26 of 40 images not used" in note for note in one.summary.notes) == (step == 3)


@pytest.mark.parametrize("is_last", [False, True])
def test_bands_of_arrays_that_are_a_guess_are_said_and_can_be_frames(tmp_path, is_last, prose):
    folder = tmp_path / "a"
    folder.mkdir()
    for number, stack in enumerate(FRAMES):
        np.save(folder / f"{number}.npy", stack.transpose(1, 2, 0) if is_last else stack)
    data = open_data(folder)
    assert data.spec.channels == 7
    (note,) = [note for note in data.summary.notes if "guess" in note]
    prose("bands that are a guess", note)
    for frames, step in (("all", 1), ("every:3", 3)):
        data = open_data(folder, DataOptions(frames=frames))
        assert (data.read(range(len(data)))[..., 0] == FRAMES[:, ::step].reshape(-1, 16, 16)).all()


def test_times_of_nifti_can_be_frames(tmp_path, refused):
    nibabel = pytest.importorskip("nibabel", reason="the extra science is not installed")
    times = np.random.default_rng(0).integers(0, 256, (16, 16, 2, 40)).astype(np.int16)
    (tmp_path / "a.nii").write_bytes(nibabel.Nifti1Image(times, np.eye(4)).to_bytes())
    with refused("data.too_many_bad"):
        open_data(tmp_path / "a.nii")
    data = open_data(tmp_path / "a.nii", DataOptions(frames="all"))
    assert len(data) == 80
    assert (data.read([41])[0, ..., 0] == times[:, ::-1, 1, 1].T).all()


def test_colours_of_arrays_are_no_frames(tmp_path):
    folder = tmp_path / "a"
    folder.mkdir()
    for number in range(3):
        np.save(folder / f"{number}.npy", FRAMES[number, :3].transpose(1, 2, 0))
    assert len(open_data(folder, DataOptions(frames="all"))) == 3


def test_a_second_start_reads_no_frame(tmp_path, monkeypatch):
    folder = write_stacks(tmp_path / "a")
    first = open_data(folder, DataOptions(frames="all"))
    monkeypatch.setattr("gansmith.data.survey.read_info", lambda *_, **__: pytest.fail("an image was read"))
    assert open_data(folder, DataOptions(frames="all")).spec == first.spec


@pytest.mark.slow
def test_frames_have_the_names_and_labels_of_their_files(tmp_path):
    top = tmp_path / "top"
    top.mkdir()
    for name in ("cat", "dog"):
        write_stacks(top / name)
    data = open_data(top, DataOptions(frames="all"))
    assert data.spec.classes == ("cat", "dog")
    assert data.summary.class_counts == (22, 22)


@pytest.mark.slow
def test_a_damaged_frame_is_left_out_alone(tmp_path):
    folder = write_stacks(tmp_path / "a")
    many = [Image.fromarray(frame) for frame in np.random.default_rng(1).integers(0, 256, (40, 16, 16), np.uint8)]
    buffer = io.BytesIO()
    many[0].save(buffer, "GIF", save_all=True, append_images=many[1:])
    (folder / "cut.gif").write_bytes(buffer.getvalue()[:-100])
    data = open_data(folder, DataOptions(frames="all", channels=1))
    assert len(data.summary.quarantine) <= 1
    assert len(data) >= 22 + 38


@pytest.mark.parametrize("kind", [np.uint8, np.uint16, np.float32])
@pytest.mark.parametrize("order", ["thumbnail first", "overview and mask behind", "two images with a copy each"])
def test_smaller_copies_and_masks_in_a_tiff_are_no_frames(tmp_path, order, kind):
    tifffile = pytest.importorskip("tifffile", reason="the extra science is not installed")
    pages = [np.stack([frame, 255 - frame, frame // 2], -1).astype(kind) for frame in FRAMES[0, :2]]
    small, mask = (pages[0][::2, ::2], {"subfiletype": 1, "photometric": "rgb"}), (FRAMES[0, 0] > 9, {"subfiletype": 4})
    whole = [(page, {"photometric": "rgb"}) for page in pages]
    written = {
        "thumbnail first": [small, whole[0]],
        "overview and mask behind": [whole[0], small, (mask[0], {**mask[1], "photometric": "mask"})],
        "two images with a copy each": [whole[0], small, whole[1], small],
    }[order]
    (tmp_path / "a").mkdir()
    for number in range(2):
        with tifffile.TiffWriter(tmp_path / "a" / f"{number}.tif") as file:
            for page, facts in written:
                file.write(page, **facts)
    count = len(written) // 2 if order.startswith("two") else 1
    data = open_data(tmp_path / "a", DataOptions(frames="all"))
    shown = data.read(range(len(data)))
    values = shown if data.spec.values is None else data.spec.values.in_units(shown)
    assert (values.round().reshape(2, count, 16, 16, 3) == np.array(pages[:count])).all()
    first = open_data(tmp_path / "a", DataOptions())
    assert len(first) == 2
    assert first.spec.height == 16
    assert any("frames not used" in note for note in first.summary.notes) == (count > 1)


@pytest.mark.parametrize("frames", ["none", "every:0", "every:", "3"])
def test_other_frames_are_refused(frames):
    with pytest.raises(ValidationError, match="every:10"):
        DataOptions(frames=frames)


HYPERSTACK = np.arange(2 * 3 * 4 * 8 * 10, dtype=np.uint16).reshape(2, 3, 4, 8, 10)  # T, Z, C


@pytest.mark.parametrize("kind", ["imagej", "ome", "shaped"])
@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
@pytest.mark.parametrize("order", ["TZCYX", "CZTYX"])
def test_channels_of_hyperstacks_are_bands(tmp_path, kind, dtype, order):
    if kind == "imagej" and order != "TZCYX":
        pytest.skip("ImageJ has one order")
    tifffile = pytest.importorskip("tifffile")
    (tmp_path / "a").mkdir()
    stacks = (np.stack([HYPERSTACK, HYPERSTACK + 960]) % 250).astype(dtype)
    for number, stack in enumerate(stacks):
        written = stack if order == "TZCYX" else stack.transpose(2, 1, 0, 3, 4)
        form = {} if kind == "shaped" else {kind: True}
        tifffile.imwrite(
            tmp_path / "a" / f"{number}.tif", written, metadata={"axes": order}, photometric="minisblack", **form
        )
    images = stacks.transpose(0, *((1, 2) if order == "TZCYX" else (2, 1)), 4, 5, 3)  # file, T and Z, Y, X, C
    for frames, step, wanted in (
        ("first", None, images[:, 0, 0]),
        ("all", 1, images.reshape(-1, 8, 10, 4)),
        ("every:4", 4, images.reshape(2, 6, 8, 10, 4)[:, ::4].reshape(-1, 8, 10, 4)),
    ):
        data = open_data(tmp_path / "a", DataOptions(frames=frames, size=(8, 10), depth="float", range="0:255"))
        assert data.spec.values.bands == ("band 1", "band 2", "band 3", "band 4")
        found = data.spec.values.in_units(data.read(range(len(data)))).astype(np.float64)
        assert found.shape == wanted.shape
        assert np.abs(found - wanted).max() < 0.01
        taken = "C (4 channels) taken as bands of one image"
        assert any(taken in note and "T (times)" in note for note in data.summary.notes), (frames, step)


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
@pytest.mark.parametrize("frames", ["first", "all"])
def test_images_without_pages_are_refused_and_not_left_out_unsaid(tmp_path, dtype, frames):
    tifffile = pytest.importorskip("tifffile")
    (tmp_path / "a").mkdir()
    for number in range(3):
        stack = np.zeros((5, 16, 16), dtype) + number
        tifffile.imwrite(tmp_path / "a" / f"{number}.tif", stack, truncate=True, photometric="minisblack")
    with pytest.raises(DataError, match="no page describes"):
        open_data(tmp_path / "a", DataOptions(frames=frames))
