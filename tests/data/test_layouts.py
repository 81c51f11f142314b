"""Layouts that people have: what is an image, what is trained on, where labels come from, what is left out."""

import io
import json
import os
import struct
import tarfile
import warnings
import zipfile
from pathlib import Path
from zlib import crc32

import numpy as np
import pytest
from PIL import Image

from gansmith.core.errors import DataError
from gansmith.data.base import DataOptions, ImageData, Listing
from gansmith.data.check import check_data
from gansmith.data.find import find_source
from gansmith.data.open import open_data
from gansmith.data.sources import folders_archives, label_tables
from gansmith.data.sources.layouts import sides_of
from gansmith.data.sources.options import with_options
from gansmith.data.sources.walk import image_files
from gansmith.imaging import images as images_module
from small_images import write_photos

pytestmark = pytest.mark.usefixtures("cache_folder")


def png(value: int) -> bytes:
    buffer = io.BytesIO()
    Image.new("L", (16, 16), value % 256).save(buffer, "PNG")
    return buffer.getvalue()


def images(*names: str) -> dict[str, bytes]:
    return {name: png(number) for number, name in enumerate(names)}


def numbered(pattern: str, count: int, start: int = 0) -> dict[str, bytes]:
    return {pattern.format(number): png(number) for number in range(start, start + count)}


def write(folder: Path, files: dict[str, bytes | str]) -> Path:
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content.encode() if isinstance(content, str) else content)
    return folder


def zipped(path: Path, files: dict[str, bytes | str]) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return path


def tarred(path: Path, files: dict[str, bytes]) -> Path:
    with tarfile.open(path, "w") as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return path


def listed(source: str | Path, **options: object) -> Listing:
    return with_options(find_source(source), DataOptions(**options)).scan()


def labels_of(listing: Listing) -> dict[str, str]:
    return {item.name: listing.classes[item.label] for item in listing.items}


# StyleGAN


INDEX = {**numbered("00000/img{:08d}.png", 3), **numbered("00001/img{:08d}.png", 3, 3)}


@pytest.mark.parametrize("kind", ["folder", "zip"])
@pytest.mark.parametrize("top", ["", "faces/"])
def test_stylegan_labels_are_read_and_its_folders_are_no_classes(tmp_path, kind, top):
    entries = [[name, number % 2] for number, name in enumerate(INDEX)]
    for labels, expected in ((entries, ("0", "1")), (None, ())):
        files = {top + name: content for name, content in INDEX.items()}
        files[f"{top}dataset.json"] = json.dumps({"labels": labels}).encode()
        path = tmp_path / f"{len(expected)}.zip" if kind == "zip" else tmp_path / f"set{len(expected)}"
        listing = listed(zipped(path, files) if kind == "zip" else write(path, files))
        assert (listing.classes, listing.ignored, len(listing.items)) == (expected, {}, 6)
        assert [item.label for item in listing.items] == ([0, 1] * 3 if expected else [-1] * 6)


def test_stylegan_labels_may_be_vectors_and_may_miss_images(tmp_path):
    hot = [[name, [0, 1] if number % 2 else [1, 0]] for number, name in enumerate(INDEX)]
    folder = write(tmp_path / "set", {**INDEX, "dataset.json": json.dumps({"labels": hot})})
    assert listed(folder).classes == ("0", "1")
    cameras = [[name, [0.5, 0.25, number]] for number, name in enumerate(INDEX)]
    write(folder, {"dataset.json": json.dumps({"labels": cameras})})
    assert listed(folder).classes == ()
    write(folder, {"dataset.json": json.dumps({"labels": hot[:4]})})
    listing = listed(folder)
    assert len(listing.items) == 4
    assert "2 images left out: not in dataset.json" in listing.notes


def test_a_dataset_json_of_another_program_is_left_alone(tmp_path):
    files = {**images("cat/a.png", "dog/b.png"), "dataset.json": '{"info": {}}'}
    listing = listed(write(tmp_path / "set", files))
    assert (listing.classes, listing.ignored) == (("cat", "dog"), {".json file": 1})


def test_a_dataset_json_that_is_damaged(refused, tmp_path):
    folder = write(tmp_path / "set", {**INDEX, "dataset.json": '{"labels": [['})
    with refused("data.unreadable_table"):
        listed(folder)
    assert listed(folder, labels="none").classes == ()


# folders


@pytest.mark.parametrize("other", ["test", "val", "valid", "Testing"])
@pytest.mark.parametrize("kind", ["folder", "tar"])
def test_the_training_part_is_read_with_the_classes_below_it(tmp_path, other, kind):
    files = images("train/cat/a.png", "train/dog/b.png", f"{other}/cat/c.png", f"{other}/dog/d.png")
    listing = listed(tarred(tmp_path / "set.tar", files) if kind == "tar" else write(tmp_path / "set", files))
    assert labels_of(listing) == {"cat/a.png": "cat", "dog/b.png": "dog"}
    assert f"not on {other}/ with 2 images" in listing.notes[0]


@pytest.mark.parametrize(
    ("train", "other"),
    [("train2017", "val2017"), ("training_set", "test_set"), ("images_train", "images_val"), ("trainval", "test")],
)
def test_parts_have_other_names_too(tmp_path, train, other):
    listing = listed(write(tmp_path / "set", images(f"{train}/cat/a.png", f"{train}/dog/b.png", f"{other}/cat/c.png")))
    assert labels_of(listing) == {"cat/a.png": "cat", "dog/b.png": "dog"}


def test_parts_below_the_classes(tmp_path, prose):
    files = images(*(f"{kind}/{part}/{n}.png" for kind in ("cat", "dog") for part in ("train", "test") for n in (1, 2)))
    listing = listed(write(tmp_path / "set", files))
    assert labels_of(listing) == {f"{kind}/train/{n}.png": kind for kind in ("cat", "dog") for n in (1, 2)}
    prose("parts below the classes", "\n".join(listing.notes))
    other = write(tmp_path / "other", images("cat/train/1.png", "cat/test/2.png", "dog/3.png"))
    assert len(listed(other).items) == 3, "not every class has parts"


@pytest.mark.parametrize(
    ("names", "first"),
    [
        (("train_A", "train_B", "test_A", "test_B"), "train_A"),
        (("A/train", "A/val", "B/train", "B/val"), "A/train"),
    ],
)
def test_two_domains_have_other_names_too(tmp_path, names, first):
    folder = write(tmp_path / "set", images(*(f"{name}/{number}.png" for name in names for number in range(3))))
    with pytest.raises(DataError, match=f"--from '{folder}/{first}'"):
        listed(folder)
    assert sides_of(folder) == (folder / first, folder / first.replace("A", "B"))
    assert listed(folder, labels="folders").classes


@pytest.mark.parametrize("names", [("class0", "class1", "class2"), ("n01440764", "n01443537", "n01484850"), ("A", "B")])
def test_numbered_and_short_names_of_kinds_are_classes(tmp_path, names):
    folder = write(tmp_path / "set", images(*(f"{name}/{number}.png" for name in names for number in range(3))))
    assert listed(folder).classes == names


