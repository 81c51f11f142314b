"""The choices of ``auto``, their reasons, and that the user's own settings stay."""

import re
from pathlib import Path

import numpy as np
import pytest
import torch

import gansmith
from gansmith import api
from gansmith.cli.plan import proposal_lines
from gansmith.core.runtime import Runtime, installed_memory_mb
from gansmith.core.schedules import Ramp
from gansmith.data.base import DataSpec
from gansmith.data.duplicates import distinct_share
from gansmith.data.find import find_source
from gansmith.data.open import open_data
from gansmith.data.peek import peek
from gansmith.recipes.layer_table import work_in
from gansmith.recipes.load import load_recipe, named_paths, parse_recipe
from gansmith.runs.length import Budget, TimeLimit
from gansmith.runs.options import RunOptions
from gansmith.training import prepare
from gansmith.training.memory import needed_mb
from gansmith.training.planning import choices, expectations, planner
from gansmith.training.planning.expectations import Expectation, expectation_for, seen_runs
from gansmith.training.planning.heuristics import (
    COMPACT,
    GPU,
    LARGE_GPU,
    MEMORY_SHARE,
    SIDES,
    gamma_for,
    lr_for,
    side_for,
    width_for,
)
from gansmith.training.planning.proposal import USERS, Proposal, RecipeBuilder
from gansmith.training.planning.resolve import prepare_run
from gansmith.training.prepare import Speed
from small_runs import Listener

REPOSITORY = Path(gansmith.__file__).parent.parent.parent
SPEED = 1000.0  # images a second, of whatever is measured
PREVENTS = "the discriminator's inputs are augmented to prevent memorization"


@pytest.fixture
def measured(monkeypatch) -> list:
    """Take ``SPEED`` for every measurement, on random images above 32 px less; the list has recipe and data spec of
    each. Start and results take no time.
    """
    calls: list = []

    def measure(recipe, data, runtime, seconds):
        calls.append((recipe, data.spec))
        area = data.spec.height * data.spec.width
        return Speed(SPEED * min(1.0, 32 * 32 / area) if data.spec.name == "random" else SPEED)

    monkeypatch.setattr(planner, "measure_speed", measure)
    monkeypatch.setattr(prepare, "train_sec", lambda limit, *_: limit.seconds)
    return calls


def images(path: Path, count: int, side: int = 16, classes: int = 0, **more) -> str:
    """Write random images, of so many classes in turn; return where."""
    pixels = np.random.default_rng(0).integers(0, 256, (count, side, more.get("width", side), 3), np.uint8)
    labels = {"labels": np.arange(count) % classes} if classes else {}
    np.savez(path / "x.npz", images=pixels, **labels)
    return str(path / "x.npz")


def propose(source: str, *overrides: str, runtime: Runtime | None = None, **length: float) -> Proposal:
    options = RunOptions(source, Budget(**length), overrides=overrides)
    return planner.propose(options, runtime or Runtime(torch.device("cpu")), lambda _: None)[0]


def choice(proposal: Proposal, what: str) -> tuple[str, str]:
    found = [(each.value, each.reason) for each in proposal.choices if each.what == what]
    assert len(found) == 1, proposal.choices
    return found[0]


@pytest.mark.slow
def test_choices_for_a_plain_set_of_images(measured, tmp_path):
    found = propose(images(tmp_path, 3000), minutes=6)
    recipe = found.recipe
    assert (recipe.name, recipe.data.size, recipe.data.channels) == ("auto", 16, 3)
    assert choice(found, "recipe")[0] == "compact"
    assert choice(found, "size") == ("16", "the size of the images")
    assert choice(found, "conditional") == ("no", "no labels")
    assert choice(found, "batch_size") == ("64", "small images: 16 px, at most 28")
    reason = f"3,000 images, each shown up to 120 times: {PREVENTS}"
    assert choice(found, "augment") == ("diffaugment", reason)
    assert choice(found, "lr") == ("0.002", "the widest map has 32 channels")
    assert choice(found, "lr of D") == ("0.002", "small images: 16 px, at most 28")
    assert choice(found, "interval") == ("8", "small images: 16 px, at most 28")
    assert choice(found, "end_norm") == ("no", "small images: 16 px, at most 28")
    assert choice(found, "detail") == ("no", "small images: 16 px, at most 28")
    assert choice(found, "kimg") == ("360", "6 minutes at 1,000 images a second as measured")
    assert (recipe.kimg, recipe.epochs) == (360, None)
    assert found.minutes == pytest.approx(6, rel=1e-3)
    assert found.memory_mb > 10
    assert found.warnings == ()
    assert found.summary[0] == "x: 3,000 images, 16 x 16, colour, no labels"
    ((probed, spec),) = measured  # the narrowest networks, on random images like the real ones
    assert (spec.name, spec.height, spec.width, spec.channels) == ("random", 16, 16, 3)
    assert probed.method.generator == recipe.method.generator


