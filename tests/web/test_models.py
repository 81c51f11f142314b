"""The list of models: what is found, which files are used, and what is exported for it."""

import asyncio
import json
import os
import shutil
import time

import pytest

from gansmith.core.errors import GansmithError, ModelError
from gansmith.web import models, places
from gansmith.web.models import Models, cached_files, child_lines, run_child
from gansmith.web.places import Places


def listed(*folders) -> dict[str, models.Entry]:
    return {entry.id: entry for entry in Models(Places(folders)).list()}


@pytest.fixture(autouse=True)
def _fresh(monkeypatch, cache_folder):
    """Search anew at every call, and keep to an empty cache."""
    monkeypatch.setattr(places, "FRESH_SEC", 0.0)


def test_models_of_all_forms_are_found(served, tmp_path):
    shutil.copytree(served / "plain", tmp_path / "deep" / "in" / "plain")
    run = tmp_path / "my run (1)"
    shutil.copytree(served / "plain", run / "model")
    (run / "run.json").write_text(json.dumps({"created": "2026-01-02T03:04:05+00:00"}))
    shutil.copy(served / "cond.onnx", tmp_path / "cond.onnx")
    (tmp_path / "notes.txt").write_text("no model")
    found = listed(tmp_path)
    assert set(found) == {"plain", "my-run-1", "cond"}
    run_row = found["my-run-1"].to_json()
    assert (run_row["name"], run_row["run"], run_row["ready"]) == ("my run (1)", "my-run-1", True)
    assert run_row["created"] == "2026-01-02T03:04:05+00:00"
    assert found["cond"].to_json()["classes"] == ["dark", "gray", "light"]
    assert found["plain"].version == found["my-run-1"].version, "the same weights"


def test_ids_are_unique_and_stay(served, tmp_path):
    for name in ("b", "a"):
        shutil.copytree(served / "plain", tmp_path / name / "x y")
    where = Places([tmp_path])
    first = where.search().models
    assert set(first) == {"x-y", "x-y-2"}
    shutil.copytree(served / "plain", tmp_path / "0" / "x-y")
    shutil.rmtree(first["x-y"])
    second = where.search().models
    assert second == {"x-y-2": first["x-y-2"], "x-y-3": tmp_path / "0" / "x-y"}
    with pytest.raises(ModelError):
        where.model("x-y")


def test_ids_of_single_models_do_not_depend_on_where_they_lie(served, tmp_path):
    shutil.copy(served / "cond.onnx", tmp_path / "generator.onnx")
    assert set(listed(tmp_path / "generator.onnx")) == {"generator"}
    shutil.copytree(served / "plain", tmp_path / "auto-001" / "model")
    assert set(listed(tmp_path / "auto-001" / "model")) == {"auto-001-model"}


def test_what_appears_later_is_found_and_what_goes_is_not_served(served, tmp_path):
    where = Models(Places([tmp_path / "runs"]))
    assert where.list() == []
    shutil.copytree(served / "plain", tmp_path / "runs" / "late")
    assert [entry.id for entry in where.list()] == ["late"]
    shutil.rmtree(tmp_path / "runs")
    assert where.list() == []


def test_links_in_a_circle_and_pipes_do_not_stop_the_search(served, tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "loop").symlink_to(tmp_path)
    os.mkfifo(tmp_path / "a" / "x.onnx")
    (tmp_path / "b").mkdir()
    os.mkfifo(tmp_path / "b" / "model.json")
    shutil.copytree(served / "plain", tmp_path / "c")
    assert "c" in listed(tmp_path)


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root may read every folder")
def test_a_folder_without_rights_is_left_out(served, tmp_path):
    shutil.copytree(served / "plain", tmp_path / "open")
    (tmp_path / "closed").mkdir(mode=0)
    assert set(listed(tmp_path)) == {"open"}


def test_damaged_models_are_listed_with_a_reason(served, tmp_path):
    (tmp_path / "bad.onnx").write_bytes(b"nothing")
    (tmp_path / "text").mkdir()
    (tmp_path / "text" / "model.json").write_text("{")
    (tmp_path / "begun").mkdir()
    (tmp_path / "begun" / "run.json").write_text("{}")
    shutil.copytree(served / "plain", tmp_path / "good")
    found = listed(tmp_path)
    assert {name for name, entry in found.items() if entry.error} == {"bad", "text", "begun"}
    assert all(entry.to_json()["ready"] is (name == "good") for name, entry in found.items())
    with pytest.raises(ModelError) as raised:
        Models(Places([tmp_path])).open(found["bad"])
    assert raised.value.code == "web.unusable_model"


def test_an_onnx_file_of_other_weights_is_not_used(served, tmp_path):
    """A run that is resumed writes new weights beside the file of the old ones."""
    shutil.copytree(served / "plain", tmp_path / "plain")
    assert listed(tmp_path)["plain"].files
    old = listed(tmp_path)["plain"].version
    record = json.loads((tmp_path / "plain" / "model.json").read_text())
    record |= {"kimg": 2.0, "sha256": dict.fromkeys(record["sha256"], "0")}
    (tmp_path / "plain" / "model.json").write_text(json.dumps(record))
    changed = listed(tmp_path)["plain"]
    assert changed.files == {}
    assert changed.version != old


