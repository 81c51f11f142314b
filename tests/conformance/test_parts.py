"""Rules for every registered part; a new part is tested here without any new line."""

import inspect
import typing
from dataclasses import replace
from itertools import pairwise

import pytest
import torch
from pydantic import ValidationError
from torch import Tensor, nn

from gansmith.core.errors import RecipeError
from gansmith.core.noise import Noise
from gansmith.core.registry import Part, Registry
from gansmith.core.schedules import Moment
from gansmith.data.batches import Batch
from gansmith.data.open import open_data
from gansmith.methods.base import methods
from gansmith.parts.augmentations.base import augmentations
from gansmith.parts.constraints.base import constraints
from gansmith.parts.degradations.base import degradations
from gansmith.parts.losses.base import losses
from gansmith.parts.networks.base import ImageSpec, Network, networks, networks_with
from gansmith.parts.optimizers.base import optimizers
from gansmith.parts.penalties.base import penalties
from gansmith.parts.tasks.base import tasks, viewable
from small_runs import domains_from

FAMILIES = (losses, penalties, constraints, networks, optimizers, augmentations, tasks, degradations, methods)
REGISTRIES = {each.family: each for each in FAMILIES}
EVERY_PART = [(family, name) for family, registry in REGISTRIES.items() for name in registry.names()]
# Fields that make a network small; one that is not named here is tested as it is.
SMALL = {
    "dcgan": {"base_channels": 4},
    "mlp": {"hidden": [16, 8]},
    "unet": {"base_channels": 4},
    "patchgan": {"base_channels": 4},
    "cyclegan_resnet": {"base_channels": 4, "blocks": 2},
    "srresnet": {"base_channels": 4, "blocks": 2},
    "rrdb": {"base_channels": 4, "growth_channels": 2, "blocks": 1},
    "sngan_resnet": {"base_channels": 4},
    "compact": {"base_channels": 4},
    "r3gan": {"base_channels": 4, "max_channels": 8, "blocks": 1},
}
# Parts of methods; what a method requires and is not named here is a network, mlp.
REQUIRED = {
    "paired": {"generator": {"kind": "unet", "base_channels": 4, "norm": "instance"}, "task": "deblur"},
    "unpaired": {"generator": {"kind": "cyclegan_resnet", "base_channels": 4, "blocks": 1}},
    "super_resolution": {"generator": {"kind": "srresnet", "base_channels": 4, "blocks": 1}},
}
GENERATORS, DISCRIMINATORS = networks_with("generator"), networks_with("discriminator")
TRANSLATORS = [name for name in GENERATORS if networks.get(name).translates]
ENLARGERS = [name for name in TRANSLATORS if networks.get(name).enlarges]
SIDES = [(kind, side) for side in ("generator", "discriminator") for kind in networks_with(side)]
# Height, width, channels and classes: the smallest, no power of two, a power of two, the largest, not square.
SHAPES = [(8, 8, 4, 3), (12, 96, 1, 0), (28, 28, 1, 0), (32, 32, 3, 0), (64, 64, 1, 0), (48, 64, 4, 3)]
NOISE = Noise(
    seed=0, salt=0, iteration=0, phase="test", repeat=0, positions=range(8), batch_size=8, device=torch.device("cpu")
)


def make(registry: Registry, name: str, **fields: object) -> Part:
    """Return a part with its defaults; a field that has none is a network."""
    required = {key: "mlp" for key, field in registry.get(name).model_fields.items() if field.is_required()}
    return registry.parse({"kind": name, **required, **REQUIRED.get(name, {}), **fields})


def small(kind: str, **fields: object) -> Network:
    return networks.parse({"kind": kind, **SMALL.get(kind, {}), **fields})


def drawn(*shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(sum(shape)))


# every part


@pytest.mark.parametrize(("family", "name"), EVERY_PART)
def test_docstring_names_its_source_and_what_differs(family, name):
    part = REGISTRIES[family].get(name)
    text = part.__dict__.get("__doc__") or ""
    assert "Source:" in text
    assert family == "optimizer" or "Differs:" in text
    assert inspect.getdoc(inspect.getmodule(part)), "a file says what it holds"


