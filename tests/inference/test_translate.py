"""Translation of images of any size: tiles, alpha, rotation, masks, and what is refused."""

import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

import gansmith
from gansmith import api
from gansmith.data.base import DataSpec
from gansmith.imaging import tiles
from gansmith.imaging.tensors import to_float
from gansmith.imaging.tiles import Tiling, in_tiles
from gansmith.inference.load import load_model
from gansmith.inference.model import Model
from gansmith.recipes.load import load_recipe
from small_models import assert_writes_pictures, make_translator
from small_runs import with_results

RNG = np.random.default_rng(0)


@pytest.fixture(autouse=True)
def _same_images_in_any_order(monkeypatch):
    monkeypatch.setitem(globals(), "RNG", np.random.default_rng(0))


@pytest.fixture(scope="module")
def colouriser() -> Model:
    return make_translator()


def photo(height: int, width: int, channels: int = 3) -> np.ndarray:
    coarse = Image.fromarray(RNG.integers(0, 256, (height // 4 + 2, width // 4 + 2, 4), np.uint8), "RGBA")
    return np.asarray(coarse.resize((width, height)))[..., :channels].copy()


def test_it_is_what_the_generator_makes_of_the_task_s_source(colouriser):
    image = photo(32, 48)
    made = gansmith.translate(colouriser, image).array
    source = colouriser.method.config.task.prepare(to_float(image[None]))
    with torch.no_grad():
        expected = colouriser.networks["generator"](source, None)
    assert np.abs(made - ((expected[0] + 1) * 127.5).permute(1, 2, 0).numpy()).max() <= 0.5 + 1e-3
    assert made.std() > 5
    gray = np.asarray(Image.fromarray(image).convert("L"))[..., None]
    assert np.abs(gansmith.translate(colouriser, gray).array.astype(int) - made).mean() < 1, "colour is turned gray"


@pytest.mark.parametrize(("height", "width"), [(16, 16), (19, 33), (5, 70), (61, 4)])
def test_any_size_comes_back(colouriser, height, width):
    assert gansmith.translate(colouriser, photo(height, width)).array.shape == (height, width, 3)


def test_tiles_cover_everything_once_and_fade():
    for length, step in ((640, 16), (1000, 8), (512, 512), (3008, 16), (520, 1)):
        tiling = Tiling.of(length, step)
        total = np.zeros(length)
        for start, weights in zip(tiling.starts, tiling.weights(), strict=True):
            assert start % step == 0
            assert len(weights) == tiling.tile
            total[start : start + tiling.tile] += weights
        assert total == pytest.approx(np.ones(length), abs=1e-5)
        overlaps = [
            before + tiling.tile - after for before, after in zip(tiling.starts, tiling.starts[1:], strict=False)
        ]
        assert all(overlap >= tiles.OVERLAP_PX for overlap in overlaps)


@pytest.mark.parametrize("scale", [1, 2])
def test_tiles_of_a_pointwise_map_are_the_map_of_the_whole(monkeypatch, scale):
    monkeypatch.setattr(tiles, "TILE_PX", 48)
    monkeypatch.setattr(tiles, "OVERLAP_PX", 16)
    image, seen = photo(136, 200), []

    def work(tile: np.ndarray) -> np.ndarray:
        seen.append(tile.shape)
        return (255.0 - tile).repeat(scale, 0).repeat(scale, 1).astype(np.float32)

    made = in_tiles(image, 8, scale, work, 3)
    assert np.array_equal(made, (255 - image).repeat(scale, 0).repeat(scale, 1))
    assert len(seen) == 4 * 6
    assert set(seen) == {(48, 48, 3)}


def test_a_tiled_translation_is_near_to_that_of_the_whole(colouriser, monkeypatch):
    image = photo(160, 192)
    whole = gansmith.translate(colouriser, image).array.astype(int)
    monkeypatch.setattr(tiles, "TILE_PX", 96)
    monkeypatch.setattr(tiles, "OVERLAP_PX", 32)
    tiled = gansmith.translate(colouriser, image).array
    assert np.abs(tiled - whole).mean() < 1
    assert not np.array_equal(tiled, whole)


@pytest.mark.slow
def test_alpha_is_kept_and_changes_no_colour(colouriser):
    image = photo(32, 32, 4)
    made = gansmith.translate(colouriser, image).array
    assert np.array_equal(made[..., 3], image[..., 3])
    assert np.array_equal(made[..., :3], gansmith.translate(colouriser, image[..., :3]).array)
    doubled = gansmith.translate(make_translator("upscale2"), image).array
    assert doubled.shape == (64, 64, 4)
    gray = gansmith.translate(make_translator("deblur", channels=1), image).array
    assert np.array_equal(gray[..., 0], gray[..., 2])
    assert np.array_equal(gray[..., 3], image[..., 3])
    four = make_translator("deblur", channels=4)
    assert not np.array_equal(gansmith.translate(four, image).array[..., 3], image[..., 3]), "its own channel"


def test_exif_rotation_is_honoured(colouriser, tmp_path):
    image = Image.fromarray(photo(32, 48))
    exif = Image.Exif()
    exif[0x0112] = 6
    image.save(tmp_path / "turned.png", exif=exif)
    upright = np.asarray(image.transpose(Image.Transpose.ROTATE_270))
    made = gansmith.translate(colouriser, tmp_path / "turned.png").array
    assert np.array_equal(made, gansmith.translate(colouriser, upright).array)


@pytest.mark.parametrize(("task", "scale"), [("deblur", 1), ("denoise", 1), ("upscale2", 2), ("upscale4", 4)])
def test_what_was_lost_already_is_not_lost_again(task, scale):
    model, image = make_translator(task), photo(32, 48)
    made = gansmith.translate(model, image).array
    assert made.shape == (32 * scale, 48 * scale, 3)
    source = to_float(image[None])
    if scale > 1:
        size = (32 * scale, 48 * scale)
        source = torch.nn.functional.interpolate(source, size, mode="bicubic", align_corners=False).clamp(-1, 1)
    with torch.no_grad():
        expected = model.networks["generator"](source, None)
    assert np.abs(made - ((expected[0] + 1) * 127.5).permute(1, 2, 0).numpy()).max() <= 0.51


def test_drawn_lines_are_taken_as_they_are():
    model, drawing = make_translator("edges"), np.full((32, 32, 1), 255, np.uint8)
    drawing[8:24, 16] = 0
    found, taken = (gansmith.translate(model, drawing, as_source=given).array for given in (False, True))
    assert not np.array_equal(found, taken)
    with torch.no_grad():
        expected = model.networks["generator"](to_float(drawing[None]), None)
    assert np.abs(taken - ((expected[0] + 1) * 127.5).permute(1, 2, 0).numpy()).max() <= 0.51


def test_a_hole_is_filled_and_the_rest_left_as_it_was(tmp_path):
    model, image = make_translator("inpaint"), photo(40, 32)
    mask = np.zeros((40, 32), bool)
    mask[10:20, 5:20] = True
    Image.fromarray(image).save(tmp_path / "image.png")
    Image.fromarray(mask.astype(np.uint8) * 255).save(tmp_path / "mask.png")
    made = gansmith.translate(model, tmp_path / "image.png", mask=tmp_path / "mask.png").array
    assert np.array_equal(made[~mask], image[~mask])
    assert not np.array_equal(made[mask], image[mask])
    other = image.copy()
    other[mask] = 0
    assert np.array_equal(gansmith.translate(model, other, mask=mask).array, made), "what was in the hole is not seen"


def test_what_cannot_be_translated_is_said(refused, colouriser, model, tmp_path, monkeypatch):
    image = photo(32, 32)
    with refused("model.other_method"):
        gansmith.translate(model, image)
    with refused("data.image_too_small_for_model"):
        gansmith.translate(colouriser, photo(3, 30))
    with refused("data.unreadable_image"):
        gansmith.translate(colouriser, tmp_path / "none.png")
    with refused("data.image_array_shape"):
        gansmith.translate(colouriser, np.zeros((4, 4)))
    with refused("data.mask_not_used"):
        gansmith.translate(colouriser, image, mask=np.zeros((32, 32), bool))
    filler = make_translator("inpaint")
    with refused("data.mask_needed"):
        gansmith.translate(filler, image)
    with refused("data.mask_size"):
        gansmith.translate(filler, image, mask=np.zeros((8, 8), bool))
    with refused("data.no_source_image"):
        gansmith.translate(filler, image, mask=np.zeros((32, 32), bool), as_source=True)
    monkeypatch.setattr("gansmith.inference.translate.LARGEST_PIXELS", 4000)
    with refused("data.enlarged_too_large"):
        gansmith.translate(make_translator("upscale2"), image)


def test_translated_files_and_folders(refused, colouriser, tmp_path):
    for name in ("a/x.png", "a/y.jpg", "b/x.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        Image.fromarray(photo(16, 16)).save(tmp_path / name)
    (tmp_path / "a" / "bad.png").write_bytes(b"no image")
    left_out: list[str] = []
    out = tmp_path / "out"
    written = api.translate_files(colouriser, [tmp_path / "a", tmp_path / "b/x.png"], out, on_left_out=left_out.append)
    assert [str(path.relative_to(out)) for path in written.files] == ["a/x.png", "a/y.jpg", "x.png"]
    assert len(left_out) == 1
    assert "bad.png" in left_out[0]
    with refused("output.exists"):
        api.translate_files(colouriser, [tmp_path / "a"], out)
    with refused("output.exists"):
        api.translate_files(colouriser, [tmp_path / "b/x.png"], out / "x.png")
    with refused("data.unreadable_image"):
        api.translate_files(colouriser, [tmp_path / "a/bad.png"], tmp_path / "other")
    with refused("data.empty"):
        api.translate_files(colouriser, [], tmp_path / "other")
    (tmp_path / "worse").mkdir()
    (tmp_path / "worse" / "bad.png").write_bytes(b"no image")
    with refused("data.none_readable"):
        api.translate_files(colouriser, [tmp_path / "worse"], tmp_path / "other")


def test_a_saved_model_translates_alike(refused, colouriser, tmp_path):
    image = photo(32, 32)
    again = load_model(colouriser.save(tmp_path / "model"), "cpu")
    assert np.array_equal(gansmith.translate(again, image).array, gansmith.translate(colouriser, image).array)
    with refused("model.other_method"):
        again.sample(4)


@pytest.mark.slow
def test_the_verb(shell, colouriser, tmp_path):
    Image.fromarray(photo(16, 24)).save(tmp_path / "photo.png")
    assert_writes_pictures(shell, "translate", colouriser.save(tmp_path / "model"), "translated")
    with Image.open(tmp_path / "translated" / "photo.png") as image:
        assert image.size == (24, 16)


@pytest.mark.slow
def test_training_from_the_command_line(shell, tmp_path):
    (tmp_path / "photos").mkdir()
    for number in range(6):
        Image.fromarray(photo(16, 16)).save(tmp_path / "photos" / f"{number}.png")
    words = ("base_channels=4", "size=8", "batch_size=4", "fixed_images=2", "previews=1", "checkpoints=1")
    with with_results():
        code, out, err = shell(
            "train", "photos", "--task", "inpaint", "--steps", 2, *words, "--out", "run", "--holdout", 0.3
        )
    assert (code, out) == (0, "run\n"), err
    assert "gansmith translate run IMAGES" in err
    assert api.load("run").method.config.task.kind == "inpaint"
    assert (tmp_path / "run" / "film.gif").is_file()
    card = (tmp_path / "run" / "model" / "README.md").read_text()
    assert "gansmith translate FOLDER photo.png --out translated" in card
    assert "gansmith sample" not in card
    code, _, err = shell("evaluate", "run")
    assert code == 2
    assert "2 images are too few to evaluate translations; at least 10 are needed" in err
    assert "training extractor" not in err, "refused before anything is computed"
    _, _, err = shell("train", "photos", "--task", "deblur", "--patience", 2, "--steps", 2, *words, "--out", "patient")
    assert "this run has no snapshots, so --patience and --on-collapse have no effect" in " ".join(err.split())
    assert shell("train", "photos", "--task", "inpaint", "--pairs")[0] == 2
    code, _, err = shell("train", "photos", "--task", "colourize")
    assert code == 2
    assert "unknown task 'colourize' (did you mean 'colorize'?)" in err
    shutil.copytree(tmp_path / "photos", tmp_path / "sharp")
    code, _, err = shell("train", "photos", "sharp", "--pairs", "--steps", 2, *words, "--out", "two")
    assert code == 0, err
    assert api.load("two").record.data.pairs


@pytest.mark.parametrize(("recipe", "overrides", "height", "code"), [
    ("translate", ("generator=dcgan",), 16, "recipe.generator_from_noise"),
    ("translate", ("penalties=r1",), 16, "recipe.penalty_with_batch_norm"),
    ("translate", ("discriminator.halvings=3",), 16, "recipe.too_many_halvings"),
    ("translate", (), 33, "recipe.size_unfit_for_network"),
    ("dcgan", ("generator={kind: unet}",), 16, "recipe.generator_from_images"),
])  # fmt: skip
def test_parts_that_do_not_fit_a_translation(refused, recipe, overrides, height, code):
    with refused(code):
        load_recipe(recipe, overrides).method.build(DataSpec("toy", height, 16, 3, 96, (), "0123"))


def test_gray_targets_give_gray_results():
    model, image = make_translator("deblur"), np.random.default_rng(0).integers(0, 256, (16, 16, 3), np.uint8)
    coloured = gansmith.translate(model, image).array
    model.data = replace(model.data, gray_sides=(False, True))
    gray = gansmith.translate(model, image).array
    assert gray.shape == (16, 16, 1)
    assert (np.abs(gray[..., 0] - coloured.mean(axis=2)) <= 0.5).all()


def test_after_pairs_with_larger_targets_results_are_larger(colouriser):
    enlarging = make_translator()
    enlarging.data = replace(enlarging.data, source_scale=2)
    image = photo(20, 24, 4)
    large = image.repeat(2, axis=0).repeat(2, axis=1)
    made = gansmith.translate(enlarging, image).array
    assert made.shape == (40, 48, 4)
    assert (made[..., :3] == gansmith.translate(colouriser, large).array[..., :3]).all()
