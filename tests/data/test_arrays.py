import gzip
import io
import struct
import zipfile
from itertools import product

import numpy as np
import pytest

from gansmith.core.errors import DataError
from gansmith.data.base import DataOptions
from gansmith.data.check import check_data
from gansmith.data.open import open_data
from gansmith.data.sources import arrays

pytestmark = pytest.mark.usefixtures("cache_folder")


LIBRARY = ("(?<=is damaged: ).*", "(?<=is not a numpy array: ).*")  # reasons in the words of numpy and zipfile
RANDOM = np.random.default_rng(0)
GRAY = RANDOM.integers(0, 256, (6, 16, 16), np.uint8)
COLOUR = RANDOM.integers(0, 256, (6, 16, 24, 3), np.uint8)


def saved(tmp_path, array, name="a.npy"):
    np.save(tmp_path / name, array)
    return tmp_path / name


@pytest.mark.parametrize(
    ("array", "expected"),
    [
        (GRAY, GRAY[..., None]),
        (GRAY[..., None], GRAY[..., None]),
        (GRAY[:, None], GRAY[..., None]),
        (COLOUR, COLOUR),
        (COLOUR.transpose(0, 3, 1, 2), COLOUR),
        (GRAY > 100, (GRAY[..., None] > 100) * 255),
        (np.asfortranarray(COLOUR), COLOUR),
    ],
)
def test_arrays_keep_their_pixels(tmp_path, array, expected):
    data = open_data(saved(tmp_path, array), DataOptions(size="x".join(map(str, expected.shape[1:3]))))
    assert data.spec.channels == expected.shape[3]
    assert (data.read(range(6)) == expected).all()


def test_channels_first_is_noted(prose, tmp_path):
    notes = open_data(saved(tmp_path, COLOUR.transpose(0, 3, 1, 2))).summary.notes
    prose("notes of an array", "\n".join(notes))


def test_four_channels_keep_alpha(tmp_path):
    array = np.full((4, 16, 16, 4), 128, np.uint8)
    array[:, :8, :, 3] = 0
    data = open_data(saved(tmp_path, array))
    assert data.spec.channels == 4
    assert data.read([0])[0, 0, 0].tolist() == [255, 255, 255, 0]
    assert data.read([0])[0, 12, 0].tolist() == [128, 128, 128, 128]


@pytest.mark.slow
def test_floats_that_were_8_bit_levels_are_8_bit_again(prose, tmp_path):
    for low, dtype in product([0.0, -1.0], [np.float16, np.float32, np.float64]):
        ramp = np.linspace(low, 1, 256).reshape(1, 16, 16).astype(dtype)
        data = open_data(saved(tmp_path, ramp, f"{low}{dtype.__name__}.npy"))
        assert data.pixels.dtype == np.uint8
        assert np.abs(data.read([0]).ravel() - np.arange(256.0)).max() <= (1 if dtype == np.float16 else 0)
        assert np.abs(data.spec.values.in_units(data.read([0])) - ramp[..., None]).max() < 0.005
        assert data.spec.values.kind == np.dtype(dtype).name
    prose("notes of an array of levels", "\n".join(data.summary.notes))


@pytest.mark.parametrize(
    ("array", "code"),
    [
        (np.zeros((4, 3, 9, 3), np.uint8), "data.array_shape"),
        (np.zeros((4, 700), np.uint8), "data.array_shape"),
        (np.zeros((4, 9, 9, 40), np.uint8), "data.array_shape"),
        (np.zeros((0, 9, 9), np.uint8), "data.empty"),
        (np.zeros((4, 9, 9), complex), "data.array_type"),
        (np.full((4, 1, 2, 1), 200.0), "data.array_range"),
        (np.full((4, 9, 9), np.inf), "data.too_many_bad"),
    ],
)
def test_arrays_that_cannot_be_images(refused, tmp_path, array, code):
    with refused(code):
        open_data(saved(tmp_path, array))


def test_npz_with_labels_and_names(tmp_path):
    path = tmp_path / "set.npz"
    np.savez(path, images=GRAY, labels=np.array([2, 0, 1, 2, 2, 0]), class_names=np.array(["a", "b", "c", "d"]))
    data = open_data(path)
    assert data.spec.name == "set"
    assert data.spec.classes == ("a", "b", "c", "d")
    assert data.labels.tolist() == [2, 0, 1, 2, 2, 0]
    assert data.summary.class_counts == (2, 1, 3, 0)


