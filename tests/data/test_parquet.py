"""Files in the format Parquet with a column of encoded images."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gansmith.data.base import DataOptions
from gansmith.data.find import find_source
from gansmith.data.open import open_data
from small_images import png

arrow = pytest.importorskip("pyarrow", reason="pip install 'gansmith[parquet]'")
parquet = pytest.importorskip("pyarrow.parquet")

pytestmark = pytest.mark.usefixtures("cache_folder", "restored_readers")

PIXELS = np.random.default_rng(0).integers(0, 256, (12, 16, 16), np.uint8)
FILES = [png(pixels) for pixels in PIXELS]


def write(path: Path, columns: dict[str, Any], names: tuple[str, ...] = ()) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    table = arrow.table(columns)
    if names:
        features = {"info": {"features": {"label": {"names": names, "_type": "ClassLabel"}}}}
        table = table.replace_schema_metadata({"huggingface": json.dumps(features)})
    parquet.write_table(table, path, row_group_size=3)
    return path


@pytest.fixture
def folder(tmp_path) -> Path:
    """Return a folder of two files of six rows each, in the layout of the Hub."""
    for part in range(2):
        images = [{"bytes": file, "path": None} for file in FILES[6 * part : 6 * part + 6]]
        write(tmp_path / "set" / f"x-{part}.parquet", {"image": images, "label": [0, 1, 2] * 2}, ("a", "b", "c"))
    return tmp_path / "set"


@pytest.mark.slow
def test_files_are_one_set_with_labels(folder):
    data = open_data(folder)
    assert (data.read(range(12))[..., 0] == PIXELS).all()
    assert data.spec.classes == ("a", "b", "c")
    assert data.labels.tolist() == [0, 1, 2] * 4
    assert data.summary.notes.count("2 .parquet files are read as one set") == 1
    assert len(open_data(folder / "x-0.parquet")) == 6
    assert open_data(f"{folder}/x-{{0..1}}.parquet", DataOptions(labels="none")).labels is None


@pytest.mark.parametrize("below", ["", "data"])
def test_the_files_of_the_training_part_are_read(tmp_path, below):
    for number, part in enumerate(["train-00000-of-00002", "train-00001-of-00002", "test-00000-of-00001"]):
        write(tmp_path / "set" / below / f"{part}.parquet", {"image": FILES[4 * number : 4 * number + 4]})
    (tmp_path / "set" / "README.md").write_text("a set")
    data = open_data(tmp_path / "set")
    assert (data.read(range(8))[..., 0] == PIXELS[:8]).all()
    pattern = f"{tmp_path.resolve() / 'set' / below / '*test*.parquet'}"
    assert f"not on test-00000-of-00001.parquet; to evaluate on it: gansmith evaluate RUN '{pattern}'" in "\n".join(
        data.summary.notes
    )
    assert len(open_data(pattern)) == 4
    assert find_source(data.summary.source).stamp() == find_source(tmp_path / "set").stamp()


@pytest.mark.parametrize(
    ("columns", "said"),
    [
        ({"cls": ["a", "b"] * 6}, "no labels: no column is called label, labels, class, category; not used: cls"),
        ({"label": [0, 1, None] * 4}, "no labels: 4 rows of 12 have none"),
        ({"label": [f"a disc, number {row}, and more" for row in range(12)]}, ""),
        ({"label": [f"a disc, number {row}" for row in range(24)]}, "no labels: column 'label' has 24 different"),
    ],
)
def test_columns_that_give_no_labels_are_said(tmp_path, columns, said):
    rows = len(next(iter(columns.values())))
    path = write(tmp_path / "set" / "x.parquet", {"image": (FILES * 2)[:rows], **columns})
    data = open_data(path)
    assert (data.labels is None) is bool(said)
    assert any(note.startswith(said) for note in data.summary.notes) or not said


def test_labels_of_other_kinds_are_read_as_texts(tmp_path):
    for number, labels in enumerate([[0, 1], ["1", "b"]]):
        write(tmp_path / f"x-{number}.parquet", {"image": FILES[2 * number : 2 * number + 2], "label": labels})
    data = open_data(tmp_path)
    assert (data.spec.classes, data.labels.tolist()) == (("0", "1", "b"), [0, 1, 1, 2])
    assert any("all are texts here" in note for note in data.summary.notes)


def test_files_whose_numbers_mean_other_classes_are_refused(folder, refused):
    images = [{"bytes": file, "path": None} for file in FILES[:3]]
    write(folder / "x-2.parquet", {"image": images, "label": [0, 1, 2]}, ("a", "c", "b"))
    with refused("data.class_names_differ"):
        open_data(folder)


def test_rows_are_streamed(folder):
    data = open_data(folder, DataOptions(stream="1M"))
    assert (data.read([7, 0, 11])[..., 0] == PIXELS[[7, 0, 11]]).all()
    assert data.pixels.shards == [0, 6]


def test_a_streamed_row_that_has_changed_is_named_with_its_file(folder, refused):
    data = open_data(folder, DataOptions(stream="1M"))
    images = [{"bytes": png(255 - pixels), "path": None} for pixels in PIXELS[6:]]
    write(folder / "x-1.parquet", {"image": images, "label": [0, 1, 2] * 2}, ("a", "b", "c"))
    with refused("data.changed_while_read"):
        data.read([0, 8])


def test_a_damaged_file_of_object_storage_is_not_blamed_on_the_network(folder, refused):
    files = pytest.importorskip("fsspec", reason="pip install 'gansmith[storage]'").filesystem("memory")
    content = (folder / "x-0.parquet").read_bytes()
    files.pipe_file("/bucket/x-0.parquet", content[:4] + b"\xff" * 40 + content[44:])
    with refused("data.damaged_archive", [r"(?<=file .)Couldn't deserialize.*(?=\))"]):
        open_data("memory://bucket/x-0.parquet")
    files.rm("/bucket", recursive=True)


def test_plain_bytes_and_labels_of_text(tmp_path):
    path = write(tmp_path / "x.parquet", {"png": FILES, "other": list(range(12)), "class": ["b", "a"] * 6})
    data = open_data(path)
    assert data.spec.classes == ("a", "b")
    assert data.labels.tolist() == [1, 0] * 6
    assert open_data(write(tmp_path / "y.parquet", {"png": FILES, "label": [None, 1] * 6})).labels is None


@pytest.mark.parametrize("in_hub_layout", [False, True])
def test_a_cell_without_an_image_is_left_out_and_named(tmp_path, in_hub_layout):
    cells = [*FILES * 8, None, b"", *FILES * 8]
    if in_hub_layout:
        cells = [{"bytes": cell, "path": "a.png"} for cell in cells]
    data = open_data(write(tmp_path / "x.parquet", {"image": cells}))
    assert (data.read(range(192))[..., 0] == np.concatenate([PIXELS] * 16)).all()
    assert [(each["file"], each["reason"]) for each in data.summary.quarantine] == [
        ("x/096", "row 96 of column 'image' is null"),
        ("x/097", "row 97 of column 'image' is empty"),
    ]


def test_only_the_row_groups_that_are_wanted_are_read_and_none_beyond_the_last_row(tmp_path, monkeypatch):
    columns = {"image": FILES * 40}
    parquet.write_table(arrow.table(columns), path := tmp_path / "x.parquet", row_group_size=240)
    source, read = find_source(path), []
    of_table = parquet.ParquetFile.iter_batches

    def noted(table, *arguments, **more):
        for batch in of_table(table, *arguments, **more):
            read.append(batch.num_rows)
            yield batch

    monkeypatch.setattr(parquet.ParquetFile, "iter_batches", noted)
    items = source.scan().items
    found = {place: reading() for place, reading in source.stream([items[300], items[250]])}
    assert found == {0: FILES[0], 1: FILES[10]}
    assert read == [64], "the rest of the group is not read"


def test_files_that_hold_no_images_are_refused(tmp_path, refused):
    for columns in ({"label": [1, 2]}, {"a": FILES, "b": FILES}):
        with refused("data.no_image_column"):
            open_data(write(tmp_path / "x.parquet", columns))
    with refused("data.empty"):
        open_data(write(tmp_path / "x.parquet", {"image": arrow.array([], arrow.binary())}))
    path = write(tmp_path / "x.parquet", {"image": FILES})
    path.write_bytes(path.read_bytes()[:-20])
    with refused("data.damaged_archive", [r"(?<=file .)Parquet magic[^)]*"]):
        open_data(path)
    (tmp_path / "x.parquet").unlink()
    with refused("data.not_found"):
        find_source(f"shards:{tmp_path}/x.parquet")