@pytest.mark.slow
@pytest.mark.parametrize(("length", "kimg", "said"), [
    ({}, 1800, "30 minutes at 1,000 images a second as measured, the default length"),
    ({"kimg": 6.4}, 6.4, "6.4 kimg"), ({"epochs": 2.56}, 1.536, "2.56 epochs of 600 images"),
    ({"steps": 3}, 0.192, "3 steps"),
])  # fmt: skip
def test_lengths(measured, tmp_path, length, kimg, said):
    found = propose(images(tmp_path, 600), **length)
    assert (found.kimg, found.recipe.kimg) == pytest.approx((kimg, kimg), abs=0.064)
    assert choice(found, "kimg")[1] == said


@pytest.mark.slow
@pytest.mark.parametrize(("count", "classes", "conditional"), [
    (600, 10, True), (100, 2, True), (98, 2, False), (600, 100, False), (505, 101, False),
])  # fmt: skip
def test_label_inputs_need_enough_images_of_each_class(measured, tmp_path, count, classes, conditional):
    found = propose(images(tmp_path, count, classes=classes), kimg=1)
    assert found.recipe.method.conditional is conditional
    least = count // classes
    text = f"{classes} classes, {least}{f' to {least + 1}' if count % classes else ''} images each"
    more = "" if conditional else "; label inputs need 2 to 100 classes with 50 images on average"
    assert choice(found, "conditional") == ("yes" if conditional else "no", text + more)


@pytest.mark.slow
def test_a_class_with_few_images_gets_a_warning(measured, tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (300, 16, 16, 3), np.uint8)
    np.savez(tmp_path / "x.npz", images=pixels, labels=np.repeat([0, 1], [290, 10]))
    found = propose(str(tmp_path / "x.npz"), kimg=1)
    assert choice(found, "conditional") == ("yes", "2 classes, 10 to 290 images each")
    assert found.warnings == ("class '1' has only 10 images: its samples will resemble them closely",)


@pytest.mark.slow
@pytest.mark.parametrize(("count", "kind"), [(40, "ada"), (500, "ada"), (2000, "ada"), (2001, None)])
def test_few_images_are_augmented(measured, tmp_path, count, kind):
    found = propose(images(tmp_path, count, side=8), kimg=10)
    augment = found.recipe.method.augment
    assert (augment and augment.kind) == kind
    if kind:
        assert choice(found, "augment")[1] == f"{count:,} images, at most 2,000: {PREVENTS}"
        assert augment.adapt_kimg == pytest.approx(found.kimg * 0.2, rel=0.01)
        assert augment.start_kimg == augment.adapt_kimg
        assert choice(found, "adapt_kimg")[1] == choice(found, "start_kimg")[1] == "20% of the length"
    assert (len(found.warnings) == 1) == (count < 100)


@pytest.mark.slow
def test_in_a_long_run_augmentation_does_not_wait_for_a_fifth_of_it(measured, tmp_path):
    found = propose(images(tmp_path, 500, side=8), kimg=4_000)
    augment = found.recipe.method.augment
    assert (augment.start_kimg, augment.adapt_kimg) == (75, 500)
    assert choice(found, "start_kimg")[1] == "20% of the length, but at most 75"
    assert choice(found, "adapt_kimg")[1] == "20% of the length, but at most 500"