@pytest.mark.parametrize("key", ["images", "x", "arr_0", "whatever"])
@pytest.mark.parametrize("label_key", ["labels", "y"])
def test_npz_keys(tmp_path, key, label_key):
    np.savez_compressed(tmp_path / "a.npz", **{key: GRAY, label_key: np.array([[7], [7], [3], [3], [9], [9]])})
    data = open_data(tmp_path / "a.npz")
    assert data.spec.classes == ("3", "7", "9")
    assert data.labels.tolist() == [1, 1, 0, 0, 2, 2]
    assert (data.read(range(6))[..., 0] == GRAY).all()


@pytest.mark.parametrize(
    ("key", "label_key"), [("X", "Y"), ("Images", "Labels"), ("train_data", "train_label"), ("whatever", "target")]
)
def test_npz_keys_of_other_programs(tmp_path, key, label_key):
    others = {"test_data": GRAY[:2], "test_label": np.arange(2)} if key == "train_data" else {}
    np.savez(tmp_path / "a.npz", **{key: GRAY, label_key: np.array([7, 7, 3, 3, 9, 9])}, **others)
    data = open_data(tmp_path / "a.npz")
    assert data.spec.classes == ("3", "7", "9")
    assert (data.read(range(6))[..., 0] == GRAY).all()


@pytest.mark.parametrize(
    ("arrays", "classes"),
    [
        ((GRAY, np.array([7, 7, 3, 3, 9, 9])), ("3", "7", "9")),
        ((np.array([7, 7, 3, 3, 9, 9.0]), GRAY), ("3", "7", "9")),
        ((GRAY.reshape(6, -1).repeat(4, axis=1), np.array([["b"], ["a"]] * 3)), ("a", "b")),
        ((GRAY, np.eye(2)[[0, 1, 1, 0, 1, 0]], GRAY, np.zeros(6)), ("0", "1")),
        ((GRAY, np.linspace(0, 1, 6)), ()),  # measurements
        ((GRAY, np.arange(5)), ()),  # not one for each image
        ((GRAY, GRAY > 99), ()),  # masks
    ],
)
def test_arrays_without_names_may_be_images_and_labels(tmp_path, arrays, classes):
    np.savez(tmp_path / "a.npz", *arrays)
    data = open_data(tmp_path / "a.npz")
    assert len(data) == 6
    assert data.spec.classes == classes
    if not classes:
        assert "arr_1" in "".join(data.summary.notes)


def test_colour_images_along_the_last_axis_as_of_matlab(tmp_path):
    colours = np.random.default_rng(1).integers(0, 256, (40, 16, 16, 3), np.uint8)
    np.savez(tmp_path / "a.npz", X=colours.transpose(1, 2, 3, 0), y=np.arange(40) % 2)
    data = open_data(tmp_path / "a.npz")
    assert (data.read(range(40)) == colours).all()
    assert data.spec.classes == ("0", "1")


def test_images_called_target_are_no_labels(tmp_path):
    np.savez(tmp_path / "a.npz", images=GRAY, target=GRAY)
    data = open_data(tmp_path / "a.npz")
    assert data.labels is None
    assert "images: array 'images'; not read: target" in data.summary.notes


def test_the_only_array_with_the_axes_of_images_is_taken(tmp_path):
    np.savez(tmp_path / "a.npz", imgs=GRAY, latents_values=np.zeros((6, 5)), latents_sizes=np.arange(5))
    data = open_data(tmp_path / "a.npz")
    assert len(data) == 6
    assert "images: array 'imgs'; not read: latents_sizes, latents_values" in data.summary.notes


def test_labels_may_be_names(tmp_path):
    np.savez(tmp_path / "a.npz", x=GRAY, y=np.array(["dog", "cat", "dog", "cat", "cat", "dog"]))
    data = open_data(tmp_path / "a.npz")
    assert data.spec.classes == ("cat", "dog")
    assert data.labels.tolist() == [1, 0, 1, 0, 0, 1]


@pytest.mark.parametrize(
    ("contents", "code"),
    [
        ({"a": GRAY, "b": GRAY}, "data.no_image_array"),
        ({"images": GRAY, "labels": np.arange(5)}, "data.labels_shape"),
        ({"images": GRAY, "labels": np.zeros((6, 3, 2), int)}, "data.labels_shape"),
        ({"images": GRAY, "labels": np.full(6, 0.5)}, "data.labels_shape"),
        (
            {"images": GRAY, "labels": np.arange(6), "class_names": np.array(["a", "b"])},
            "data.labels_range",
        ),
        ({"images": np.array([None] * 6)}, "data.pickled_array"),
        ({"images": GRAY, "labels": np.array([None] * 6)}, "data.pickled_array"),
        ({"images": GRAY, "class_names": np.array([None] * 6)}, "data.pickled_array"),
    ],
)
def test_npz_that_cannot_be_used(refused, tmp_path, contents, code):
    np.savez(tmp_path / "a.npz", **contents)
    with refused(code):
        open_data(tmp_path / "a.npz")


