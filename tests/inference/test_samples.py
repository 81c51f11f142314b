import hashlib
import stat
import subprocess
import weakref
import zipfile

import numpy as np
import pytest
from PIL import Image

from gansmith.data.open import open_data
from gansmith.imaging.images import POINT
from gansmith.inference.samples import DrawnSamples, Picture, Samples, refuse_large_grid

CLASSES = ("shirt", "bag / purse", "shoe")


def samples(count: int = 12, channels: int = 1, *, labelled: bool = True) -> Samples:
    images = np.random.default_rng(0).integers(0, 256, (count, 8, 8, channels), dtype=np.uint8)
    return Samples(images, np.arange(count) % 3 if labelled else None, CLASSES if labelled else ())


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_npz_is_a_data_set_with_labels(tmp_path, channels):
    made = samples(channels=channels)
    data = open_data(made.save(tmp_path / "x.npz"))
    assert data.spec.classes == CLASSES
    assert np.array_equal(data.labels, made.labels)
    if channels != 4:
        assert np.array_equal(data.read(np.arange(12)), made.images)
    assert data.spec.channels == channels


def test_npz_without_labels(tmp_path):
    data = open_data(samples(labelled=False).save(tmp_path / "x.npz"))
    assert data.labels is None
    assert len(data) == 12


@pytest.mark.parametrize("name", ["x.zip", "folder"])
def test_zip_and_folder_are_data_sets_by_class(tmp_path, name):
    made = samples()
    data = open_data(made.save(tmp_path / name))
    assert data.spec.classes == ("bag - purse", "shirt", "shoe")
    assert sorted(data.summary.class_counts) == [4, 4, 4]
    back = {data.spec.classes[label]: set() for label in range(3)}
    for image, label in zip(data.read(np.arange(12)), data.labels, strict=True):
        back[data.spec.classes[label]].add(image.tobytes())
    for number, written in enumerate(("shirt", "bag - purse", "shoe")):
        assert back[written] == {image.tobytes() for image in made.images[made.labels == number]}


def test_classes_whose_names_look_alike_stay_apart(tmp_path):
    made = samples()
    alike = Samples(made.images, made.labels, ("a/b", "a:b", "a-b"))
    data = open_data(alike.save(tmp_path / "folder"))
    assert sorted(data.summary.class_counts) == [4, 4, 4]


@pytest.mark.parametrize("name", ["../up", "..", ".hidden", "", "a\\b", "c:", "__MACOSX/.."])
def test_a_class_name_never_leaves_the_folder(tmp_path, name):
    out = tmp_path / "deep" / "folder"
    Samples(samples(2).images, np.array([0, 0]), (name,)).save(out)
    written = list(tmp_path.rglob("*.png"))
    assert len(written) == 2
    assert all(path.parent.parent == out for path in written)
    assert not any(path.parent.name.startswith(".") for path in written)


def test_zip_has_the_same_bytes_twice(tmp_path, monkeypatch):
    first = samples().save(tmp_path / "a.zip").read_bytes()
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    assert samples().save(tmp_path / "b.zip").read_bytes() == first
    with zipfile.ZipFile(tmp_path / "a.zip") as archive:
        assert {info.date_time for info in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}


def test_files_of_a_zip_can_be_read_once_unpacked(tmp_path):
    path = samples().save(tmp_path / "a.zip")
    with zipfile.ZipFile(path) as archive:
        modes = [info.external_attr >> 16 for info in archive.infolist()]
    assert all(mode & stat.S_IRUSR and mode & stat.S_IWUSR for mode in modes)


def test_npz_and_folder_have_the_same_bytes_twice(tmp_path):
    def digest(name: str) -> list[str]:
        path = samples().save(tmp_path / name)
        files = [path] if path.is_file() else sorted(path.rglob("*.png"))
        return [hashlib.sha256(file.read_bytes()).hexdigest() for file in files]

    assert digest("a.npz") == digest("b.npz")
    assert digest("a") == digest("b")