@pytest.mark.parametrize(
    ("first", "second"),
    [("leftImg8bit/a/x_0{}_leftImg8bit", "gtFine/a/x_0{}_gtFine"), ("DIV2K_LR_bicubic/{:04d}x2", "DIV2K_HR/{:04d}")],
)
def test_two_sides_are_known_by_a_word_and_by_the_names_of_their_files(tmp_path, refused, first, second):
    folder = write(tmp_path / "set", {**numbered(first + ".png", 4), **numbered(second + ".png", 4)})
    with refused("data.two_sides"):
        listed(folder)
    assert len(listed(folder, labels="folders").classes) == 2


def test_masks_beside_images_are_no_images(tmp_path, prose):
    files = {**numbered("{:04d}.jpg", 6), **numbered("{:04d}.mask.png", 6), **numbered("{:04d}_depth.png", 3)}
    files |= {f"{number:04d}.cls": str(number % 2).encode() for number in range(6)}
    listing = listed(write(tmp_path / "set", files))
    assert labels_of(listing) == {f"{number:04d}.jpg": str(number % 2) for number in range(6)}
    prose("masks beside images", "\n".join(listing.notes).replace(str(tmp_path), ""))
    few = write(tmp_path / "few", {**numbered("{:04d}.jpg", 6), "0001_mask.jpg": png(1)})
    assert len(listed(few).items) == 7


def test_several_images_of_each_name_are_said(tmp_path, prose):
    sides = {**numbered("{:04d}.input.png", 6), **numbered("{:04d}.target.png", 6)}
    listing = listed(tarred(tmp_path / "set.tar", sides))
    assert len(listing.items) == 12
    prose("several images of each name", "\n".join(listing.notes))
    frames = write(tmp_path / "frames", {f"clip{a}.{b:04d}.png": png(b) for a in range(6) for b in range(9)})
    assert listed(frames).notes == ()


def test_captions_are_no_classes_however_few(tmp_path):
    rows = "".join(json.dumps({"file_name": f"{at}.png", "text": f"photo {at}"}) + "\n" for at in range(4))
    listing = listed(write(tmp_path / "set", {**numbered("{}.png", 4), "metadata.jsonl": rows.encode()}))
    assert listing.classes == ()
    assert "captions in column 'text'" in listing.notes[0]


def test_a_part_may_be_named_and_parts_without_train_are_no_classes(tmp_path):
    folder = write(tmp_path / "set", images("test/cat/a.png", "test/dog/b.png", "val/cat/c.png", "val/dog/d.png"))
    assert listed(folder).classes == ()
    assert labels_of(listed(folder / "test")) == {"cat/a.png": "cat", "dog/b.png": "dog"}


@pytest.mark.parametrize(
    "names",
    [
        ("Photos from 2020", "Photos from 2021"),
        ("2021-01", "2021-02"),
        ("2021", "2022"),
        ("20210104_beach", "20210212_home"),
        ("00000", "00001", "00002"),
        ("100CANON", "101CANON"),
        ("session1", "session2"),
        ("part_01", "part_02"),
        ("New Folder", "New Folder (2)"),
        ("0.25", "0.50", "1.75"),
        ("10um", "20um", "40um"),
        ("-10", "0", "10"),
        ("0.5", "1", "2"),
        ("500nm", "1um"),
        ("T=300K", "T=310K"),
        ("lambda_532nm", "lambda_633nm"),
        ("T300K", "T310K"),
        ("pH6.5", "pH7"),
        ("25C_60min", "37C_60min"),
        ("T_-20C", "T_20C"),
        ("angle_30", "angle_60"),
        ("5mA 10V", "5mA 20V"),
        ("1e-3", "1e-4"),
        ("eps=1", "eps=2"),
        ("fold=1", "fold=2"),
        ("52.5N 13.4E", "48.1N 11.6E"),
        ("01.03.2021", "02.03.2021"),
        ("January", "March"),
        ("patient001", "patient002"),
        ("PAT0", "PAT1"),
        ("plate_1", "plate_2"),
        ("sub-01", "sub-02"),
        ("user_0", "user_7"),
        ("00", "3f", "9c", "ab"),
        ("gif", "png"),
        ("32x32", "64x64"),
        ("run_a", "run_b"),
        ("part-aa", "part-ab"),
        ("Chapter 1", "Chapter 2"),
        ("DSC_0001", "DSC_0100"),
        ("split1", "split2"),
    ],
)
def test_folders_that_are_no_kinds_are_no_classes_unasked(tmp_path, names):
    folder = write(tmp_path / "set", images(*(f"{name}/{number}.png" for number, name in enumerate(names))))
    listing = listed(folder)
    assert listing.classes == ()
    assert listing.notes[0].endswith("labels=folders takes them as classes")
    assert listed(folder, labels="folders").classes == tuple(sorted(names))


@pytest.mark.parametrize(("last", "is_running"), [(2, True), (3, True), (4, False)])
def test_folders_of_files_that_are_numbered_through_are_no_classes(tmp_path, last, is_running):
    sizes = (3, 3, last)
    names = [f"{at:02d}/img{3 * at + number:08d}.png" for at, size in enumerate(sizes) for number in range(size)]
    folder = write(tmp_path / "set", images(*names))
    listing = listed(folder)
    assert listing.classes == (() if is_running else ("00", "01", "02"))
    assert any("numbered through" in note for note in listing.notes) == is_running
    again = write(tmp_path / "again", images(*(f"{at:02d}/{number}.png" for at in range(3) for number in range(3))))
    assert listed(again).classes == ("00", "01", "02")


@pytest.mark.parametrize(
    ("names", "classes"),
    [
        (("cat.{}.jpg", "dog.{}.jpg"), ("cat", "dog")),
        (("0_{:03d}.png", "1_{:03d}.png"), ("0", "1")),
        (("great_pyrenees_{}.png", "pug_{}.png"), ("great_pyrenees", "pug")),
        (("n01440764_{}.png", "n01443537_{}.png"), ("n01440764", "n01443537")),
        (("cat ({}).png", "dog ({}).png"), ("cat", "dog")),
    ],
)
def test_first_words_of_file_names_are_said_and_classes_on_request(tmp_path, names, classes):
    folder = write(tmp_path / "set", images(*(name.format(number) for name in names for number in range(6))))
    listing = listed(folder)
    assert listing.classes == ()
    assert listing.notes == (
        f"file names begin with 2 words ({', '.join(classes)}); labels=names takes them as classes",
    )
    asked = listed(folder, labels="names")
    assert asked.classes == classes
    assert all(item.name.startswith(classes[item.label]) for item in asked.items)
    assert open_data(folder, DataOptions(labels="names")).spec.classes == classes


@pytest.mark.parametrize(
    "names", [("{:04d}.png",), ("img{}.png",), ("IMG_{}.png", "DSC_{}.png"), ("2021_{}.png", "2022_{}.png")]
)
def test_other_file_names_are_not_said(tmp_path, names):
    folder = write(tmp_path / "set", images(*(name.format(number) for name in names for number in range(6))))
    assert listed(folder).notes == ()


