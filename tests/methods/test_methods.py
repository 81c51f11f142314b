"""Every method in the training step: trained networks, resume, shared fakes, previews."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

import toy_methods  # noqa: F401  registers the toys
from gansmith.core.noise import Noise
from gansmith.core.randomness import derive_seed
from gansmith.core.runtime import Runtime
from gansmith.core.schedules import Moment
from gansmith.data.base import ImageData
from gansmith.data.batches import Batch, BatchStream
from gansmith.data.open import open_data
from gansmith.methods.base import Phase, Terms
from gansmith.methods.sampling import generate
from gansmith.recipes.recipe import Recipe
from gansmith.runs.checkpoint import load_checkpoint, save_checkpoint
from gansmith.runs.folder import RunFolder
from gansmith.runs.length import RunLength
from gansmith.runs.log import read_rows
from gansmith.training.previews import PreviewWriter
from gansmith.training.state import RunState
from gansmith.training.step import train_step
from gansmith.training.trainer import Trainer, latest_checkpoint
from small_runs import domains_from, record_of

BATCH = 20  # an epoch of 96 images ends within the fifth batch
SCHEDULE_KIMG = 0.1
DCGAN = {"kind": "dcgan", "base_channels": 4, "norm": "none"}
BATCH_NORM = {**DCGAN, "norm": "batch"}
COMPACT = {"kind": "compact", "base_channels": 4, "norm": "none"}
MLP = {"kind": "mlp", "hidden": [8]}
LAZY_R1 = {"kind": "r1", "weight": {"start": 5, "end": 1}, "interval": 2}


def latent(**fields: Any) -> dict[str, Any]:
    return {"kind": "latent", "generator": MLP, "discriminator": MLP, "latent_dim": 4, **fields}


def paired(**fields: Any) -> dict[str, Any]:
    unet, patchgan = ({"kind": kind, "base_channels": 4, "norm": "instance"} for kind in ("unet", "patchgan"))
    return {"kind": "paired", "generator": unet, "discriminator": patchgan, "task": "denoise", **fields}


def unpaired(**fields: Any) -> dict[str, Any]:
    resnet = {"kind": "cyclegan_resnet", "base_channels": 4, "blocks": 1}
    patchgan = {"kind": "patchgan", "base_channels": 4, "norm": "instance"}
    return {"kind": "unpaired", "generator": resnet, "discriminator": patchgan, "pool_size": 12, **fields}


def super_resolution(**fields: Any) -> dict[str, Any]:
    srresnet = {"kind": "srresnet", "base_channels": 4, "blocks": 1}
    patchgan = {"kind": "patchgan", "base_channels": 4, "norm": "none"}
    return {"kind": "super_resolution", "generator": srresnet, "discriminator": patchgan, "scale": 2, **fields}


PAIRED = {"kind": "toy_paired", "discriminator": DCGAN, "penalties": [LAZY_R1]}
TWO = {"kind": "toy_two_discriminators", "generator": DCGAN, "discriminator": MLP}
ADA = {"kind": "ada", "interval": 1, "adapt_kimg": 0.1}
METHODS = {
    "latent": latent(),
    "share_fakes": latent(share_fakes=True),
    "share_fakes_batch_norm": latent(generator=BATCH_NORM, discriminator=BATCH_NORM, share_fakes=True),
    "share_fakes_many_steps": latent(share_fakes=True, discriminator_steps=2, generator_steps=2),
    "lazy_r1": latent(penalties=[LAZY_R1]),
    "relativistic": latent(loss="relativistic", penalties=["r1", "r2"], share_fakes=True),
    "gradient_penalty": latent(loss="wasserstein", penalties=["gradient_penalty"]),
    "weight_clip": latent(loss="wasserstein", constraints=["weight_clip"], discriminator_steps=3),
    "conditional": latent(conditional=True),
    "conditional_uniform": latent(conditional=True, fake_labels="uniform", penalties=["r2"], augment="mirror"),
    "classes": latent(
        conditional=True, fake_labels="uniform", discriminator=COMPACT, class_weight=0.5, share_fakes=True
    ),
    "augment": latent(generator=DCGAN, discriminator=DCGAN, augment="mirror"),
    "ada": latent(augment=ADA, penalties=["r1"]),
    "ada_relativistic": latent(augment=ADA, loss="relativistic", share_fakes=True, discriminator_steps=2),
    "alternate_epoch": latent(alternate="epoch"),
    "paired": paired(discriminator_steps=2, task="inpaint"),
    "paired_share_fakes": paired(
        share_fakes=True,
        discriminator_steps=2,
        generator={"kind": "unet", "base_channels": 4, "dropout": 0.5},
        discriminator={"kind": "patchgan", "base_channels": 4},
    ),
    "paired_relativistic": paired(loss="relativistic", penalties=["r1", LAZY_R1 | {"kind": "r2"}], share_fakes=True),
    "paired_wgan": paired(loss="wasserstein", penalties=["gradient_penalty"], constraints=["weight_clip"]),
    "paired_ada": paired(augment=ADA, penalties=["r2"], share_fakes=True),
    "paired_l1_alone": paired(discriminator=None),
    "paired_features": paired(feature_weight=5),
    "super_resolution": super_resolution(degradation="real_esrgan", discriminator_steps=2, crop_px=8),
    "super_resolution_relativistic": super_resolution(
        loss="relativistic", penalties=["r1", LAZY_R1 | {"kind": "r2"}], share_fakes=True, feature_weight=1
    ),
    "super_resolution_wgan": super_resolution(
        loss="wasserstein", penalties=["gradient_penalty"], constraints=["weight_clip"]
    ),
    "super_resolution_pixels_alone": super_resolution(
        discriminator=None, pixel_loss="mse", generator={"kind": "rrdb", "base_channels": 4, "blocks": 1}
    ),
    "unpaired": unpaired(),
    "unpaired_relativistic": unpaired(loss="relativistic", penalties=["r1", LAZY_R1 | {"kind": "r2"}]),
    "unpaired_wgan": unpaired(loss="wasserstein", penalties=["gradient_penalty"], constraints=["weight_clip"]),
    "unpaired_batch_norm": unpaired(discriminator=BATCH_NORM, identity_weight=0, pool_size=0),
    "unpaired_ada": unpaired(augment=ADA, penalties=["r1"]),
    "toy_paired": PAIRED,
    "toy_two_discriminators": TWO,
}
OPTIMIZERS = {"weight_clip": "rmsprop", "augment": "adamw"}


@pytest.fixture
def tiny_data(request, tiny_file) -> ImageData:
    """The images of every method, or two domains for those that translate between two."""
    name = request.node.callspec.params.get("name", "") if hasattr(request.node, "callspec") else ""
    return open_data(domains_from(tiny_file) if name.startswith("unpaired") else tiny_file)


def make_recipe(name: str, **fields: Any) -> Recipe:
    values = {
        "name": "test",
        "method": METHODS[name],
        "optimizers": {"default": {"kind": OPTIMIZERS.get(name, "adam"), "lr": {"start": 2e-3, "end": 1e-3}}},
        "batch_size": BATCH,
        "epochs": 1,
        "ema_half_life_kimg": 0.05,
        "ema_warmup": 0,  # without it the average of the first steps would be the weights themselves
    }
    return Recipe.model_validate({**values, **fields})


def fresh(recipe: Recipe, data: ImageData, runtime: Runtime) -> RunState:
    return RunState.fresh(recipe, data.spec, 7, runtime)


def advance(state: RunState, data: ImageData, runtime: Runtime, iterations: int) -> RunState:
    seed = derive_seed("data", state.seed, state.salt)
    domains = max(1, len(state.recipe.method.domains))
    stream = BatchStream(data, state.recipe.batch_size, seed, runtime, mirror=state.recipe.data.mirror, domains=domains)
    for _ in range(iterations):
        train_step(state, stream, runtime, state.moment(SCHEDULE_KIMG))
    return state


def copy_of(state: RunState, runtime: Runtime) -> dict[str, Tensor]:
    return {name: tensor.detach().clone() for name, tensor in state.tensors(runtime).items()}


def differing(left: dict[str, Tensor], right: dict[str, Tensor]) -> list[str]:
    """Return the names that are on one side only or whose tensors are not the same bits."""
    names = left.keys() | right.keys()
    return sorted(n for n in names if n not in left or n not in right or not torch.equal(left[n], right[n]))


@pytest.mark.slow
@pytest.mark.parametrize("name", METHODS)
def test_n_and_n_iterations_over_a_checkpoint_are_2n_iterations_bit_for_bit(name, tiny_data, runtime, tmp_path):
    recipe = make_recipe(name)
    whole = copy_of(advance(fresh(recipe, tiny_data, runtime), tiny_data, runtime, 6), runtime)
    half = advance(fresh(recipe, tiny_data, runtime), tiny_data, runtime, 3)
    values = {**half.values(), "planned": True, "log_sizes": {}, "recipe": {}}  # as a run adds them
    checkpoint = load_checkpoint(save_checkpoint(tmp_path / "3", half.tensors(runtime), values))
    again = RunState.fresh(recipe, tiny_data.spec, 8, runtime)  # other weights: the checkpoint must replace all of them
    again.restore(checkpoint.tensors, checkpoint.values, runtime)
    assert differing(copy_of(again, runtime), copy_of(half, runtime)) == []
    assert differing(copy_of(advance(again, tiny_data, runtime, 3), runtime), whole) == []


@pytest.mark.parametrize("name", METHODS)
def test_a_phase_changes_and_gives_gradients_to_the_networks_it_trains_and_no_other(
    name, tiny_data, runtime, monkeypatch
):
    state = advance(fresh(make_recipe(name), tiny_data, runtime), tiny_data, runtime, 1)
    method = state.method
    seen: list[tuple[Phase, dict[str, Any]]] = []
    loss = method.loss

    def photograph() -> dict[str, Any]:
        return {
            key: (parameter.detach().clone(), None if parameter.grad is None else parameter.grad.clone())
            for key, parameter in method.networks.named_parameters()
        }

    def watched(phase: Phase, batch: Batch, noise: Noise, moment: Moment) -> Terms:
        seen.append((phase, photograph()))
        wanted = {key: key.split(".")[0] in phase.trains for key in seen[-1][1]}
        assert {k: p.requires_grad for k, p in method.networks.named_parameters()} == wanted
        terms = loss(phase, batch, noise, moment)
        assert {k: p.requires_grad for k, p in method.networks.named_parameters()} == wanted
        assert all(entry.dim() == 0 and not entry.requires_grad for entry in terms.log.values())
        return terms

    monkeypatch.setattr(method, "loss", watched)
    advance(state, tiny_data, runtime, 1)
    now = method.phases_at(state.moment(SCHEDULE_KIMG))
    assert [phase.name for phase, _ in seen] == [phase.name for phase in now for _ in range(phase.repeats)]
    afters = [after for _, after in seen[1:]] + [photograph()]
    for (phase, before), after in zip(seen, afters, strict=True):
        changed = {key.split(".")[0] for key in before if not torch.equal(before[key][0], after[key][0])}
        assert changed == set(phase.trains), phase.name
        for key, (_, gradient) in before.items():
            if key.split(".")[0] not in phase.trains:
                assert gradient is None or torch.equal(gradient, after[key][1]), f"{phase.name} reached {key}"


def test_shared_fakes_come_from_the_last_d_step_with_their_graph(tiny_data, runtime, monkeypatch):
    judged: list[Tensor] = []
    for shared in (False, True):
        state = fresh(
            make_recipe("latent", method=latent(share_fakes=shared, discriminator_steps=2)), tiny_data, runtime
        )
        state.method.networks["discriminator"].register_forward_pre_hook(lambda _, inputs: judged.append(inputs[0]))
        advance(state, tiny_data, runtime, 1)
    (_, _, fresh_fakes), (_, last, reused) = judged[:3], judged[3:]
    assert torch.equal(reused, last[BATCH:])
    assert not torch.equal(fresh_fakes, reused)
    assert reused.requires_grad


def test_shared_fakes_give_the_generator_the_gradient_of_fakes_made_again(tiny_data, runtime):
    state = fresh(make_recipe("share_fakes"), tiny_data, runtime)
    method, moment = state.method, state.moment(SCHEDULE_KIMG)
    generator, (first, second) = method.networks["generator"], method.phases
    batch = BatchStream(tiny_data, BATCH, 0, runtime, mirror=False).read(0)
    noise = state.noise(first, 0, runtime)
    method.networks.requires_grad_(False)
    method.loss(first, batch, noise, moment)
    generator.requires_grad_(True)
    parameters = list(generator.parameters())
    reused = torch.autograd.grad(method.loss(second, batch, state.noise(second, 0, runtime), moment).total, parameters)
    # without shared fakes the phase draws its own: the first phase's noise makes the same ones
    made_again = torch.autograd.grad(method.loss(second, batch, noise, moment).total, parameters)
    assert all(torch.equal(left, right) for left, right in zip(reused, made_again, strict=True))
    assert any(gradient.abs().max() > 0 for gradient in reused)


@pytest.mark.parametrize("name", ["conditional", "conditional_uniform"])
def test_the_discriminator_gets_each_image_with_its_own_label(name, tiny_data, runtime, monkeypatch):
    state = fresh(make_recipe(name), tiny_data, runtime)
    inputs: dict[str, list[tuple[Tensor, Tensor]]] = {"generator": [], "discriminator": []}
    for network, calls in inputs.items():
        state.method.networks[network].register_forward_pre_hook(lambda _, inputs, calls=calls: calls.append(inputs))
    advance(state, tiny_data, runtime, 1)
    (_, d_phase_fakes), (_, g_phase_fakes) = inputs["generator"]
    (images, labels), (_, g_phase_labels) = inputs["discriminator"]
    assert len(images) == 2 * BATCH
    brightness = images[:BATCH].mean((1, 2, 3)).add(1).mul(127.5).sub(20)  # a class of the tiny data is a brightness
    assert torch.equal(labels[:BATCH], brightness.div(80).round().long())
    assert torch.equal(labels[BATCH:], d_phase_fakes)
    assert torch.equal(g_phase_labels, g_phase_fakes)
    assert torch.equal(labels[:BATCH], d_phase_fakes) == (name == "conditional")


def test_the_augmentation_draws_anew_for_every_image_of_both_sides_and_phases(tiny_data, runtime):
    state = fresh(make_recipe("augment"), tiny_data, runtime)
    method, batch = state.method, BatchStream(tiny_data, BATCH, 0, runtime, mirror=False).read(0)
    same = torch.linspace(-1, 1, 8).expand(2 * BATCH, 1, 8, 8)  # each row rises: a flip is seen in the first column
    seen: list[tuple[bool, ...]] = []
    method.networks["discriminator"].register_forward_pre_hook(
        lambda _, inputs: seen.append(tuple((inputs[0][:, 0, 0, 0] > 0).tolist()))
    )
    for phase in method.phases:
        method._critic(batch.labels, state.noise(phase, 0, runtime), "both", state.moment(1.0))(same)
    flips = [seen[0][:BATCH], seen[0][BATCH:], seen[1][:BATCH], seen[1][BATCH:]]
    assert len(set(flips)) == 4
    assert all(0 < sum(sides) < 2 * BATCH for sides in seen)


def test_weight_clip_bounds_the_weights(tiny_data, runtime):
    state = advance(fresh(make_recipe("weight_clip"), tiny_data, runtime), tiny_data, runtime, 2)
    largest = {name: max(p.abs().max().item() for p in net.parameters()) for name, net in state.method.networks.items()}
    assert largest["discriminator"] == pytest.approx(0.01)
    assert largest["generator"] > 0.02


@pytest.mark.slow
def test_state_and_pools_are_saved_and_used(tiny_data, runtime):
    recipe = make_recipe("toy_two_discriminators")
    state = advance(fresh(recipe, tiny_data, runtime), tiny_data, runtime, 4)
    tensors = copy_of(state, runtime)
    assert {name for name in tensors if name.startswith(("state/", "pools/"))} == {
        "state/mean_full",
        "state/mean_half",
        "pools/0/images",
        "pools/0/filled",
    }
    assert tensors["state/mean_full"] != 0
    assert tensors["pools/0/filled"] == 6
    assert (tensors["pools/0/images"].abs().amax((1, 2, 3)) > 0).all()
    undisturbed = copy_of(advance(state, tiny_data, runtime, 1), runtime)
    for part in ("state/mean_full", "pools/0/images"):  # a change of either reaches the weights
        again = fresh(recipe, tiny_data, runtime)
        disturbed = {name: tensor + 0.5 if name == part else tensor.clone() for name, tensor in tensors.items()}
        again.restore(disturbed, {**state.values(), "iteration": 4}, runtime)
        changed = differing(copy_of(advance(again, tiny_data, runtime, 1), runtime), undisturbed)
        assert any(name.startswith("networks/discriminator_full") for name in changed), part


@pytest.mark.parametrize(("name", "reads"), [("latent", 1), ("weight_clip", 3), ("toy_two_discriminators", 1)])
def test_kimg_counts_the_real_images_read_and_every_draw_is_read_once(name, reads, tiny_data, runtime, monkeypatch):
    state = fresh(make_recipe(name), tiny_data, runtime)
    draws: list[int] = []
    stream = BatchStream(tiny_data, BATCH, 0, runtime, mirror=False)
    first_epoch = np.concatenate([stream.indices(draw) for draw in range(5)])[:96]
    assert sorted(first_epoch) == list(range(96))
    read = BatchStream.read
    monkeypatch.setattr(BatchStream, "read", lambda self, draw: draws.append(draw) or read(self, draw))
    advance(state, tiny_data, runtime, 4)
    assert draws == list(range(4 * reads))
    assert state.kimg == pytest.approx(len(draws) * BATCH / 1000)


PREVIEWED = ["conditional", "share_fakes_batch_norm", "paired", "super_resolution", "unpaired", "toy_paired"]


@pytest.mark.parametrize("name", [*PREVIEWED, "toy_two_discriminators"])
def test_a_preview_image_does_not_depend_on_how_many_there_are(name, tiny_data, runtime):
    state = advance(fresh(make_recipe(name), tiny_data, runtime), tiny_data, runtime, 2)
    method, sizes = state.method, set()
    state.averages[method.averaged[0]].network.register_forward_pre_hook(lambda _, inputs: sizes.add(len(inputs[0])))
    many = generate(method.preview, state.preview_networks(), method.fixed(7, 19, tiny_data), 8)
    assert many.shape == (19, 8, 24 if name in ("paired", "super_resolution", "unpaired") else 8, 1)
    for count in (1, 8, 9):
        few = generate(method.preview, state.preview_networks(), method.fixed(7, count, tiny_data), 8)
        np.testing.assert_array_equal(few, many[:count])
    assert sizes == {8}
    assert len(np.unique(many.reshape(19, -1), axis=0)) == 19
    assert all(module.training for module in method.networks.modules())


@pytest.mark.slow
@pytest.mark.parametrize("name", ["latent", "paired", "super_resolution", "unpaired", "toy_paired"])
def test_a_grid_of_more_images_begins_with_the_grid_of_fewer(name, tiny_data, runtime, tmp_path):
    grids = {}
    for count in (8, 16):
        recipe = make_recipe(name, fixed_images=count, fixed_columns=8)
        state = advance(fresh(recipe, tiny_data, runtime), tiny_data, runtime, 2)
        run = RunFolder.create(tmp_path / f"{count}")
        PreviewWriter(run, state.method, recipe, 7, tiny_data).write(state)
        grids[count] = {which: _pixels(run.samples / f"000000002-{which}.png") for which in ("ema", "raw")}
    for which in ("ema", "raw"):
        few, many = grids[8][which], grids[16][which]
        np.testing.assert_array_equal(many[: len(few)], few)
        assert len(many) > len(few)
    assert not np.array_equal(grids[8]["ema"], grids[8]["raw"])


@pytest.mark.slow
@pytest.mark.parametrize("name", ["share_fakes_batch_norm", "toy_paired", "toy_two_discriminators"])
def test_previews_rows_and_checkpoints_of_the_trainer_leave_the_numbers_alone(name, tiny_data, runtime, tmp_path):
    recipe = make_recipe(name, fixed_images=8)
    state = fresh(recipe, tiny_data, runtime)
    plan = RunLength(SCHEDULE_KIMG, 4, log_every=2, preview_every=1, checkpoint_every=2, source="a test")
    run = RunFolder.create(tmp_path / "run")
    run.write_record(record_of(plan))
    assert Trainer(state, tiny_data, runtime, run, plan).run_to_end()
    bare = copy_of(advance(fresh(recipe, tiny_data, runtime), tiny_data, runtime, 4), runtime)
    kept = latest_checkpoint(run)[0].tensors
    changed = differing(kept, bare)
    assert all(key.startswith("meter/") for key in changed), changed  # rows empty the meter
    rows = read_rows(run.log)
    assert [row["iteration"] for row in rows] == [2, 4]
    assert all(
        f"grad_norm_{phase.name}" in rows[0] and row["skipped"] == 0 for phase in state.method.phases for row in rows
    )
    assert len(list(run.samples.glob("*-ema.png"))) == 5


def _pixels(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image)


@pytest.mark.slow
def test_alternate_epoch_trains_d_for_a_pass_over_the_data_and_then_g_for_one(tiny_data, runtime):
    state = fresh(make_recipe("alternate_epoch"), tiny_data, runtime)
    trained = []
    for _ in range(15):  # 300 images: three epochs of 96 and a bit
        before = copy_of(state, runtime)
        advance(state, tiny_data, runtime, 1)
        changed = {name.split("/")[1].split(".")[0] for name in differing(before, copy_of(state, runtime))}
        trained.append("".join(sorted(name[0] for name in changed)))
    # An iteration belongs to the epoch of its first image; G's average moves with D's steps too, from new to raw.
    assert [names[0] for names in trained] == list("dddddgggggddddd")


def test_alternate_epoch_leaves_no_fakes_to_share(refused, tiny_data, runtime):
    recipe = make_recipe("latent", method=latent(alternate="epoch", share_fakes=True))
    with refused("recipe.nothing_to_share"):
        fresh(recipe, tiny_data, runtime)
