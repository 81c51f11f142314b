import errno
import json
import multiprocessing
import os
import shutil
import signal
import tarfile
import zipfile
from collections import namedtuple
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import pytest

from gansmith.core import atomic_files as files
from gansmith.core.errors import GansmithWarning
from gansmith.data import cache, decoding, find
from gansmith.data import cache_folder as store
from gansmith.data.base import DataOptions
from gansmith.data.check import check_data
from gansmith.data.open import open_data
from gansmith.data.sources import folders_archives
from gansmith.data.threads import in_threads
from small_images import PIXELS, assert_right, entries, write_photos

pytestmark = pytest.mark.usefixtures("cache_folder")


def change(path: Path, old: str, new: str) -> None:
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new))


@pytest.mark.slow
@pytest.mark.parametrize(
    "damage",
    [
        lambda entry: os.truncate(entry / "pixels.u8", 1000),
        lambda entry: (entry / "pixels.u8").unlink(),
        lambda entry: (entry / "meta.json").unlink(),
        lambda entry: (entry / "meta.json").write_text('{"version": 1,'),
        lambda entry: (entry / "meta.json").write_text("{}"),
        lambda entry: change(entry / "meta.json", '"version": 1', '"version": 0'),
        lambda entry: change(entry / "meta.json", entry.name, "0" * 64),
        lambda entry: (entry / "labels.npy").write_bytes(b""),
        lambda entry: (entry / "digests.npy").unlink(),
        lambda entry: (entry / "quarantine.jsonl").write_text("x"),
    ],
)
def test_a_damaged_entry_is_built_again(photos, cache_folder, damage):
    open_data(photos)
    (entry,) = entries(cache_folder)
    damage(entry)
    assert_right(open_data(photos))
    (entry,) = entries(cache_folder)
    meta = json.loads((entry / "meta.json").read_text())
    assert (meta["version"], meta["fingerprint"]) == (store.VERSION, entry.name)
    assert meta["bytes"] == {name: (entry / name).stat().st_size for name in meta["bytes"]}


@pytest.mark.slow
def test_a_wrong_index_is_not_used(photos, cache_folder):
    first = open_data(photos)
    index = store.index_path(find.find_source(photos), DataOptions())
    for text in ("", "[]", '{"version": 1}', index.read_text().replace(first.spec.fingerprint, "0" * 64)):
        index.write_text(text)
        assert open_data(photos).spec == first.spec


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.parametrize("moment", ["decode", "sync_file", "commit_json", "rename", "index"])
def test_a_killed_build_leaves_no_entry(photos, cache_folder, moment, monkeypatch):
    def die(*args):
        os.kill(os.getpid(), signal.SIGKILL)

    def build():
        if moment == "decode":
            decode, done = cache.EntryPlan.decode, []
            cache.EntryPlan.decode = lambda self, *job: (
                die() if done.append(0) or len(done) > 20 else decode(self, *job)
            )
        elif moment == "rename":
            Path.rename = die
        elif moment == "index":
            cache.write_index = die
        else:
            setattr(store, moment, die)
        open_data(photos)

    child = multiprocessing.get_context("fork").Process(target=build)
    child.start()
    child.join(600)
    assert child.exitcode == -signal.SIGKILL
    if moment != "index":
        assert all(entry.name.startswith(".building-") for entry in entries(cache_folder))
    assert_right(open_data(photos))
    for left in cache_folder.glob("data/entries/.building-*"):
        os.utime(left, (0, 0))
    open_data(photos, DataOptions(size=8))
    assert not list(cache_folder.glob("data/entries/.building-*"))