@pytest.mark.slow
def test_very_few_images_get_a_warning(measured, tmp_path):
    found = propose(images(tmp_path, 40), kimg=1)
    assert found.warnings == ("40 images are very few: a model trained on fewer than 100 reproduces them",)
    assert choice(found, "batch_size") == ("32", "there are only 40 images")


@pytest.mark.slow
def test_near_copies_count_once(measured, tmp_path):
    different = np.random.default_rng(0).integers(0, 256, (300, 16, 16, 3), np.uint8)
    frames = np.repeat(different, 10, axis=0)
    np.savez(
        tmp_path / "x.npz", images=frames // 2 * 2 + np.random.default_rng(1).integers(0, 2, frames.shape, np.uint8)
    )
    found = propose(str(tmp_path / "x.npz"), kimg=1)
    assert found.recipe.method.augment.kind == "ada"
    assert "3,000 images, 300 of them distinct" in choice(found, "augment")[1]
    assert found.warnings == ("90% of the images are copies of others; find them with: gansmith data check",)


@pytest.mark.slow
@pytest.mark.parametrize("shuffled", [False, True])
def test_exact_copies_are_counted_in_all_images(measured, monkeypatch, tmp_path, shuffled):
    monkeypatch.setattr("gansmith.data.duplicates.MOST_COMPARED", 100)
    different = np.random.default_rng(0).integers(0, 256, (400, 16, 16, 3), np.uint8)
    pixels = np.repeat(different, 10, axis=0)
    np.savez(tmp_path / "x.npz", images=np.random.default_rng(1).permutation(pixels) if shuffled else pixels)
    found = propose(str(tmp_path / "x.npz"), kimg=1)
    assert choice(found, "augment")[0] == "ada"
    assert "4,000 images, 400 of them distinct" in choice(found, "augment")[1]


def test_distinct_images():
    different = np.random.default_rng(0).integers(0, 256, (10, 32, 32, 1), np.uint8)
    assert distinct_share(different) == 1
    assert distinct_share(np.concatenate([different, different[:5]])) == pytest.approx(10 / 15)
    assert distinct_share(np.repeat(different[:1], 8, axis=0)) == pytest.approx(1 / 8)