def test_a_grid(tmp_path):
    made = samples(5, 3)
    picture = made.grid(columns=3)
    assert picture.array.shape == (2 * 10 + 2, 3 * 10 + 2, 3)
    assert np.array_equal(picture.array[2:10, 12:20], made.images[1])
    assert np.array_equal(picture.array[12:20, 2:10], made.images[3])
    assert (picture.array[12:20, 22:30] == 255).all()  # the empty place
    assert made.grid().array.shape == (12, 5 * 10 + 2, 3)  # no more columns than images
    path = made.save(tmp_path / "new" / "grid.PNG")
    assert np.array_equal(np.asarray(Image.open(path)), made.grid().array)
    assert picture._repr_png_().startswith(b"\x89PNG")
    assert Picture(picture.array).save(tmp_path / "deep" / "one.png").is_file()
    assert len(made) == 5


@pytest.mark.parametrize("name", ["x.jpg", "x.JPEG", "x.gif", "x.webp", "x.bmp", "x.tar", "x.mp4", "x.txt", "x.pt"])
def test_a_suffix_that_is_not_written(refused, tmp_path, name):
    with refused("output.unknown_ending"):
        samples().save(tmp_path / name)
    assert not (tmp_path / name).exists()


def test_a_folder_with_files_is_left_alone(refused, tmp_path):
    made = samples()
    folder = made.save(tmp_path / "folder")
    before = {path: path.read_bytes() for path in folder.rglob("*.png")}
    with refused("output.exists"):
        samples(3).save(folder)
    assert {path: path.read_bytes() for path in folder.rglob("*.png")} == before
    (tmp_path / "folder.old").write_bytes(b"mine")
    with refused("output.exists"):
        made.save(tmp_path / "folder.old")
    (tmp_path / "empty").mkdir()
    assert len(list(made.save(tmp_path / "empty").rglob("*.png"))) == 12


def test_unzip_agrees(tmp_path):
    path = samples().save(tmp_path / "a.zip")
    if subprocess.run(["which", "unzip"], capture_output=True, check=False).returncode:
        pytest.skip("no unzip on this machine")
    done = subprocess.run(["unzip", "-q", str(path), "-d", str(tmp_path / "out")], check=False)
    assert done.returncode == 0
    assert len(list((tmp_path / "out").rglob("*.png"))) == 12


class Drawer:
    """Draws the images of ``samples`` and counts those that are held; stops like Ctrl-C after some images."""

    def __init__(self, made: Samples, stop_after: int = 10**9) -> None:
        self.made, self.stop_after = made, stop_after
        self.asked, self._held, self.most_held = list[int](), list[weakref.ref[np.ndarray]](), 0

    def __call__(self, first: int, number: int) -> np.ndarray:
        if first >= self.stop_after:
            raise KeyboardInterrupt
        images = self.made.images[first : first + number].copy()
        self.asked.append(first)
        self._held.append(weakref.ref(images))
        self.most_held = max(self.most_held, sum(len(each()) for each in self._held if each() is not None))
        return images

    def drawn(self) -> DrawnSamples:
        made = self.made
        return DrawnSamples(self, len(made), made.images.shape[1:], made.labels, made.classes, at_once=4)


def content(path) -> dict[str, bytes]:
    files = [path] if path.is_file() else path.rglob("*.*")
    return {file.relative_to(path).as_posix(): file.read_bytes() for file in files}


@pytest.mark.parametrize("name", ["x.npz", "x.zip", "folder"])
@pytest.mark.parametrize("labelled", [True, False])
def test_samples_drawn_while_they_are_written_are_the_same_files(tmp_path, name, labelled):
    drawer, steps = Drawer(samples(50, 3, labelled=labelled)), []
    path = drawer.drawn().save(tmp_path / name, on_progress=lambda progress: steps.append(progress.done))
    assert content(path) == content(drawer.made.save(tmp_path / "whole" / name))
    assert drawer.most_held <= 8, "one part, and the one before it"
    assert drawer.asked == list(range(0, 50, 4))
    assert steps == [*range(4, 50, 4), 50]


