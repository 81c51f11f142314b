"""labels.csv, in a folder, beside it, and in archives."""

import io
import json
import os
import tarfile
import zipfile
from pathlib import Path
from urllib.parse import quote

import pytest
from PIL import Image

from gansmith.data.base import DataOptions
from gansmith.data.check import check_data
from gansmith.data.open import open_data

pytestmark = pytest.mark.usefixtures("cache_folder")


def png(value: int) -> bytes:
    buffer = io.BytesIO()
    Image.new("L", (16, 16), value).save(buffer, "PNG")
    return buffer.getvalue()


IMAGES = {"a.png": png(1), "b.png": png(2), "c.png": png(3)}
TABLE = "file,label\na.png,dog\nb.png,cat\nc.png,dog\n"


def write(folder: Path, files: dict[str, bytes | str]) -> Path:
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content.encode() if isinstance(content, str) else content)
    return folder


def labelled(source: Path) -> list[tuple[int, str]]:
    """Return (gray value, label) of every image."""
    data = open_data(source)
    assert data.labels is not None
    pairs = zip(data.read(range(len(data)))[:, 0, 0, 0].tolist(), data.labels.tolist(), strict=True)
    return [(value, data.spec.classes[label]) for value, label in pairs]


@pytest.mark.parametrize("quote", ["", '"'])
def test_names_with_spaces_in_a_table_that_spaces_part(tmp_path, quote):
    names = {f"my photo {number}.png": png(number) for number in (1, 2, 3)}
    rows = [f"{quote}{name}{quote} {kind} 5" for name, kind in zip(names, ("dog", "cat", "dog"), strict=True)]
    write(tmp_path / "set", {**names, "labels.csv": "\n".join(rows) + "\n"})
    assert labelled(tmp_path / "set") == EXPECTED


def test_a_column_of_splits_is_not_used_and_said(tmp_path, prose):
    rows = "file,label,split\na.png,dog,train\nb.png,cat,test\nc.png,dog,train\n"
    write(tmp_path / "set", {**IMAGES, "labels.csv": rows})
    assert labelled(tmp_path / "set") == EXPECTED
    prose("column of splits", open_data(tmp_path / "set").summary.notes[-1])


EXPECTED = [(1, "dog"), (2, "cat"), (3, "dog")]


def test_a_table_of_line_ends_alone_names_nothing(refused, photos):
    (photos / "labels.csv").write_text("\n" * 100)
    with refused("data.table_names_no_image"):
        open_data(photos)


@pytest.mark.parametrize(
    "table",
    [
        TABLE,
        TABLE.partition("\n")[2],  # no header
        "\ufeff" + TABLE.partition("\n")[2],  # as spreadsheets write it
        TABLE.replace(",", ";"),
        TABLE.replace(",", "\t"),
        TABLE.replace("\n", "\r\n"),
        TABLE.replace("file,label", "Image , Category"),
        TABLE.replace("file,label", "path,breed"),
        TABLE.replace("file,label", "photo,class"),
        TABLE.replace(".png", ""),
        TABLE.replace(",dog", ',"dog"') + "\n\n",
        "label,weight,filename\ndog,1,x/a.png\ncat,2,./x/b.png\ndog,3,c.png\n",
        TABLE.replace(",", "|"),
        TABLE.replace(",", "  "),
        TABLE.encode("utf-16"),
        TABLE.encode("utf-16-le"),
        TABLE.replace("a.png", "https://example.org/x/a.png?size=1"),
        "image,dog,cat\na,1,0\nb,0.0,1.0\nc,1,0\n",  # a column for each class
    ],
)
def test_a_table_labels_the_images(tmp_path, table):
    folder = write(tmp_path / "set", {**IMAGES, "labels.csv": table})
    assert labelled(folder) == EXPECTED
    data = open_data(folder)
    assert data.summary.ignored == {}
    assert data.spec.classes == ("cat", "dog")
    assert f"labels: {folder}/labels.csv" in data.summary.notes


@pytest.mark.parametrize("encoding", ["cp1252", "gbk", "cp1251", "cp932"])
def test_a_table_in_a_code_page_is_guessed_and_said(tmp_path, encoding):
    dog, cat = {"cp1252": ("Grün", "Größe"), "gbk": ("狗", "猫"), "cp1251": ("собака", "кошка")}.get(
        encoding, ("いぬのしゃしん", "ねこのしゃしん")
    )
    table = TABLE.replace("dog", dog).replace("cat", cat).encode(encoding)
    folder = write(tmp_path / "set", {**IMAGES, "labels.csv": table})
    assert labelled(folder) == [(1, dog), (2, cat), (3, dog)]
    assert f"labels.csv is read as {encoding}, a guess, because it is not UTF-8" in open_data(folder).summary.notes