def test_plain_images_are_not_taken_for_copies():
    strokes = np.zeros((50, 32, 32, 1), np.uint8)
    for at, image in enumerate(strokes):
        image[at % 32, : at // 2 + 3] = 40
    assert distinct_share(strokes) == 1


@pytest.mark.slow
def test_speed_is_measured_as_few_images_are_trained_on(measured, tmp_path):
    propose(images(tmp_path, 40), minutes=1)
    recipe, spec = measured[0]
    assert (recipe.batch_size, recipe.method.augment.kind, spec.count) == (32, "ada", 40)
    propose(images(tmp_path, 2001), minutes=1)
    recipe, spec = measured[1]
    assert (recipe.batch_size, recipe.method.augment, spec.count) == (64, None, 64)


@pytest.mark.slow
def test_too_many_showings_of_an_image_get_a_warning(measured, tmp_path):
    assert propose(images(tmp_path, 100), kimg=1000).warnings == ()
    (warning,) = propose(images(tmp_path, 100), kimg=1010).warnings
    assert warning.startswith("each image is shown up to 10,100 times")


@pytest.mark.slow
def test_an_augmentation_by_name_is_fitted_to_the_length(measured, tmp_path):
    source = images(tmp_path, 600)
    asked, left = propose(source, "augment=ada", kimg=5), propose(source, kimg=5)
    assert asked.recipe == left.recipe
    assert choice(asked, "augment") == ("ada", USERS)
    whole = propose(source, "augment={kind: ada, adapt_kimg: 7}", kimg=5)
    assert whole.recipe.method.augment.adapt_kimg == 7
    assert choice(whole, "adapt_kimg") == ("7", USERS)


def test_a_length_given_twice_is_refused(refused, measured, tmp_path):
    source = images(tmp_path, 600)
    with refused("training.two_lengths"):
        propose(source, "kimg=7", minutes=1)
    with refused("training.two_lengths"):
        propose(source, "epochs=2", kimg=5)
    assert measured == []


@pytest.mark.slow
def test_another_discriminator_leaves_the_width_of_g_fitted(measured, tmp_path):
    found = propose(images(tmp_path, 600), "discriminator.kind=dcgan", "discriminator.norm=none", kimg=2500)
    assert choice(found, "base_channels")[0] == "32"
    assert found.recipe.method.generator.base_channels == 32
    assert (
        found.recipe.method.discriminator.base_channels
        == load_recipe(
            COMPACT, ("discriminator.kind=dcgan", "discriminator.norm=none")
        ).method.discriminator.base_channels
    )


@pytest.mark.slow
def test_large_images_on_a_cpu_with_little_time_are_made_smaller(measured, tmp_path):
    source = images(tmp_path, 200, side=128)
    found = propose(source, minutes=1)  # 60 kimg at 32 px, 27 at 48, 3.75 at 128
    assert found.recipe.data.size == 32
    assert measured[-1][1].height == 128
    assert found.recipe.kimg == pytest.approx(60, rel=0.5)  # predicted from the speed at 128 px
    reason = "128 x 128 needs 400 kimg, and on this CPU the budget allows 4"
    assert choice(found, "size") == ("32", reason)
    assert propose(source, minutes=7).recipe.data.size == 64  # 105 kimg
    assert propose(source, minutes=120).recipe.data.size == 128
    asked = propose(source, "size=128", minutes=1)
    assert (asked.recipe.data.size, choice(asked, "size")) == (128, ("128", USERS))
    assert propose(source, kimg=150).recipe.data.size == 64
    assert propose(source, kimg=400).recipe.data.size == 128


@pytest.mark.slow
def test_proportions_are_kept(measured, tmp_path):
    found = propose(images(tmp_path, 120, side=64, width=128), minutes=1)
    assert found.recipe.data.size == (20, 40)
    assert choice(found, "size")[0] == "20 x 40"


@pytest.mark.slow
def test_points(measured):
    found = propose("ring-8", "hidden=[8]")
    assert (found.recipe.name, found.recipe.kimg, found.recipe.data.size) == ("auto", 300, (1, 2))
    assert [each.what for each in found.choices] == ["recipe", "kimg", "hidden"]
    assert choice(found, "recipe") == ("toy", "points in the plane")
    assert choice(found, "kimg") == ("300", "the recipe's length")
    assert choice(found, "hidden") == ("[8]", USERS)
    assert found.expectation is None
    assert propose("ring-8", minutes=1).recipe.kimg == pytest.approx(60, abs=0.128)
    assert len(measured) == 2


@pytest.fixture
def gpu(monkeypatch) -> Runtime:
    """Return a runtime that claims to have a GPU; nothing may compute on it."""
    monkeypatch.setattr(choices, "installed_memory_mb", lambda _: 1e6)
    monkeypatch.setattr(Runtime, "has_cuda", property(lambda _: True))
    return Runtime(torch.device("cpu"))


@pytest.mark.slow
@pytest.mark.parametrize(("length", "base", "kimg"), [
    ({}, GPU, 3000), ({"minutes": 60}, GPU, 3600), ({"minutes": 600}, LARGE_GPU, None),
    ({"kimg": 25_000}, LARGE_GPU, 25_000),
])  # fmt: skip
def test_a_gpu(measured, gpu, tmp_path, length, base, kimg):
    found = propose(images(tmp_path, 3000, side=64), runtime=gpu, **length)
    recipe, kimg = found.recipe, kimg or found.recipe.kimg
    assert len(measured) == 1
    if length == {"minutes": 600}:  # 36,000 kimg of the small recipe
        ((small, spec),) = measured
        assert kimg == pytest.approx(36_000 * work_in(small, spec) / work_in(recipe, spec), rel=1e-3)
        assert 3_000 < kimg < 18_000
    assert choice(found, "recipe")[0] == base
    assert (recipe.name, recipe.data.size, recipe.kimg) == ("auto", 64, pytest.approx(kimg, abs=0.3))
    assert recipe.method.generator == load_recipe(base).method.generator
    batch = load_recipe(base).batch_size
    r1, r2 = recipe.method.penalties
    assert r1.weight == r2.weight == Ramp(start=2, end=0.2, shape="cosine", until=0.8)
    assert (recipe.batch_size, recipe.ema_half_life_kimg.end) == (batch, pytest.approx(kimg * 0.02, rel=0.01))


@pytest.mark.slow
def test_small_images_on_a_gpu_and_large_ones(measured, gpu, tmp_path):
    found = propose(images(tmp_path, 200, side=28), runtime=gpu, kimg=1)
    assert choice(found, "recipe") == ("compact", "r3gan-small is for 32 to 256 px")
    found = propose(images(tmp_path, 100, side=128), runtime=gpu, minutes=1)
    assert (choice(found, "recipe")[0], found.recipe.data.size) == (GPU, 128)
    assert found.recipe.method.penalties[0].weight.start == 16


@pytest.mark.slow
def test_images_that_are_not_shown_often_are_enough_without_augmentation(measured, tmp_path):
    found = propose(images(tmp_path, 3000), minutes=1)
    assert choice(found, "augment") == ("none", "3,000 images, more than 2,000: enough without augmentation")


@pytest.mark.slow
def test_overrides_win_and_are_shown(measured, tmp_path):
    source = images(tmp_path, 600, classes=3)
    found = propose(
        source, "conditional=false", "batch_size=16", "lr=1e-3", "augment={kind: diffaugment, policy: [color]}",
        "discriminator.base_channels=8", "kimg=2", "mirror=true", "loss=hinge", kimg=None,
    )  # fmt: skip
    recipe, method = found.recipe, found.recipe.method
    assert (method.conditional, recipe.batch_size, method.loss.kind, recipe.kimg) == (False, 16, "hinge", 2)
    assert (method.augment.kind, method.augment.policy, recipe.data.mirror) == ("diffaugment", ("color",), True)
    assert (method.generator.base_channels, method.discriminator.base_channels) == (16, 8)
    assert recipe.optimizers["default"].lr == 1e-3
    own = {"conditional": "no", "batch_size": "16", "augment": "diffaugment", "kimg": "2"}
    own |= {"lr": "0.001", "lr of D": "0.001", "mirror": "true", "loss": "hinge", "base_channels": "16 / 8"}
    assert {each.what: each.value for each in found.choices if each.reason == USERS} == own
    assert method.penalties[0].weight == gamma_for(COMPACT, 256, 16)[0]  # of the user's batch


@pytest.mark.slow
@pytest.mark.parametrize(("side", "widest"), [(32, 64), (64, 128)])
def test_other_choices_above_28_px(measured, tmp_path, side, widest):
    found = propose(images(tmp_path, 600), f"size={side}", kimg=1)
    assert choice(found, "end_norm") == ("yes", f"large images: {side} px, more than 28")
    assert choice(found, "last_map") == ("yes", f"large images: {side} px, more than 28")
    assert choice(found, "detail") == ("yes", f"large images: {side} px, more than 28")
    assert choice(found, "shortcuts") == ("yes", f"large images: {side} px, more than 28")
    assert found.recipe.method.discriminator.detail
    assert choice(found, "interval") == ("4", f"large images: {side} px, more than 28")
    assert choice(found, "lr") == ("0.001", f"the widest map has {widest} channels")
    assert choice(found, "lr of D") == ("0.0004", f"large images: {side} px, more than 28")
    assert found.recipe.optimizer_for("discriminator").lr.start == 4e-4
    assert found.recipe.method.penalties[0].interval == 4


@pytest.mark.slow
@pytest.mark.parametrize(("override", "what"), [
    ("penalties=[]", "gamma"), ("generator.kind=sngan_resnet", "base_channels"), ("weight=3", "gamma"),
    ("augment=mirror", "augment"), ("base_channels=8", "base_channels"), ("epochs=2", "epochs"),
])  # fmt: skip
def test_one_override(measured, tmp_path, override, what):
    found = propose(images(tmp_path, 600), override, "discriminator.norm=none")
    fitted = () if "kind" in override else ("end_norm=false", "last_map=false")
    fitted += ("interval=8",) if "weight" in override else ()
    before = load_recipe(COMPACT, (override, "discriminator.norm=none", *fitted))
    for path in ("penalties", "generator", "augment"):
        name = f"method.{path}"
        if any(name in each for each in named_paths(load_recipe(COMPACT), (override,))):
            assert getattr(found.recipe.method, path) == getattr(before.method, path)
    if override != "generator.kind=sngan_resnet":
        assert choice(found, what)[1] == USERS


@pytest.mark.slow
def test_wrong_overrides_are_refused_before_images_are_read(refused, measured, tmp_path):
    with refused("recipe.unknown_key"):
        propose(str(tmp_path / "none.npz"), "bacth_size=3")
    with refused("recipe.unknown_key"):
        propose(images(tmp_path, 100), "hidden=[8]")
    with refused("data.not_found"):
        propose(str(tmp_path / "none.npz"))
    with refused("recipe.conditional_without_labels"):
        propose(images(tmp_path, 100), "conditional=true")


@pytest.mark.slow
def test_the_yaml_is_a_recipe_with_its_reasons(measured, tmp_path):
    found = propose(images(tmp_path, 600, classes=3), minutes=1)
    text = found.to_yaml()
    assert parse_recipe(text, where="x") == found.recipe
    assert "# conditional: yes (3 classes, 200 images each)\n" in text
    said = found.to_json()
    assert (said["kimg"], said["minutes"], said["recipe"]["name"]) == (found.kimg, 1.0, "auto")
    assert {"what": "conditional", "value": "yes", "reason": "3 classes, 200 images each"} in said["choices"]


@pytest.mark.slow
def test_memory_makes_batches_smaller(measured, tmp_path, monkeypatch):
    source = images(tmp_path, 600, side=64)
    spec = DataSpec("x", 64, 64, 3, 600, (), "")
    needs = [needed_mb(load_recipe(COMPACT), spec, batch) for batch in (4, 8, 16)]
    assert needs[0] < needs[1] < needs[2] < 3000
    monkeypatch.setattr(choices, "installed_memory_mb", lambda _: needs[1] / 0.7 - 1)
    value, reason = choice(propose(source, "size=64", kimg=1), "batch_size")
    assert value == "4"
    assert re.fullmatch(r"16 would need [\d,]+ MB, and 70% of the memory is [\d,]+ MB", reason)


def test_the_memory_of_a_machine():
    assert 100 < installed_memory_mb(torch.device("cpu")) < 1e8


@pytest.mark.slow
def test_batches_are_for_all_processes(measured, tmp_path, monkeypatch):
    monkeypatch.setattr(Runtime, "broadcast_text", lambda _, text: text)
    monkeypatch.setattr(Runtime, "barrier", lambda _: None)
    monkeypatch.setattr(Runtime, "broadcast_", lambda *_: None)
    monkeypatch.setattr(Runtime, "gather_text", lambda _, text: [text] * 3)
    found = propose(images(tmp_path, 600), runtime=Runtime(torch.device("cpu"), 0, 3), kimg=1)
    assert choice(found, "batch_size") == ("66", "a multiple of the 3 processes")
    assert measured[-1][0].batch_size == 66


@pytest.mark.slow
@pytest.mark.parametrize(
    ("side", "kimg", "width"),
    [(28, 1_990, 16), (28, 2_010, 32), (32, 240, 16), (32, 260, 32), (64, 290, 16), (64, 6_100, 48)],
)
def test_networks_are_wider_where_there_is_time(measured, tmp_path, side, kimg, width):
    found = propose(images(tmp_path, 120, side=side), kimg=kimg)
    assert found.recipe.method.generator.base_channels == found.recipe.method.discriminator.base_channels == width
    enough = "too little for wider networks" if width == 16 else "enough for wider networks"
    reason = f"with 16 channels the budget allows roughly {kimg:,} kimg, {enough}"
    assert choice(found, "base_channels") == (str(width), reason)


@pytest.mark.slow
def test_the_batch_fits_the_memory_of_the_width_that_is_taken(measured, tmp_path, monkeypatch):
    source, need = images(tmp_path, 120, side=64), {}
    for width in (16, 32):
        recipe = load_recipe(COMPACT, (f"base_channels={width}",))
        need[width] = needed_mb(recipe, open_data(source).spec, 16)
    monkeypatch.setattr(choices, "installed_memory_mb", lambda _: (need[16] + need[32]) / 2 / MEMORY_SHARE)
    assert propose(source, kimg=290).recipe.batch_size == 16
    assert propose(source, kimg=310).recipe.batch_size < 16


def test_rules():
    assert gamma_for(COMPACT, 64 * 64, 64)[0] == 5
    assert gamma_for(COMPACT, 32 * 32, 64)[0] == 1.2
    assert gamma_for(COMPACT, 64 * 64, 16)[0] == 20
    assert [lr_for(widest, large=False) for widest in (16, 64, 128, 256)] == [2e-3, 2e-3, 1e-3, 5e-4]
    assert [lr_for(widest, large=True) for widest in (16, 64, 128, 256)] == [1e-3, 1e-3, 1e-3, 5e-4]
    assert gamma_for(GPU, 64 * 64, 64)[0] == 2
    assert [width_for(kimg, 28) for kimg in (0, 1_999, 2_000, 5_999, 6_000)] == [16, 16, 32, 32, 48]
    assert [width_for(kimg, 32) for kimg in (0, 249, 250, 5_999, 6_000)] == [16, 16, 32, 32, 48]
    assert [width_for(kimg, 64) for kimg in (299, 300)] == [16, 32]  # 100 kimg at a third of the speed
    assert [width_for(kimg, 512) for kimg in (1_199, 1_200)] == [16, 32]
    for side, fewest in SIDES:
        assert side_for(512, lambda _, kimg=fewest: kimg) == (512 if fewest == SIDES[-1][1] else side)
    assert side_for(28, lambda _: 0) == 28
    assert side_for(40, lambda _: 1) == 32 + 8  # between two of the table: as many as the lower one needs


def seen(count: int, kimg: float, side: int = 28, channels: int = 1) -> Expectation:
    return Expectation(side, channels, count, kimg, f"{count} after {kimg}", f"{count}-{kimg}.png")


def test_the_nearest_recorded_run_is_shown(monkeypatch):
    runs = (seen(500, 20), seen(60_000, 10), seen(60_000, 260), seen(60_000, 250, channels=3))
    monkeypatch.setattr(expectations, "seen_runs", lambda: runs)
    assert expectation_for(32, 1, 60_000, 260) == expectation_for(28, 1, 40_000, 1e9) == runs[2]
    assert expectation_for(28, 1, 60_000, 259) == runs[1]
    assert expectation_for(28, 1, 600, 1e9) == runs[0]
    assert expectation_for(28, 3, 60_000, 1e9) == expectation_for(28, 4, 60_000, 1e9) == runs[3]
    assert expectation_for(512, 1, 60_000, 1e9) is None
    short = expectation_for(28, 1, 6_000, 2)
    assert short.picture == runs[1].picture
    assert short.words == (
        "60000 after 10. Your run is shorter (20% of 10 kimg): expect lower quality"
        ". Your data set is smaller (6,000 images): expect less variety"
    )


def test_recorded_runs_have_a_picture():
    assert {each.channels for each in seen_runs()} == {1, 3}
    for each in seen_runs():
        assert (REPOSITORY / each.picture).stat().st_size < 200_000


def test_a_peek_at_a_few_images(tmp_path, photos):
    from gansmith.data.base import DataOptions

    assert peek(find_source(photos), DataOptions()) == (16, 16, 3, 40)
    assert peek(find_source(photos), DataOptions(channels=1)) == (16, 16, 1, 40)
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "x.png").write_bytes(b"no image")
    assert peek(find_source(tmp_path / "bad"), DataOptions()) is None