@pytest.mark.parametrize(("family", "name"), EVERY_PART)
def test_defaults_are_valid_and_come_back_from_what_is_written(family, name):
    registry = REGISTRIES[family]
    part = make(registry, name)
    assert part.kind == name
    written = part.model_dump(mode="json")
    assert registry.parse({"kind": name, **written}) == part
    assert type(part).model_validate_json(part.model_dump_json()) == part
    with pytest.raises(ValidationError, match="frozen"):
        setattr(part, next(iter(type(part).model_fields), "kind_of"), 1)


@pytest.mark.parametrize(("family", "name"), EVERY_PART)
def test_an_unknown_field_is_refused_and_the_nearest_offered(family, name):
    registry = REGISTRIES[family]
    fields = list(registry.get(name).model_fields)
    wrong = fields[0] + "x" if fields else "anything"
    with pytest.raises(RecipeError) as caught:
        make(registry, name, **{wrong: 1})
    assert caught.value.code == "recipe.unknown_part_field"
    head, hint = str(caught.value).split("\n")
    assert all(text in head for text in (family, f"'{name}'", f"'{wrong}'"))
    assert head.endswith(f" (did you mean '{fields[0]}'?)" if fields else f"'{name}'")
    assert hint == f"  fields: {', '.join(fields) or 'none'}"


@pytest.mark.parametrize(("family", "name"), EVERY_PART)
def test_a_name_can_be_typed(family, name):
    assert name == name.lower()
    assert name.replace("_", "").replace("-", "").isalnum()


# losses


@pytest.mark.parametrize("name", losses.names())
@pytest.mark.parametrize("shape", [(4,), (4, 1), (4, 1, 3, 3)])
def test_loss_takes_logits_of_any_shape(name, shape):
    loss, real, fake = losses.parse(name), drawn(*shape), drawn(*shape) - 1
    for value in (loss.discriminator(real, fake), loss.generator(real, fake)):
        assert value.shape == ()
        assert value.isfinite()
    flat = loss.discriminator(real.flatten(), fake.flatten())
    torch.testing.assert_close(loss.discriminator(real, fake), flat)


@pytest.mark.parametrize("name", losses.names())
def test_d_is_rewarded_for_telling_real_from_fake(name):
    loss, zero = losses.parse(name), torch.zeros(4)
    values = [loss.discriminator(zero + gap, zero - gap).item() for gap in (-1, -0.5, 0, 0.25, 0.5)]
    assert all(after < before for before, after in pairwise(values))


@pytest.mark.parametrize("name", losses.names())
def test_g_raises_the_logits_of_its_fakes(name):
    loss = losses.parse(name)
    for level in (-2.0, 0.0, 0.5):
        fake = torch.full((4,), level, requires_grad=True)
        loss.generator(torch.zeros(4) if loss.generator_needs_real else None, fake).backward()
        assert (fake.grad < 0).all()


@pytest.mark.parametrize("name", losses.names())
def test_loss_is_a_mean_over_the_batch(name):
    loss, real, fake = losses.parse(name), drawn(6), drawn(6) - 1
    twice = loss.discriminator(torch.cat([real, real]), torch.cat([fake, fake]))
    torch.testing.assert_close(twice, loss.discriminator(real, fake))
    torch.testing.assert_close(loss.generator(real.repeat(2), fake.repeat(2)), loss.generator(real, fake))


@pytest.mark.parametrize("name", losses.names())
def test_loss_is_finite_in_bfloat16(name):
    loss = losses.parse(name)
    for scale in (1.0, 100.0):
        real, fake = [(drawn(32) * scale).bfloat16().requires_grad_() for _ in range(2)]
        total = loss.discriminator(real, fake) + loss.generator(real, fake)
        total.backward()
        assert total.isfinite()
        assert real.grad.isfinite().all()
        assert fake.grad.isfinite().all()


# networks


