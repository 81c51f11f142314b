"""What each recipe computes, against numbers written here by hand from its source."""

import math

import pytest
import torch
from torch import nn

from gansmith.api import example_spec
from gansmith.data.base import DataSpec
from gansmith.recipes.layer_table import layer_table
from gansmith.recipes.load import load_recipe
from gansmith.training.state import RunState

# name: (G's widths, D's widths, latent, betas, lr, batch)
MLPS = {
    "mlp-small": ([100, 300, 784], [784, 300, 100, 1], (0.5, 0.999), 2e-4, 100),
    "vanilla": ([100, 256, 512, 1024, 784], [784, 512, 256, 1], (0.5, 0.999), 2e-4, 128),
    "linear": ([100, 256, 512, 1024, 784], [784, 1024, 512, 256, 1], (0.9, 0.999), 2e-4, 128),
    "conditional": ([110, 256, 512, 1024, 784], [794, 512, 256, 1], (0.5, 0.999), 2e-4, 128),
}
# name: (latent, G's maps, D's maps, init's deviation or None for torch's own)
DCGANS = {
    "dcgan": (100, [512, 256, 128, 64], 0.02),
    "dcgan-anime": (128, [512, 256, 128, 64], None),
    "dcgan-celeba": (100, [1024, 512, 256, 128], None),
    "lsgan": (100, [512, 256, 128, 64], 0.02),
    "hinge": (100, [512, 256, 128, 64], 0.02),
    "wgan": (100, [512, 256, 128, 64], 0.02),
    "wgan-gp": (100, [512, 256, 128, 64], 0.02),
}


def built(name: str, *overrides: str, spec: DataSpec | None = None) -> nn.ModuleDict:
    """Return a recipe's networks at their real size, without memory."""
    recipe = load_recipe(name, overrides)
    with torch.device("meta"):
        return recipe.method.build(spec or example_spec(recipe)).networks


def linear_widths(network: nn.Module) -> list[int]:
    layers = [module for module in network.modules() if isinstance(module, nn.Linear)]
    return [layers[0].in_features, *(layer.out_features for layer in layers)]


def kinds(network: nn.Module) -> list[str]:
    return [type(module).__name__ for module in network.modules() if not list(module.children())]


