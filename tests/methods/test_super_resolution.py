"""Method ``super_resolution``: inputs of D and G, crops, feature networks, parts that do not fit."""

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from gansmith.core.runtime import Runtime
from gansmith.data.base import DataSpec
from gansmith.data.batches import BatchStream
from gansmith.imaging.tensors import to_float
from gansmith.methods.perceptual import feature_distance
from gansmith.methods.super_resolution import cropped
from gansmith.parts.degradations.base import degradations
from gansmith.parts.extractors.convnet import ConvNet
from gansmith.parts.networks.base import ImageSpec, networks
from gansmith.recipes.load import load_recipe
from gansmith.training.state import RunState
from gansmith.training.step import train_step
from small_models import make_model
from small_runs import NOISE

SMALL = ("base_channels=4", "blocks=1", "batch_size=8", "scale=2")


def fresh(data: Any, runtime: Runtime, *overrides: str, recipe: str = "srgan") -> RunState:
    return RunState.fresh(load_recipe(recipe, (*SMALL, *overrides)), data.spec, 3, runtime)


def step(state: RunState, data: Any, runtime: Runtime) -> dict[str, list[Tensor]]:
    """Run an iteration and return what each network was called with."""
    seen: dict[str, list[Tensor]] = {name: [] for name in state.method.networks}
    for name, calls in seen.items():
        network = state.method.networks[name]
        network.register_forward_pre_hook(lambda _, inputs, calls=calls: calls.append(inputs[0].detach().clone()))
    train_step(state, BatchStream(data, 8, 0, runtime, mirror=False), runtime, state.moment(1.0))
    return seen


def last_row(state: RunState, runtime: Runtime) -> dict[str, float]:
    return state.meter.take(runtime)


@pytest.mark.slow
def test_d_gets_only_images_and_g_the_same_sources_in_both_phases(tiny_data, runtime):
    state = fresh(tiny_data, runtime, "share_fakes=false", "discriminator_steps=2", "degradation=real_esrgan")
    seen = step(state, tiny_data, runtime)
    first, second, again = seen["generator"]
    assert first.shape == (8, 1, 4, 4)
    assert torch.equal(second, again), "G's phase has the sources of the last D step"
    assert not torch.equal(first, second)
    batch = BatchStream(tiny_data, 8, 0, runtime, mirror=False).read(1).images
    real, fake = seen["discriminator"][1].chunk(2)
    assert torch.equal(real, batch)
    assert fake.shape == batch.shape
    assert not torch.equal(fake, real)


@pytest.mark.slow
@pytest.mark.parametrize("name", degradations.names())
def test_sources_are_made_in_float32_where_networks_compute_in_bf16(name, tiny_data, runtime):
    state = partial(fresh, tiny_data, runtime, f"degradation={name}", "share_fakes=false")
    plain, rounded = (step(state(), tiny_data, each) for each in (runtime, replace(runtime, precision="bf16")))
    assert all(map(torch.equal, rounded["generator"], plain["generator"]))
    assert not torch.equal(rounded["discriminator"][0], plain["discriminator"][0])


def test_networks_get_square_crops_of_the_images(tiny_data, runtime):
    images = torch.arange(3 * 8 * 6.0).view(3, 1, 8, 6)
    squares = cropped(images, 4, NOISE)
    found = set()
    for image, square in zip(images, squares, strict=True):
        top, left = divmod(int(square[0, 0, 0] - image[0, 0, 0]), 6)
        assert torch.equal(square, image[:, top : top + 4, left : left + 4])
        found.add((top, left))
    assert len(found) > 1
    state = fresh(tiny_data, runtime, "crop_px=null", recipe="srresnet")
    assert step(state, tiny_data, runtime)["generator"][0].shape == (8, 1, 4, 4)
    big = type(tiny_data.spec)(**{**tiny_data.spec.to_json(), "height": 32, "width": 40, "split": tiny_data.spec.split})
    method = load_recipe("srgan", (*SMALL, "crop_px=16")).method.build(big)
    source, target = method.examples(torch.zeros(3, 1, 32, 40), NOISE)
    assert (source.shape, target.shape) == ((3, 1, 8, 8), (3, 1, 16, 16))
    source, target = method.split(torch.zeros(3, 1, 32, 40), NOISE)
    assert (source.shape, target.shape) == ((3, 1, 16, 20), (3, 1, 32, 40)), "judged are whole images"