def built(config: Network, side: str, spec: ImageSpec) -> nn.Module:
    torch.manual_seed(0)
    return getattr(config, side)(spec)


def inputs_of(config: Network, side: str, spec: ImageSpec, count: int = 8) -> Tensor:
    """Return the inputs of a side: images for discriminators, latents or source images for generators."""
    if side == "generator" and not config.translates:
        return drawn(count, spec.latent_dim)
    channels = spec.source_channels if side == "generator" else spec.channels
    return drawn(count, channels, spec.height, spec.width).tanh()


def labels_of(spec: ImageSpec, count: int = 8) -> Tensor | None:
    return torch.arange(count) % spec.num_classes if spec.num_classes else None


@pytest.mark.parametrize("kind", networks.names())
def test_a_network_has_a_side_and_of_a_missing_one_says_which_networks_have_it(kind):
    assert kind in GENERATORS or kind in DISCRIMINATORS
    for side, names in (("generator", GENERATORS), ("discriminator", DISCRIMINATORS)):
        if kind not in names:
            with pytest.raises(RecipeError) as caught:
                built(small(kind), side, ImageSpec(32, 32, 3, latent_dim=6))
            assert caught.value.code == "recipe.network_without_side"
            assert str(caught.value).endswith(f"\n  allowed: {', '.join(names)}")


@pytest.mark.parametrize("kind", TRANSLATORS)
def test_a_translator_takes_any_sides_that_are_multiples(kind):
    generator = built(small(kind), "generator", ImageSpec(32, 32, 3, source_channels=1)).eval()
    step = generator.multiple
    with torch.no_grad():
        for sides in ((32, 32), (3 * step, 5 * step), (96, 32)):
            assert generator(drawn(1, 1, *sides), None).shape == (1, 3, *sides)


@pytest.mark.parametrize("kind", ENLARGERS)
@pytest.mark.parametrize("scale", [2, 4])
@pytest.mark.parametrize("source_channels", [1, 3])
def test_an_enlarger_makes_sides_larger_and_every_weight_learns(kind, scale, source_channels):
    config = small(kind, outer_kernel=3) if kind == "srresnet" else small(kind)
    generator = built(config, "generator", ImageSpec(32, 32, 3, source_channels=source_channels, scale=scale))
    out = generator(drawn(2, source_channels, 5, 7).tanh(), None)
    assert out.shape == (2, 3, 5 * scale, 7 * scale)
    (out * drawn(*out.shape)).sum().backward()
    assert all(parameter.grad is not None and parameter.grad.any() for parameter in generator.parameters())


@pytest.mark.parametrize("kind", TRANSLATORS)
def test_a_translator_without_sources_is_refused(kind):
    with pytest.raises(RecipeError) as caught:
        small(kind).generator(ImageSpec(32, 32, 3, latent_dim=6))
    assert caught.value.code == "recipe.generator_from_images"
    assert "\n  use method '" in str(caught.value)


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "side"), SIDES)
def test_network_has_the_sizes_of_its_spec_and_every_weight_learns(kind, side):
    for shape in SHAPES:
        spec = ImageSpec(*shape, latent_dim=6, source_channels=2)
        network = built(small(kind), side, spec)
        for parameter in network.parameters():
            if not parameter.any():  # a layer that starts at zero keeps gradients from those before it
                nn.init.normal_(parameter, 0, 0.1)
        out = network(inputs_of(small(kind), side, spec), labels_of(spec))
        if side == "generator":
            assert out.shape == (8, spec.channels, spec.height, spec.width)
        else:
            assert out.shape[0] == 8, shape
            assert out.ndim == 1 or out.shape[1] == 1, shape
        (out * drawn(*out.shape)).sum().backward()
        for name, parameter in network.named_parameters():
            assert parameter.grad is not None, (shape, name)
            assert parameter.grad.isfinite().all(), (shape, name)
            assert parameter.grad.any(), (shape, name)


