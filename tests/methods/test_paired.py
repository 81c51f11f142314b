"""Method ``paired``: D's inputs, G's losses, previews."""

from dataclasses import replace
from functools import partial
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from PIL import Image

from gansmith.cli.train import translation_recipe
from gansmith.core.runtime import Runtime
from gansmith.data.batches import BatchStream
from gansmith.data.open import open_data
from gansmith.imaging.images import make_grid
from gansmith.imaging.tensors import to_float
from gansmith.parts.tasks.base import tasks
from gansmith.recipes.load import load_recipe
from gansmith.training import previews
from gansmith.training.previews import PreviewWriter
from gansmith.training.state import RunState
from gansmith.training.step import train_step


def fresh(data: Any, runtime: Runtime, *overrides: str) -> RunState:
    small = ("base_channels=4", "batch_size=8", "norm=instance", "method.task=denoise", *overrides)
    return RunState.fresh(load_recipe("translate", small), data.spec, 3, runtime)


def step(state: RunState, data: Any, runtime: Runtime) -> dict[str, list[torch.Tensor]]:
    """Run an iteration and return what each network was called with."""
    seen: dict[str, list[torch.Tensor]] = {name: [] for name in state.method.networks}
    for name, calls in seen.items():
        network = state.method.networks[name]
        network.register_forward_pre_hook(lambda _, inputs, calls=calls: calls.append(inputs[0].detach().clone()))
    train_step(state, BatchStream(data, 8, 0, runtime, mirror=False), runtime, state.moment(1.0))
    return seen


@pytest.mark.slow
def test_d_gets_source_with_target_or_fake_and_g_the_same_sources_in_both_phases(tiny_data, runtime):
    seen = step(fresh(tiny_data, runtime, "share_fakes=false", "discriminator_steps=2"), tiny_data, runtime)
    first, second, again = seen["generator"]
    assert torch.equal(second, again), "G's phase has the sources of the last D step"
    assert not torch.equal(first, second)
    batch = BatchStream(tiny_data, 8, 0, runtime, mirror=False).read(1).images
    _, judged, after = seen["discriminator"]
    (source, real), (source_again, fake) = (each.chunk(2, 1) for each in judged.chunk(2))
    assert torch.equal(source, second)
    assert torch.equal(source_again, second)
    assert torch.equal(real, batch)
    assert not torch.equal(fake, real)
    assert torch.equal(after[:, :1], second)


@pytest.mark.parametrize("task", [name for name in tasks.names() if name != "colorize"])  # which needs colour
def test_sources_are_made_in_float32_where_networks_compute_in_bf16(task, tiny_data, runtime):
    state = partial(fresh, tiny_data, runtime, f"method.task={task}", "share_fakes=false")
    plain, rounded = (step(state(), tiny_data, each) for each in (runtime, replace(runtime, precision="bf16")))
    assert all(map(torch.equal, rounded["generator"], plain["generator"]))
    assert not torch.equal(rounded["discriminator"][0], plain["discriminator"][0])


def test_the_sources_of_two_iterations_differ_even_where_the_images_do_not(tiny_data, runtime):
    state = fresh(tiny_data, runtime)
    image = to_float(tiny_data.read([0] * 8))
    method, phase = state.method, state.method.phases[0]
    one, same, other = (method.split(image, state.noise(phase, repeat, runtime))[0] for repeat in (0, 0, 1))
    assert torch.equal(one, same)
    assert not torch.equal(one, other)
    assert len({source.numpy().tobytes() for source in one}) == 8


def test_without_a_discriminator_the_loss_is_l1(tiny_data, runtime):
    state = fresh(tiny_data, runtime, "discriminator=null", "l1_weight=3")
    method, (phase,) = state.method, state.method.phases
    assert (set(method.networks), phase.reads_data, state.images_per_iteration) == ({"generator"}, True, 8)
    batch, noise = BatchStream(tiny_data, 8, 0, runtime, mirror=False).read(0), state.noise(phase, 0, runtime)
    terms = method.loss(phase, batch, noise, state.moment(1.0))
    assert set(terms.log) == {"loss_l1"}
    torch.testing.assert_close(terms.total.detach(), 3 * terms.log["loss_l1"])