@pytest.mark.parametrize(("loss", "wanted"), [("l1", 0.25), ("mse", 0.0625)])
def test_content_is_the_weighted_difference(loss, wanted, tiny_data, runtime):
    method = fresh(tiny_data, runtime, f"pixel_loss={loss}", "pixel_weight=3", recipe="srresnet").method
    target = torch.zeros(2, 1, 8, 8)
    terms = method.content_loss(target + 0.25, target, None)
    assert terms.total.item() == pytest.approx(3 * wanted)
    assert terms.log[f"loss_{loss}"].item() == pytest.approx(wanted)


def test_feature_distance_is_relative_to_the_target_of_each_image():
    wanted = {"a": torch.ones(2, 3, 4, 4), "b": 100 * torch.ones(2, 5)}
    wanted["a"][1] *= 10
    seen = {"a": wanted["a"].clone(), "b": wanted["b"] * 0.9}
    seen["a"][0] *= 1.5  # of the one image that is half as large again, not of both together
    assert feature_distance(seen, wanted).item() == pytest.approx((0.5 / 2 + 0.1) / 2)


@pytest.mark.slow
def test_the_discriminators_features_train_g_but_not_d(tiny_data, runtime):
    rows, gradients = {}, {}
    for weight in (0, 50):
        state = fresh(tiny_data, runtime, f"feature_weight={weight}")
        train_step(state, BatchStream(tiny_data, 8, 0, runtime, mirror=False), runtime, state.moment(1.0))
        gradients[weight] = {
            name: torch.cat([p.grad.flatten() for p in network.parameters()])
            for name, network in state.method.networks.items()
        }
        rows[weight] = last_row(state, runtime)
    assert "loss_features" not in rows[0]
    assert rows[50]["loss_features"] > 0
    assert torch.equal(gradients[0]["discriminator"], gradients[50]["discriminator"])
    assert not torch.allclose(gradients[0]["generator"], gradients[50]["generator"])


@pytest.fixture
def extractor_file(tmp_path) -> Path:
    torch.manual_seed(0)
    network = ConvNet(8, 1, 0)
    path = tmp_path / "own.safetensors"
    save_file({name: value.contiguous() for name, value in network.state_dict().items()}, path)
    return path


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["extractor", "discriminator"])
def test_a_feature_network_from_a_file_is_used_and_never_trained(kind, extractor_file, tiny_data, runtime, tmp_path):
    path = extractor_file
    if kind == "discriminator":
        path = make_model(recipe="mlp-small").save(tmp_path / "model") / "discriminator.safetensors"
    before = path.read_bytes()
    state = fresh(tiny_data, runtime, "feature_weight=2", f"features={path}", recipe="srresnet")
    train_step(state, BatchStream(tiny_data, 8, 0, runtime, mirror=False), runtime, state.moment(1.0))
    row = last_row(state, runtime)
    assert row["loss_features"] > 0
    assert set(state.method.networks) == {"generator"}, "it is no part of the model"
    assert path.read_bytes() == before
    images = to_float(tiny_data.read([0, 1])).contiguous(memory_format=torch.channels_last)
    given, digest = state.method._feature_network, state.method.state["features_sha256"]
    assert given.distance(images, images, digest).item() == 0
    assert given.distance(images.flip(3), images, digest).item() > 0


@pytest.mark.slow
def test_a_run_continues_with_its_own_feature_network(refused, extractor_file, tiny_data, runtime, tmp_path):
    state = fresh(tiny_data, runtime, "feature_weight=2", f"features={extractor_file}", recipe="srresnet")
    stream = BatchStream(tiny_data, 8, 0, runtime, mirror=False)
    train_step(state, stream, runtime, state.moment(1.0))
    kept, values = {name: each.clone() for name, each in state.tensors(runtime).items()}, state.values()
    torch.manual_seed(1)
    save_file({name: value.contiguous() for name, value in ConvNet(8, 1, 0).state_dict().items()}, extractor_file)
    again = fresh(tiny_data, runtime, "feature_weight=2", f"features={extractor_file}", recipe="srresnet")
    again.restore(kept, values, runtime)
    with refused("recipe.features_changed"):
        train_step(again, stream, runtime, again.moment(1.0))