@pytest.mark.parametrize("kind", GENERATORS)
@pytest.mark.parametrize("value_range", ["signed", "unit"])
def test_generator_keeps_to_its_value_range_if_bounded_and_uses_all_of_it(kind, value_range):
    spec = ImageSpec(16, 16, 3, latent_dim=6, source_channels=2)
    config = small(kind, value_range=value_range)
    generator, inputs = built(config, "generator", spec), inputs_of(config, "generator", spec) * 1000
    lowest, highest = (-1, 1) if value_range == "signed" else (0, 1)
    with torch.no_grad():
        images = generator(inputs, None)
        assert (images.min() >= lowest) == config.bounded
        assert (images.max() <= highest) == config.bounded
        for parameter in generator.parameters():
            parameter.mul_(10)
        images = generator(inputs, None)
    assert images.min() < lowest + 0.1
    assert images.max() > highest - 0.1


@pytest.mark.parametrize(("kind", "side"), SIDES)
def test_labels_change_the_output(kind, side):
    spec = ImageSpec(16, 16, 1, num_classes=3, latent_dim=6, source_channels=2)
    network, inputs = built(small(kind), side, spec).eval(), inputs_of(small(kind), side, spec)
    first, second = (network(inputs, torch.full((8,), label)) for label in (0, 1))
    assert not torch.allclose(first, second)


@pytest.mark.parametrize("kind", [kind for kind in networks.names() if networks.get(kind).mixes_labels])
def test_labels_may_be_class_weights_if_declared(kind):
    spec = ImageSpec(16, 16, 1, num_classes=3, latent_dim=8)
    latents, labels = drawn(8, 8), labels_of(spec)
    generator = built(small(kind), "generator", spec).eval()
    weights = nn.functional.one_hot(labels, 3).float()
    assert torch.equal(generator(latents, weights), generator(latents, labels))
    assert not torch.equal(generator(latents, weights.roll(1, 1) / 2 + weights / 2), generator(latents, labels))


def norm_choices(kind: str) -> list[dict[str, object]]:
    """Return the fields of every way to normalise that a network has."""
    fields = networks.get(kind).model_fields
    norms = typing.get_args(fields["norm"].annotation) if "norm" in fields else ()
    outputs = (False, True) if "norm_output" in fields else ()
    choices: list[dict[str, object]] = [{}]
    choices = [{**each, "norm": norm} for each in choices for norm in norms] or choices
    return [{**each, "norm_output": output} for each in choices for output in outputs] or choices


@pytest.mark.parametrize(
    ("kind", "side", "fields"), [(kind, side, fields) for kind, side in SIDES for fields in norm_choices(kind)]
)
def test_batch_statistics_are_as_declared(kind, side, fields):
    config = small(kind, **fields)
    spec = ImageSpec(32, 32, 1, latent_dim=6, source_channels=2)
    network, inputs = built(config, side, spec).train(), inputs_of(config, side, spec)
    other = inputs.clone()
    other[0] = -2 * other[0] + 1
    with torch.no_grad():
        before, after = network(inputs, None), network(other, None)
    assert not torch.allclose(before[0], after[0], atol=1e-7)
    assert config.has_batch_statistics == (not torch.allclose(before[1:], after[1:], atol=1e-6))
    network.eval()
    with torch.no_grad():
        torch.testing.assert_close(network(inputs, None)[1:], network(other, None)[1:])


def normed_weight(module: nn.Module) -> Tensor:
    weight = module.weight.detach()
    return weight.transpose(0, 1).flatten(1) if isinstance(module, nn.ConvTranspose2d) else weight.flatten(1)


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "side"), SIDES)
@pytest.mark.parametrize("init", ["framework", "normal"])
def test_spectral_norm_bounds_every_weight(kind, side, init):
    spec = ImageSpec(16, 16, 3, latent_dim=6, source_channels=2)
    config = small(kind, spectral_norm=True, init=init)
    network, inputs = built(config, side, spec), inputs_of(config, side, spec, 2)
    with torch.no_grad():
        for _ in range(60):
            network(inputs, None)
    network.eval()
    linear = [each for each in network.modules() if isinstance(each, nn.Linear | nn.Conv2d | nn.ConvTranspose2d)]
    assert linear
    for module in linear:
        assert torch.linalg.matrix_norm(normed_weight(module), 2).item() == pytest.approx(1, rel=0.03)
    plain = built(small(kind, init=init), side, spec)
    assert not any("parametrizations" in name for name in plain.state_dict())