@pytest.mark.parametrize(
    "content",
    [
        {"a.png": "dog", "b.png": "cat", "c.png": "dog"},
        [{"id": "a", "label": "dog"}, {"id": "b", "label": "cat"}, {"id": "c", "label": "dog"}],
        [["a.png", "dog"], ["b.png", "cat"], ["c.png", "dog"]],
    ],
)
def test_a_table_in_json_is_named_and_read_where_asked(tmp_path, refused, content):
    folder = write(tmp_path / "set", {**IMAGES, "kinds.json": json.dumps(content)})
    assert "tables that are not used: kinds.json; to take one: --labels 'kinds.json'" in open_data(folder).summary.notes
    data = open_data(folder, DataOptions(labels="kinds.json"))
    assert (data.spec.classes, data.labels.tolist()) == (("cat", "dog"), [1, 0, 1])
    write(folder, {"kinds.json": json.dumps({"images": [], "annotations": []})})
    with refused("data.unreadable_table"):
        open_data(folder, DataOptions(labels="kinds.json"))


@pytest.mark.parametrize(("names", "ids"), [("{:05d}.png", "{}"), ("{}.png", "{:05d}")])
def test_numbers_match_with_and_without_zeros_before_them(tmp_path, names, ids):
    files = {names.format(at): png(at) for at in range(12)}
    rows = "".join(f"{ids.format(at)},{'ab'[at % 2]}\n" for at in range(12))
    assert labelled(write(tmp_path / "set", {**files, "labels.csv": "id,label\n" + rows})) == sorted(
        ((at, "ab"[at % 2]) for at in range(12)), key=lambda entry: names.format(entry[0])
    )


@pytest.mark.slow
def test_numbers_of_classes_that_are_also_names_of_images_are_labels(tmp_path):
    names = [f"train/{number % 2}/{number:03d}.png" for number in range(20)]
    table = "name,label\n" + "".join(f"{name},{number % 2}\n" for number, name in enumerate(names[:12]))
    folder = write(tmp_path / "set", {**{name: png(10) for name in names}, "labels.csv": table.encode()})
    data = open_data(folder)
    assert data.spec.classes == ("0", "1")
    assert data.labels.tolist() == [number % 2 for number in sorted(range(12), key=lambda number: names[number])]


def test_names_in_a_table_may_be_those_of_an_address(tmp_path):
    files = {f"my photo {number}.png": png(10 * number) for number in range(4)}
    table = "file,label\n" + "".join(f"{quote(name)},{'ab'[number % 2]}\n" for number, name in enumerate(files))
    data = open_data(write(tmp_path / "set", {**files, "labels.csv": table.encode()}))
    assert data.labels.tolist() == [0, 1, 0, 1]


def test_a_table_may_lie_beside_the_folder(tmp_path):
    folder = write(tmp_path / "set", IMAGES)
    assert open_data(folder).labels is None
    write(tmp_path, {"labels.csv": TABLE})
    assert labelled(folder) == EXPECTED  # seen, although nothing in the folder has changed
    write(folder, {"labels.csv": TABLE.replace("dog", "cow")})
    assert labelled(folder)[0] == (1, "cow")  # the nearer one


def test_a_changed_table_is_noticed(tmp_path):
    folder = write(tmp_path / "set", {**IMAGES, "labels.csv": TABLE})
    open_data(folder)
    (folder / "labels.csv").write_text(TABLE.replace("cat", "cow"))
    os.utime(folder / "labels.csv", ns=(1, 1))
    assert labelled(folder)[1] == (2, "cow")


@pytest.mark.parametrize("top", ["", "set/"])
@pytest.mark.parametrize("kind", ["zip", "tar"])
def test_a_table_in_an_archive(tmp_path, kind, top):
    path = tmp_path / f"set.{kind}"
    files = {f"{top}labels.csv": TABLE.encode(), **{f"{top}images/{name}": data for name, data in IMAGES.items()}}
    if kind == "zip":
        with zipfile.ZipFile(path, "w") as archive:
            for name, data in files.items():
                archive.writestr(name, data)
    else:
        with tarfile.open(path, "w") as archive:
            for name, data in files.items():
                member = tarfile.TarInfo(name)
                member.size = len(data)
                archive.addfile(member, io.BytesIO(data))
    assert labelled(path) == EXPECTED
    assert open_data(path).summary.ignored == {}


def test_labels_csv_wins_over_sub_folders(prose, tmp_path):
    files = {"x/a.png": png(1), "x/b.png": png(2), "y/a.png": png(3), "labels.csv": "x/a.png,1\nb.png,10\ny/a.png,2\n"}
    folder = write(tmp_path / "set", files)
    data = open_data(folder)
    assert data.spec.classes == ("1", "2", "10")
    assert data.labels.tolist() == [0, 2, 1]
    prose("notes on a table of labels", "\n".join(data.summary.notes))


def test_rows_and_images_without_a_match_are_counted(prose, tmp_path):
    table = "file,label\na.png,dog\nb.png,dog\nc.png,\nd.png,cat\ne.png,cat\n,cat\n"
    data = open_data(write(tmp_path / "set", {**IMAGES, "labels.csv": table}))
    assert data.spec.count == 2
    assert data.spec.classes == ("dog",)
    prose("notes on a table of labels", "\n".join(data.summary.notes))
    assert check_data(tmp_path / "set").classes == {"dog": 2}