def test_labels_from_names_need_two_words(tmp_path):
    folder = write(tmp_path / "set", images(*(f"cat.{number}.png" for number in range(6))))
    listing = listed(folder, labels="names")
    assert listing.classes == ()
    assert "labels=names needs file names of at least two words" in listing.notes[0]


def test_folders_as_classes_that_differ_in_letters_alone_are_said(tmp_path):
    folder = write(tmp_path / "set", images("Cat/1.png", "cat/2.png", "dog/3.png"))
    assert "classes that differ only in letters or spaces: Cat, cat" in listed(folder).notes


def test_links_that_lead_nowhere_are_no_small_set(tmp_path, refused):
    folder = write(tmp_path / "set", numbered("{}.png", 3))
    for number in range(3, 6):
        (folder / f"{number}.png").symlink_to(tmp_path / "away" / f"{number}.png")
    assert listed(folder).ignored == {"broken link": 3}
    (folder / "6.png").symlink_to(tmp_path / "away")
    with refused("data.mostly_left_out"):
        listed(folder)
    assert len(listed(folder, allow_left_out=True).items) == 3


@pytest.mark.parametrize("ending", [".jpg?w=300", ".jpg_large", ".jpeg!d", ".png@2x", ".jpg:large"])
def test_more_behind_the_ending(tmp_path, ending):
    """As addresses of downloads have."""
    folder = write(tmp_path / "set", {**numbered("{}" + ending, 3), "0.jpg~": png(0), f"x{ending}": "no image"})
    assert [item.name for item in listed(folder).items] == [f"{number}{ending}" for number in range(3)]


@pytest.mark.parametrize(
    "names",
    [("0", "1", "10"), ("cat", "dog"), ("a", "b"), ("7", "007"), ("red", "2021"), ("T1w", "T2w"),
     ("class=1", "class=2"), ("2D", "3D"), ("stage_1a", "stage_2a"), ("10um", "other"), ("level_1", "level_2")],
)  # fmt: skip
def test_other_folders_are_classes_unless_labels_are_none(tmp_path, names):
    folder = write(tmp_path / "set", images(*(f"{name}/{number}.png" for number, name in enumerate(names))))
    assert listed(folder).classes == tuple(sorted(names))
    assert listed(folder, labels="none").classes == ()
    assert open_data(folder, DataOptions(labels="none")).labels is None


def test_one_folder_is_no_class_also_where_folders_are_asked_for(tmp_path):
    folder = write(tmp_path / "set", images("cat/a.png", "cat/b.png"))
    assert listed(folder, labels="folders").notes == (
        "no labels: labels=folders needs at least two sub-folders of images",
    )


def test_a_part_of_hive_is_a_part(tmp_path):
    listing = listed(write(tmp_path / "set", images("split=train/a.png", "split=test/b.png")))
    assert [item.name for item in listing.items] == ["a.png"]
    assert listing.notes[0].startswith("splits: trained on split=train/, not on split=test/ with 1 image")


def test_two_folders_of_pairs_without_known_names_are_asked_about(refused, tmp_path):
    folder = write(tmp_path / "set", {**numbered("foo/{}.png", 4), **numbered("bar/{}.png", 4)})
    with refused("data.unnamed_sides"):
        sides_of(folder)
    assert sides_of(write(tmp_path / "other", {**numbered("foo/{}.png", 4), **numbered("bar/x{}y.png", 4)})) is None


def test_a_folder_for_each_image_is_no_class(tmp_path):
    folder = write(tmp_path / "ids", numbered("patient-x{0}/{0}.png", 30))
    assert listed(folder).classes == ()
    pairs = write(tmp_path / "set", {**numbered("kind{0}y/a.png", 100), **numbered("kind{0}y/b.png", 100)})
    assert len(listed(pairs).classes) == 100, "100 classes of 2"


def test_few_images_and_one_class_of_one(tmp_path):
    folder = write(tmp_path / "set", images("a.png", "b.png", "c.png"))
    assert len(open_data(folder)) == 3
    single = write(tmp_path / "one", images("cat/a.png", "dog/b.png", "dog/c.png"))
    assert open_data(single).class_frequencies.tolist() == pytest.approx([1 / 3, 2 / 3])


def test_two_domains_in_one_folder(refused, tmp_path):
    folder = write(tmp_path / "set", images("trainA/1.png", "trainB/2.png", "testA/3.png", "testB/4.png"))
    with refused("data.two_domains"):
        listed(folder)
    assert listed(folder, labels="none").classes == ()
    assert listed(folder / "trainA").classes == ()


@pytest.mark.parametrize("names", [("LR", "HR"), ("images", "masks"), ("input", "target")])
def test_two_sides_of_pairs_in_one_folder(refused, tmp_path, names):
    folder = write(tmp_path / "set", images(*(f"{name}/1.png" for name in names)))
    with refused("data.two_sides"):
        listed(folder)
    assert listed(folder, labels="folders").classes == tuple(sorted(names))


# tables


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("metadata.csv", "file_name,label\na.png,x\nb.png,y\nc.png,x\n"),
        ("metadata.jsonl", '{"file_name": "a.png", "label": "x"}\n{"file_name": "b.png", "label": "y"}\n'
                           '{"file_name": "c.png", "label": "x"}\n'),
        ("labels.csv", "lesion,image_id,dx\nL1,a,x\nL2,b,y\nL3,c,x\n"),
        ("labels.csv", "id,breed\na,x\nb,y\nc,x\n"),
        ("labels.csv", "ID;PATH;KIND\n1;imgs/A.PNG;x\n2;imgs/B.PNG;y\n3;imgs/C.PNG;x\n"),
        ("labels.csv", "file,label\na.jpg,x\nb.jpg,y\nc.jpg,x\n"),
    ],
)  # fmt: skip
def test_tables_of_other_programs(tmp_path, file, content):
    folder = write(tmp_path / "set", {**images("a.png", "b.png", "c.png"), file: content})
    options = {"labels": f"{folder}/{file}:PATH:KIND"} if "KIND" in content else {}
    listing = listed(folder, **options)
    assert labels_of(listing) == {"a.png": "x", "b.png": "y", "c.png": "x"}
    assert listing.ignored == {}


def test_the_metadata_of_each_split(tmp_path):
    files = images("train/a.png", "train/b.png", "test/a.png")
    files |= {f"{part}/metadata.csv": b"file_name,label\na.png,x\nb.png,y\n" for part in ("train", "test")}
    assert labels_of(listed(write(tmp_path / "set", files))) == {"a.png": "x", "b.png": "y"}


def test_captions_are_no_classes(tmp_path):
    table = "file_name,text\n" + "".join(f"{number:02d}.png,a picture of {number}\n" for number in range(30))
    folder = write(tmp_path / "set", {**numbered("{:02d}.png", 30), "metadata.csv": table})
    assert listed(folder).classes == ()