def parameters(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


@pytest.mark.parametrize("name", MLPS)
def test_fully_connected(name):
    generator_widths, discriminator_widths, betas, lr, batch_size = MLPS[name]
    recipe, networks = load_recipe(name), built(name)
    assert linear_widths(networks["generator"]) == generator_widths
    assert linear_widths(networks["discriminator"]) == discriminator_widths
    adam = recipe.optimizers["default"]
    assert (adam.kind, adam.lr, adam.beta1, adam.beta2) == ("adam", lr, *betas)
    assert recipe.batch_size == batch_size
    assert set(recipe.optimizers) == {"default"}
    assert "BatchNorm1d" not in kinds(networks["discriminator"])
    for network in networks.values():
        assert {layer.negative_slope for layer in network.modules() if isinstance(layer, nn.LeakyReLU)} == {0.2}


def test_the_smallest():
    recipe, networks = load_recipe("mlp-small"), built("mlp-small")
    assert kinds(networks["generator"]) == ["Linear", "LeakyReLU", "Linear", "Sigmoid"]
    assert kinds(networks["discriminator"]) == ["Linear", "LeakyReLU", "Linear", "LeakyReLU", "Linear"]
    assert parameters(networks["generator"]) == 101 * 300 + 301 * 784
    assert parameters(networks["discriminator"]) == 785 * 300 + 301 * 100 + 101
    assert recipe.method.generator.value_range == recipe.method.discriminator.value_range == "unit"
    assert (recipe.epochs, recipe.fixed_images, recipe.fixed_columns) == (20, 16, 8)


@pytest.mark.parametrize(("name", "extra"), [("vanilla", 0), ("conditional", 10)])
def test_vanilla_has_batch_norm_on_hidden_layers_of_g_alone(name, extra):
    networks = built(name)
    hidden = ["Linear", "BatchNorm1d", "LeakyReLU"]
    assert kinds(networks["generator"]) == [*hidden * 3, "Linear", "Tanh"]
    weights = (100 + extra) * 256 + 256 * 512 + 512 * 1024 + 1024 * 784
    assert parameters(networks["generator"]) == weights + (256 + 512 + 1024) * 3 + 784
    assert parameters(networks["discriminator"]) == (785 + extra) * 512 + 513 * 256 + 257
    assert load_recipe(name).kimg == 1200
    assert load_recipe(name).method.conditional is (name == "conditional")


def test_minimax_is_one_override_away():
    assert load_recipe("vanilla").method.loss.kind == "non_saturating"
    assert load_recipe("vanilla", ("loss=minimax",)).method.loss.kind == "minimax"


def test_linear_norms_every_layer_and_smooths_one_side():
    recipe, networks = load_recipe("linear"), built("linear")
    block = ["Linear", "BatchNorm1d", "LeakyReLU"]
    assert kinds(networks["generator"]) == [*block * 3, "Linear", "BatchNorm1d", "Tanh"]
    assert all(layer.bias is None for layer in networks["generator"].modules() if isinstance(layer, nn.Linear))
    weights = 100 * 256 + 256 * 512 + 512 * 1024 + 1024 * 784
    assert parameters(networks["generator"]) == weights + (256 + 512 + 1024 + 784) * 2
    assert (recipe.method.loss.real_label, recipe.method.loss.fake_label) == (0.9, 0.0)
    assert recipe.epochs == 100


@pytest.mark.parametrize("name", DCGANS)
def test_convolutional(name):
    latent_dim, widths, _ = DCGANS[name]
    networks = built(name)
    maps = [(widths[0], 4, 4), (widths[1], 8, 8), (widths[2], 16, 16), (widths[3], 32, 32), (3, 64, 64)]
    spec = example_spec(load_recipe(name))
    with torch.device("meta"):
        rows = layer_table(networks["generator"], torch.empty(2, latent_dim))
        judged = layer_table(networks["discriminator"], torch.empty(2, 3, spec.height, spec.width))
    normed = [row.shape for row in rows if row.layer == "BatchNorm2d"]
    assert normed == maps[:-1]
    assert [row.shape for row in rows if row.layer.startswith("ConvTranspose2d 4x4 stride 2")] == maps[1:]
    assert rows[-1] == type(rows[-1])("Tanh", maps[-1], 0)
    assert [row.shape for row in judged if row.layer == "Conv2d 4x4 stride 2"] == maps[-2::-1]
    expected = [] if name == "wgan-gp" else maps[-3::-1]
    assert [row.shape for row in judged if row.layer == "BatchNorm2d"] == expected
    pairs = list(zip([3, *widths[:0:-1]], widths[::-1], strict=True))
    convolutions = 16 * (sum(a * b for a, b in pairs) + widths[0])
    norms = 0 if name == "wgan-gp" else 2 * sum(widths[:-1])
    biases = 1 + (sum(widths) if name == "wgan-gp" else widths[-1])
    assert parameters(networks["discriminator"]) == convolutions + norms + biases
    growth = 16 * sum(a * b for a, b in pairs) + latent_dim * 16 * widths[0]
    assert parameters(networks["generator"]) == growth + 2 * sum(widths) + 3


@pytest.mark.slow
@pytest.mark.parametrize(("size", "widths"), [(28, [128, 64]), (32, [256, 128, 64]), (128, [1024, 512, 256, 128, 64])])
def test_dcgan_at_other_sizes(size, widths):
    for channels in (1, 3, 4):
        spec = DataSpec("x", size, size, channels, 10, (), "")
        network = built("dcgan", spec=spec)["generator"]
        start = size // 2 ** len(widths)
        assert network.start == (widths[0], start, start)
        with torch.device("meta"):
            assert network(torch.empty(2, 100)).shape == (2, channels, size, size)


def test_cifar10_has_sixteen_channels_no_biases_and_a_norm_on_ds_first_layer():
    recipe, networks = load_recipe("dcgan-cifar10"), built("dcgan-cifar10")
    assert recipe.batch_size == 100
    assert recipe.data.shape == (32, 32)
    for network in networks.values():
        assert all(getattr(layer, "bias", None) is None for layer in network.modules() if not is_norm(layer))
    assert parameters(networks["generator"]) == 16 * (100 * 64 + 64 * 32 + 32 * 16 + 16 * 3) + 2 * (64 + 32 + 16)
    assert parameters(networks["discriminator"]) == 16 * (3 * 16 + 16 * 32 + 32 * 64 + 64) + 2 * (16 + 32 + 64)
    assert kinds(networks["discriminator"])[:3] == ["StridedConv2d", "BatchNorm2d", "LeakyReLU"]


def is_norm(layer: nn.Module) -> bool:
    return isinstance(layer, nn.BatchNorm2d)


def test_cifar10_without_padding_speaks_46_px():
    spec = DataSpec("x", 46, 46, 3, 10, (), "")
    networks = built("dcgan-cifar10", "padding=0", "size=46", spec=spec)
    with torch.device("meta"):
        rows = layer_table(networks["generator"], torch.empty(2, 100))
        logits = networks["discriminator"](torch.empty(2, 3, 46, 46))
    shapes = [row.shape for row in rows if row.layer.startswith(("BatchNorm2d", "Tanh"))]
    assert shapes == [(64, 4, 4), (32, 10, 10), (16, 22, 22), (3, 46, 46)]
    assert logits.shape == (2,)
    assert parameters(networks["generator"]) == parameters(built("dcgan-cifar10")["generator"])


def test_padding_and_size_must_fit(refused):
    with refused("recipe.size_unfit_for_network"):
        built("dcgan-cifar10", "padding=0", spec=DataSpec("x", 32, 32, 3, 10, (), ""))
    with refused("recipe.size_unfit_for_network"):
        built("dcgan-cifar10", spec=DataSpec("x", 46, 46, 3, 10, (), ""))


@pytest.mark.parametrize("name", [*DCGANS, "dcgan-cifar10"])
def test_initial_weights(name, runtime):
    deviation = DCGANS[name][2] if name in DCGANS else None
    recipe = load_recipe(name, ("size=16", "batch_size=4"))
    state = RunState.fresh(recipe, DataSpec("x", 16, 16, 3, 10, (), ""), 0, runtime)
    layers = [layer for layer in state.method.networks.modules() if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d)]
    for layer in layers:
        # torch's own is uniform in +-1/sqrt(fan_in), which it takes from the second axis of the weight
        expected = deviation or 1 / math.sqrt(3 * layer.weight[0].numel())
        assert layer.weight.std().item() == pytest.approx(expected, rel=0.1)
        assert abs(layer.weight.mean().item()) < expected * 4 / math.sqrt(layer.weight.numel())
    norms = [layer for layer in state.method.networks.modules() if isinstance(layer, nn.BatchNorm2d)]
    weights = torch.cat([layer.weight for layer in norms])
    if deviation:
        assert weights.std().item() == pytest.approx(deviation, rel=0.3)
        assert weights.mean().item() == pytest.approx(1, abs=0.02)
    else:
        assert bool((weights == 1).all())