def test_a_table_that_names_no_image(refused, tmp_path):
    folder = write(tmp_path / "set", {**IMAGES, "labels.csv": "file,label\nx.png,dog\n"})
    with refused("data.table_names_no_image"):
        open_data(folder)
    write(folder, {"labels.csv": ""})
    with refused("data.table_names_no_image"):
        open_data(folder)


def test_a_table_that_contradicts_itself(refused, tmp_path):
    folder = write(tmp_path / "set", {**IMAGES, "labels.csv": TABLE + "a.png,cat\n"})
    with refused("data.two_labels"):
        open_data(folder)
    write(folder, {"labels.csv": TABLE + "a.png,dog\n"})
    assert labelled(folder) == EXPECTED


def test_a_row_that_may_be_any_of_two_images(refused, tmp_path):
    folder = write(tmp_path / "set", {"x/a.png": png(1), "y/a.png": png(2), "labels.csv": "a.png,dog\n"})
    with refused("data.ambiguous_file_name"):
        open_data(folder)


@pytest.mark.parametrize(
    ("table", "code"),
    [
        (
            "file,label,class\na.png,1,2\n",
            "data.table_columns",
        ),
        ("label,x,y\na.png,1,2\n", "data.table_columns"),
        ("a.png\nb.png\n", "data.table_columns"),
        (b"file,label\na.png,\xa0\xff\n", "data.unreadable_table"),
        ('file,label\na.png,"' + "x" * 200_000, "data.unreadable_table"),
    ],
)
def test_a_table_that_cannot_be_read(refused, tmp_path, table, code):
    folder = write(tmp_path / "set", {**IMAGES, "labels.csv": table})
    with refused(code):
        open_data(folder)


def test_two_tables(refused, tmp_path):
    folder = write(tmp_path / "set", {"x/a.png": png(1), "y/b.png": png(2), "x/labels.csv": "", "y/labels.csv": ""})
    with refused("data.several_tables"):
        open_data(folder)
    write(folder, {"labels.csv": "a,1\nb,2\n"})  # the top one is meant
    assert labelled(folder) == [(1, "1"), (2, "2")]


@pytest.mark.parametrize(
    "table",
    [
        "# made by a tool\n# in 2020\nfile,label\na.png,dog\nb.png,cat\nc.png,dog\n",
        "A list of images\n\nfile;label\na.png;dog\nb.png;cat\nc.png;dog\n",
        "label\na.png,dog\nb.png,cat\nc.png,dog\n",  # as R writes it
        "3\nlabel\na.png  dog\nb.png  cat\nc.png  dog\n",  # as CelebA's lists
    ],
)
def test_remarks_before_a_table_and_a_header_without_the_column_of_files(tmp_path, table):
    assert labelled(write(tmp_path / "set", {**IMAGES, "labels.csv": table})) == EXPECTED


@pytest.mark.parametrize("ending", [".tsv", ".jsonl"])
def test_tables_called_labels_are_read_unasked(tmp_path, ending):
    rows = [line.split(",") for line in TABLE.splitlines()]
    text = "\n".join("\t".join(row) for row in rows)
    if ending == ".jsonl":  # the label may be missing in the first line
        lines = [{"file": "z.png"}, *({"file": file, "label": label} for file, label in rows[1:])]
        text = "\n".join(map(json.dumps, lines))
    assert labelled(write(tmp_path / "set", {**IMAGES, f"labels{ending}": text})) == EXPECTED


@pytest.mark.parametrize("missing", ["nan", "<NA>", "#N/A", "NULL", ""])
def test_what_programs_write_for_no_label_is_no_class(tmp_path, missing):
    data = open_data(write(tmp_path / "set", {**IMAGES, "labels.csv": TABLE.replace("cat", missing)}))
    assert data.spec.classes == ("dog",)
    assert "1 image left out: no label in labels.csv" in data.summary.notes


def test_a_table_whose_column_of_labels_is_empty(tmp_path, refused):
    rows = "".join(f"{name},\n" for name in IMAGES)
    with refused("data.table_without_labels"):
        open_data(write(tmp_path / "set", {**IMAGES, "labels.csv": f"file,label\n{rows}"}))


def test_classes_that_differ_only_in_letters_are_said(tmp_path):
    table = "file,label\na.png,Cat\nb.png,cat\nc.png,dog house\n"
    data = open_data(write(tmp_path / "set", {**IMAGES, "labels.csv": table}))
    assert "classes that differ only in letters or spaces: Cat, cat" in data.summary.notes


@pytest.mark.parametrize("content", [b"PK\x03\x04rest", b"\x1f\x8brest", b"PAR1rest", b"\x89PNGrest"])
def test_a_table_that_is_no_text_is_called_what_it_is(tmp_path, refused, content):
    folder = write(tmp_path / "set", {**IMAGES, "labels.csv": content})
    with refused("data.unreadable_table"):
        open_data(folder)