@pytest.mark.parametrize("kind", networks.names())
def test_normal_initialisation(kind):
    config = networks.parse({"kind": kind, "init": "normal", **({"norm": "batch"} if norm_choices(kind)[0] else {})})
    seen = {"weights": 0, "norms": 0}
    spec = ImageSpec(32, 32, 3, latent_dim=50, source_channels=2)
    for side in (side for name, side in SIDES if name == kind):
        for module in built(config, side, spec).modules():
            bias = getattr(module, "bias", None)
            assert bias is None or not bias.any()
            weight = getattr(module, "weight", None)
            if weight is None or isinstance(module, nn.PReLU):
                continue
            norm = isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d)
            seen["norms" if norm else "weights"] += 1
            error = 4 / weight.numel() ** 0.5
            assert weight.mean().item() == pytest.approx(1 if norm else 0, abs=0.02 * error)
            assert weight.std().item() == pytest.approx(0.02, rel=error)
    assert seen["weights"] > 1
    assert seen["norms"] > 1 or "norm" not in networks.get(kind).model_fields


@pytest.mark.parametrize(("kind", "side"), SIDES)
@pytest.mark.parametrize("spectral_norm", [False, True])
def test_weights_come_back_from_a_state_dict(kind, side, spectral_norm):
    spec = ImageSpec(16, 16, 1, num_classes=2, latent_dim=6, source_channels=2)
    init = {"init": "framework"} if spectral_norm else {}  # no weight of zeros has a spectral norm
    config, labels = small(kind, spectral_norm=spectral_norm, **init), labels_of(spec)
    old, inputs = built(config, side, spec), inputs_of(config, side, spec)
    old(inputs, labels)  # moves batch statistics and power iterations
    old.eval()
    torch.manual_seed(1)
    new = getattr(config, side)(spec).eval()
    assert not torch.allclose(new(inputs, labels), old(inputs, labels))
    new.load_state_dict(old.state_dict())
    assert torch.equal(new(inputs, labels), old(inputs, labels))


@pytest.mark.parametrize(("kind", "side"), SIDES)
def test_the_same_seed_builds_the_same_network(kind, side):
    spec = ImageSpec(16, 16, 1, latent_dim=6, source_channels=2)
    one, two = (built(small(kind), side, spec) for _ in range(2))
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), two.parameters(), strict=True))


# tasks


@pytest.mark.parametrize("name", tasks.names())
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_a_task_makes_sources_with_the_declared_channels_and_repeats_them_for_the_same_noise(name, channels):
    task, images = tasks.parse(name), drawn(8, channels, 12, 20).tanh()
    if channels == 1 and name == "colorize":
        with pytest.raises(RecipeError) as caught:
            task.source_channels(channels)
        assert caught.value.code == "recipe.task_needs_color"
        return
    before, sources = images.clone(), task(images, NOISE)
    assert sources.shape == (8, task.source_channels(channels), 12, 20)
    assert sources.dtype == images.dtype
    assert sources.abs().max() <= 1
    assert torch.equal(images, before)
    assert not torch.equal(viewable(sources, channels), images), "something is lost on the way"
    assert viewable(sources, channels).shape == images.shape
    assert torch.equal(task(images, NOISE), sources)
    half = replace(NOISE, positions=range(4, 8))
    torch.testing.assert_close(task(images[4:], half), sources[4:])


@pytest.mark.parametrize("name", tasks.names())
def test_a_task_prepares_a_users_images(name):
    task, images = tasks.parse(name), drawn(2, 3, 12, 20).tanh()
    mask = (drawn(2, 1, 12, 20) > 0).float() if task.takes_mask else None
    sources = task.prepare(images, mask)
    assert sources.shape == (2, task.source_channels(3), 12 * task.scale, 20 * task.scale)
    results = drawn(2, 3, *sources.shape[2:]).tanh()
    assert task.complete(results, sources).shape == results.shape


