import json
import os
import signal
import subprocess
import sys
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from gansmith.data import cache, image_info, survey
from gansmith.data import cache_folder as store
from gansmith.data.base import DataOptions, DataSpec
from gansmith.data.open import open_data
from gansmith.data.sources import folders_archives as sources
from small_images import PIXELS, assert_right, entries, png

pytestmark = pytest.mark.usefixtures("cache_folder")


def forbid_decoding(monkeypatch) -> None:
    for module, name in (
        (sources, "read_file"),
        (image_info, "decode_image"),
        (image_info, "open_any"),
        (cache, "survey"),
    ):
        monkeypatch.setattr(module, name, lambda *args, **options: pytest.fail("an image was read"))


@pytest.mark.slow
def test_the_pixels_of_the_files_are_read_by_index(photos):
    data = open_data(photos)
    assert_right(data)
    assert data.read([3, 1, 3]).tolist() == PIXELS[[3, 1, 3]].tolist()
    out = data.read(np.array([0]))
    assert type(out) is np.ndarray
    out[:] = 0  # a copy
    assert_right(data)
    assert isinstance(data.pixels, np.memmap)
    with pytest.raises(IndexError):
        data.read([40])
    with pytest.raises(ValueError, match="read-only"):
        data.pixels[0] = 0


def test_the_second_start_reads_no_image(photos, monkeypatch):
    first = open_data(photos)
    forbid_decoding(monkeypatch)
    second = open_data(photos)
    assert second.spec == first.spec
    assert second.summary == first.summary
    assert_right(second)


def test_a_start_with_the_inferred_format_reads_no_image(photos, monkeypatch):
    """A run resumes with the size and the channels that were inferred when it began."""
    first = open_data(photos)
    forbid_decoding(monkeypatch)
    second = open_data(photos, DataOptions(size=16, channels=3))
    assert second.spec == first.spec
    assert len(first.summary.notes) == 2  # size and channels
    assert second.summary.notes == ()
    with pytest.raises(pytest.fail.Exception, match="an image was read"):
        open_data(photos, DataOptions(size=8))


@pytest.mark.slow
def test_a_changed_file_is_noticed(prose, photos):
    first = open_data(photos)
    (photos / "05.png").write_bytes(png(255 - PIXELS[5]))
    second = open_data(photos)
    assert second.spec.fingerprint != first.spec.fingerprint
    assert (second.read([5]) == 255 - PIXELS[5]).all()
    assert_right(first)  # what is open stays as it was
    (photos / "05.png").unlink()
    assert open_data(photos).spec.count == 39
    (photos / "40.png").write_bytes(png(PIXELS[0]))
    data = open_data(photos)
    assert data.spec.count == 40
    prose("notes with a copy", "\n".join(data.summary.notes))


@pytest.mark.slow
def test_the_same_content_with_other_times_is_the_same_data(photos, cache_folder, monkeypatch):
    first = open_data(photos)
    for file in photos.iterdir():
        os.utime(file, ns=(1, 1))
    monkeypatch.setattr(cache, "_fill", lambda *args: pytest.fail("decoded again"))
    assert open_data(photos).spec == first.spec
    assert len(entries(cache_folder)) == 1


@pytest.mark.slow
def test_a_copy_elsewhere_shares_the_entry(photos, tmp_path, cache_folder):
    first = open_data(photos)
    moved = photos.rename(tmp_path / "moved")
    second = open_data(moved)
    assert replace(second.spec, name="photos") == first.spec
    assert second.summary.source == str(moved)
    assert len(entries(cache_folder)) == 1


@pytest.mark.slow
def test_the_fingerprint_tells_contents_and_options_apart(photos, tmp_path):
    fingerprints = {open_data(photos, options).spec.fingerprint for options in every_option()}
    assert len(fingerprints) == 6
    assert open_data(photos, DataOptions(mirror=True)).spec == open_data(photos).spec
    assert open_data(photos, DataOptions(size=16, channels=3)).spec == open_data(photos).spec
    (photos / "39.png").rename(photos / "zz.png")  # the same contents in the same order
    assert open_data(photos).spec.fingerprint not in fingerprints


def every_option() -> list[DataOptions]:
    return [
        DataOptions(),
        DataOptions(size=8),
        DataOptions(size="8x16"),
        DataOptions(channels=1),
        DataOptions(fit="pad"),
        DataOptions(fit="stretch"),
    ]