def test_a_choice_of_an_empty_list_is_none():
    draft = RecipeBuilder(COMPACT, ("penalties=[]",))
    draft.decide("gamma", ("method.penalties.0.weight",), 3.0, "x")
    assert [(each.value, each.reason) for each in draft.choices] == [("none", USERS)]


def test_named_paths():
    recipe = load_recipe(COMPACT)
    both = {"method.generator.base_channels", "method.discriminator.base_channels"}
    assert named_paths(recipe, ("base_channels=8", "kimg=3")) == {*both, "kimg"}
    assert named_paths(recipe, ("augment=ada", "target=0.5")) == {"method.augment", "method.augment.target"}


@pytest.mark.slow
def test_train_without_a_recipe_trains_what_is_proposed(tmp_path, monkeypatch):
    monkeypatch.setattr(api, "write_results", lambda *_: None)
    monkeypatch.setattr(prepare, "STEADY_SEC", 0.01)
    said = []
    source = images(tmp_path, 100, side=8)
    run = api.train(source, out=tmp_path / "run", steps=2, device="cpu", overrides=["base_channels=4"],
                    on_event=lambda event: said.append(event.message))  # fmt: skip
    assert run.finished
    assert "recipe: compact (small networks, whose steps are fast on a CPU)" in said
    assert "base_channels: 4 (as you asked)" in said
    kept = parse_recipe((run.folder / "recipe.yaml").read_text(), where="x")
    assert (kept.name, kept.kimg, kept.method.generator.base_channels) == ("auto", 0.128, 4)
    proposal = api.plan(source, overrides=["base_channels=4", "batch_size=16"], kimg=0.03, device="cpu")
    (tmp_path / "mine.yaml").write_text(proposal.to_yaml())
    again = api.train(source, recipe=str(tmp_path / "mine.yaml"), out=tmp_path / "again", device="cpu", steps=2)
    assert parse_recipe((again.folder / "recipe.yaml").read_text(), where="x") == proposal.recipe