def test_a_lock_that_is_lost_while_a_run_waits_for_it(tmp_path, monkeypatch):
    import fcntl

    answers = [BlockingIOError(errno.EAGAIN, ""), OSError(errno.EIO, os.strerror(errno.EIO))]

    def flaky(*_):
        raise answers.pop(0) if len(answers) > 1 else answers[0]

    monkeypatch.setattr(fcntl, "flock", flaky)
    with pytest.warns(GansmithWarning, match="this one waits for it"), store.only_builder(tmp_path / "x.json"):
        pass
    assert len(answers) == 1


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_two_processes_may_build_at_once(photos, cache_folder, monkeypatch):
    """Where the file system has no locks, both build."""
    monkeypatch.setattr(cache, "only_builder", lambda _: nullcontext())
    context = multiprocessing.get_context("fork")
    barrier, results = context.Barrier(2), context.Queue()

    def build():
        commit = cache.commit_entry

        def together(*args):
            barrier.wait(600)
            commit(*args)

        cache.commit_entry = together
        data = open_data(photos)
        results.put(bool((data.read(range(40)) == PIXELS).all()))

    children = [context.Process(target=build) for _ in range(2)]
    for child in children:
        child.start()
    assert [results.get(timeout=600) for _ in children] == [True, True]
    for child in children:
        child.join(600)
    (entry,) = entries(cache_folder)
    assert store.find_entry(entry.name)


@pytest.mark.slow
def test_a_full_disk_is_refused_before_and_during_a_build(refused, photos, monkeypatch, cache_folder):
    usage = namedtuple("usage", "free")
    with monkeypatch.context() as patch:
        patch.setattr(decoding.shutil, "disk_usage", lambda path: usage(10))
        with refused("data.cache_full"):
            open_data(photos)

    def full(*args):
        raise OSError(errno.ENOSPC, "No space left on device")

    for module, name in ((cache, "commit_entry"), (files.os, "replace")):
        with monkeypatch.context() as patch:
            patch.setattr(module, name, full)
            with refused("data.cache_full", [r"[\d,]+(?= bytes are free)", r"(?<=building-)\w+"]):
                open_data(photos)
    assert not entries(cache_folder)
    assert_right(open_data(photos))


def test_a_cache_that_cannot_be_made(refused, photos, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("x")
    monkeypatch.setenv("GANSMITH_CACHE", str(tmp_path / "file"))
    with refused("data.cache_not_writable"):
        open_data(photos)


@pytest.mark.parametrize("moment", ["_fill", "commit_entry", "_close_gaps"])
def test_a_cache_that_is_removed_while_it_is_filled(refused, photos, cache_folder, monkeypatch, moment):
    work = getattr(cache, moment)

    def removing(*args, **kwargs):
        shutil.rmtree(cache_folder)
        return work(*args, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(cache, moment, removing)
        with refused("data.cache_removed", [r"(?<=building-)\w+"]):
            open_data(photos)
    assert_right(open_data(photos))


@pytest.mark.parametrize("workers", [1, 4])
def test_threads_keep_the_order_and_take_few_jobs_ahead(workers):
    taken, most_ahead, done = [], 0, 0

    def jobs():
        for job in range(500):
            taken.append(job)
            yield job

    for result in in_threads(lambda job: job * job, jobs(), 3, workers):
        assert result == done * done
        done += 1
        most_ahead = max(most_ahead, len(taken) - done)
    assert done == 500
    assert most_ahead <= 3 * (workers + 4)


def test_a_failing_thread_stops_the_others():
    def work(job):
        if job == 5:
            raise ValueError("no")
        return job

    with pytest.raises(ValueError, match="no"):
        list(in_threads(work, iter(range(10**9)), 1, 2))


@pytest.mark.parametrize("form", ["folder", "zip", "tar", "gztar", "npz"])
def test_memory_that_runs_out_is_not_told_as_damage(tmp_path, cache_folder, monkeypatch, refused, form):
    def fail(*_: object, **__: object) -> None:
        raise MemoryError

    photos = write_photos(tmp_path / "photos")
    if form == "npz":
        np.savez(tmp_path / "a.npz", PIXELS)
        monkeypatch.setattr(np, "load", fail)
        source = tmp_path / "a.npz"
    elif form == "folder":
        source = photos
        monkeypatch.setattr("gansmith.data.sources.folders_archives.read_file", fail)
    else:
        source = Path(shutil.make_archive(str(tmp_path / "a"), form, photos))
        places = {
            "zip": (zipfile.ZipFile, "open"),
            "tar": (folders_archives, "given"),
            "gztar": (tarfile.TarFile, "extractfile"),
        }
        monkeypatch.setattr(*places[form], fail)
    with refused("machine.no_memory"):
        open_data(source, DataOptions())
    with refused("machine.no_memory"):
        check_data(source)
