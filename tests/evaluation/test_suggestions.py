"""What is advised exists: every override fits the recipe it is given for, whatever the recipe."""

import pytest
import torch

from gansmith.data.base import DataSpec
from gansmith.evaluation.health import HEALTHY, TITLES
from gansmith.evaluation.suggestions import FOR, suggest
from gansmith.recipes.load import load_recipe, override, recipe_names
from small_runs import few_in_the_fast_lane

SPEC = DataSpec("x", 32, 32, 3, 1000, ("a", "b"), "")
PLAIN = DataSpec("x", 32, 32, 3, 1000, (), "")


def advice(verdict: str, recipe: str, *overrides: str, spec: DataSpec = SPEC) -> list[tuple[str, ...]]:
    return [each.overrides for each in suggest(verdict, load_recipe(recipe, overrides), spec)]


def test_every_verdict_except_healthy_has_suggestions():
    assert set(FOR) == set(TITLES) - {HEALTHY}
    assert suggest(HEALTHY, load_recipe("dcgan"), SPEC) == []


@pytest.fixture(scope="module")
def built() -> set[str]:
    """The methods that could be built: many overrides change something else, or are those of other verdicts too."""
    return set()


LATENT = [name for name in recipe_names() if load_recipe(name).method.kind == "latent"]


@pytest.mark.parametrize("name", few_in_the_fast_lane(LATENT))
@pytest.mark.parametrize("verdict", FOR)
def test_every_override_is_taken_by_the_recipe_and_changes_it(verdict, name, built):
    recipe = load_recipe(name)
    found = suggest(verdict, recipe, SPEC)
    assert any(each.overrides for each in found)
    for each in found:
        assert each.words
        changed = override(recipe, each.overrides)
        assert (changed != recipe) == bool(each.overrides)
        if (method := changed.method.model_dump_json()) not in built:
            with torch.device("meta"):
                changed.method.build(SPEC)
            built.add(method)


def test_labels_are_suggested_only_if_the_data_have_some():
    assert ("conditional=true",) in advice("partial_collapse", "vanilla")
    assert ("conditional=true",) not in advice("partial_collapse", "vanilla", spec=PLAIN)
    assert ("conditional=true",) not in advice("partial_collapse", "conditional")


@pytest.mark.slow
def test_grain_is_answered_by_local_detail_where_the_discriminator_can_see_it():
    assert advice("grainy", "compact", "discriminator.detail=false")[0] == ("discriminator.detail=true",)
    assert ("discriminator.detail=true",) not in advice("grainy", "compact") + advice("grainy", "dcgan")


@pytest.mark.slow
def test_overrides_of_a_run_are_undone_first():
    assert advice("full_collapse", "vanilla", "generator_steps=10")[0] == ("generator_steps=1",)
    assert ("generator_steps=1",) not in advice("full_collapse", "vanilla")
    assert advice("discriminator_wins", "vanilla", "loss=minimax")[0] == ("loss=non_saturating",)
    assert ("loss=non_saturating",) not in advice("discriminator_wins", "vanilla")
    assert ("discriminator_steps=1",) in advice("discriminator_wins", "vanilla", "discriminator_steps=10")
    assert ("discriminator_steps=1",) not in advice("discriminator_wins", "wgan")
    fast = "optimizers.generator={kind: adam, lr: 4.0e-3, beta1: 0.5}"
    (first, *_) = advice("full_collapse", "vanilla", fast)
    assert first[0].startswith("optimizers.generator={kind: adam, lr: 0.0002, beta1: 0.5,")
    assert override(load_recipe("vanilla"), first).optimizer_for("generator").lr == 2e-4
    ramp = "optimizers.generator={kind: adam, lr: {start: 2.0e-4, end: 2.0e-2}}"
    (first, *_) = advice("full_collapse", "vanilla", ramp)
    assert override(load_recipe("vanilla"), first).optimizer_for("generator").lr == 2e-4
    asleep = "optimizers.discriminator={kind: adam, lr: 0}"
    (first, *_) = advice("generator_wins", "dcgan", asleep)
    assert override(load_recipe("dcgan"), first).optimizer_for("discriminator").lr == 2e-4


def test_rates_are_halved_together_or_each():
    assert advice("oscillating", "dcgan")[0] == ("lr=0.0001",)
    (pair, *_) = advice("diverged", "dcgan", "optimizers.generator={kind: adam, lr: 1.5e-4}")
    changed = override(load_recipe("dcgan"), pair)
    assert (changed.optimizer_for("generator").lr, changed.optimizer_for("discriminator").lr) == (7.5e-5, 1e-4)
    ramp = "optimizers.default={kind: adam, lr: {start: 2.0e-4, end: 0}}"
    assert advice("oscillating", "dcgan", ramp)[0] == ("lr=0.0001",)


@pytest.mark.slow
def test_suggested_sizes_stay_in_a_sensible_range():
    assert ("generator.hidden=[150]",) in advice("memorization", "mlp-small")
    assert ("generator.base_channels=32",) in advice("memorization", "dcgan")
    assert ("discriminator.base_channels=128",) in advice("generator_wins", "dcgan")
    assert not [each for each in advice("memorization", "dcgan", "base_channels=8") if "channels" in str(each)]
    assert ("mirror=true",) in advice("memorization", "dcgan")
    assert ("augment=diffaugment",) in advice("memorization", "dcgan")
    assert ("augment=diffaugment",) not in advice("memorization", "dcgan", "augment=mirror")
    assert ("mirror=true",) not in advice("memorization", "dcgan", "data.mirror=true")


def test_suggestions_for_a_plugin_method_use_its_own_fields():
    import toy_methods  # noqa: F401

    recipe = """
name: toy
method: {kind: toy_paired, discriminator: {kind: dcgan, base_channels: 4, norm: none}}
optimizers: {default: {kind: adam, lr: 2.0e-3}}
batch_size: 8
epochs: 1
data: {size: 8}
"""
    from gansmith.recipes.load import parse_recipe

    found = suggest("diverged", parse_recipe(recipe, where="a test"), DataSpec("x", 8, 8, 1, 100, (), ""))
    assert ("lr=0.001",) in [each.overrides for each in found]