@pytest.mark.slow
def test_minutes_are_measured_once(tmp_path, monkeypatch, measured):
    runtime = Runtime(torch.device("cpu"))
    options = RunOptions(images(tmp_path, 600), Budget(minutes=0.1))
    found = prepare_run(options, runtime, lambda _: None)
    assert found.recipe.kimg == pytest.approx(6, abs=0.064)
    said = "0.1 minutes at 1,000 images a second as measured"
    assert (found.length.schedule_kimg, found.length.source) == (found.recipe.kimg, said)
    assert found.length.limit == TimeLimit(6.0)
    assert len(measured) == 1


@pytest.mark.slow
@pytest.mark.parametrize("doubt", ["", "other processes use 1.9 of 2 cores"])
def test_a_doubtful_speed_chooses_no_smaller_size(tmp_path, monkeypatch, doubt):
    monkeypatch.setattr(planner, "measure_speed", lambda *_: Speed(11.0, doubt))
    listener = Listener()
    options = RunOptions(images(tmp_path, 200, side=64), Budget(minutes=20))
    found, _ = planner.propose(options, Runtime(torch.device("cpu")), listener)
    assert found.recipe.data.size == (64 if doubt else 32)
    assert listener.said("warning") == ([f"speed measured at 11 images a second is doubtful: {doubt}"] if doubt else [])
    assert choice(found, "size")[1].endswith("so it chooses no smaller size") == bool(doubt)


