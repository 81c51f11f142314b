"""Sets of pixel art: stored pixel by pixel, with their palette where it is asked for."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from gansmith.data.base import DataOptions, DataSpec
from gansmith.data.open import open_data
from small_models import make_model

pytestmark = pytest.mark.usefixtures("cache_folder")

COLOURS = np.random.default_rng(0).integers(0, 255, (12, 3), np.uint8)
ART = COLOURS[np.random.default_rng(1).integers(0, 12, (30, 24, 16))]


@pytest.fixture
def sprites(tmp_path) -> Path:
    (tmp_path / "art").mkdir()
    for number, pixels in enumerate(ART):
        Image.fromarray(pixels.repeat(3, 0).repeat(3, 1)).save(tmp_path / "art" / f"{number:02d}.png")
    return tmp_path / "art"


@pytest.mark.slow
def test_pixels_and_palette_are_kept(sprites):
    data = open_data(sprites, DataOptions(palette="keep"))
    assert (data.read(range(30)) == ART).all()
    assert data.spec.fit == "pixels"
    assert set(data.spec.palette) == {colour.tobytes().hex() for colour in COLOURS}
    assert DataSpec.from_json(data.spec.to_json()) == data.spec
    assert open_data(sprites, DataOptions()).spec.palette == ()


@pytest.mark.slow
def test_a_run_resumes_with_what_was_chosen(sprites, monkeypatch):
    chosen = open_data(sprites, DataOptions()).spec
    monkeypatch.setattr("gansmith.data.survey.read_info", lambda *_, **__: pytest.fail("an image was read"))
    exact = DataOptions().with_format(chosen.height, chosen.width, chosen.channels, chosen.fit)
    assert exact.fit == "pixels"
    assert open_data(sprites, exact).spec == chosen


@pytest.mark.slow
def test_photos_have_no_palette(photos, refused):
    with refused("data.palette_too_large"):
        open_data(photos, DataOptions(palette="keep"))


def test_samples_have_colours_of_the_palette():
    model = make_model()
    free = model.sample(16).images
    model.data = replace(model.data, palette=("00", "7f", "ff"))
    kept = model.sample(16).images
    assert set(np.unique(kept)) <= {0x00, 0x7F, 0xFF} < set(np.unique(free))
    assert (np.abs(kept.astype(int) - free) <= 64).all()
