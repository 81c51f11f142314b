import io
import json
from pathlib import Path

import pytest
from PIL import Image

from gansmith.data.base import DataOptions
from gansmith.data.check import check_data

pytestmark = pytest.mark.usefixtures("cache_folder")


def encoded(mode: str, colour: object, size: tuple[int, int] = (64, 64), kind: str = "PNG") -> bytes:
    buffer = io.BytesIO()
    Image.new(mode, size, colour).save(buffer, kind)
    return buffer.getvalue()


@pytest.fixture
def folder(tmp_path) -> Path:
    files = {
        "cats/a.png": encoded("RGB", (1, 2, 3)),
        "cats/b.bmp": encoded("RGB", (1, 2, 3), kind="BMP"),  # the same pixels in another file
        "cats/c.png": encoded("RGB", (4, 5, 6)),
        "cats/d.png": encoded("L", 9, (64, 32)),
        "cats/e.png": encoded("RGB", (7, 8, 9)),
        "dogs/f.png": encoded("RGBA", (1, 2, 3, 4)),
        "dogs/cut.png": encoded("RGB", (1, 2, 3), (200, 200))[:-40],
        "dogs/empty.png": b"",
        "notes.txt": b"x",
    }
    for name, data in files.items():
        (tmp_path / "set" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "set" / name).write_bytes(data)
    return tmp_path / "set"


def test_everything_is_reported_and_bad_files_do_not_stop_it(folder):
    report = check_data(folder)
    assert (report.files, report.usable, report.ignored) == (8, 6, {".txt file": 1})
    assert report.sizes == {"64 x 64": 5, "32 x 64": 1}
    assert report.modes == {"RGB": 4, "L": 1, "RGBA": 1}
    assert report.classes == {"cats": 5, "dogs": 1}
    assert [entry["file"] for entry in report.corrupt] == ["dogs/cut.png", "dogs/empty.png"]
    assert report.duplicates == (("cats/a.png", "cats/b.bmp"),)
    assert report.refused
    assert report.inferred == {}


def test_the_report_in_words(prose, folder):
    pytest.importorskip("imagehash")
    prose("report of data check", "\n".join(check_data(folder).lines()), [r"(?<=damaged \().*?(?=\))"])


def test_the_format_that_training_would_use(prose, folder):
    for name in ("dogs/cut.png", "dogs/empty.png"):
        (folder / name).unlink()
    seen = []
    report = check_data(folder, on_progress=lambda progress: seen.append((progress.done, progress.total)))
    assert seen[-1] == (6, 6)
    assert report.inferred == {"height": 64, "width": 64, "channels": 3}
    assert report.refused == ""
    prose("last line of data check", report.lines()[-1])
    assert check_data(folder, DataOptions(size=32, channels=1)).inferred == {"height": 32, "width": 32, "channels": 1}
    prose("refusal in data check", check_data(folder, DataOptions(size=7)).refused)


def test_the_report_as_json(folder):
    report = check_data(folder)
    written = json.loads(json.dumps(report.to_json()))
    assert written["files"] == 8
    assert written["duplicates"] == [["cats/a.png", "cats/b.bmp"]]
    assert written["corrupt"] == list(report.corrupt)


def test_long_lists_end_with_the_number_of_others(tmp_path):
    for number in range(24):
        (tmp_path / f"{number:02d}.png").write_bytes(encoded("L", number // 2, (16, 16)))
    lines = check_data(tmp_path).lines()
    last = "exact duplicates: 12 images in 12 groups, the largest: 00.png = 01.png; --json has all"
    assert any(line.endswith(last) for line in lines)
    for number in range(24):
        (tmp_path / f"{number:02d}.png").write_bytes(encoded("L", 0 if number < 12 else number, (16, 16)))
    last = "exact duplicates: 11 images in 1 group: 00.png = 01.png = 02.png and 9 more; --json has all"
    assert any(line.endswith(last) for line in check_data(tmp_path).lines())


def test_damage_copies_and_rubbish_take_ten_lines(tmp_path, prose):
    for number in range(60):
        (tmp_path / f"{number:02d}.png").write_bytes(encoded("RGB", (number, 2, 3), (16, 16)))
    for number in range(3):
        (tmp_path / f"copy{number}.png").write_bytes(encoded("RGB", (50, 2, 3), (16, 16)))
        (tmp_path / f"cut{number}.png").write_bytes(encoded("RGB", (number, 2, 3), (16, 16))[:-30])
    (tmp_path / "empty.png").write_bytes(b"")
    (tmp_path / "download.png").write_bytes(b"<html>404</html>")
    (tmp_path / "notes.txt").write_text("no image")
    rows = [f"{number:02d}.png,{'ab'[number > 20]}" for number in range(58)]
    rows += [f"{name}.png,a" for name in ("cut0", "cut1", "empty", "download", "copy0", "copy1", "gone")]
    (tmp_path / "labels.csv").write_text("\n".join(["file,label", *rows]))
    lines = check_data(tmp_path, DataOptions(channels=3)).lines()
    assert len(lines) <= 10
    prose("damage, copies and rubbish", "\n".join(lines), hiding=(r"(?<=truncated or damaged )\(.*?\)+",))


def test_nothing_is_written_to_the_cache(folder, tmp_path):
    check_data(folder)
    assert not (tmp_path / "cache").exists()


def test_a_folder_without_images(refused, tmp_path):
    with refused("data.empty"):
        check_data(tmp_path)


def test_one_image_is_refused_as_in_training(tmp_path):
    (tmp_path / "a.png").write_bytes(encoded("RGB", (1, 2, 3)))
    report = check_data(tmp_path)
    assert report.refused == "only one image can be used, and at least 2 are needed"
    assert report.lines()[0] == f"{tmp_path}: 1 usable image of 1"
