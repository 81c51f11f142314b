"""hf:NAME through the library ``datasets``, on folders of parquet files that the test writes."""

import io
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from gansmith.data.base import ImageData
from gansmith.data.find import find_source
from gansmith.data.open import open_data

pytestmark = pytest.mark.usefixtures("cache_folder")
datasets = pytest.importorskip("datasets")


@pytest.fixture(autouse=True)
def _offline(tmp_path, monkeypatch):
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "hf")
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    datasets.disable_progress_bars()


def png(value: int) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (16, 16), (value, 0, 255)).save(buffer, "PNG")  # a set below 64 would be spread
    return buffer.getvalue()


def images(*values: int) -> list[dict[str, object]]:
    return [{"bytes": png(value), "path": None} for value in values]


def write(folder: Path, split: str = "train", *, kinds: dict[str, object], **columns: list) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    features = datasets.Features(kinds)
    datasets.Dataset.from_dict(columns, features=features).to_parquet(folder / f"{split}-00000-of-00001.parquet")
    return folder


IMAGE, CAT_DOG = datasets.Image(), datasets.ClassLabel(names=["cat", "dog"])


@pytest.fixture
def pets(tmp_path) -> Path:
    kinds = {"photo": IMAGE, "animal": CAT_DOG, "weight": datasets.Value("float32")}
    folder = write(tmp_path / "pets", kinds=kinds, photo=images(10, 20, 30), animal=[1, 0, 1], weight=[1.0, 2, 3])
    return write(folder, "test", kinds=kinds, photo=images(40), animal=[0], weight=[1.0])


def reds(data: ImageData) -> list[int]:
    return data.read(range(len(data)))[:, 0, 0, 0].tolist()


@pytest.mark.slow
def test_the_columns_of_images_and_labels_are_inferred(prose, pets):
    data = open_data(f"hf:{pets}")
    assert reds(data) == [10, 20, 30]
    assert data.spec.classes == ("cat", "dog")
    assert data.labels.tolist() == [1, 0, 1]
    assert data.spec.name == "pets-train"
    prose("notes of a Hub data set", "\n".join(data.summary.notes))


@pytest.mark.slow
def test_a_split_and_a_part_of_it(refused, pets):
    assert reds(open_data(f"hf:{pets}:test")) == [40]
    data = open_data(f"hf:{pets}:train[1:3]")
    assert reds(data) == [20, 30]
    assert data.spec.name == "pets-train-1-3"
    with refused("data.hub_unreachable", ["(?<=cannot be opened: ).*"]):
        open_data(f"hf:{pets}:tset")


@pytest.mark.slow
def test_the_second_start_decodes_nothing(pets, monkeypatch):
    from gansmith.data import cache

    first = open_data(f"hf:{pets}")
    monkeypatch.setattr(cache, "survey", lambda *_: pytest.fail("read again"))
    assert open_data(f"hf:{pets}").spec == first.spec


def test_a_folder_is_the_same_from_anywhere(pets, monkeypatch):
    monkeypatch.chdir(pets.parent)
    assert find_source("hf:pets").location == f"hf:{pets}:train"
    assert find_source("hf:user/pets::img").location == "hf:user/pets:train:img"
    assert find_source(find_source("hf:user/pets:test:img:none").location).location == "hf:user/pets:test:img:none"


@pytest.mark.slow
def test_several_columns_are_named_and_chosen(refused, tmp_path):
    kinds = {"left": IMAGE, "right": IMAGE, "fine": CAT_DOG, "coarse": CAT_DOG}
    columns = {"left": images(10, 20), "right": images(30, 40), "fine": [0, 1], "coarse": [1, 1]}
    folder = write(tmp_path / "pairs", kinds=kinds, **columns)
    address = f"hf:{folder}:train"
    with refused("data.several_columns"):
        open_data(address)
    with refused("data.several_columns"):
        open_data(f"{address}::none")
    data = open_data(f"{address}:right:coarse")
    assert reds(data) == [30, 40]
    assert data.labels.tolist() == [1, 1]
    assert open_data(f"{address}:left:none").labels is None
    with refused("data.unknown_column"):
        open_data(f"{address}:lft:none")
    with refused("data.unknown_column"):
        open_data(f"{address}:left:fin")