# degradations


@pytest.mark.parametrize("name", degradations.names())
@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize("scale", [2, 4])
def test_degradation_makes_small_images_as_a_file_holds_them_and_leaves_the_large_ones_alone(name, channels, scale):
    images = drawn(8, channels, 24, 16).tanh()
    before = images.clone()
    sources = degradations.parse(name)(images, scale, NOISE)
    assert torch.equal(images, before)
    assert sources.shape == (8, channels, 24 // scale, 16 // scale)
    assert sources.dtype == torch.float32
    assert sources.abs().max() <= 1
    steps = sources * 127.5 + 127.5
    torch.testing.assert_close(steps, steps.round(), atol=1e-4, rtol=0)


@pytest.mark.parametrize("name", degradations.names())
def test_a_source_depends_on_its_image_and_its_draws_alone(name):
    degradation, images = degradations.parse(name), drawn(8, 3, 16, 16).tanh()
    half = replace(NOISE, positions=range(4, 8))
    whole = degradation(images, 2, NOISE)
    torch.testing.assert_close(degradation(images[4:], 2, half), whole[4:], atol=0.009, rtol=0)
    assert torch.equal(degradation(images, 2, NOISE), whole)


# augmentations


def draws(noise: Noise = NOISE):
    return lambda name, *shape: noise.uniform(f"augment/{name}", *shape)


@pytest.mark.parametrize("name", augmentations.names())
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_augmentation_keeps_shapes_and_lets_gradients_through(name, channels):
    images = drawn(8, channels, 12, 16).tanh().requires_grad_()
    out = augmentations.parse(name)(images, draws())
    assert out.shape == images.shape
    assert out.dtype == images.dtype
    (gradient,) = torch.autograd.grad((out * drawn(*out.shape)).sum(), images, create_graph=True)
    assert gradient.isfinite().all()
    assert all(each.any() for each in gradient)


@pytest.mark.parametrize("name", augmentations.names())
def test_augmentation_uses_only_the_given_draws_and_separate_ones_for_each_image(name):
    noise = replace(NOISE, positions=range(64))  # enough for a share of them to be changed
    images = drawn(1, 3, 16, 16).tanh().expand(64, -1, -1, -1)
    out = augmentations.parse(name)(images, draws(noise))
    assert len({image.numpy().tobytes() for image in out}) > 1
    assert torch.equal(augmentations.parse(name)(images, draws(noise)), out)
    half = replace(NOISE, positions=range(32, 64))
    assert torch.equal(augmentations.parse(name)(images[:32], draws(half)), out[32:])


@pytest.mark.parametrize("name", augmentations.names())
def test_probability_0_changes_nothing(name):
    noise = replace(NOISE, positions=range(64))
    images = drawn(64, 3, 12, 16).tanh()
    assert torch.equal(augmentations.parse(name)(images, draws(noise), 0.0), images)
    assert torch.equal(augmentations.parse(name)(images, draws(noise), torch.tensor(0.0)), images)
    assert not torch.equal(augmentations.parse(name)(images, draws(noise), 1.0), images)


@pytest.mark.parametrize("name", augmentations.names())
@pytest.mark.parametrize("channels", [2, 6])
def test_an_augmentation_without_colours_takes_any_channels_and_gives_each_the_same(name, channels):
    noise = replace(NOISE, positions=range(32))
    one = drawn(32, 1, 12, 16).tanh()
    geometric = augmentations.parse(name).geometric()
    out = geometric(one.expand(-1, channels, -1, -1), draws(noise), 0.9)
    assert torch.equal(out[:, :1].expand_as(out), out)
    assert not torch.equal(out[:, :1], one)
    assert geometric.geometric() == geometric


@pytest.mark.parametrize("name", augmentations.names())
def test_an_augmentation_keeps_the_shapes_of_its_state_and_a_valid_probability(name):
    augmentation = augmentations.parse(name)
    state = augmentation.initial_state()
    shapes = {key: tensor.shape for key, tensor in state.items()}
    for iteration, margins in enumerate((drawn(8) + 5, drawn(8) - 5, drawn(8, 1, 2, 2))):
        moment = Moment(iteration, 0.0, 0.5)
        assert 0 <= float(augmentation.probability_at(state, moment)) <= 1
        augmentation.observe(state, margins, replace(NOISE, iteration=iteration), moment)
        assert {key: tensor.shape for key, tensor in state.items()} == shapes
        assert all(tensor.is_contiguous() and tensor.isfinite().all() for tensor in state.values())


# constraints


@pytest.mark.parametrize("name", constraints.names())
def test_applying_a_constraint_twice_changes_nothing_more(name):
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(5, 4), nn.Linear(4, 3))
    before = [parameter.clone() for parameter in network.parameters()]
    with torch.no_grad():
        constraints.parse(name).apply_(network)
        once = [parameter.clone() for parameter in network.parameters()]
        constraints.parse(name).apply_(network)
    assert any(not torch.equal(a, b) for a, b in zip(before, once, strict=True))
    for one, two in zip(once, network.parameters(), strict=True):
        torch.testing.assert_close(one, two)


