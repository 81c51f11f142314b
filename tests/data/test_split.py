import numpy as np
import pytest

from gansmith.data.base import DataOptions, ImageData, Split
from gansmith.data.open import open_data

pytestmark = pytest.mark.usefixtures("cache_folder")


IMAGES = np.random.default_rng(0).integers(0, 256, (200, 16, 16), np.uint8)
LABELS = np.repeat([0, 1, 2], [100, 60, 40])


@pytest.fixture
def path(tmp_path):
    np.savez(tmp_path / "a.npz", images=IMAGES, labels=LABELS)
    return tmp_path / "a.npz"


def parts(data: ImageData) -> tuple[set[bytes], set[bytes]]:
    held = data.held_out
    assert held is not None
    return tuple({image.tobytes() for image in part.read(range(len(part)))} for part in (data, held))


def test_without_a_share_nothing_is_held_out(path):
    data = open_data(path)
    assert data.held_out is None
    assert data.spec.held_out == 0
    assert data.spec.split == Split("all", 0.0, 0)


def test_the_two_sides_are_disjoint_complete_and_stratified(path):
    data = open_data(path, holdout=0.1)
    kept, held = parts(data)
    assert not kept & held
    assert kept | held == {image.tobytes() for image in IMAGES}
    assert np.bincount(data.held_out.labels).tolist() == [10, 6, 4]
    assert np.bincount(data.labels).tolist() == [90, 54, 36]
    assert (data.spec.count, data.spec.held_out, len(data)) == (180, 20, 180)
    assert (data.held_out.spec.count, data.held_out.spec.held_out) == (20, 0)
    assert data.spec.split == Split("train", 0.1, 0)
    assert data.held_out.spec.split == Split("holdout", 0.1, 0)
    assert data.spec.fingerprint == data.held_out.spec.fingerprint
    assert data.summary.class_counts == (90, 54, 36)


def test_labels_stay_with_their_images(path):
    data = open_data(path, holdout=0.3, seed=5)
    label_of = {image.tobytes(): label for image, label in zip(IMAGES, LABELS, strict=True)}
    for part in (data, data.held_out):
        images = part.read(range(len(part)))
        assert [label_of[image.tobytes()] for image in images] == part.read_labels(range(len(part))).tolist()


@pytest.mark.slow
def test_the_choice_depends_on_seed_and_contents_alone(path, tmp_path):
    _, held = parts(open_data(path, holdout=0.1))
    assert parts(open_data(path, holdout=0.1))[1] == held
    assert parts(open_data(path, holdout=0.1, seed=1))[1] != held
    order = np.random.default_rng(1).permutation(200)
    np.savez(tmp_path / "shuffled.npz", images=IMAGES[order], labels=LABELS[order])
    assert parts(open_data(tmp_path / "shuffled.npz", holdout=0.1))[1] == held
    assert parts(open_data(path, holdout=0.2))[1] > held


@pytest.mark.slow
def test_another_size_gives_the_same_choice(path):
    rows = [open_data(path, DataOptions(size=size), holdout=0.1).rows.tolist() for size in (16, 8)]
    assert rows[0] == rows[1]


@pytest.mark.slow
def test_copies_are_on_one_side(tmp_path):
    images = np.concatenate([IMAGES, IMAGES[:100]])
    np.savez(tmp_path / "a.npz", images=images, labels=np.arange(300) % 2)  # copies in both classes
    for seed in range(5):
        data = open_data(tmp_path / "a.npz", holdout=0.2, seed=seed)
        kept, held = parts(data)
        assert not kept & held
        assert 40 <= len(data.held_out) <= 60


def test_many_copies_do_not_swallow_the_holdout(tmp_path):
    images = np.concatenate([IMAGES[:50], np.zeros((50, 16, 16), np.uint8)])
    np.save(tmp_path / "a.npy", images)
    for seed in range(5):
        data = open_data(tmp_path / "a.npy", holdout=0.1, seed=seed)
        assert len(data.held_out) == 10
        assert data.held_out.read(range(10)).reshape(10, -1).max(axis=1).min() > 0


@pytest.mark.parametrize("share", [-0.1, 0.95, 1.5, 10])
def test_a_share_that_is_none(refused, path, share):
    with refused("data.holdout_out_of_range"):
        open_data(path, holdout=share)


def test_a_share_of_nothing(refused, tmp_path):
    np.save(tmp_path / "a.npy", IMAGES[:4])
    with refused("data.holdout_leaves_none"):
        open_data(tmp_path / "a.npy", holdout=0.1)
    np.save(tmp_path / "b.npy", IMAGES[:1])
    with refused("data.holdout_leaves_none"):
        open_data(tmp_path / "b.npy", holdout=0.9)