@pytest.mark.slow
def test_labels_are_part_of_the_fingerprint(tmp_path):
    found = set()
    for split in (1, 2):
        folder = tmp_path / f"set{split}"
        for index in range(3):
            (folder / ("a" if index < split else "b")).mkdir(parents=True, exist_ok=True)
            (folder / ("a" if index < split else "b") / f"{index}.png").write_bytes(png(PIXELS[index]))
        found.add(open_data(folder).spec.fingerprint)
    np.savez(tmp_path / "a.npz", x=PIXELS[:4], y=[0, 0, 1, 1])
    np.savez(tmp_path / "b.npz", x=PIXELS[:4], y=[0, 1, 0, 1])
    found |= {open_data(tmp_path / name).spec.fingerprint for name in ("a.npz", "b.npz")}
    assert len(found) == 4


def test_spec_and_summary_become_json_and_back(prose, photos):
    data = open_data(photos, holdout=0.25, seed=3)
    assert DataSpec.from_json(json.loads(json.dumps(data.spec.to_json()))) == data.spec
    written = json.loads(json.dumps(data.summary.to_json()))
    assert written["lines"] == data.summary.lines()
    prose("summary of a data set", "\n".join(written["lines"]))


BAD = {"empty.png": b"", "text.jpg": b"hello", "cut.png": png(np.zeros((90, 90, 3), np.uint8))[:-30]}
PILLOW = (r"(?<=damaged \().*?(?=\))",)  # reasons in Pillow's words