@pytest.mark.slow
def test_a_plan_counts_start_and_results(tmp_path, monkeypatch, measured):
    monkeypatch.setattr(prepare, "train_sec", lambda limit, *_: limit.seconds - 24)
    found = propose(images(tmp_path, 600), minutes=2)
    assert found.recipe.kimg == pytest.approx(96, abs=0.064)
    assert (found.around_sec, found.minutes) == (24, pytest.approx(2, rel=1e-3))
    said = "length: 96.0 kimg, 2:00 on this machine at 1,000 images a second, 0:24 of them for start and results"
    assert said in " ".join(line.strip() for line in proposal_lines(found))


@pytest.mark.slow
@pytest.mark.parametrize(("overrides", "weight"), [((), 0.1), (("discriminator={kind: dcgan, norm: none}",), 0.0)])
def test_classes_are_learnt_where_the_discriminator_scores_them(measured, tmp_path, overrides, weight):
    found = propose(images(tmp_path, 600, classes=6), *overrides, kimg=1)
    assert (found.recipe.method.conditional, found.recipe.method.class_weight) == (True, weight)
    if overrides:
        assert choice(found, "class_weight") == ("0", "discriminator 'dcgan' scores only the label that it is given")
    found.recipe.method.build(open_data(str(tmp_path / "x.npz"), options=found.recipe.data).spec)