@pytest.mark.parametrize("value", ["{:.4f}", "{:.1f} ", "-{:.3e}", "{:.0f}"])
def test_measurements_are_no_classes_unless_the_column_is_named(prose, tmp_path, value):
    spread = np.random.default_rng(0).uniform(0, 5000, 60)
    table = "file,grade\n" + "".join(f"{at:02d}.png,{value.format(each)}\n" for at, each in enumerate(spread))
    folder = write(tmp_path / "set", {**numbered("{:02d}.png", 60), "labels.csv": table})
    listing = listed(folder)
    assert (listing.classes, len(listing.items)) == ((), 60)
    prose("note on measurements", listing.notes[-1])
    assert len(listed(folder, labels="labels.csv:file:grade").classes) > 50
    assert listed(folder, labels=f"{folder}/labels.csv").classes == ()


def test_numbers_of_many_classes_are_classes(tmp_path):
    table = "file,label\n" + "".join(f"{at:03d}.png,{at % 40}\n" for at in range(120))
    folder = write(tmp_path / "set", {**numbered("{:03d}.png", 120), "labels.csv": table})
    assert listed(folder).classes == tuple(map(str, range(40)))


def test_a_table_beside_the_folder_that_names_nothing_here_is_left_alone(tmp_path):
    folder = write(tmp_path / "set" / "test", images("a.png", "b.png"))
    write(tmp_path / "set", {"labels.csv": "id,breed\nx1,pug\nx2,cat\n", **images("train/x1.png", "train/x2.png")})
    listing = listed(folder)
    assert (listing.classes, len(listing.items)) == ((), 2)
    assert listing.notes == (f"'{tmp_path}/set/labels.csv' is not used: it names none of the images",)
    assert labels_of(listed(tmp_path / "set" / "train")) == {"x1.png": "pug", "x2.png": "cat"}


def test_a_table_that_is_cut_short_is_not_recommended(tmp_path):
    """A table that nobody asked for; --labels could not read it either."""
    rows = "".join(f'{{"file_name": "{name}.png", "label": "{name}"}}\n' for name in "ab")
    folder = write(tmp_path / "set", {**images("a.png", "b.png"), "metadata.jsonl": rows + '{"file_name": "c'})
    (note,) = listed(folder).notes
    assert "metadata.jsonl' is not used: cannot be read: line 3 is no JSON" in note
    assert note.endswith("; save it as CSV in UTF-8")


def test_tables_that_are_not_used_are_named(tmp_path):
    folder = write(tmp_path / "set", {**images("a.png"), "HAM_metadata.csv": "x,y\n", "notes.txt": ""})
    listing = listed(folder)
    assert listing.notes == ("tables that are not used: HAM_metadata.csv; to take one: --labels 'HAM_metadata.csv'",)
    assert listing.ignored == {".csv file": 1, ".txt file": 1}


def test_a_list_in_utf_16_is_named(tmp_path):
    rows = "".join(f"{number}.png\t{'ab'[number % 2]}\n" for number in range(8))
    folder = write(tmp_path / "set", {**numbered("{}.png", 8), "kinds.txt": rows.encode("utf-16")})
    assert "tables that are not used: kinds.txt; to take one: --labels 'kinds.txt'" in listed(folder).notes
    assert listed(folder, labels="kinds.txt").classes == ("a", "b")


def test_a_folder_of_archives_alone_says_which_to_pass(tmp_path, refused):
    folder = write(tmp_path / "set", {"train.zip": b"PK", "README.md": "x"})
    with refused("data.empty"):
        listed(folder)


def test_annotations_of_coco_are_no_table(tmp_path, refused):
    folder = write(tmp_path / "set", {**numbered("{}.png", 8), "x.json": '{"images": [], "annotations": []}'})
    with refused("data.unreadable_table"):
        listed(folder, labels="x.json")