@pytest.mark.slow
@pytest.mark.parametrize("sampled", [2, 256])  # damage is found while decoding, or before
def test_bad_files_are_left_out_with_their_reasons(prose, tmp_path, cache_folder, sampled, monkeypatch):
    monkeypatch.setattr(survey, "SAMPLED", sampled)
    folder = tmp_path / "photos"
    folder.mkdir()
    for index in range(80):
        (folder / f"{index:02d}.png").write_bytes(png(PIXELS[index % 40] + index // 40))
    for name, data in BAD.items():
        (folder / name).write_bytes(data)
    (folder / "40.png").rename(folder / "zz.png")  # good rows lie behind the bad ones
    for _ in range(2):
        data = open_data(folder)
        assert data.spec.count == 80
        assert (data.read([79]) == PIXELS[0] + 1).all()
        assert (data.read([40]) == PIXELS[1] + 1).all()
        assert {entry["file"]: entry["reason"] for entry in data.summary.quarantine}.keys() == BAD.keys()
    prose("summary with bad files", "\n".join(data.summary.lines()), PILLOW)
    (entry,) = entries(cache_folder)
    lines = (entry / "quarantine.jsonl").read_text().splitlines()
    assert [json.loads(line) for line in lines] == list(data.summary.quarantine)
    assert (entry / "pixels.u8").stat().st_size == 80 * 16 * 16 * 3


@pytest.mark.parametrize("bad", [b"", png(np.zeros((90, 90, 3), np.uint8))[:-30]], ids=["empty", "cut off"])
def test_more_than_5_percent_bad_images_stop_the_build(refused, photos, cache_folder, bad, monkeypatch):
    monkeypatch.setattr(survey, "SAMPLED", 2)
    for index in range(12):
        (photos / f"bad{index:02d}.png").write_bytes(bad)
    with refused("data.too_many_bad", ["(?<=the full list is in ).*"]) as caught:
        open_data(photos)
    report = Path(str(caught.value).rpartition(" ")[2])
    assert len(report.read_text().splitlines()) == 12
    assert not entries(cache_folder) if (cache_folder / "data" / "entries").exists() else True


def test_exactly_5_percent_bad_images_are_accepted(photos):
    for name in ("38.png", "39.png"):
        (photos / name).write_bytes(b"")
    assert open_data(photos).spec.count == 38


@pytest.mark.slow
def test_a_file_that_could_not_be_read_is_tried_again(photos, monkeypatch):
    read = sources.read_file

    def failing(path):
        if path.endswith("07.png"):
            raise sources.ImageError("image.unreadable", "cannot be read (Permission denied)")
        return read(path)

    with monkeypatch.context() as patch:
        patch.setattr(sources, "read_file", failing)
        assert open_data(photos).spec.count == 39
    assert_right(open_data(photos))


def test_a_file_that_changes_while_it_is_read_stops_the_build(refused, photos, monkeypatch):
    read, seen = sources.read_file, set()

    def changing(path):
        again = path in seen
        seen.add(path)
        return read(path) if not again else png(PIXELS[0] // 2)

    monkeypatch.setattr(sources, "read_file", changing)
    with refused("data.changed_while_read"):
        open_data(photos)


def test_the_cache_folder_follows_the_environment(monkeypatch, tmp_path):
    monkeypatch.delenv("GANSMITH_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert store.cache_folder() == tmp_path / "xdg" / "gansmith"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert store.cache_folder() == tmp_path / ".cache" / "gansmith"


@pytest.mark.slow
def test_clean_frees_the_images_and_nothing_else(photos, cache_folder):
    open_data(photos)
    (cache_folder / "other").write_text("not ours")
    assert store.clean_cache() >= PIXELS.nbytes
    assert list(cache_folder.iterdir()) == [cache_folder / "other"]
    assert_right(open_data(photos))


@pytest.mark.slow
def test_progress_counts_each_image_once(photos, cache_folder):
    seen = []
    open_data(photos, on_progress=lambda progress: seen.append((progress.done, progress.total)))
    assert seen == [(step, 40) for step in range(1, 41)]
    for index in (cache_folder / "data" / "index").iterdir():
        index.unlink()
    seen.clear()
    open_data(photos, on_progress=lambda progress: seen.append((progress.done, progress.total)))
    assert seen[-1] == (40, 40)  # counted, and not decoded again


@pytest.mark.slow
def test_pillows_warnings_are_silenced(photos):
    (photos / "00.png").write_bytes(png(np.zeros((9600, 9600), np.uint8)))  # 92 Mpx: Pillow warns, we refuse
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        data = open_data(photos)
    assert not caught
    assert data.spec.count == 39
    assert [entry["file"] for entry in data.summary.quarantine] == ["00.png"]


@pytest.mark.slow
def test_half_built_folders_go_when_no_process_holds_them(tmp_path, monkeypatch):
    monkeypatch.setenv("GANSMITH_CACHE", str(tmp_path))
    heard, said = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            with store.building_folder() as folder:
                os.write(said, str(folder).encode())
                signal.pause()
        finally:
            os._exit(0)
    held = Path(os.read(heard, 4096).decode())
    with monkeypatch.context() as patch:
        patch.setattr(store.time, "time", lambda: 4e9)  # the clock jumps
        store.remove_abandoned()
    with store.building_folder() as mine:
        assert held.exists(), "its process lives"
        assert mine.exists()
    assert not mine.exists()
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    store.remove_abandoned()
    assert [*held.parent.iterdir()] == []


@pytest.mark.slow
@pytest.mark.parametrize("change", [
    lambda values: values.pop("notes"), lambda values: values.update(name=5),
    lambda values: values.update(name="other"), lambda values: values.update(ignored=[1]),
    lambda values: values.update(stream=0), lambda values: values.clear(),
])  # fmt: skip
def test_an_index_that_is_damaged_is_made_again(change, photos, cache_folder):
    name = open_data(photos).spec.name
    paths = [*cache_folder.glob("data/index/*.json")]
    for path in paths:
        values = json.loads(path.read_text())
        change(values)
        path.write_text(json.dumps(values))
    assert open_data(photos).spec.name == name
    assert all("sum" in json.loads(path.read_text()) for path in paths)


@pytest.mark.slow
@pytest.mark.parametrize("change", [{"count": None}, {"height": 0}, {"width": 10**9}, {"classes": 5}, {"bytes": {}}])
def test_a_description_that_cannot_be_is_no_entry(change, photos, cache_folder):
    count = len(open_data(photos))
    (path,) = cache_folder.glob("data/entries/*/meta.json")
    values = json.loads(path.read_text()) | change
    path.write_text(json.dumps({**values, "sum": store._sum_of(values)}))
    assert store.find_entry(path.parent.name) is None
    assert len(open_data(photos)) == count


def test_runs_that_start_together_read_the_images_once(photos):
    code = (
        "import sys, time\nfrom gansmith.data import cache\nfrom gansmith.data.open import open_data\n"
        "real = cache._build\n"
        "def build(*args):\n    print('built', flush=True); time.sleep(2); return real(*args)\n"
        "cache._build = build; print(len(open_data(sys.argv[1])))"
    )
    command = [sys.executable, "-c", code, str(photos)]
    runs = [subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for _ in range(2)]
    told = [run.communicate(timeout=100) for run in runs]
    assert sorted(out.split() for out, _ in told) == [[str(len(PIXELS))], ["built", str(len(PIXELS))]]
    assert "another run reads the same images" in "".join(err for _, err in told)