def test_l1_is_added_to_the_adversarial_loss_with_its_weight(tiny_data, runtime):
    totals = []
    for weight in (0, 10):
        state = fresh(tiny_data, runtime, f"l1_weight={weight}", "share_fakes=false")
        phase = state.method.phases[1]
        batch, noise = BatchStream(tiny_data, 8, 0, runtime, mirror=False).read(0), state.noise(phase, 0, runtime)
        totals.append(state.method.loss(phase, batch, noise, state.moment(1.0)))
    torch.testing.assert_close(totals[0].total.detach(), totals[0].log["loss_generator"])
    torch.testing.assert_close(totals[1].total - totals[0].total, 10 * totals[1].log["loss_l1"])


def test_a_preview_is_source_result_and_target_of_images_that_were_held_out(tiny_file, runtime):
    data = open_data(tiny_file, holdout=0.25, seed=1)
    method = fresh(data, runtime).method
    method.networks.eval().requires_grad_(False)
    picture = method.preview(method.networks, method.fixed(3, 30, data))
    source, result, target = picture.split(8, 3)
    held_out = {image.tobytes() for image in to_float(data.held_out.read(range(len(data.held_out)))).numpy()}
    assert {image.numpy().tobytes() for image in target} == held_out, "30 of 24: some twice, none from training"
    assert torch.equal(result, method.translate(method.networks["generator"], source))
    assert 0 < (source - target).abs().mean() < 0.4


def test_source_and_image_are_moved_alike_and_keep_their_colours(tiny_data, runtime):
    state = fresh(tiny_data, runtime, "augment={kind: ada, probability: 0.9}")
    method, noise = state.method, state.noise(state.method.phases[0], 0, runtime)
    seen: list[torch.Tensor] = []
    method.networks["discriminator"].register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    source = torch.full((8, 1, 8, 8), -0.5)
    source[:, :, :2, :2] = 0.5
    method.critic(source, noise, state.moment(1.0))(torch.cat([source, source]))
    one, other = seen[0].unbind(1)
    assert torch.equal(one, other)
    assert not torch.equal(one[:8], one[8:]), "real and fake have draws of their own"
    assert (one != source.repeat(2, 1, 1, 1)[:, 0]).flatten(1).any(1).sum() > 10
    assert one.mean((1, 2)).std() < 0.2
    assert one.median() == pytest.approx(-0.5, abs=0.05), "colour changes would move it"


def test_an_augmentation_needs_a_discriminator_and_more_than_color(refused, tiny_data, runtime):
    with refused("recipe.augmentation_without_discriminator"):
        fresh(tiny_data, runtime, "discriminator=null", "augment=ada")
    with refused("recipe.augmentation_without_color"):
        fresh(tiny_data, runtime, "augment={kind: diffaugment, policy: [color]}")


def test_a_task_with_a_recipe_of_another_method_is_refused(refused):
    with refused("cli.task_of_other_method"):
        translation_recipe("srgan", "upscale4", pairs=False)
    assert translation_recipe("translate", "edges", pairs=False) == ("translate", ["method.task=edges"])


def test_real_images_have_more_columns_than_triples(tiny_data, runtime, tmp_path):
    state = fresh(tiny_data, runtime)
    PreviewWriter(SimpleNamespace(samples=tmp_path), state.method, state.recipe, 0, tiny_data).write_real()
    eight = make_grid(tiny_data.read(range(24)), 8)
    with Image.open(tmp_path / "real.png") as picture:
        assert picture.size == (eight.shape[1], eight.shape[0])


def test_a_preview_is_listed_once_both_pictures_are_there(tiny_data, runtime, tmp_path, monkeypatch):
    """Studio lists a preview by its -ema.png, and asks for either."""
    state, saved = fresh(tiny_data, runtime), []
    monkeypatch.setattr(previews, "save_png", lambda _, path: saved.append(path.name))
    PreviewWriter(SimpleNamespace(samples=tmp_path), state.method, state.recipe, 0, tiny_data).write(state)
    assert saved == ["000000000-raw.png", "000000000-ema.png"]


def test_a_task_with_a_recipe_whose_parts_are_a_plugins_is_left_to_training(refused, tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text("name: mine\nmethod: {kind: paired, loss: one_of_my_own}\n")
    assert translation_recipe(str(path), "edges", pairs=False) == (str(path), ["method.task=edges"])
    path.write_text("name: mine\nmethod: latent\n")
    with refused("cli.task_of_other_method"):
        translation_recipe(str(path), "edges", pairs=False)
