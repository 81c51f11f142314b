"""How usual image files are: the discriminator's opinion, or how near the generator comes."""

import numpy as np
import pytest
from PIL import Image

from gansmith import api


@pytest.fixture
def files(model, tmp_path):
    """An image that the model can make, and a chequered one that it cannot."""
    odd = (255 * (np.indices((8, 8)).sum(0) % 2)).astype(np.uint8)
    for name, image in (("own", model.sample(5, seed=99).images[4][..., 0]), ("odd", odd)):
        Image.fromarray(image).save(tmp_path / f"{name}.png")
    return tmp_path


@pytest.mark.slow
def test_what_a_generator_cannot_make_is_unusual(model, conditional, files):
    odd, own = (value for _, value in api.score(model, [files], how="inversion"))
    image = np.array(Image.open(files / "own.png"))[..., None]
    assert own == api.invert(model, image).psnr_db
    assert own > odd + 10
    assert api.score(model, [files]) == api.score(model, [files], how="discriminator")
    assert len(api.score(conditional, [files / "own.png"], how="inversion")) == 1  # its label is found


def test_there_are_two_ways_to_score(refused, model, files):
    with refused("cli.unknown_way_to_score"):
        api.score(model, [files], how="invert")