def test_a_file_that_changes_while_it_is_served_is_opened_again(served, tmp_path):
    shutil.copy(served / "cond.onnx", tmp_path / "x.onnx")
    where = Models(Places([tmp_path]))
    first = where.open(where.get("x"))
    assert where.open(where.get("x")) is first
    os.replace(shutil.copy(served / "plain" / "generator.onnx", tmp_path / "new"), tmp_path / "x.onnx")
    second = where.open(where.get("x"))
    assert second.classes == ()
    (tmp_path / "x.onnx").write_bytes(b"cut off")
    assert where.get("x").error


def test_few_sessions_are_kept(served, tmp_path, monkeypatch):
    monkeypatch.setattr(models, "OPEN_AT_ONCE", 2)
    for number in range(4):
        shutil.copy(served / "cond.onnx", tmp_path / f"{number}.onnx")
    where = Models(Places([tmp_path]))
    for number in range(4):
        where.open(where.get(str(number)))
    assert where.opened(where.get("0")) is None
    assert where.opened(where.get("3")) is not None


def test_cached_files_are_used_and_old_ones_removed(served, tmp_path):
    shutil.copytree(served / "plain", tmp_path / "m" / "plain")
    (tmp_path / "m" / "plain" / "generator.onnx").unlink()
    entry = listed(tmp_path / "m")["plain"]
    assert entry.files == {}
    folder = cached_files(entry.key)
    folder.mkdir(parents=True)
    shutil.copy(served / "plain" / "generator.onnx", folder)
    assert listed(tmp_path / "m")["plain"].files == {"generator": folder / "generator.onnx"}
    old = folder.parent / "old"
    old.mkdir()
    os.utime(old, (0, time.time() - 40 * 24 * 3600))
    models._remove_unused(folder.parent)
    assert [each.name for each in folder.parent.iterdir()] == [folder.name]


@pytest.mark.slow
def test_a_model_without_a_file_is_exported_in_a_process_of_its_own(served, tmp_path):
    shutil.copytree(served / "plain", tmp_path / "plain")
    (tmp_path / "plain" / "generator.onnx").unlink()

    async def main():
        where = Models(Places([tmp_path]))
        where.prepare(where.get("plain"))
        where.prepare(where.get("plain"))
        assert where.is_preparing(where.get("plain"))
        (task,) = where._exports.values()
        await task
        return where.get("plain")

    entry = asyncio.run(main())
    assert entry.error == ""
    assert list(entry.files) == ["generator"]
    assert [each.name for each in cached_files(entry.key).parent.iterdir()] == [cached_files(entry.key).name]


@pytest.mark.slow
def test_an_export_that_fails_is_told_and_not_begun_again(served, tmp_path):
    shutil.copytree(served / "plain", tmp_path / "plain")
    (tmp_path / "plain" / "generator.onnx").unlink()
    (tmp_path / "plain" / "generator.safetensors").write_bytes(b"altered")

    async def main():
        where = Models(Places([tmp_path]))
        where.prepare(where.get("plain"))
        await asyncio.gather(*where._exports.values())
        await asyncio.sleep(0)
        where.prepare(where.get("plain"))
        return where.get("plain"), where._exports

    entry, exports = asyncio.run(main())
    assert "safetensors" in entry.error
    assert exports == {}


# --- processes ----------------------------------------------------------------------------------------------------


def test_lines_of_a_process_are_progress_and_a_result():
    code = 'import sys; print(\'{"progress": {"done": 1}}\'); print(\'{"found": %d}\' % len(sys.stdin.read()))'
    told = []
    assert asyncio.run(child_lines(["-c", code], 60, b"x" * 100_000, told.append)) == {"found": 100_000}
    assert told == [{"done": 1}]


@pytest.mark.parametrize(
    ("code", "wanted"),
    [
        ('print(\'{"error": {"code": "model.points", "message": "no"}}\')', "model.points"),
        ("import sys; sys.exit(3)", "web.child_failed"),
        ("print('{\"progress\": {}}')", "web.child_failed"),
        ("import time; time.sleep(60)", "web.child_slow"),
    ],
)
def test_a_process_that_fails_is_told(code, wanted):
    with pytest.raises(GansmithError) as raised:
        asyncio.run(child_lines(["-c", code], 1, b"", print))
    assert raised.value.code == wanted


def test_a_process_ends_with_its_caller(tmp_path):
    code = f"import os, time; open({str(tmp_path / 'pid')!r}, 'w').write(str(os.getpid())); time.sleep(60)"

    async def main():
        task = asyncio.create_task(child_lines(["-c", code], 60, b"", print))
        while not ((tmp_path / "pid").exists() and (tmp_path / "pid").read_text()):
            await asyncio.sleep(0.01)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    asyncio.run(main())
    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / "pid").read_text()), 0)


@pytest.mark.slow
def test_an_error_of_a_verb_keeps_its_code(tmp_path):
    with pytest.raises(GansmithError) as raised:
        asyncio.run(run_child(["sample", str(tmp_path / "no.onnx")], 60))
    assert raised.value.code == "model.not_found"
