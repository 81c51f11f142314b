"""Near duplicates of drawn pictures, and the report of ``data check`` on copies and mirroring."""

import io
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from drawn_pictures import glyphs, scene
from gansmith.data import duplicates
from gansmith.data.check import check_data
from gansmith.data.duplicates import near_duplicates
from gansmith.data.signatures import Signature, signature_of, thumbnail

pytestmark = pytest.mark.usefixtures("cache_folder")


def encoded(image: Image.Image, kind: str = "PNG", **how: int) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **how)
    return buffer.getvalue()


COPIES = {
    "jpeg": lambda image: Image.open(io.BytesIO(encoded(image, "JPEG", quality=75))),
    "smaller": lambda image: image.resize((48, 48), Image.Resampling.LANCZOS),
    "larger": lambda image: image.resize((150, 150), Image.Resampling.BICUBIC),
    "transparent": lambda image: image.convert("RGBA"),
}


@pytest.mark.slow
@pytest.mark.parametrize("copy", COPIES.values(), ids=COPIES)
def test_copies_are_found_and_others_are_not(copy):
    pytest.importorskip("imagehash")
    images = [scene(seed) for seed in range(60)]
    found = near_duplicates([signature_of(image) for image in [*images, copy(images[7]), copy(images[30])]])
    assert found == [[7, 60], [30, 61]]


def test_the_same_shapes_in_other_colours_are_not_a_copy():
    pytest.importorskip("imagehash")
    image = scene(1)
    red, green, blue = image.split()
    other = Image.merge("RGB", (red, blue, green))
    shapes = signature_of(image).perceptual_hash
    assert near_duplicates([Signature(b"", thumbnail(each), shapes) for each in (image, other)]) == []
    assert near_duplicates([Signature(b"", thumbnail(each), shapes) for each in (image, image)]) == [[0, 1]]


def test_plain_images_are_not_compared():
    assert not near_duplicates([signature_of(Image.new("L", (32, 32), value)) for value in (100, 101, 102)])


def test_chains_become_one_group():
    """0 and 2 are too far apart, but both are near 1."""
    bits = np.zeros((3, 256), bool)
    bits[1, :8], bits[2, :16] = True, True
    signatures = [Signature(b"", bytes(192), np.packbits(row).tobytes()) for row in bits]
    assert near_duplicates(signatures) == [[0, 1, 2]]
    assert near_duplicates([signatures[0], signatures[2]]) == []


def test_the_search_stops_in_a_set_of_copies(monkeypatch):
    monkeypatch.setattr(duplicates, "MOST_PAIRS", 1000)
    assert len(duplicates._close_pairs(np.zeros((600, 32), np.uint8))) < 2000  # of 179,700
    assert near_duplicates([Signature(b"", bytes(192), bytes(32))] * 600) == [list(range(600))]


@pytest.mark.slow
def test_close_pairs_equal_a_comparison_of_all_pairs():
    random = np.random.default_rng(0)
    hashes = random.integers(0, 256, (200, 32), np.uint8)
    for at in range(0, 198, 3):  # neighbours with 0 to 20 bits apart
        flipped = np.unpackbits(hashes[at])
        flipped[random.choice(256, random.integers(0, 21), replace=False)] ^= 1
        hashes[at + 1] = np.packbits(flipped)
    bits = np.unpackbits(hashes, axis=1).astype(int)
    apart = np.abs(bits[:, None] - bits).sum(-1)
    slow = {(a, b) for a, b in np.argwhere(apart <= duplicates.MOST_BITS_APART).tolist() if a < b}
    assert {tuple(sorted(pair)) for pair in duplicates._close_pairs(hashes)} == slow
    assert 20 < len(slow) < 60


@pytest.fixture
def folder(tmp_path) -> Path:
    folder = tmp_path / "set"
    for name in ("threes", "scenes", "few"):
        (folder / name).mkdir(parents=True)
    for at, image in enumerate(glyphs("3", 60)):
        (folder / "threes" / f"{at:02d}.png").write_bytes(encoded(image))
    for at in range(60):
        (folder / "scenes" / f"{at:02d}.png").write_bytes(encoded(scene(at)))
    (folder / "few" / "copy.jpg").write_bytes(encoded(scene(5), "JPEG", quality=90))
    (folder / "few" / "near.jpg").write_bytes(encoded(scene(9), "JPEG", quality=90))
    (folder / "few" / "exact.bmp").write_bytes(encoded(scene(9), "BMP"))
    return folder


@pytest.mark.slow
def test_the_report_names_near_duplicates_and_classes_unfit_for_mirroring(prose, folder):
    pytest.importorskip("imagehash")
    report = check_data(folder)
    assert report.duplicates == (("few/exact.bmp", "scenes/09.png"),)
    assert ("few/copy.jpg", "scenes/05.png") in report.near_duplicates
    assert ("few/exact.bmp", "few/near.jpg") in report.near_duplicates  # scenes/09.png is not named again
    assert report.mirror.keys() == {"threes", "scenes"}
    lines = [line for line in report.lines() if "duplicates" in line or "mirroring" in line]
    prose("duplicates and mirroring in data check", "\n".join(lines))
    assert report.to_json()["near_duplicates"] == [list(group) for group in report.near_duplicates]


@pytest.mark.slow
def test_the_report_on_classes_that_may_be_mirrored_and_on_small_classes(prose, folder):
    for name in ("scenes", "few"):
        prose(
            "mirroring in data check", next(line for line in check_data(folder / name).lines() if "mirroring" in line)
        )


@pytest.mark.slow
def test_without_the_library_near_duplicates_are_not_searched(prose, folder, monkeypatch):
    monkeypatch.setitem(sys.modules, "imagehash", None)
    report = check_data(folder / "scenes")
    assert report.near_duplicates is None
    prose("near duplicates in data check", next(line for line in report.lines() if "near duplicates" in line))
    assert report.mirror.keys() == {""}


def test_marks_for_no_data_do_not_make_images_alike(tmp_path):
    """A mark such as the smallest float is far from all other values."""
    draws = np.random.default_rng(0)
    for number in range(4):
        image = np.kron(draws.normal(size=(6, 6)), np.ones((8, 8))).astype(np.float32)
        image[:4] = -3.4e38
        np.save(tmp_path / f"{number}.npy", image)
    assert check_data(tmp_path).near_duplicates == ()
    np.save(tmp_path / "4.npy", np.where(image < -1e30, image, image.clip(-100) * 2))
    assert check_data(tmp_path).near_duplicates == (("3.npy", "4.npy"),)