class Bomb:
    def __reduce__(self):
        return (exec, ("raise SystemExit('pickle was run')",))


def test_pickle_is_never_read(refused, tmp_path):
    bomb = np.array([Bomb()], dtype=object)
    with refused("data.pickled_array"):
        open_data(saved(tmp_path, bomb))
    np.savez(tmp_path / "b.npz", images=bomb)
    with refused("data.pickled_array"):
        open_data(tmp_path / "b.npz")
    (tmp_path / "c.npy").write_bytes(bomb.dumps())
    with refused("data.damaged_array", LIBRARY):
        open_data(tmp_path / "c.npy")
    with zipfile.ZipFile(tmp_path / "d.npz", "w") as archive:
        archive.writestr("images.npy", bomb.dumps())
    with refused("data.damaged_array", LIBRARY):
        open_data(tmp_path / "d.npz")


def test_a_header_that_claims_more_than_there_is(refused, tmp_path):
    buffer = io.BytesIO()
    header = {"descr": "|u1", "fortran_order": False, "shape": (10**9, 64, 64)}
    np.lib.format.write_array_header_1_0(buffer, header)
    (tmp_path / "a.npy").write_bytes(buffer.getvalue() + b"\0" * 100)
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        archive.writestr("images.npy", buffer.getvalue() + b"\0" * 100)
    for name in ("a.npy", "a.npz"):
        with refused("data.damaged_array"):
            open_data(tmp_path / name)


def test_npz_larger_than_memory_should_be(refused, tmp_path, monkeypatch):
    np.savez(tmp_path / "a.npz", GRAY)
    monkeypatch.setattr(arrays, "MAX_NPZ_BYTES", 1000)
    with refused("data.array_too_large"):
        open_data(tmp_path / "a.npz")


@pytest.mark.parametrize("name", ["a.npy", "a.npz"])
def test_damaged_files(refused, tmp_path, name):
    (tmp_path / name).write_bytes(b"not an array at all, sorry")
    with refused("data.damaged_array", LIBRARY):
        open_data(tmp_path / name)
    np.savez(tmp_path / "whole.npz", GRAY)
    (tmp_path / "b.npz").write_bytes((tmp_path / "whole.npz").read_bytes()[:-40])
    with refused("data.damaged_array", LIBRARY):
        open_data(tmp_path / "b.npz")


@pytest.mark.parametrize("shape", [(6, 256), (6, 768)])
def test_flat_images_are_squares(tmp_path, shape):
    array = RANDOM.integers(0, 256, shape, np.uint8)
    channels = shape[1] // 256
    data = open_data(saved(tmp_path, array), DataOptions(size="16"))
    assert (data.read(range(6)) == array.reshape(6, channels, 16, 16).transpose(0, 2, 3, 1)).all()
    assert f"array {shape} read as 6 flat images of 16 x 16 x {channels}" in data.summary.notes


def test_the_third_axis_is_the_stack_where_the_first_two_are_equal(tmp_path):
    data = open_data(saved(tmp_path, GRAY.repeat(3, 0).transpose(1, 2, 0)), DataOptions(size="16"))
    assert (data.read(range(18)) == GRAY.repeat(3, 0)[..., None]).all()


@pytest.mark.parametrize("name", ["all.npz", "all.npy"])
def test_a_folder_with_one_file_of_images_is_that_file(tmp_path, name):
    folder = tmp_path / "set"
    folder.mkdir()
    (folder / "README.md").write_text("images")
    array = GRAY[:3]  # fewer than 32, which could be bands of one image
    np.save(folder / name, array) if name.endswith(".npy") else np.savez(
        folder / name, x_train=array, y_train=[0, 1, 1]
    )
    data = open_data(folder, DataOptions(size="16"))
    assert (data.read(range(3)) == array[..., None]).all()
    assert data.spec.classes == (("0", "1") if name.endswith(".npz") else ())
    (folder / name).unlink()
    np.save(folder / "one.npy", COLOUR[0])
    assert open_data(folder, DataOptions(size="16x24")).spec.count == 1


@pytest.mark.parametrize("packed", [False, True])
def test_a_folder_of_idx_files_is_the_set_of_training_images(tmp_path, packed):
    folder = tmp_path / "raw"
    folder.mkdir()
    for part, start in (("train", 0), ("t10k", 3)):
        pixels, labels = GRAY[start : start + 3], bytes([4, 9, 4])
        contents = {
            f"{part}-images-idx3-ubyte": struct.pack(">4I", 0x803, *pixels.shape) + pixels.tobytes(),
            f"{part}-labels-idx1-ubyte": struct.pack(">2I", 0x801, 3) + labels,
        }
        for name, content in contents.items():
            (folder / (f"{name}.gz" if packed else name)).write_bytes(gzip.compress(content) if packed else content)
    data = open_data(folder, DataOptions(size="16"))
    assert (data.read(range(3)) == GRAY[:3, ..., None]).all()
    assert data.spec.classes == ("4", "9")
    alone = next(folder.glob("t10k-images*"))
    assert (open_data(alone, DataOptions(size="16")).read(range(3)) == GRAY[3:, ..., None]).all()


