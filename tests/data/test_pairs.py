"""Pairs: side by side in one image, or in two folders; a source stays the source of its target."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from gansmith import api
from gansmith.cli.options import data_overrides
from gansmith.cli.train import translation_recipe
from gansmith.core.errors import DataError, GansmithError
from gansmith.core.noise import Noise
from gansmith.data.base import DataOptions, DataSpec
from gansmith.data.batches import BatchStream
from gansmith.data.open import open_data
from gansmith.data.sources.domains import Domains
from gansmith.data.sources.layouts import sides_of
from gansmith.data.sources.pairs import FolderPairs
from gansmith.imaging.tensors import to_float, to_uint8
from gansmith.recipes.load import load_recipe
from small_runs import small, train

PAIRS = DataOptions(pairs=True)


def picture(number: int, height: int, width: int, *, left: int = 0) -> np.ndarray:
    """Return an image whose first pixel tells the number, and whose colour tells the side."""
    image = np.full((height, width, 3), (left, 90, number), np.uint8)
    image[:, 0, 1] = 200
    return image


def save(path: Path, pixels: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


@pytest.fixture
def beside(tmp_path) -> Path:
    """Twelve images of 16 x 32: a red source and its target."""
    for number in range(12):
        both = np.concatenate([picture(number * 20, 16, 16, left=250), picture(number * 20, 16, 16)], axis=1)
        save(tmp_path / "beside" / f"{number:02d}.png", both)
    return tmp_path / "beside"


@pytest.fixture
def apart(tmp_path) -> str:
    """The same in two folders, the sources as JPEG and at half the size."""
    for number in range(12):
        save(tmp_path / "sources" / f"{number:02d}.bmp", picture(number * 20, 8, 8, left=250))
        save(tmp_path / "targets" / f"{number:02d}.png", picture(number * 20, 16, 16))
    return f"pairs:{tmp_path}/sources::{tmp_path}/targets"


def halves(images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    middle = images.shape[2] // 2
    return images[:, :, :middle], images[:, :, middle:]


@pytest.mark.slow
def test_a_pair_is_stored_side_by_side_and_size_means_one_image(prose, beside):
    data = open_data(beside, PAIRS)
    assert (data.spec.height, data.spec.width, data.spec.pairs) == (16, 32, True)
    prose("summary of pairs", data.summary.lines()[0])
    source, target = halves(data.read(range(12)))
    assert (source[:, 3, 3, 0] == 250).all()
    assert (target[:, 3, 3, 0] == 0).all()
    smaller = open_data(beside, DataOptions(pairs=True, size=8))
    assert (smaller.spec.height, smaller.spec.width) == (8, 16)
    single = open_data(beside)
    assert (single.spec.height, single.spec.width, single.spec.pairs) == (16, 32, False)


def test_each_half_is_cut_around_its_own_centre(tmp_path):
    for number in range(4):
        wide = np.zeros((16, 64, 3), np.uint8)
        wide[:, :32], wide[:, 32:] = (250, 0, number), (0, 250, number)
        save(tmp_path / "wide" / f"{number}.png", wide)
    data = open_data(tmp_path / "wide", DataOptions(pairs=True, size=16, fit="crop"))
    source, target = halves(data.read(range(4)))
    assert (source[..., 0] == 250).all()
    assert (target[..., 1] == 250).all()


@pytest.mark.slow
def test_two_folders_are_joined_by_name_at_the_size_of_the_targets(apart, beside):
    data = open_data(apart, PAIRS)
    assert data.spec.name == "sources-to-targets"
    source, target = halves(data.read(range(12)))
    assert (source[:, 8, 8] == [[250, 90, number * 20] for number in range(12)]).all()
    assert np.array_equal(target, halves(open_data(beside, PAIRS).read(range(12)))[1])


def test_mirroring_turns_each_image_of_a_pair_and_does_not_exchange_them(beside, runtime):
    data = open_data(beside, PAIRS)
    batch = to_uint8(BatchStream(data, 12, 0, runtime, mirror=True).read(0).images)
    source, target = halves(batch)
    assert (source[:, 3, 3, 0] == 250).all()
    assert (target[:, 3, 3, 0] == 0).all()
    turned = source[:, 0, -1, 1] == 200
    assert 0 < turned.sum() < 12
    assert np.array_equal(turned, target[:, 0, -1, 1] == 200), "a source turns with its target"
    assert ((source[:, 0, 0, 1] == 200) != turned).all()


@pytest.mark.slow
def test_a_run_on_two_folders_resumes(apart, tmp_path, monkeypatch):
    monkeypatch.setattr("gansmith.api.write_results", lambda *_: None)
    words = small("translate", "pairs=true", "method.task=null")
    words = [word for word in words if not word.startswith("task=")]
    run = train(apart, tmp_path / "run", "translate", overrides=words, stop_at=9)
    assert not run.finished
    assert api.resume(run.folder).finished
    assert load_recipe(str(run.folder / "recipe.yaml")).data.size == 8
    with Image.open(run.folder / "samples" / "000000012-ema.png") as grid:
        assert np.asarray(grid)[5, 5, 0] > 200, "the first cell begins with a source"


@pytest.mark.parametrize(
    ("break_it", "code"),
    [
        (lambda at: [path.unlink() for path in sorted((at / "sources").iterdir())[:7]], "data.without_partner"),
        (lambda at: save(at / "targets/03.jpg", picture(1, 16, 16)),
         "data.ambiguous_partner"),
        (lambda at: [save(at / f"targets/0{n}.png", picture(1, 16, 24)) for n in range(3)],
         "data.too_many_bad"),
    ],
)  # fmt: skip
def test_pairs_that_do_not_match_are_named(refused, break_it, code, apart, tmp_path):
    break_it(tmp_path)
    with refused(code, ["(?<=the full list is in ).*"]):
        open_data(apart, PAIRS)


def test_images_without_a_partner_are_left_out_and_named(apart, tmp_path):
    (tmp_path / "sources/03.bmp").unlink()
    (tmp_path / "targets/04.png").unlink()
    data = open_data(apart, PAIRS)
    assert len(data) == 10
    assert "1 image of sources without a partner left out: 04.bmp" in data.summary.notes
    assert "1 image of targets without a partner left out: 03.png" in data.summary.notes
    for number in (5, 6, 7, 8, 9):
        (tmp_path / f"sources/0{number}.bmp").unlink()
    with pytest.raises(DataError, match="to go on with 5 pairs: allow_left_out=true"):
        open_data(apart, PAIRS)
    assert len(open_data(apart, DataOptions(pairs=True, allow_left_out=True))) == 5


@pytest.mark.parametrize("form", ["IMG_{:04d}_x4", "img{}", "{:02d}"])
def test_partners_with_other_zeros_and_capitals(tmp_path, form):
    for number in (3, 7, 12):
        save(tmp_path / f"sources/{number}.bmp", picture(number, 16, 16))
        save(tmp_path / f"targets/{form.format(number)}.png", picture(number + 1, 16, 16))
    assert len(open_data(f"pairs:{tmp_path}/sources::{tmp_path}/targets", PAIRS)) == 3


def test_one_folder_as_both_sides(refused, apart, tmp_path):
    with refused("data.same_folder"):
        open_data(f"pairs:{tmp_path}/sources::{tmp_path}/sources/", PAIRS)


def test_a_folder_of_several_sizes_beside_the_targets_says_which_to_pass(refused, tmp_path):
    """DIV2K has LR/X2 and LR/X4 beside HR."""
    for number in range(4):
        for side, size in (("LR/X2", 16), ("LR/X4", 8), ("HR", 32)):
            save(tmp_path / side / f"{number}.png", picture(number, size, size))
    with refused("data.without_partner"):
        open_data(f"pairs:{tmp_path}/LR::{tmp_path}/HR", PAIRS)
    assert len(open_data(f"pairs:{tmp_path}/LR/X2::{tmp_path}/HR", PAIRS)) == 4


def test_addresses_of_pairs_that_cannot_be(refused, apart, tmp_path):
    with refused("data.pairs_address"):
        open_data("pairs:x", PAIRS)
    with refused("data.not_a_folder"):
        open_data(f"pairs:{tmp_path}/nothing::{tmp_path}/targets", PAIRS)
    with refused("data.pairs_as_single_images"):
        open_data(apart)


@pytest.mark.slow
def test_a_task_and_pairs_exclude_each_other_and_one_is_needed(refused, beside):
    paired, task = load_recipe("translate", ("method.task=null",)), load_recipe("translate")
    with refused("recipe.no_task"):
        paired.method.build(open_data(beside).spec)
    with refused("recipe.task_with_pairs"):
        task.method.build(open_data(beside, PAIRS).spec)


@pytest.mark.slow
def test_direction_says_which_side_is_the_target(beside, apart, tmp_path):
    """Targets may be at the left, or in the first folder; the cache has the source at the left."""
    turned = DataOptions(pairs=True, direction="target-source")
    usual, other = open_data(beside, PAIRS), open_data(beside, turned)
    assert usual.spec.fingerprint != other.spec.fingerprint
    assert np.array_equal(np.concatenate(halves(usual.read(range(12)))[::-1], axis=2), other.read(range(12)))
    folders = open_data(f"pairs:{tmp_path}/targets::{tmp_path}/sources", turned)
    assert np.array_equal(folders.read(range(12)), open_data(apart, PAIRS).read(range(12)))


@pytest.mark.parametrize(
    ("sources", "targets"),
    [
        ("{}_lr", "{}"),
        ("{}x4", "{}"),
        ("in_{}", "out_{}"),
        ("{}_leftImg8bit", "{}_gtFine"),
        ("photo-{}-a", "mask-{}-b"),
    ],
)
def test_partners_may_differ_by_what_all_of_a_side_share(tmp_path, sources, targets):
    for number in (3, 14, 159):
        save(tmp_path / "a" / f"{sources.format(number)}.png", picture(number, 8, 8, left=250))
        save(tmp_path / "b" / f"{targets.format(number)}.png", picture(number, 8, 8))
    data = open_data(f"pairs:{tmp_path}/a::{tmp_path}/b", PAIRS)
    source, target = halves(data.read(range(3)))
    assert sorted(source[:, 3, 3, 2]) == [3, 14, 159]
    assert np.array_equal(source[:, 3, 3, 2], target[:, 3, 3, 2])


def test_a_gray_source_of_a_coloured_target(tmp_path):
    for number in range(3):
        save(tmp_path / "a" / f"{number}.png", np.full((8, 8), number, np.uint8))
        save(tmp_path / "b" / f"{number}.png", picture(number, 8, 8))
    assert open_data(f"pairs:{tmp_path}/a::{tmp_path}/b", PAIRS).spec.channels == 3


@pytest.fixture
def small_and_large(tmp_path) -> str:
    draw = np.random.default_rng(0)
    for number in range(6):
        save(tmp_path / "lr" / f"{number}.png", draw.integers(0, 256, (8, 8, 3), np.uint8))
        save(tmp_path / "hr" / f"{number}.png", draw.integers(0, 256, (32, 32, 3), np.uint8))
    return f"pairs:{tmp_path}/lr::{tmp_path}/hr"


@pytest.mark.parametrize("crop_px", [None, 16])
def test_super_resolution_learns_from_the_small_images_themselves(small_and_large, tmp_path, crop_px):
    data = open_data(small_and_large, PAIRS)
    assert data.spec.source_scale == 4
    method = load_recipe("srresnet", (f"crop_px={crop_px or 'null'}", "base_channels=4", "blocks=1")).method.build(
        data.spec
    )
    noise = Noise(0, 0, 0, "task", 0, range(6), 6, torch.device("cpu"))
    sources, targets = method.examples(to_float(data.read(range(6))), noise)
    side = crop_px or 32
    assert (sources.shape[2:], targets.shape[2:]) == ((side // 4,) * 2, (side,) * 2)
    with Image.open(tmp_path / "lr" / "0.png") as image:
        known = np.asarray(image)
    found = to_uint8(sources[:1])[0]
    places = [(top, left) for top in range(9 - side // 4) for left in range(9 - side // 4)]
    assert any(np.array_equal(known[top : top + side // 4, left : left + side // 4], found) for top, left in places)


def test_super_resolution_refuses_pairs_of_another_scale(refused, small_and_large, beside):
    with refused("recipe.pairs_of_other_scale"):
        load_recipe("srresnet", ("scale=2",)).method.build(open_data(small_and_large, PAIRS).spec)
    with refused("recipe.pairs_of_other_scale"):
        load_recipe("srresnet").method.build(open_data(beside, PAIRS).spec)


def test_sides_of_a_broken_factor_are_said_and_refused_for_super_resolution(tmp_path):
    for name, side in (("lr", 16), ("hr", 50)):
        (tmp_path / name).mkdir()
        for number in range(4):
            Image.new("RGB", (side, side), (9 * number, 0, 0)).save(tmp_path / name / f"{number}.png")
    data = open_data(f"pairs:{tmp_path / 'lr'}::{tmp_path / 'hr'}", PAIRS)
    note = "sources and targets of other sizes, such as 16 x 16 and 50 x 50 px: both are fitted to one size"
    assert note in data.summary.notes
    with pytest.raises(GansmithError, match="are not 2 or 4 times larger than their sources"):
        load_recipe("srresnet").method.build(data.spec)


def test_the_words_of_the_command_line(refused, small_and_large, tmp_path):
    assert translation_recipe("srresnet", None, True) == ("srresnet", ["pairs=true"])
    assert translation_recipe("auto", None, True) == ("translate", ["pairs=true", "method.task=null"])
    with refused("cli.pairs_of_other_method"):
        translation_recipe("dcgan", None, True)
    with refused("cli.direction_without_pairs"):
        data_overrides(None, None, "target-source")
    (tmp_path / "set").mkdir()
    for side in ("lr", "hr"):
        (tmp_path / side).rename(tmp_path / "set" / side.upper())
    assert sides_of(tmp_path / "set") == (tmp_path / "set" / "LR", tmp_path / "set" / "HR")
    assert sides_of(tmp_path / "set" / "LR") is None


def test_two_sets_are_never_mixed_by_a_recipe_for_one(refused, small_and_large, tmp_path):
    with refused("recipe.domains_of_other_method"):
        train(Domains(f"{tmp_path}/lr", f"{tmp_path}/hr"), tmp_path / "run", "srresnet", overrides=["size=32"])


@pytest.mark.parametrize("gray_side", [0, 1, None])
def test_a_side_of_gray_images_is_known(tmp_path, gray_side):
    for number in range(3):
        for side, name in enumerate(("a", "b")):
            pixels = np.random.default_rng(number + 9 * side).integers(0, 256, (16, 16, 3), np.uint8)
            save(tmp_path / name / f"{number}.png", pixels[..., :1].repeat(3, 2) if side == gray_side else pixels)
    expected = (gray_side == 0, gray_side == 1)
    pairs = open_data(FolderPairs(tmp_path / "a", tmp_path / "b"), PAIRS)
    assert pairs.spec.gray_sides == expected
    assert DataSpec.from_json(pairs.spec.to_json()).gray_sides == expected
    assert open_data(Domains(str(tmp_path / "a"), str(tmp_path / "b"))).spec.gray_sides == expected


@pytest.mark.parametrize("form", ["png", "jpg"])
def test_the_limit_of_pixels_holds_for_each_image_of_a_pair(tmp_path, refused, form):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        for number in range(3):
            Image.new("RGB", (64, 64), (number, 9, 9)).save(tmp_path / name / f"{number}.{form}")
    sides = FolderPairs(tmp_path / "a", tmp_path / "b")
    assert len(open_data(sides, PAIRS)) == 3
    fewer = PAIRS.model_copy(update={"max_pixels": 2000})
    if form == "jpg":  # decoded at half their sides
        assert open_data(sides, fewer).spec.height == 32
    else:
        with refused("data.too_many_bad"):
            open_data(sides, fewer)


@pytest.mark.parametrize("ending", [".npy", ".png", ".tif"])
def test_two_folders_of_values_keep_them_with_a_range_for_each_side(tmp_path, ending):
    draw = np.random.default_rng(0)
    counts = draw.integers(100, 4000, (6, 16, 16), np.uint16)
    targets = draw.integers(0, 60_000, (6, 32, 32), np.uint16) if ending == ".png" else draw.normal(0, 9, (6, 32, 32))
    for side, images in (("a", counts), ("b", targets if ending == ".png" else targets.astype(np.float32))):
        for number, image in enumerate(images):
            path = tmp_path / side / f"{number}{ending}"
            path.parent.mkdir(parents=True, exist_ok=True)
            np.save(path, image) if ending == ".npy" else Image.fromarray(image).save(path)
    data = open_data(f"pairs:{tmp_path / 'a'}::{tmp_path / 'b'}", DataOptions(pairs=True))
    assert (data.spec.height, data.spec.width, data.spec.source_scale) == (32, 64, 2)
    sources, made = halves(data.read(range(6)))
    back = data.spec.source_values.in_units(sources)[:, ::2, ::2, 0]
    assert np.abs(back - counts.astype(float)).max() <= (0 if ending == ".png" else 0.5)
    step = (data.spec.values.high[0] - data.spec.values.low[0]) / 65535
    assert np.abs(data.spec.values.in_units(made)[..., 0] - targets.astype(float)).max() <= step


def test_notes_on_each_side_are_kept(tmp_path):
    """Images of other splits are not left out without a word."""
    for side in ("A", "B"):
        for part, count in (("train", 4), ("test", 2)):
            for number in range(count):
                save(tmp_path / side / part / f"{number}.png", picture(number * 20, 16, 16))
    data = open_data(f"pairs:{tmp_path}/A::{tmp_path}/B", DataOptions(pairs=True, size="8"))
    assert data.spec.count == 4
    notes = [note.partition("; ")[0] for note in data.summary.not_used() + list(data.summary.notes)]
    assert {f"{side}: splits: trained on train/, not on test/ with 2 images" for side in "AB"} <= {*notes}


@pytest.mark.parametrize(("frames", "step"), [("first", None), ("all", 1), ("every:3", 3)])
@pytest.mark.parametrize("forms", [("tif", "tif"), ("npy", "npy"), ("tif", "npy")])
def test_frames_of_both_sides_are_pairs(tmp_path, frames, step, forms):
    if frames == "first" and "npy" in forms:
        pytest.skip("every image of an array is one anyway")
    stacks = np.random.default_rng(0).integers(0, 256, (2, 3, 12, 16, 16), np.uint8)  # side, file, frame
    for side, form in enumerate(forms):
        folder = tmp_path / f"{side}"
        folder.mkdir()
        for number, stack in enumerate(stacks[side]):
            file = folder / f"{number}.{form}"
            first, *rest = map(Image.fromarray, stack)
            np.save(file, stack) if form == "npy" else first.save(file, save_all=True, append_images=rest)
    data = open_data(f"pairs:{tmp_path}/0::{tmp_path}/1", DataOptions(pairs=True, frames=frames))
    wanted = stacks[:, :, :1] if step is None else stacks[:, :, ::step]
    both = np.concatenate([side.reshape(-1, 16, 16) for side in wanted][:2], axis=2)
    assert (data.read(range(len(data)))[..., 0] == both).all()
