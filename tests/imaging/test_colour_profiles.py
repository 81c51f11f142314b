"""Colour profiles: images are converted to sRGB for training, and keep their profile where results do."""

import io

import numpy as np
import pytest
from PIL import Image, ImageCms

from gansmith.data.base import DataOptions
from gansmith.data.open import open_data
from gansmith.imaging.colour_profiles import other_profile, to_srgb
from gansmith.imaging.images import decode_image
from gansmith.inference.image_files import open_picture, profile_of

SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def swapped(profile: bytes) -> bytes:
    """Return a profile whose red is the green of another, under a name of its own."""
    count = int.from_bytes(profile[128:132])
    tags = {profile[at : at + 4]: profile[at + 4 : at + 12] for at in range(132, 132 + 12 * count, 12)}
    exchange = {b"rXYZ": b"gXYZ", b"gXYZ": b"rXYZ"}
    table = b"".join(name + tags[exchange.get(name, name)] for name in tags)
    renamed = profile.replace("sRGB".encode("utf-16-be"), "swap".encode("utf-16-be"))
    return renamed[:132] + table + renamed[132 + len(table) :]


SWAPPED = swapped(SRGB)


def encoded(image: Image.Image, profile: bytes | None, form: str = "PNG") -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, form, **({"icc_profile": profile} if profile else {}))
    return buffer.getvalue()


RED = Image.new("RGB", (8, 8), (255, 0, 0))


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "P"])
def test_colours_become_those_of_srgb(mode):
    red = RED.convert(mode)
    if mode == "RGBA":
        red.putalpha(99)
    made = decode_image(encoded(red, SWAPPED))
    colour = np.asarray(made)[0, 0]
    assert np.abs(colour[:3].astype(int) - (0, 255, 0)).max() <= 2
    assert mode != "RGBA" or colour[3] == 99
    assert "icc_profile" not in made.info


@pytest.mark.parametrize("profile", [None, SRGB, b"no profile at all" * 20], ids=["none", "sRGB", "broken"])
def test_other_files_keep_their_colours(profile):
    with Image.open(io.BytesIO(encoded(RED, profile))) as opened:
        assert other_profile(opened) is None
        assert to_srgb(opened) is opened


def test_results_keep_colours_and_profile(tmp_path):
    (tmp_path / "a.png").write_bytes(encoded(RED, SWAPPED))
    kept = open_picture(tmp_path / "a.png", keep_profile=True)
    assert kept.getpixel((0, 0)) == (255, 0, 0)
    assert profile_of(kept) == SWAPPED
    assert open_picture(tmp_path / "a.png").getpixel((0, 0))[1] > 250


def test_training_says_how_many_images_were_converted(tmp_path, cache_folder):
    for number in range(3):
        (tmp_path / "a").mkdir(exist_ok=True)
        (tmp_path / "a" / f"{number}.png").write_bytes(encoded(RED, SWAPPED if number else None))
    data = open_data(tmp_path / "a", DataOptions(channels=3))
    assert "2 images converted to sRGB from another colour profile" in data.summary.notes
    assert data.read([0, 1])[:, 0, 0, 1].tolist()[0] == 0
    assert data.read([1])[0, 0, 0, 1] > 250