# optimizers


@pytest.mark.parametrize("name", optimizers.names())
def test_optimizer_goes_downhill_and_takes_a_ramp(name):
    part = optimizers.parse({"kind": name, "lr": {"start": 0.1, "end": 0.0}})
    weight = nn.Parameter(torch.tensor([3.0, -2.0]))
    optimizer = part.build([weight])
    values = []
    for step in range(5):
        value = weight.square().sum()
        optimizer.zero_grad()
        value.backward()
        part.step(optimizer, torch.zeros(()), Moment(step, 0.0, step / 4))
        values.append(value.item())
        assert optimizer.param_groups[0]["lr"] == pytest.approx(0.1 * (1 - step / 4))
    assert all(after < before for before, after in pairwise(values[:4]))
    last = weight.detach().clone()
    part.step(optimizer, torch.zeros(()), Moment(5, 0.0, 1.0))
    assert torch.equal(weight, last), "a learning rate of 0 moves nothing"


# methods


@pytest.mark.slow
@pytest.mark.parametrize("name", methods.names())
def test_method_is_whole_and_every_phase_trains_what_it_says(name, tiny_file):
    torch.manual_seed(0)
    config = make(methods, name)
    data = open_data(domains_from(tiny_file) if config.domains else tiny_file)
    method = config.build(data.spec)
    assert set(method.averaged) <= set(method.networks)
    assert {trained for phase in method.phases for trained in phase.trains} == set(method.networks)
    assert set(method.constraints) <= set(method.networks)
    assert set(method.example_inputs(2)) == set(method.networks)
    batch = Batch(drawn(8, 1, 8, 8).tanh(), torch.arange(8) % 3)
    assert set(method.phases_at(Moment(0, 0.0, 0.0))) <= set(method.phases)
    for phase in method.phases:
        for key, network in method.networks.items():
            network.requires_grad_(key in phase.trains)
            network.zero_grad()
        terms = method.loss(phase, batch, NOISE, Moment(0, 0.0, 0.0))
        assert terms.total.shape == ()
        assert terms.log
        assert all(value.shape == () and not value.requires_grad and value.isfinite() for value in terms.log.values())
        assert not any("," in key or "/" in key for key in terms.log)
        terms.total.backward()
        for key, network in method.networks.items():
            got = [parameter.grad is not None and parameter.grad.any().item() for parameter in network.parameters()]
            assert all(got) if key in phase.trains else not any(got)
    fixed = method.fixed(0, 4, data)
    assert len(fixed.inputs) == 4
    method.networks.eval()
    images = method.preview(method.networks, fixed)
    assert images.shape[:3] == (4, 1, 8)
    assert images.shape[3] % 8 == 0  # a method may show several beside each other
    assert images.abs().max() <= 1
