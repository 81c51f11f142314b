"""Images of any size made larger: tiles, alpha, rotation, files, and what is refused."""

import numpy as np
import pytest
import torch
from PIL import Image

import gansmith
from gansmith import api
from gansmith.imaging import tiles
from gansmith.imaging.tensors import to_float
from gansmith.inference.load import load_model
from gansmith.inference.model import Model
from small_models import assert_writes_pictures, make_enlarger, make_translator
from small_runs import with_results

RNG = np.random.default_rng(0)


@pytest.fixture(autouse=True)
def _same_images_in_any_order(monkeypatch):
    monkeypatch.setitem(globals(), "RNG", np.random.default_rng(0))


@pytest.fixture(scope="module")
def enlarger() -> Model:
    return make_enlarger()


def photo(height: int, width: int, channels: int = 3) -> np.ndarray:
    coarse = Image.fromarray(RNG.integers(0, 256, (height // 4 + 2, width // 4 + 2, 4), np.uint8), "RGBA")
    return np.asarray(coarse.resize((width, height)))[..., :channels].copy()


@pytest.mark.parametrize(("scale", "height", "width"), [(2, 16, 16), (2, 5, 31), (4, 9, 3), (4, 1, 1)])
def test_it_is_what_the_generator_makes_of_images_of_any_size(scale, height, width):
    model, image = make_enlarger(scale), photo(height, width)
    made = gansmith.upscale(model, image).array
    assert made.shape == (scale * height, scale * width, 3)
    with torch.no_grad():
        expected = model.networks["generator"](to_float(image[None]), None)
    assert np.abs(made - ((expected[0] + 1) * 127.5).permute(1, 2, 0).numpy()).max() <= 0.51
    assert np.array_equal(model.upscale(image[None])[0], made)
    assert not np.array_equal(gansmith.upscale(model, image, raw=True).array, made)


@pytest.mark.slow
def test_a_large_image_goes_in_tiles_of_one_size_and_comes_out_nearly_as_the_whole(enlarger, monkeypatch):
    image = photo(90, 120)
    whole = gansmith.upscale(enlarger, image).array.astype(int)
    monkeypatch.setattr(tiles, "TILE_PX", 64)
    monkeypatch.setattr(tiles, "OVERLAP_PX", 32)
    shapes = set()
    hook = enlarger.networks["generator"].register_forward_hook(lambda _, __, out: shapes.add(tuple(out.shape[2:])))
    tiled = gansmith.upscale(enlarger, image).array
    hook.remove()
    assert shapes == {(64, 64)}, "tiles have their size in the result"
    assert np.abs(tiled - whole).mean() < 1


def test_alpha_is_enlarged_by_interpolation_and_changes_no_colour(enlarger):
    image = photo(16, 24, 4)
    made = gansmith.upscale(enlarger, image).array
    alpha = Image.fromarray(image[..., 3]).resize((48, 32), Image.Resampling.BICUBIC)
    assert np.array_equal(made[..., 3], np.asarray(alpha))
    assert np.array_equal(made[..., :3], gansmith.upscale(enlarger, image[..., :3]).array)
    gray = gansmith.upscale(make_enlarger(2, 1), image).array
    assert np.array_equal(gray[..., 0], gray[..., 2])
    assert np.array_equal(gray[..., 3], np.asarray(alpha))
    four = gansmith.upscale(make_enlarger(2, 4), image).array
    assert not np.array_equal(four[..., 3], np.asarray(alpha)), "its own channel"


def test_exif_rotation_is_honoured(enlarger, tmp_path):
    image = Image.fromarray(photo(8, 12))
    exif = Image.Exif()
    exif[0x0112] = 6
    image.save(tmp_path / "turned.png", exif=exif)
    upright = np.asarray(image.transpose(Image.Transpose.ROTATE_270))
    made = gansmith.upscale(enlarger, tmp_path / "turned.png").array
    assert np.array_equal(made, gansmith.upscale(enlarger, upright).array)


def test_models_and_images_that_do_not_fit_are_refused(refused, enlarger, model, monkeypatch):
    image = photo(8, 8)
    for other in (model, make_translator("deblur"), make_translator("upscale2")):
        with refused("model.other_method"):
            gansmith.upscale(other, image)
        with refused("model.other_method"):
            other.upscale(image[None])
    with refused("model.other_method"):
        gansmith.translate(enlarger, image)
    with refused("model.images_shape"):
        enlarger.upscale(image[None] / 255)
    monkeypatch.setattr("gansmith.inference.upscale.LARGEST_PIXELS", 100)
    with refused("data.enlarged_too_large"):
        gansmith.upscale(enlarger, image)


def test_upscaled_files_and_folders(refused, enlarger, tmp_path):
    (tmp_path / "a").mkdir()
    for name in ("x.png", "y.jpg"):
        Image.fromarray(photo(8, 8)).save(tmp_path / "a" / name)
    (tmp_path / "a" / "bad.png").write_bytes(b"no image")
    left_out: list[str] = []
    written = api.upscale_files(enlarger, [tmp_path / "a"], tmp_path / "out", on_left_out=left_out.append)
    assert [path.name for path in written.files] == ["x.png", "y.jpg"]
    assert len(left_out) == 1
    with refused("data.empty"):
        api.upscale_files(enlarger, [], tmp_path / "other")
    with refused("data.unreadable_image"):
        api.upscale_files(enlarger, [tmp_path / "a/bad.png"], tmp_path / "other")


@pytest.mark.slow
def test_the_verb_and_a_model_folder_without_data_or_recipe(shell, enlarger, tmp_path):
    folder = enlarger.save(tmp_path / "model")
    image = photo(8, 12)
    Image.fromarray(image).save(tmp_path / "photo.png")
    assert_writes_pictures(shell, "upscale", folder, "upscaled")
    with Image.open(tmp_path / "upscaled" / "photo.png") as made:
        assert np.array_equal(np.asarray(made), gansmith.upscale(load_model(folder, "cpu"), image).array)


@pytest.mark.slow
def test_training_from_the_command_line(shell, tmp_path):
    (tmp_path / "photos").mkdir()
    for number in range(6):
        Image.fromarray(photo(16, 16)).save(tmp_path / "photos" / f"{number}.png")
    words = ("base_channels=4", "blocks=1", "size=16", "batch_size=4", "fixed_images=2", "previews=1", "checkpoints=1")
    with with_results():
        code, out, err = shell(
            "train", "photos", "--recipe", "srresnet", "scale=2", "--steps", 2, *words, "--out", "run", "--holdout", 0.3
        )
    assert (code, out) == (0, "run\n"), err
    assert "gansmith upscale run IMAGES" in err
    card = (tmp_path / "run" / "model" / "README.md").read_text()
    assert "gansmith upscale FOLDER photo.png --out upscaled" in card
    code, _, err = shell(
        "train", "photos", "--recipe", "srgan", "scale=2", "--steps", 2, *words, "--init-from", "run", "--out", "sharp"
    )
    assert code == 0, err
    assert set(api.load("sharp").networks) == {"generator", "generator-raw", "discriminator"}
