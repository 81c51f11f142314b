"""What a method declares is what its models can do, for methods of plugins as for those of gansmith."""

from pathlib import Path

import numpy as np
import pytest

import toy_methods  # noqa: F401  registers the toys
from gansmith import api
from gansmith.evaluation.evaluate import EvaluationOptions
from gansmith.methods.base import methods, verb_of
from gansmith.runs.folder import RunFolder
from gansmith.runs.log import measure
from small_runs import MONITORED
from toy_extractor import registered_toy

RECIPE = """
name: toy
method: {{kind: {kind}, discriminator: {{kind: mlp, hidden: [8]}}, {more}}}
optimizers: {{default: {{kind: adam, lr: 2.0e-3}}}}
batch_size: 8
epochs: 1
"""
MORE = {"toy_sampler": "generator: {kind: dcgan, base_channels: 4}", "toy_translator": "width: 4"}
TOY = EvaluationOptions(num=100, features="toy")
CAPABILITIES = {
    "latent": {"samples_from_latents"},
    "paired": {"translates", "has_targets"},
    "super_resolution": {"upscales", "has_targets"},
    "unpaired": {"translates", "reverses"},
    "toy_paired": set(),
}


@pytest.fixture(autouse=True)
def toy():
    with registered_toy(lambda pixels: pixels / 255, tells_classes=False):
        yield


@pytest.fixture
def images(tmp_path) -> Path:
    """150 gray images of 8 x 8 px."""
    path = tmp_path / "noise.npz"
    np.savez(path, images=np.random.default_rng(0).integers(0, 256, (150, 8, 8, 1), np.uint8))
    return path


def trained(kind: str, images: Path, folder: Path, *overrides: str) -> Path:
    recipe = folder / "recipe.yaml"
    recipe.write_text(RECIPE.format(kind=kind, more=MORE[kind]))
    api.train(images, recipe=str(recipe), out=folder / "run", overrides=overrides, steps=12, device="cpu")
    return folder / "run"


@pytest.mark.parametrize(("kind", "declared"), CAPABILITIES.items())
def test_methods_declare_what_their_models_can_do(kind, declared):
    names = ("samples_from_latents", "translates", "upscales", "has_targets", "reverses")
    assert {name for name in names if getattr(methods.get(kind), name)} == declared


@pytest.mark.parametrize(("kind", "verb"), [("latent", "sample"), ("toy_translator", "translate"),
                                            ("super_resolution", "upscale"), ("unknown", "sample")])  # fmt: skip
def test_the_verb_of_a_method_follows_from_what_it_declares(kind, verb):
    assert verb_of(kind) == verb


@pytest.mark.slow
def test_a_plugin_method_that_samples_from_latents_is_watched_sampled_and_evaluated(images, tmp_path):
    run = trained("toy_sampler", images, tmp_path, *MONITORED, "monitor.features=toy")
    snapshots = RunFolder.open(run).read_snapshots()
    assert snapshots
    assert all(np.isfinite(measure(row, "fd")) for row in snapshots)
    assert api.load(run).sample(5, seed=1).images.shape == (5, 8, 8, 1)
    found, _ = api.evaluate(run, images, options=TOY.model_copy(update={"on_training": True}))
    assert found.numbers["fd100_toy_train"].value > 0


@pytest.mark.slow
def test_an_unfit_extractor_is_refused_for_a_plugin_method_too(images, tmp_path, refused):
    with refused("recipe.unfit_extractor"):
        trained("toy_sampler", images, tmp_path, *MONITORED, "monitor.features=fashion")
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_a_plugin_method_with_targets_is_compared_with_a_baseline(images, tmp_path, refused):
    run = trained("toy_translator", images, tmp_path)
    found, path = api.evaluate(run, images, options=TOY.model_copy(update={"on_training": True}))
    assert found.protocol.sources == "gray, blurred copies"
    assert found.numbers["psnr_train"].value > 0
    assert (path.parent / "translations.png").is_file()
    with refused("model.other_method"):
        api.load(run).sample(1)