@pytest.mark.slow
def test_plain_columns_are_labels_by_their_name(prose, tmp_path):
    kinds = {"image": IMAGE, "label": datasets.Value("string"), "id": datasets.Value("int64")}
    folder = write(tmp_path / "words", kinds=kinds, image=images(1, 2, 3), label=["b", "a", "b"], id=[1, 2, 3])
    data = open_data(f"hf:{folder}")
    assert data.spec.classes == ("a", "b")
    assert data.labels.tolist() == [1, 0, 1]
    missing = write(tmp_path / "some", kinds=kinds, image=images(1, 2), label=["b", None], id=[1, 2])
    assert open_data(f"hf:{missing}").labels is None
    prose("notes of a Hub data set", "\n".join(open_data(f"hf:{missing}").summary.notes))


@pytest.mark.slow
def test_images_without_the_librarys_mark(tmp_path):
    kinds = {"image": {"bytes": datasets.Value("binary"), "path": datasets.Value("string")}}
    assert reds(open_data(f"hf:{write(tmp_path / 'raw', kinds=kinds, image=images(1, 2))}")) == [1, 2]


@pytest.mark.slow
def test_a_folder_of_image_files(tmp_path):
    for name, value in (("cats/a.png", 1), ("dogs/b.png", 2)):
        (tmp_path / "files" / name).parent.mkdir(parents=True)
        (tmp_path / "files" / name).write_bytes(png(value))
    data = open_data(f"hf:{tmp_path / 'files'}")
    assert sorted(reds(data)) == [1, 2]
    assert data.spec.classes == ("cats", "dogs")


@pytest.mark.slow
def test_bad_images_are_left_out(tmp_path):
    rows = [*images(*range(40)), {"bytes": b"no image", "path": None}, None]
    data = open_data(f"hf:{write(tmp_path / 'bad', kinds={'image': IMAGE}, image=rows)}")
    assert reds(data) == list(range(40))
    assert [entry["file"] for entry in data.summary.quarantine] == ["40", "41"]


def test_no_images(refused, tmp_path):
    folder = write(tmp_path / "text", kinds={"text": datasets.Value("string")}, text=["a"])
    with refused("data.no_image_column"):
        open_data(f"hf:{folder}")


def test_a_folder_that_save_to_disk_wrote(tmp_path, refused):
    kinds = datasets.Features({"image": IMAGE, "label": datasets.ClassLabel(names=["cat", "dog"])})
    train, test = (
        datasets.Dataset.from_dict({"image": images(*values), "label": [0, 1]}, features=kinds)
        for values in ((10, 20), (30, 40))
    )
    train.save_to_disk(tmp_path / "alone")
    datasets.DatasetDict({"train": train, "test": test}).save_to_disk(tmp_path / "both")
    for address, wanted in (("alone", [10, 20]), ("both", [10, 20]), ("both:test", [30, 40])):
        data = open_data(f"hf:{tmp_path / address}")
        assert reds(data) == wanted
        assert data.spec.classes == ("cat", "dog")
    with refused("data.hub_unreachable", ["(?<=cannot be opened: ).*"]):
        open_data(f"hf:{tmp_path / 'alone'}:test")


def test_addresses_that_cannot_be_opened(refused, tmp_path):
    for address in ("hf:", "hf:a:b:c:d:e"):
        with refused("data.hub_address"):
            open_data(address)
    with refused("data.hub_unreachable", ["(?<=cannot be opened: ).*"]):
        open_data("hf:nobody/nothing")


def test_code_that_comes_with_a_data_set_is_not_run(refused, tmp_path):
    folder = tmp_path / "script"
    folder.mkdir()
    (folder / "script.py").write_text(f"open({str(tmp_path / 'harm')!r}, 'w')")
    with refused("data.hub_unreachable", ["(?<=cannot be opened: ).*"]):
        open_data(f"hf:{folder}")
    assert not (tmp_path / "harm").exists()


def test_without_the_library(refused, monkeypatch):
    monkeypatch.setitem(sys.modules, "datasets", None)
    with refused("data.hub_library_missing"):
        open_data("hf:user/pets")


@pytest.mark.slow
def test_pixels_of_any_mode(tmp_path):
    gray = io.BytesIO()
    Image.fromarray(np.full((16, 16), 7, np.uint8)).save(gray, "JPEG")
    rows = [{"bytes": gray.getvalue(), "path": None}] * 2
    data = open_data(f"hf:{write(tmp_path / 'gray', kinds={'image': IMAGE}, image=rows)}")
    assert data.spec.channels == 1
    assert reds(data) == [7, 7]