def test_an_npz_is_what_numpy_writes(tmp_path):
    made = samples()
    arrays = {"images": made.images, "labels": made.labels, "class_names": np.array(made.classes)}
    np.savez_compressed(tmp_path / "numpy.npz", **arrays)
    assert made.save(tmp_path / "ours.npz").read_bytes() == (tmp_path / "numpy.npz").read_bytes()


def test_points_are_drawn_in_parts_too(refused, tmp_path):
    made = Samples(np.random.default_rng(0).integers(0, 256, (10, *POINT), dtype=np.uint8), None, ())
    with np.load(Drawer(made).drawn().save(tmp_path / "x.npz")) as arrays:
        assert arrays["points"].shape == (10, 2)
        assert np.allclose(arrays["points"], made.images.reshape(10, 2) / 127.5 - 1, atol=1e-6)
    with refused("output.points_form"):
        Drawer(made).drawn().save(tmp_path / "folder")


@pytest.mark.parametrize("name", ["x.npz", "x.zip"])
def test_an_interrupted_archive_leaves_nothing_and_replaces_nothing(tmp_path, name, capsys):
    (tmp_path / name).write_bytes(b"older")
    with pytest.raises(KeyboardInterrupt):
        Drawer(samples(50), stop_after=20).drawn().save(tmp_path / name)
    assert f"{name}' is not written; with --out FOLDER such work can be continued" in capsys.readouterr().err
    assert content(tmp_path) == {name: b"older"}


def test_an_interrupted_folder_is_continued(refused, tmp_path, capsys):
    made = samples(50, 3)
    with pytest.raises(KeyboardInterrupt):
        Drawer(made, stop_after=20).drawn().save(tmp_path / "x")
    assert len(content(tmp_path / "x")) == 20
    assert "stopped: 20 of 50 images are in" in capsys.readouterr().err
    with refused("output.exists"):
        Drawer(made).drawn().save(tmp_path / "x")
    cut = tmp_path / "x" / "bag - purse" / "000013.png"
    cut.write_bytes(cut.read_bytes()[:-5])
    again = Drawer(made)
    again.drawn().save(tmp_path / "x", resume=True)
    assert again.asked == [0, 12, *range(20, 50, 4)], "one part to compare, the one that was cut short, and the rest"
    assert content(tmp_path / "x") == content(made.save(tmp_path / "whole"))
    done = Drawer(made)
    done.drawn().save(tmp_path / "x", resume=True)
    assert done.asked == [0]


def test_a_folder_of_other_samples_is_not_continued(refused, tmp_path):
    made = samples(12)
    made.save(tmp_path / "x")
    before = content(tmp_path / "x")
    other = Samples(255 - made.images, made.labels, made.classes)
    with refused("output.other_samples"):
        Drawer(other).drawn().save(tmp_path / "x", resume=True)
    assert content(tmp_path / "x") == before
    for name in ("x.zip", "x.npz"):
        with refused("output.cannot_continue"):
            Drawer(made).drawn().save(tmp_path / name, resume=True)


def test_a_grid_that_is_too_large_is_refused_before_it_is_drawn(refused):
    refuse_large_grid(20_000, 64, 64)
    with refused("output.grid_too_large"):
        refuse_large_grid(200_000, 64, 64)


@pytest.mark.parametrize("ending", ["png", "jpg", "webp", "tif", "bmp"])
def test_a_picture_is_written_in_the_format_of_its_ending(tmp_path, ending):
    path = Picture(np.full((4, 6, 3), 200, np.uint8)).save(tmp_path / f"x.{ending}", quality=100)
    with Image.open(path) as image:
        assert image.size == (6, 4)
        assert np.abs(np.asarray(image).astype(int) - 200).max() <= 2