@pytest.mark.slow
def test_losses_and_optimizers():
    assert load_recipe("lsgan").method.loss.kind == "least_squares"
    assert load_recipe("hinge").method.loss.kind == "hinge"
    for name in ("dcgan", "dcgan-anime", "dcgan-celeba", "dcgan-cifar10", "lsgan", "hinge"):
        adam = load_recipe(name).optimizers["default"]
        assert (adam.kind, adam.lr, adam.beta1, adam.beta2) == ("adam", 2e-4, 0.5, 0.999)
    batches = {"dcgan": 32, "dcgan-anime": 128, "dcgan-celeba": 128, "dcgan-cifar10": 100, "lsgan": 32, "hinge": 32}
    assert {name: load_recipe(name).batch_size for name in batches} == batches
    smoothed = {"dcgan": 0.9, "dcgan-anime": 0.9, "dcgan-celeba": 1, "dcgan-cifar10": 1}
    assert {name: load_recipe(name).method.loss.real_label for name in smoothed} == smoothed
    for name in ("wgan", "wgan-gp"):
        method = load_recipe(name).method
        assert (method.loss.kind, method.discriminator_steps, method.generator_steps) == ("wasserstein", 5, 1)
        assert method.loss.logits_are_probabilities is False
    wgan, penalised = load_recipe("wgan"), load_recipe("wgan-gp")
    assert (wgan.optimizers["default"].kind, wgan.optimizers["default"].lr) == ("rmsprop", 5e-5)
    assert [(each.kind, each.limit) for each in wgan.method.constraints] == [("weight_clip", 0.01)]
    assert [(each.kind, each.weight, each.interval) for each in penalised.method.penalties] == [
        ("gradient_penalty", 10, 1)
    ]
    adam = penalised.optimizers["default"]
    assert (adam.kind, adam.lr, adam.beta1, adam.beta2) == ("adam", 1e-4, 0.0, 0.9)


@pytest.mark.slow
def test_the_data_layer_takes_what_unpadded_networks_speak(tiny_file):
    from gansmith.data.base import DataOptions
    from gansmith.data.open import open_data

    assert open_data(tiny_file, DataOptions(size=46)).spec.height == 46
    assert open_data(tiny_file, DataOptions(size=45)).spec.height == 48  # which no network speaks, and is fitted
