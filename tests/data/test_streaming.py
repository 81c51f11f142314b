"""Images that are streamed: decoded piece by piece, in an order in which any batch is found again."""

import errno
import gzip
import shutil
import tarfile
from collections import namedtuple
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
import torch

from gansmith.core.runtime import Runtime
from gansmith.data import decoding, streaming
from gansmith.data.base import DataOptions, ImageData
from gansmith.data.batches import BatchStream
from gansmith.data.open import open_data
from gansmith.data.sources.folders_archives import TarSource
from gansmith.data.streaming import SUM_BYTES, cut_in_pieces, windowed_order
from small_images import write_shards

pytestmark = pytest.mark.usefixtures("cache_folder", "restored_readers")

COUNT, SHARDS, SIDE, BATCH = 120, 12, 64, 8
ROOM = 2**20  # for 85 images; 21 are shuffled at a time, from three or four shards
Usage = namedtuple("Usage", "total used free")


@pytest.fixture
def shards(tmp_path) -> tuple[Path, np.ndarray]:
    """Return a folder of 12 shards of 10 images each, and the images."""
    pixels = np.random.default_rng(0).integers(0, 256, (COUNT, SIDE, SIDE, 3), np.uint8)
    return write_shards(tmp_path / "set", pixels, SHARDS), pixels


def streamed(folder: Path, **options: object) -> ImageData:
    return open_data(folder, DataOptions(stream=ROOM, **options))


def batches(data: ImageData, draws: range, rank: int = 0, processes: int = 1) -> list[torch.Tensor]:
    runtime = Runtime(torch.device("cpu"), rank, processes)
    stream = BatchStream(data, BATCH, 3, runtime, mirror=False)
    return [stream.read(draw).images for draw in draws]


def bytes_in(data: ImageData) -> int:
    sizes = 0
    for path in data.pixels.folder.glob("*.u8"):
        with suppress(FileNotFoundError):  # the thread that decodes ahead has removed it
            sizes += path.stat().st_size
    return sizes


@pytest.mark.slow
def test_any_rows_are_those_of_the_cache(shards):
    folder, pixels = shards
    data, kept = streamed(folder), open_data(folder)
    rows = np.random.default_rng(1).permutation(COUNT)[:50]
    assert (data.read(rows) == pixels[rows]).all()
    assert (data.read([5, 5, 4]) == pixels[[5, 5, 4]]).all()
    assert (data.spec.fingerprint, data.spec.classes) == (kept.spec.fingerprint, kept.spec.classes)
    assert (data.labels == kept.labels).all()
    assert bytes_in(data) == 0, "only the rows that were asked for are decoded"
    assert (data.room, kept.room) == (ROOM, None)
    assert any("at a time are shuffled" in note for note in data.summary.notes)