@pytest.mark.parametrize(
    ("labels", "classes"),
    [
        (np.array([b"cat", b"d\xc3\xa9"] * 3), ("cat", "dé")),
        (np.array([0.0, 7.0] * 3), ("0", "7")),
        (np.array([False, True] * 3), ("0", "1")),
    ],
)
def test_labels_of_other_types(tmp_path, labels, classes):
    np.savez(tmp_path / "a.npz", images=GRAY, labels=labels)
    data = open_data(tmp_path / "a.npz", DataOptions(size="16"))
    assert data.spec.classes == classes
    assert data.read_labels(range(6)).tolist() == [0, 1] * 3


@pytest.mark.parametrize("labels", [[0.5, 1] * 3, [np.nan, 1] * 3, [np.inf, 1] * 3])
def test_labels_that_are_no_whole_numbers(tmp_path, labels):
    np.savez(tmp_path / "a.npz", images=GRAY, labels=np.array(labels))
    with pytest.raises(DataError, match="type float64"):
        open_data(tmp_path / "a.npz", DataOptions(size="16"))


def test_measurements_in_a_file_are_no_classes(tmp_path, prose):
    """The labels of a .npz follow the rules of tables."""
    images, ages = GRAY.repeat(10, 0), np.arange(60) * 31
    np.savez(tmp_path / "a.npz", images=images, labels=ages)
    data = open_data(tmp_path / "a.npz", DataOptions(size="16"))
    assert data.spec.classes == ()
    prose("measurements in .npz", check_data(tmp_path / "a.npz").layout[0])
    np.savez(tmp_path / "a.npz", images=images, labels=np.array([f"id{age}" for age in ages]))
    assert open_data(tmp_path / "a.npz", DataOptions(size="16")).spec.classes == ()
    np.savez(tmp_path / "a.npz", images=images, labels=np.arange(60), class_names=[f"c{at}" for at in range(60)])
    assert len(open_data(tmp_path / "a.npz", DataOptions(size="16")).spec.classes) == 60


@pytest.mark.parametrize(
    ("names", "taken"),
    [
        (("images", "labels"), True),
        (("x_train", "y_train", "x_test"), True),
        (("train_images", "train_labels", "other"), False),
        (("a", "b"), False),
    ],
)
def test_npy_files_of_images_and_labels(tmp_path, names, taken):
    folder = tmp_path / "set"
    folder.mkdir()
    images = GRAY.repeat(10, 0)  # 60: no bands
    for name, array in zip(names, (images, np.arange(60) % 2, images[:40]), strict=False):
        np.save(folder / f"{name}.npy", array)
    data = open_data(folder, DataOptions(size="16"))
    assert data.spec.classes == (("0", "1") if taken else ())
    assert data.spec.count == (60 if taken or len(names) == 2 else 100)
    if len(names) == 3 and taken:
        assert "images: x_train.npy; labels: y_train.npy; not read: x_test.npy" in check_data(folder).layout


def test_labels_beside_a_npy_that_do_not_fit(tmp_path):
    np.save(tmp_path / "images.npy", GRAY.repeat(10, 0))
    np.save(tmp_path / "labels.npy", np.arange(59))
    data = open_data(tmp_path / "images.npy", DataOptions(size="16"))
    assert data.spec.classes == ()
    assert "'labels.npy' is not used: it has the shape (59,)" in check_data(tmp_path / "images.npy").layout
    np.save(tmp_path / "labels.npy", np.arange(60) % 3)  # read again, because the labels have changed
    assert open_data(tmp_path / "images.npy", DataOptions(size="16")).spec.classes == ("0", "1", "2")


def test_an_image_beside_its_mask_is_no_set_with_labels(tmp_path):
    np.save(tmp_path / "image.npy", GRAY[0])
    np.save(tmp_path / "label.npy", GRAY[1] // 100)
    assert open_data(tmp_path, DataOptions(size="16")).spec.count == 2


def test_the_only_array_with_two_axes_is_the_image_of_a_file(tmp_path):
    images = np.random.default_rng(0).random((4, 16, 16), np.float32)
    for number, image in enumerate(images):
        np.savez(tmp_path / f"{number}.npz", spec=image, rate=np.array(16000), times=np.arange(16))
    data = open_data(tmp_path)
    assert np.abs(data.spec.values.in_units(data.read(range(4)))[..., 0] - images).max() < 1e-4
