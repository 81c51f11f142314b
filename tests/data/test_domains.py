"""Two data sets as the two domains of one: labels, addresses, and batches with equally many of each."""

from pathlib import Path

import numpy as np
import pytest
import torch

from gansmith.core.runtime import Runtime
from gansmith.data.base import ImageData
from gansmith.data.batches import BatchStream
from gansmith.data.check import check_data
from gansmith.data.find import find_source
from gansmith.data.open import open_data
from gansmith.data.sources.domains import Domains

pytestmark = pytest.mark.usefixtures("cache_folder")
FIRST, SECOND = 7, 10


@pytest.fixture
def arrays(tmp_path) -> tuple[Path, Path]:
    """7 dark images of 16 x 16 in two classes, and 10 light ones of 12 x 12; each has a gray of its own."""
    paths = (tmp_path / "dark.npz", tmp_path / "light.npz")
    for path, count, side, first in zip(paths, (FIRST, SECOND), (16, 12), (0, 200), strict=True):
        images = np.empty((count, side, side), np.uint8)
        images[:] = (first + np.arange(count))[:, None, None]
        np.savez(path, images=images, **({"labels": np.arange(count) % 2} if first == 0 else {}))
    return paths


@pytest.fixture
def data(arrays) -> ImageData:
    return open_data(Domains(*map(str, arrays)))


def test_images_are_labelled_by_domain_and_fitted_to_one_size(prose, data):
    assert (data.spec.name, data.spec.classes, len(data)) == ("dark-to-light", ("from", "to"), FIRST + SECOND)
    assert (data.spec.height, data.spec.width, data.spec.channels) == (12, 12, 1)
    assert data.labels.tolist() == [0] * FIRST + [1] * SECOND
    values = data.read(range(len(data)))[:, 0, 0, 0]
    assert values.tolist() == [*range(FIRST), *range(200, 200 + SECOND)]
    prose("summary of two domains", "\n".join(data.summary.lines()))


@pytest.mark.slow
def test_folders_and_arrays_join_and_the_address_reads_the_same_from_anywhere(photos, arrays, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    source = find_source(Domains("photos", "dark.npz"))
    assert source.location == f"domains:{photos} -> {arrays[0]}"
    assert source.name == "photos-to-dark"
    monkeypatch.chdir("/")
    again = open_data(source.location)
    assert again.spec.count == 40 + FIRST
    stamp = find_source(source.location).stamp()
    (photos / "00.png").unlink()
    assert find_source(source.location).stamp() != stamp
    assert open_data(source.location).spec.count == 39 + FIRST


def test_the_direction_is_part_of_the_fingerprint(arrays, data):
    other = open_data(Domains(*map(str, arrays[::-1])))
    assert other.spec.fingerprint != data.spec.fingerprint


def test_a_share_of_each_domain_is_held_out(arrays):
    data = open_data(Domains(*map(str, arrays)), holdout=0.3)
    assert np.bincount(data.held_out.labels).tolist() == [2, 3]
    assert np.bincount(data.labels).tolist() == [5, 7]


def test_check_counts_both(arrays):
    assert check_data(Domains(*map(str, arrays))).classes == {"from": FIRST, "to": SECOND}


def test_addresses(refused):
    both = Domains.parse("domains:a b -> hf:x:y")
    assert both == Domains("a b", "hf:x:y")
    assert str(both) == "domains:a b -> hf:x:y"
    with refused("data.domains_address"):
        Domains.parse("domains:a")
    with refused("data.domain_name"):
        Domains("x -> y", "z")
    with refused("data.same_domains"):
        Domains("x", "x")


def test_the_same_folder_under_two_names_is_refused(refused, photos):
    with refused("data.same_domains"):
        open_data(Domains(str(photos), f"{photos}/../photos"))


def test_domains_take_turns_and_each_goes_through_epochs_of_its_own(data, runtime):
    stream = BatchStream(data, 6, 0, runtime, mirror=False, domains=2)
    drawn = np.concatenate([stream.indices(draw) for draw in range(70)])  # 210 of each: 30 and 21 epochs
    assert (data.labels[drawn] == np.arange(len(drawn)) % 2).all()
    for domain, count in ((0, FIRST), (1, SECOND)):
        epochs = drawn[domain::2].reshape(-1, count)
        assert all(sorted(epoch) == sorted(np.flatnonzero(data.labels == domain)) for epoch in epochs)
        assert len({epoch.tobytes() for epoch in epochs}) > 15
    again = BatchStream(data, 6, 0, runtime, mirror=False, domains=2)
    assert (again.indices(41) == drawn[41 * 6 : 42 * 6]).all()
    assert (BatchStream(data, 6, 1, runtime, mirror=False, domains=2).indices(0) != drawn[:6]).any()


def test_domains_of_one_size_are_not_read_in_the_same_order(tmp_path, runtime):
    images = np.random.default_rng(0).integers(0, 255, (20, 8, 8), np.uint8)
    for name in ("a", "b"):
        np.save(tmp_path / f"{name}.npy", images)
    data = open_data(Domains(str(tmp_path / "a.npy"), str(tmp_path / "b.npy")))
    drawn = BatchStream(data, 40, 0, runtime, mirror=False, domains=2).indices(0)
    assert (drawn[0::2] != drawn[1::2] - 20).sum() > 10


def test_slices_of_processes_are_those_of_one_and_balanced(data):
    def indices(world_size: int, rank: int) -> np.ndarray:
        runtime = Runtime(torch.device("cpu"), rank, world_size)
        return BatchStream(data, 8, 3, runtime, mirror=True, domains=2).indices(5)

    parts = [indices(2, rank) for rank in range(2)]
    assert (np.concatenate(parts) == indices(1, 0)).all()
    assert all(np.bincount(data.labels[part]).tolist() == [2, 2] for part in parts)


def test_a_batch_that_cannot_be_shared_equally_is_refused(refused, data, runtime):
    with refused("recipe.batch_size_of_domains"):
        BatchStream(data, 5, 0, runtime, mirror=False, domains=2)
    with refused("recipe.batch_size_of_domains"):
        BatchStream(data, 6, 0, Runtime(torch.device("cpu"), 0, 2), mirror=False, domains=2)


def test_a_domain_without_a_usable_image_is_refused(refused, arrays, tmp_path, runtime):
    folder = tmp_path / "broken"
    folder.mkdir()
    (folder / "x.png").write_bytes(b"no image")
    many = tmp_path / "many.npy"
    np.save(many, np.random.default_rng(0).integers(0, 255, (40, 8, 8), np.uint8))
    data = open_data(Domains(str(many), str(folder)))
    with refused("data.class_without_images"):
        BatchStream(data, 4, 0, runtime, mirror=False, domains=2)