@pytest.mark.slow
def test_an_epoch_has_each_image_once_in_an_order_of_its_own(shards):
    data = streamed(shards[0])
    stream = BatchStream(data, BATCH, 3, Runtime(torch.device("cpu")), mirror=False)
    epochs = np.concatenate([stream.indices(draw) for draw in range(2 * COUNT // BATCH)]).reshape(2, COUNT)
    assert (np.sort(epochs, axis=1) == np.arange(COUNT)).all()
    assert (epochs[0] != epochs[1]).any()
    other = BatchStream(data, BATCH, 4, Runtime(torch.device("cpu")), mirror=False)
    assert (other.indices(0) != epochs[0, :BATCH]).any()


@pytest.mark.slow
def test_a_batch_is_a_function_of_seed_and_number_for_any_number_of_processes(shards):
    whole = batches(streamed(shards[0]), range(40))
    assert bytes_in(streamed(shards[0])) <= ROOM
    for draw in (0, 7, 14, 15, 39):  # the last two in the second epoch and the third
        parts = [batches(streamed(shards[0]), range(draw, draw + 1), rank, 2)[0] for rank in range(2)]
        assert torch.equal(torch.cat(parts), whole[draw])


def test_a_start_waits_for_no_whole_piece_if_single_images_are_found_quickly(shards, monkeypatch):
    whole = batches(streamed(shards[0]), range(1))[0]
    data, work = streamed(shards[0]), []
    with monkeypatch.context() as patch:
        patch.setattr(data.pixels, "_build", work.append)
        patch.setattr(data.pixels, "_decode_ahead", lambda: None)
        patch.setattr(TarSource, "_walk", lambda self: work.append(self) or iter(()))
        shutil.rmtree(data.pixels.folder)
        assert torch.equal(batches(data, range(1))[0], whole)
    assert work == [], "no piece is decoded whole, and no header read again"


@pytest.mark.parametrize("damage", ["empty", "cut", "of other places", "of an older version"])
def test_places_that_were_damaged_are_found_again(shards, damage):
    whole = streamed(shards[0]).read(range(COUNT))
    (kept,) = streamed(shards[0]).pixels.folder.parent.glob("offsets-*.npy")
    places = np.load(kept)
    content = {
        "empty": b"",
        "cut": kept.read_bytes()[:-60],
        "of other places": kept.read_bytes().replace(places[-1].tobytes(), (places[-1] + [50, 512, 0]).tobytes()),
        "of an older version": kept.read_bytes()[:-SUM_BYTES],
    }[damage]
    good = kept.read_bytes()
    kept.write_bytes(content)
    data = streamed(shards[0])
    shutil.rmtree(data.pixels.folder)
    assert (data.read(range(COUNT)) == whole).all()
    assert kept.read_bytes() == good, "the file is whole again"


def test_a_start_from_compressed_shards_waits_for_whole_pieces(shards):
    whole = batches(streamed(shards[0]), range(1))[0]
    packed = shards[0].with_name("packed")
    packed.mkdir()
    for path in sorted(shards[0].glob("*.tar")):
        (packed / f"{path.name}.gz").write_bytes(gzip.compress(path.read_bytes()))
    data = streamed(packed)
    assert torch.equal(batches(data, range(1))[0], whole)
    assert bytes_in(data) > 0


@pytest.mark.slow
def test_only_the_pieces_in_use_lie_on_disk(shards):
    data = streamed(shards[0])
    for draw in range(60):
        batches(data, range(draw, draw + 1))
        assert bytes_in(data) <= ROOM
    assert bytes_in(data) > 0


@pytest.mark.slow
def test_two_domains_and_held_out_images_are_streamed(shards):
    data = open_data(shards[0], DataOptions(stream=ROOM), holdout=0.25)
    assert (data.held_out.read(range(30)) == shards[1][data.held_out.rows]).all()
    stream = BatchStream(data, BATCH, 3, Runtime(torch.device("cpu")), mirror=False, domains=2)
    found = [stream.read(draw).labels.tolist() for draw in range(12)]
    assert found == [[0, 1] * (BATCH // 2)] * 12
    order = np.concatenate([stream.indices(draw) for draw in range(12)])[::2][:45]
    assert len(np.unique(order)) == 45
    assert bytes_in(data) <= ROOM


@pytest.mark.slow
def test_a_damaged_piece_is_decoded_again(shards):
    data = streamed(shards[0])
    first = batches(data, range(1))[0]
    for path in data.pixels.folder.glob("*.u8"):
        path.write_bytes(bytes(path.stat().st_size))
    assert torch.equal(batches(streamed(shards[0]), range(1))[0], first)


@pytest.mark.slow
def test_a_shard_that_is_lost_or_cut_off_is_an_error_when_it_is_needed(shards, refused):
    data, shard = streamed(shards[0]), shards[0] / "x-005.tar"
    shard.write_bytes(shard.read_bytes()[:20_000])
    with refused("data.damaged_archive"):
        data.read(range(COUNT))
    shard.unlink()
    with refused("data.not_found"):
        data.read(range(COUNT))
    assert (data.read(range(50)) == shards[1][:50]).all()


@pytest.mark.slow
def test_an_image_that_has_changed_is_an_error_when_it_is_needed(shards, tmp_path, refused):
    data = streamed(shards[0])
    other = write_shards(tmp_path / "other", 255 - shards[1], SHARDS)
    shutil.copy(other / "x-005.tar", shards[0] / "x-005.tar")
    assert (data.read([0]) == shards[1][[0]]).all()
    with refused("data.changed_while_read"):
        data.read([55])
    with tarfile.open(shards[0] / "x-005.tar", "w"):
        pass
    with refused("data.damaged_archive"):
        data.read([55])


@pytest.mark.slow
def test_a_set_that_does_not_fit_the_disk_is_streamed_unasked(shards, monkeypatch, refused):
    monkeypatch.setattr(decoding, "STREAM_BYTES", ROOM)
    monkeypatch.setattr(decoding.shutil, "disk_usage", lambda _: Usage(0, 0, ROOM + 1))
    assert open_data(shards[0]).room == ROOM
    monkeypatch.setattr(decoding.shutil, "disk_usage", lambda _: Usage(0, 0, 500_000))
    with refused("data.cache_full"):
        open_data(shards[0], DataOptions(size=48))


@pytest.mark.slow
def test_a_full_disk_ends_a_run_with_a_message(shards, monkeypatch, refused):
    data = streamed(shards[0])

    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(streaming, "commit_bytes", full)
    with refused("data.cache_full", [r"(?<=entries/)\w+"]):
        batches(data, range(1))  # fails, or decodes single images until the thread has failed
        data.pixels._ahead.join()
        batches(data, range(1))


def test_a_cache_that_is_removed_while_a_run_streams_is_made_again(shards, cache_folder):
    data = streamed(shards[0])
    shutil.rmtree(cache_folder)
    assert (data.read([0, 55]) == shards[1][[0, 55]]).all()


def test_pieces_follow_shards_unless_they_are_large():
    assert cut_in_pieces(None, 10, 200) == [0, 3, 6, 9]
    assert cut_in_pieces([0, 2, 4, 6, 8], 10, 200) == [0, 4, 8]
    assert cut_in_pieces([0, 60], 120, 200) == [0, 50, 60, 110]


def test_windows_are_full_and_hold_whole_pieces():
    pieces = np.repeat(np.arange(12), 10)
    windows = windowed_order(0, 0, pieces, np.full(12, 10), 25)
    assert [len(window) for window in windows] == [30, 20, 30, 20, 20]
    assert all((np.bincount(pieces[window], minlength=12) % 10 == 0).all() for window in windows)