def test_images_of_one_name_in_an_archive_are_no_pairs(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        for number in range(12):
            with warnings.catch_warnings(action="ignore"):
                archive.writestr(f"{number % 6}.png", png(number))
    listing = listed(tmp_path / "a.zip")
    assert (len(listing.items), listing.notes) == (12, ())


def test_a_folder_as_an_address(tmp_path):
    folder = write(tmp_path / "my set", numbered("{}.png", 3))
    assert len(listed(folder.as_uri()).items) == 3  # file:///...my%20set


def test_a_file_of_a_package_manager_is_no_table(tmp_path):
    folder = write(tmp_path / "set", {**images("dist/tag.png", "dist/name.png"), "package.json": '{"name": "tag"}'})
    assert listed(folder).notes == ()


def test_a_table_that_the_user_names(refused, tmp_path, monkeypatch):
    table = "who,species,what\na,cat,4\nb,dog,4\n"
    folder = write(tmp_path / "set", {**images("a.png", "b.png"), "mine.csv": table})
    for asked in ("mine.csv:who:species", f"{folder}/mine.csv:who:2", "mine.csv:WHO:Species"):
        assert labels_of(listed(folder, labels=asked)) == {"a.png": "cat", "b.png": "dog"}
    monkeypatch.chdir(folder)
    options = DataOptions(labels="mine.csv:who:species")
    monkeypatch.chdir("/")
    assert open_data(folder, options).spec.classes == ("cat", "dog"), "a path means the same from any folder"
    os.utime(folder / "mine.csv", ns=(1, 1))
    write(folder, {"mine.csv": table.replace("dog", "cow")})
    assert open_data(folder, options).spec.classes == ("cat", "cow")
    with refused("data.no_table"):
        listed(folder, labels="nothing.csv")
    (folder / "tables.csv").mkdir()
    for asked in ("tables.csv", f"{folder}/tables.csv:who:species"):
        with pytest.raises(DataError, match=r"tables\.csv' is a folder, not a table"):
            listed(folder, labels=asked)
    (folder / "tables.csv").rmdir()
    with refused("data.unknown_column"):
        listed(folder, labels="mine.csv:who:kind")
    archive = zipped(tmp_path / "set.zip", {**images("a.png", "b.png"), "mine.csv": table})
    assert listed(archive, labels="mine.csv:who:species").classes == ("cat", "dog")


def test_a_table_for_arrays(refused, tmp_path):
    np.savez(tmp_path / "a.npz", images=np.zeros((4, 16, 16), np.uint8), labels=[0, 1, 0, 1])
    with refused("data.table_without_files"):
        listed(tmp_path / "a.npz", labels="x.csv")
    assert listed(tmp_path / "a.npz", labels="none").classes == ()


def test_odd_tables(refused, tmp_path, monkeypatch):
    folder = write(tmp_path / "set", {**images("a.png", "b.png"), "labels.csv": "file,label\na.png,x\0\n"})
    with refused("data.unreadable_table"):
        listed(folder)
    write(folder, {"labels.csv": "file,label\na.png,x\nb.png,y\n".encode("utf-16")})
    assert listed(folder).classes == ("x", "y")
    write(folder, {"labels.csv": f"file,label\na.png,{'7' * 5000}\nb.png,y\n"})
    assert listed(folder).classes == ()
    write(folder, {"labels.csv": "file,label\n" + "a.png,x\nb.png,y\n" * 3 + "gone.png,z\n"})
    listing = listed(folder)
    assert labels_of(listing) == {"a.png": "x", "b.png": "y"}
    assert "1 row of labels.csv without an image" in listing.notes
    monkeypatch.setattr(label_tables, "MAX_TABLE_BYTES", 20)
    with refused("data.table_too_large"):
        listed(folder)


def test_names_match_in_one_normal_form(tmp_path):
    composed, decomposed = "M\u00fcller", "Mu\u0308ller"
    table = f"file,label\n{composed}_0.png,x\n{composed}_1.png,y\n"
    folder = write(tmp_path / "set", {**images(f"{decomposed}_0.png", f"{decomposed}_1.png"), "labels.csv": table})
    assert labels_of(listed(folder)) == {f"{composed}_0.png": "x", f"{composed}_1.png": "y"}


# files beside images


@pytest.mark.parametrize("kind", ["tar", "folder"])
@pytest.mark.parametrize(
    ("ending", "contents"), [("cls", ["0", "1", "0"]), ("json", ['{"label": 0}', '{"label": 1}', '{"label": 0}']),
                             ("txt", ["0\n", "1\n", "0\n"])]
)  # fmt: skip
def test_webdataset_labels(tmp_path, kind, ending, contents):
    files = images("0001.png", "0002.png", "0003.png")
    files |= {f"000{number}.{ending}": content.encode() for number, content in enumerate(contents, 1)}
    files = dict(sorted(files.items()))
    source = tarred(tmp_path / "set.tar", files) if kind == "tar" else write(tmp_path / "set", files)
    listing = listed(source)
    assert labels_of(listing) == {"0001.png": "0", "0002.png": "1", "0003.png": "0"}
    assert listing.ignored == {}


def test_captions_beside_images_are_no_classes(tmp_path):
    files = {**numbered("{:04d}.png", 30), **{f"{number:04d}.txt": f"photo {number}".encode() for number in range(30)}}
    listing = listed(tarred(tmp_path / "set.tar", dict(sorted(files.items()))))
    assert (listing.classes, listing.ignored) == ((), {".txt file": 30})


# arrays


def test_arrays_of_keras_and_medmnist(tmp_path):
    gray, labels = np.arange(4 * 256, dtype=np.uint8).reshape(4, 16, 16), np.array([[0], [1], [0], [1]])
    np.savez(tmp_path / "mnist.npz", x_train=gray, y_train=labels, x_test=gray[:2], y_test=labels[:2])
    np.savez(tmp_path / "med.npz", train_images=gray, train_labels=labels, val_images=gray[:1], val_labels=labels[:1])
    np.savez(tmp_path / "chest.npz", train_images=gray, train_labels=np.ones((4, 14), int))
    for name, left in (("mnist", "x_test, y_test"), ("med", "val_images, val_labels")):
        data = open_data(tmp_path / f"{name}.npz")
        assert (data.spec.count, data.labels.tolist()) == (4, [0, 1, 0, 1])
        assert any(left in note for note in data.summary.notes)
    assert open_data(tmp_path / "chest.npz").labels is None


def saved(array: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()


@pytest.mark.parametrize("kind", ["folder", "zip", "tar"])
def test_a_folder_of_arrays_has_one_range(tmp_path, kind):
    files = {
        f"c{number % 2}/{number}.npy": saved(np.full((16, 16), number * 20 - 80.0, np.float32)) for number in range(5)
    }
    make = {"folder": write, "zip": zipped, "tar": tarred}[kind]
    data = open_data(make(tmp_path / ("set" if kind == "folder" else f"set.{kind}"), files))
    assert data.spec.classes == ("c0", "c1")
    assert sorted(data.read(range(5))[:, 0, 0, 0].tolist()) == [-1, -0.5, 0, 0.5, 1]
    assert (data.spec.values.low, data.spec.values.high, data.spec.values.kind) == ((-80.0,), (0.0,), "float32")


@pytest.mark.slow
def test_arrays_may_hold_several_images_and_bad_ones_are_named(tmp_path):
    stack = np.arange(6, dtype=np.uint8)[:, None, None, None] * np.ones((6, 16, 16, 3), np.uint8)
    files = {"a.npy": saved(stack), "b.npy": saved(stack[0]), **{f"d{n:02d}.npy": saved(stack[1]) for n in range(40)}}
    files |= {"bad.npy": b"no array", "odd.npy": saved(np.zeros(7))}
    folder = write(tmp_path / "set", files)
    data = open_data(folder)
    assert data.spec.count == 47
    assert data.read(range(7))[:, 0, 0, 0].tolist() == [0, 1, 2, 3, 4, 5, 0]
    assert [entry["file"] for entry in data.summary.quarantine] == ["bad.npy", "odd.npy"]


# what is left out


def test_rubbish_is_left_out_and_counted(tmp_path):
    rubbish = ["@eaDir/a.png/THUMB_S.png", "@eaDir/b.png/THUMB_S.png", "#recycle/a.png", "__MACOSX/a.png",
               ".ipynb_checkpoints/a-checkpoint.png", "$RECYCLE.BIN/x.png", "sub/@eaDir/c.png"]  # fmt: skip
    folder = write(tmp_path / "set", images("a.png", "b.png", *rubbish))
    (folder / "self").symlink_to("self")
    (folder / "up").symlink_to(folder)
    listing = listed(folder)
    assert [item.name for item in listing.items] == ["a.png", "b.png"]
    expected = {"@eaDir folder": 2, "#recycle folder": 1, "__MACOSX folder": 1, "hidden folder": 1,
                "$RECYCLE.BIN folder": 1, "broken link": 1, "repeated or circular link": 1}  # fmt: skip
    assert listing.ignored == expected
    archive = zipped(tmp_path / "set.zip", images("a.png", "b.png", *rubbish))
    del expected["broken link"], expected["repeated or circular link"]
    assert listed(archive).ignored == expected


def test_empty_folders_are_counted(tmp_path):
    folder = write(tmp_path / "set", images("cat/a.png", "dog/b.png"))
    for name in ("horse", "cat/none", "labels.csv"):
        (folder / name).mkdir()
    assert listed(folder).ignored == {"empty folder": 2, "empty labels.csv folder": 1}


def test_a_closed_folder_is_left_out(tmp_path, monkeypatch):
    folder = write(tmp_path / "set", images("a.png", "lost/b.png"))
    scandir = os.scandir

    def refuse(path):
        if str(path).endswith("lost"):
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    assert (len(listed(folder).items), listed(folder).ignored) == (1, {"unreadable folder": 1})


def test_it_stops_where_more_is_left_out_than_read(refused, tmp_path):
    folder = write(tmp_path / "set", {**images("a.png", "b.png"), **{f"{n}.cr2": b"x" for n in range(5)}})
    with refused("data.mostly_left_out"):
        open_data(folder)
    assert len(open_data(folder, DataOptions(allow_left_out=True))) == 2
    texts = write(tmp_path / "texts", {**images("a.png", "b.png"), "a.npy": b"x", "b.npy": b"x", "a.mat": b"x"})
    write(texts, {f"{n}.json": "{}" for n in range(9)})
    assert listed(texts).ignored == {".json file": 9, ".npy file": 2, ".mat file": 1}


@pytest.mark.slow
def test_only_files_of_other_kinds(refused, tmp_path, monkeypatch):
    monkeypatch.setattr(images_module, "image_formats", lambda: {"": images_module.ENDINGS})  # without the extras
    for name in ("a.heic", "a.mp4", "inner.zip"):
        folder = write(tmp_path / name.replace(".", "-"), {name: b"x"})
        with refused("data.empty"):
            listed(folder)


# archives


def named_in(code_page: str, path: Path, names: list[str]) -> Path:
    class Named(zipfile.ZipInfo):
        def _encodeFilenameFlags(self):  # noqa: N802  (of zipfile)
            return self.filename.encode(code_page), 0

    with zipfile.ZipFile(path, "w") as archive:
        for number, name in enumerate(names):
            archive.writestr(Named(name), png(number))
    return path


@pytest.mark.parametrize(("changed", "classes"), [(False, ("猫", "🐕")), (True, ("_c", "_d"))])
def test_names_in_utf_8_beside_those_in_a_code_page(tmp_path, changed, classes):
    """As Info-ZIP and WinRAR write them; a sum tells whether the other name was changed since."""
    with zipfile.ZipFile(tmp_path / "set.zip", "w") as archive:
        for number in range(6):
            plain, told = (f"{name}/{number}.png" for name in (("_d", "🐕"), ("_c", "猫"))[number % 2])
            entry = zipfile.ZipInfo(plain)
            field = struct.pack("<BL", 1, crc32(plain.encode()) ^ changed) + told.encode()
            entry.extra = struct.pack("<HHL", 0x9999, 4, 0) + struct.pack("<HH", 0x7075, len(field)) + field
            archive.writestr(entry, png(number))
    assert listed(tmp_path / "set.zip").classes == classes


@pytest.mark.parametrize(
    ("code_page", "classes"),
    [
        ("gbk", ("狗", "猫")),
        ("cp932", ("いぬ", "ねこ")),
        ("big5", ("照片", "狗貓")),
        ("cp949", ("강아지", "고양이")),
        ("cp866", ("Кошки", "Собаки")),
        ("utf-8", ("hunde", "kätzchen")),
        ("cp437", ("hunde", "kätzchen")),
    ],
)
def test_code_pages_of_names_in_a_zip_are_guessed(tmp_path, code_page, classes):
    path = named_in(
        code_page, tmp_path / "set.zip", [f"{name}/{number}.png" for name in classes for number in range(3)]
    )
    listing = listed(path)
    assert sorted(listing.classes) == sorted(classes)
    assert any("a guess" in note for note in listing.notes) == (code_page != "utf-8")
    assert sorted(listed(path, zip_encoding=code_page).classes) == sorted(classes)


def test_an_encoding_that_is_none(tmp_path):
    with pytest.raises(ValueError, match="zip_encoding is a code page"):
        DataOptions(zip_encoding="klingon")


def patched(path: Path, at: dict[bytes, int], value: bytes) -> Path:
    """Change bytes of every local header and directory entry of a zip."""
    data = bytearray(path.read_bytes())
    for sign, offset in at.items():
        place = data.find(sign)
        while place >= 0:
            data[place + offset : place + offset + len(value)] = value
            place = data.find(sign, place + 4)
    path.write_bytes(data)
    return path


def test_archives_that_cannot_be_unpacked_are_refused_once(refused, tmp_path):
    path = zipped(tmp_path / "d64.zip", numbered("{}.png", 4))
    with refused("data.zip_method"):
        listed(patched(path, {b"PK\3\4": 8, b"PK\1\2": 10}, b"\x5f\0"))
    path = zipped(tmp_path / "locked.zip", numbered("{}.png", 4))
    with refused("data.encrypted_archive"):
        listed(patched(path, {b"PK\3\4": 6, b"PK\1\2": 8}, b"\1\0"))


def test_entries_that_share_bytes(refused, tmp_path):
    path = zipped(tmp_path / "a.zip", numbered("{}.png", 4))
    data = bytearray(path.read_bytes())
    place = data.rfind(b"PK\1\2")
    data[place + 42 : place + 46] = (10).to_bytes(4, "little")
    path.write_bytes(data)
    with refused("data.damaged_archive"):
        listed(path)


@pytest.mark.slow
@pytest.mark.parametrize("method", [zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_an_entry_that_is_larger_than_it_says_takes_no_memory(tmp_path, method):
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w", method) as archive:
        archive.writestr("ok.png", png(1))
        archive.writestr("bomb.png", b"\0" * 300_000_000)
    size = (300_000_000).to_bytes(4, "little")
    path.write_bytes(path.read_bytes().replace(size, (1000).to_bytes(4, "little")))
    source = find_source(path)
    reads = dict(source.stream(source.scan().items))
    with pytest.raises(ValueError, match=r"its size differs|cannot be read from the archive"):
        reads[0]()
    assert reads[1]() == png(1)


def test_a_decompressor_that_wants_much_memory(refused, tmp_path, monkeypatch):
    path = tmp_path / "a.tar.xz"
    with tarfile.open(path, "w:xz") as archive:
        member = tarfile.TarInfo("a.png")
        member.size = len(png(1))
        archive.addfile(member, io.BytesIO(png(1)))
    assert len(listed(path).items) == 1
    monkeypatch.setattr(folders_archives, "MAX_DECODER_BYTES", 1 << 20)
    with refused("data.damaged_archive"):
        listed(path)


def encoded(form: str) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (16, 16), (200, 30, 30)).save(buffer, form)
    return buffer.getvalue()


@pytest.mark.parametrize("kind", ["folder", "zip", "tar"])
def test_files_without_an_ending_are_told_by_their_content(tmp_path, kind):
    forms = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "JPEG2000")
    files = {f"{number:08x}": encoded(form) for number, form in enumerate(forms)}
    files |= {"LICENSE": b"use it as you like" * 30, "0.1234": png(1)}
    path = {"folder": write, "zip": zipped, "tar": tarred}[kind](tmp_path / f"set.{kind}", files)
    listing = listed(path)
    assert (len(listing.items), listing.ignored) == (8, {"extensionless file": 1})
    assert {item.name for item in listing.items} == files.keys() - {"LICENSE"}
    assert len(open_data(path)) == 8


def test_training_and_verbs_take_the_same_files(tmp_path):
    buffer = io.BytesIO()
    np.save(buffer, np.zeros((16, 16), np.float32))
    arrays = {
        "a/1.npy": buffer.getvalue(),
        "a/2.npy": buffer.getvalue(),
        "notes.txt": b"x",
        ".ipynb_checkpoints/1.npy": b"",
    }
    pictures = {"x/1.png": png(1), "x/0002": png(2), "x/3.jp2": encoded("JPEG2000"), "x/icon.ico": encoded("ICO")}
    for files, count in ((arrays, 2), (pictures, 4), ({**arrays, **pictures}, 4)):
        folder = write(tmp_path / str(len(files)) / str(count), files)
        taken = {str(file.relative_to(folder)) for file in image_files(folder)}
        listing = listed(folder, allow_left_out=True)
        assert len(taken) == count
        assert {name.partition("/")[2] for name in taken} == {item.name.rpartition("/")[2] for item in listing.items}


@pytest.mark.parametrize(
    ("name", "help"),
    [
        ("x.rar", "unpack"),
        ("x.mp4", "ffmpeg"),
        ("x.h5", "numpy.save"),
        ("x.svg", "rsvg-convert"),
        ("x.doc", "pass the folder"),
    ],
)
def test_a_file_of_another_kind_is_refused_with_what_helps(tmp_path, name, help):
    (tmp_path / name).write_bytes(b"data of another kind" * 30)
    with pytest.raises(DataError) as refusal:
        find_source(tmp_path / name)
    assert refusal.value.code == "data.unknown_format"
    assert help in str(refusal.value)


# names


def test_names_that_are_not_utf8_are_written_escaped(tmp_path):
    for number, name in enumerate((b"ma\xf1ana/1.png", b"noche/2.png", b"noche/\x1b[31m.png")):
        path = tmp_path / "set" / os.fsdecode(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(png(number))
    data: ImageData = open_data(tmp_path / "set")
    assert data.spec.classes == ("ma\\xf1ana", "noche")
    json.dumps(data.spec.to_json()).encode("ascii")
    assert "\x1b" not in "".join(item.name for item in listed(tmp_path / "set").items)


def test_a_folder_whose_own_name_is_not_utf8_is_found_again(tmp_path):
    folder = tmp_path / os.fsdecode(b"f\xf1")
    write(folder, images("a.png", "b.png"))
    location = find_source(folder).location
    location.encode()
    assert open_data(location).spec.fingerprint == open_data(folder).spec.fingerprint


@pytest.mark.parametrize("name", ["folder", "splits", "tables", "rubbish"])
def test_the_report_explains_the_layout(prose, tmp_path, name):
    files = {
        "folder": {**images("00000/1.png", "00001/2.png"), "readme.md": b""},
        "splits": images("train/cat/a.png", "train/dog/b.png", "val/cat/c.png"),
        "tables": {**images("a.png", "b.png"), "train.csv": b"id,y\na,1\n", "test.csv": b""},
        "rubbish": images("a.png", "@eaDir/a.png", ".git/x.png"),
    }[name]
    lines = check_data(write(tmp_path / "set", files)).lines()
    end = next(at for at, line in enumerate(lines) if line.startswith("sizes"))
    assert len(lines) <= 10
    prose(f"layout {name}", "\n".join(lines[:end]))


# Public sets and what people keep beside them


@pytest.mark.parametrize(
    ("files", "kept", "said"),
    [
        (images("train/cat.0.png", "train/dog.1.png", "test1/1.png"), 2, "not on test1/ with 1 image"),
        (images("train/a/1.png", "train/b/2.png", "test/a/3.png", "x/train/a/4.png"), 2, "x/ with 1 image"),
        (images("train/1.png", "train/2.png", "val/3.png", "logo.png"), 2, "1 image beside them"),
        (images("train_images/1.png", "test_images/2.png", "unlabeled/3.png"), 1, "unlabeled/ with 1 image"),
    ],
)
def test_training_images_are_told_among_other_folders(tmp_path, files, kept, said):
    listing = listed(write(tmp_path / "set", files))
    assert len(listing.items) == kept
    assert said in listing.notes[0]


@pytest.mark.parametrize(
    ("train", "others"),
    [
        ("bounding_box_train", ["bounding_box_test", "query"]),
        ("celeba-train", ["celeba-val", "celeba-test"]),
        ("Train Faces", ["test Faces"]),
    ],
)
def test_parts_may_have_the_name_of_their_set_before_or_behind(tmp_path, train, others):
    folder = write(tmp_path / "set", images(f"{train}/1.png", f"{train}/2.png", *(f"{name}/3.png" for name in others)))
    listing = listed(folder)
    assert (len(listing.items), listing.classes) == (2, ())
    assert f"trained on {train}/, not on {sorted(others)[0]}/" in listing.notes[0]


@pytest.mark.parametrize(
    "names",
    [
        ["1b4e28ba-2fa1-11d2-883f-0016d3cca427", "6fa459ea-ee8a-3ca4-894e-db77e160355e"],
        ["da39a3ee5e6b4b0d3255bfef95601890afd80709", "a9993e364706816aba3e25717850c26c9cd0d89d"],
    ],
)
def test_numbers_that_programs_gave_are_no_classes(tmp_path, names):
    listing = listed(write(tmp_path / "set", images(*(f"{name}/1.png" for name in names))))
    assert listing.classes == ()
    assert "numbers that programs gave" in listing.notes[0]


def test_a_list_of_one_label_is_a_label(tmp_path):
    lines = "".join(json.dumps({"file_name": f"{name}.png", "label": [label]}) + "\n" for name, label in ("ax", "by"))
    listing = listed(write(tmp_path / "set", {**images("a.png", "b.png"), "metadata.jsonl": lines.encode()}))
    assert listing.classes == ("x", "y")


def test_thumbnails_of_the_other_images_are_not_used(tmp_path):
    names = ("images1024x1024/00000/1", "images1024x1024/01000/2", "thumbnails128x128/00000/1")
    listing = listed(write(tmp_path / "set", images(*(f"{name}.png" for name in names))))
    assert ([item.name for item in listing.items], listing.classes) == (["00000/1.png", "01000/2.png"], ())
    assert "not used: thumbnails128x128/, thumbnails of the other images" in listing.notes
    own = listed(write(tmp_path / "own", images("photos/1.png", "thumbs/2.png")))
    assert own.classes == ("photos", "thumbs"), "these are other images"


def test_folders_of_a_phone_are_no_classes(tmp_path):
    assert listed(write(tmp_path / "set", images("DCIM/Camera/1.png", "Pictures/WhatsApp/2.png"))).classes == ()


def test_three_views_of_each_scene_are_no_classes(tmp_path):
    folder = write(
        tmp_path / "set", images(*(f"{view}/{n}.png" for view in ("rgb", "depth", "semantic") for n in "123"))
    )
    with pytest.raises(DataError, match=r"'.*/rgb' '.*/depth' --pairs"):
        listed(folder)


def test_a_word_train_in_names_of_kinds_is_no_part(tmp_path):
    names = ("steam_train", "toy_train", "test_tube")
    assert listed(write(tmp_path / "set", images(*(f"{name}/1.png" for name in names)))).classes == tuple(sorted(names))


def test_the_table_of_the_training_part_is_recommended(tmp_path):
    files = {f"{part}/_classes.csv": b"filename,cat,dog\nx.png,1,0\n" for part in ("test", "train", "valid")}
    listing = listed(write(tmp_path / "set", {**images("train/1.png", "test/2.png", "valid/3.png"), **files}))
    assert any("to take one: --labels 'train/_classes.csv'" in note for note in listing.notes)


def test_a_table_of_pixels_says_what_helps(tmp_path):
    folder = write(tmp_path / "set", {"train.csv": b"label,pixel0,pixel1\n1,0,0\n"})
    with pytest.raises(DataError, match=r"numpy.save \(N, H, W\)"):
        listed(folder)


def test_stylegan_labels_find_images_of_another_ending(tmp_path):
    files = images("00000/a.png", "00000/b.png")
    names = {"labels": [["00000/a.jpg", 1], ["00000/b.jpg", 0]]}
    listing = listed(write(tmp_path / "set", {**files, "dataset.json": json.dumps(names).encode()}))
    assert [listing.classes[item.label] for item in listing.items] == ["1", "0"]


def test_a_class_train_without_other_parts_is_a_class(tmp_path):
    assert listed(write(tmp_path / "set", images("car/1.png", "plane/2.png", "train/3.png"))).classes == (
        "car",
        "plane",
        "train",
    )


def test_parts_may_begin_with_the_name_of_their_set(tmp_path):
    for number, (first, second) in enumerate([("HAM_images_part_1", "HAM_images_part_2"), ("my set 1", "my set 2")]):
        listing = listed(write(tmp_path / f"set{number}", images(f"{first}/1.png", f"{second}/2.png")))
        assert listing.classes == ()
        assert "sessions or parts" in listing.notes[0]
    assert listed(write(tmp_path / "kinds", images("cell_1/1.png", "cell_2/2.png"))).classes == ("cell_1", "cell_2")


def test_sides_may_be_three_and_not_every_photo_needs_a_partner(tmp_path, refused):
    photos = numbered("JPEGImages/{:03d}.png", 6)
    masks = numbered("SegmentationClass/{:03d}.png", 2)
    folder = write(tmp_path / "set", {**photos, **masks, **numbered("SegmentationObject/{:03d}.png", 2)})
    with refused("data.two_sides"):
        listed(folder)


def test_sides_in_an_archive_are_to_be_unpacked(tmp_path):
    path = zipped(tmp_path / "set.zip", images("a2b/trainA/1.png", "a2b/trainB/2.png"))
    with pytest.raises(DataError, match=r"unpack it into FOLDER; .*--from 'FOLDER/a2b/trainA'"):
        listed(path)


def test_sides_of_pairs_are_told_by_a_word_and_below_train(tmp_path):
    files = {**numbered("train/X_LR_bicubic/{}x2.png", 3), **numbered("train/X_HR/{}.png", 3)}
    folder = write(tmp_path / "set", files)
    assert sides_of(folder) == (folder / "train/X_LR_bicubic", folder / "train/X_HR")
    assert sides_of(write(tmp_path / "kinds", images("cat/1.png", "dog/1.png"))) is None
    assert sides_of(tmp_path / "none") is None


def test_images_that_are_packed_one_by_one_say_what_helps(tmp_path, refused):
    with refused("data.empty"):
        listed(write(tmp_path / "set", {f"{number}.png.gz": b"x" for number in range(3)}))


def test_a_few_images_beside_folders_of_classes_are_left_out_and_said(tmp_path, prose):
    """A game's sprites, with two pictures for tests beside the folders of the kinds."""
    files = {**numbered("elves/{}.png", 150), **numbered("orcs/{}.png", 150), **images("logo.png", "test.png")}
    listing = listed(write(tmp_path / "set", files))
    assert listing.classes == ("elves", "orcs")
    assert len(listing.items) == 300
    assert [item.label for item in listing.items] == [0] * 150 + [1] * 150
    prose("a few images beside folders", "\n".join(listing.notes))
    assert len(listed(tmp_path / "set", labels="none").items) == 302
    many = write(tmp_path / "many", {**numbered("a/{}.png", 20), **numbered("b/{}.png", 20), **images("c.png")})
    assert listed(many).classes == ()
    assert listed(many, labels="folders").classes == ("a", "b")


def test_a_folder_of_sheets_beside_the_images_is_no_class(tmp_path):
    listing = listed(write(tmp_path / "set", {**numbered("png/{}.png", 60), "sprite/all.png": png(1)}))
    assert listing.classes == ()
    assert "the folder png has 60 of 61 images" in listing.notes[0]
    assert listed(write(tmp_path / "rare", {**numbered("a/{}.png", 60), **numbered("b/{}.png", 5)})).classes == (
        "a",
        "b",
    )


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("list_attr.txt", "2\nBald Male\n0.png 1 -1\n1.png -1 1\n", "tables that are not used: list_attr.txt"),
        ("coco.json", json.dumps({"images": [{"file_name": "0.png"}]}), "tables that are not used: coco.json"),
        ("labels.xlsx", "PK", "tables that are not read: labels.xlsx"),
        ("package.json", json.dumps({"name": "icons", "main": "dist"}), ""),
        ("README.txt", "Some icons\nfor everybody\n", ""),
    ],
)
def test_tables_in_other_forms_are_named(tmp_path, name, content, said):
    notes = "\n".join(listed(write(tmp_path / "set", {**numbered("{}.png", 2), name: content})).notes)
    assert (said in notes) if said else ("tables" not in notes)


def test_it_stops_where_a_table_labels_fewer_images_than_it_leaves_out(tmp_path, refused):
    folder = write(tmp_path / "set", {**numbered("{}.png", 5), "labels.csv": "file,label\n0.png,a\n1.png,b\n"})
    with refused("data.mostly_unlabelled"):
        listed(folder)
    assert listed(folder, allow_left_out=True).classes == ("a", "b")
    assert len(listed(folder, labels="none").items) == 5


@pytest.mark.slow
@pytest.mark.parametrize("name", ["1" * 60, "1." * 60, "1-" * 60])
def test_folders_of_many_digits_take_no_exponential_time(tmp_path, name):
    (tmp_path / "set").mkdir()
    for end in ("abcdef", "bcdefg"):
        write_photos(tmp_path / "set" / f"{name}{end}")
    assert open_data(tmp_path / "set").spec.classes == (f"{name}abcdef", f"{name}bcdefg")


def test_the_cache_of_hugging_face_has_each_image_once(tmp_path):
    """Snapshots are links to blobs."""
    top = write(tmp_path / "datasets--me--pets", {"refs/main": "abc", **numbered("blobs/{:040x}", 4)})
    for number in range(4):
        link = top / "snapshots/abc/train" / ("cat", "dog")[number % 2] / f"{number}.png"
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(top / "blobs" / f"{number:040x}")
    listing = listed(top)
    assert listing.classes == ("cat", "dog")
    assert [item.name for item in listing.items] == ["cat/0.png", "cat/2.png", "dog/1.png", "dog/3.png"]
    assert listing.ignored == {"blobs folder": 1, "refs folder": 1}


def test_arrays_that_are_called_labels_are_named(tmp_path):
    folder = write(tmp_path / "set", {**numbered("{}.png", 8), "labels.npy": b"x", "stats.npy": b"x"})
    assert "tables that are not read: labels.npy; save them as CSV" in listed(folder).notes


def test_stacks_of_several_classes_are_said(tmp_path):
    for name in ("cat", "dog"):
        np.save(tmp_path / f"{name}.npy", np.zeros((50, 784), np.uint8))
    listing = listed(tmp_path)
    assert len(listing.items) == 100
    assert any("to make a class of each, put it into a folder of its own" in note for note in listing.notes)