@pytest.mark.slow
def test_files_without_usable_features_are_refused(refused, tiny_data, runtime, tmp_path):
    colour = make_model(recipe="mlp-small").save(tmp_path / "model")
    labelled = make_model("conditional=true", classes=("a", "b"), recipe="mlp-small").save(tmp_path / "labelled")
    (tmp_path / "text.safetensors").write_text("no weights")
    torch.manual_seed(0)
    save_file(
        {name: value.contiguous() for name, value in ConvNet(8, 3, 0).state_dict().items()},
        tmp_path / "rgb.safetensors",
    )
    for path in (
        tmp_path / "none.safetensors",
        tmp_path / "text.safetensors",
        tmp_path / "rgb.safetensors",
        colour / "generator.safetensors",
        labelled / "discriminator.safetensors",
    ):
        state = fresh(tiny_data, runtime, "feature_weight=2", f"features={path}", recipe="srresnet")
        with refused("recipe.features_unusable", ["(?<=discriminator or extractor: ).*"]):
            train_step(state, BatchStream(tiny_data, 8, 0, runtime, mirror=False), runtime, state.moment(1.0))


def test_parts_that_do_not_fit_super_resolution_are_refused(refused):
    def built(height: int, width: int, *overrides: str, recipe: str = "srresnet", pairs: bool = False) -> None:
        spec = DataSpec("toy", height, width, 3, 96, (), "0123", pairs=pairs)
        with torch.device("meta"):
            load_recipe(recipe, overrides).method.build(spec)

    built(28, 36)
    for arguments, code in {
        (30, 33): "recipe.size_not_divisible_by_scale",
        (32, 32, "generator=unet"): "recipe.generator_without_enlarging",
        (32, 32, "crop_px=18"): "recipe.crop_out_of_range",
        (32, 32, "crop_px=64"): "recipe.crop_out_of_range",
        (32, 32, "feature_weight=1"): "recipe.features_without_discriminator",
    }.items():
        with refused(code):
            built(*arguments)
    with refused("recipe.pairs_of_other_scale"):
        built(32, 64, pairs=True)
    with refused("recipe.penalty_with_batch_norm"):
        built(32, 32, "discriminator.norm=batch", recipe="srgan")
    with refused("recipe.invalid_value"):
        load_recipe("srresnet", ("scale=3",))


def test_layers_of_zeros_give_the_bicubic_enlargement():
    generator = networks.parse({"kind": "srresnet", "base_channels": 4, "blocks": 1}).generator(
        ImageSpec(16, 16, 3, source_channels=3, scale=2)
    )
    source = torch.rand(1, 3, 8, 8) * 2 - 1
    with torch.no_grad():
        generator.body[-1].weight.zero_()
        generator.body[-1].bias.zero_()
        made = generator(source)
    wanted = torch.nn.functional.interpolate(source, scale_factor=2, mode="bicubic", align_corners=False)
    torch.testing.assert_close(made, wanted.clamp(-1, 1))


def test_previews_show_each_source_pixel_as_a_square_then_result_and_target(tiny_data, runtime):
    method = fresh(tiny_data, runtime).method
    fixed = method.fixed(0, 3, tiny_data)
    with torch.no_grad():
        shown, result, target = method.preview(method.networks.eval(), fixed).chunk(3, 3)
    assert torch.equal(shown, shown[..., ::2, ::2].repeat_interleave(2, 2).repeat_interleave(2, 3))
    source, again = method.split(target, NOISE)
    assert torch.equal(again, target)
    torch.testing.assert_close(shown[..., ::2, ::2], source)
    with torch.no_grad():
        torch.testing.assert_close(result, method.translate(method.networks["generator"], source))


@pytest.mark.slow
def test_learning_pixels_beats_the_bicubic_enlargement(runtime):
    """Blocks of one value, which bicubic interpolation blurs: a few steps teach what stands between."""
    images = torch.randint(0, 2, (32, 1, 4, 4), generator=torch.Generator().manual_seed(0)).float() * 2 - 1
    images = images.repeat_interleave(4, 2).repeat_interleave(4, 3)
    spec = DataSpec("toy", 16, 16, 1, 32, (), "0123")
    torch.manual_seed(0)
    method = load_recipe("srresnet", ("base_channels=16", "blocks=1", "scale=2")).method.build(spec)
    generator = method.networks["generator"]
    source, target = method.split(images, NOISE)
    bicubic = torch.nn.functional.interpolate(source, scale_factor=2, mode="bicubic", align_corners=False).clamp(-1, 1)
    optimizer = torch.optim.Adam(generator.parameters(), 3e-3)
    for _ in range(60):
        distance = (method.translate(generator, source) - target).abs().mean()
        optimizer.zero_grad()
        distance.backward()
        optimizer.step()
    assert distance < (bicubic - target).abs().mean() / 2
