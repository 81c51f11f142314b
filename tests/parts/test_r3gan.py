"""R3GAN's networks and recipes against the paper's numbers and equations."""

import math

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from gansmith.core.schedules import Moment, value_at
from gansmith.inference.discriminator import logits_and_activations
from gansmith.parts.networks.base import ImageSpec
from gansmith.parts.networks.r3gan import R3GAN, Block, Double, Halve
from gansmith.recipes.load import load_recipe
from small_models import make_model

SPEC = ImageSpec(16, 16, 3, latent_dim=6)


def drawn(*shape: int) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(sum(shape)))


@pytest.fixture
def wide() -> R3GAN:
    """Wide enough for statistics: 4 sides of 64 channels, 2 blocks at each."""
    torch.manual_seed(0)
    return R3GAN(max_channels=64)


@pytest.mark.parametrize(
    ("side", "num_classes", "generator", "discriminator"),
    [(32, 10, 20.8e6, 21.3e6), (64, 0, 22.4e6, 22.4e6), (256, 0, 23.1e6, 23.0e6)],
)
def test_the_paper_s_parameters(side, num_classes, generator, discriminator):
    spec = ImageSpec(side, side, 3, num_classes, latent_dim=64)
    with torch.device("meta"):
        built = R3GAN().generator(spec), R3GAN().discriminator(spec)
    counts = [sum(parameter.numel() for parameter in network.parameters()) for network in built]
    assert counts == pytest.approx([generator, discriminator], rel=0.01)
    first = built[1].layers[0]
    assert first.out_channels == {32: 768, 64: 384, 256: 96}[side]


def test_the_recipe_is_the_base_preset():
    recipe = load_recipe("r3gan")
    assert recipe.method.generator == recipe.method.discriminator == R3GAN()


def test_a_block_is_the_paper_s():
    torch.manual_seed(0)
    block, maps = Block(32, 64, 4), drawn(2, 32, 5, 5)
    widen, _, mix, _, narrow = block.layers
    assert (mix.groups, mix.weight.shape) == (4, (64, 16, 3, 3))
    inside = F.leaky_relu(F.conv2d(maps, widen.weight, widen.bias), 0.2)
    inside = F.leaky_relu(F.conv2d(inside, mix.weight, mix.bias, padding=1, groups=4), 0.2)
    assert narrow.bias is None
    torch.testing.assert_close(block(maps), maps + F.conv2d(inside, narrow.weight))


@pytest.mark.parametrize(("width", "groups"), [(16, 8), (None, 1), (64, 2), (1000, 1)])
def test_group_width(width, groups):
    network = R3GAN(max_channels=64, group_width=width).discriminator(SPEC)
    assert {block.layers[2].groups for block in network.modules() if isinstance(block, Block)} == {groups}


def test_groups_that_do_not_divide_are_refused(refused):
    with refused("recipe.group_width_not_dividing"):
        R3GAN(max_channels=20).generator(SPEC)


@pytest.mark.parametrize("side", ["generator", "discriminator"])
def test_r3gan_refuses_sides_that_doubling_does_not_reach(refused, side):
    with refused("recipe.size_unfit_for_network"):
        getattr(R3GAN(), side)(ImageSpec(45, 45, 3, latent_dim=6))


@pytest.mark.parametrize("side", ["generator", "discriminator"])
def test_fix_up_draws_weights_as_the_paper_says(wide, side):
    network = getattr(wide, side)(ImageSpec(32, 32, 3, num_classes=40, latent_dim=64))
    blocks = [module for module in network.modules() if isinstance(module, Block)]
    assert len(blocks) == 8
    inside = {layer: math.sqrt(2 / 1.04) * 8**-0.25 for block in blocks for layer in (block.layers[0], block.layers[2])}
    for block in blocks:
        assert not block.layers[4].weight.any()
        assert torch.equal(block(maps := drawn(1, 64, 4, 4)), maps)
    others = 0
    for layer in network.modules():
        if not isinstance(layer, nn.Linear | nn.Conv2d) or not layer.weight.any():
            continue
        expected = inside.get(layer, 1.0) / math.sqrt(layer.weight[0].numel())
        assert layer.weight.std().item() == pytest.approx(expected, rel=4 / math.sqrt(layer.weight.numel()))
        assert layer.bias is None or not layer.bias.any()
        others += layer not in inside
    assert others == 3  # project, embed, to RGB; from RGB, the depth-wise one, judge
    if side == "discriminator":
        assert network.embed.weight.std().item() == pytest.approx(1 / math.sqrt(64 * 40), rel=0.1)


@pytest.mark.slow
def test_fix_up_and_spectral_norm_do_not_go_together(refused):
    with refused("recipe.fixup_with_spectral_norm"):
        R3GAN(spectral_norm=True).generator(SPEC)


@pytest.mark.parametrize("channels", [3, 16])  # images, and feature maps
def test_doubling_is_bilinear(channels):
    maps = drawn(2, channels, 5, 7)
    expected = F.interpolate(maps, scale_factor=2, mode="bilinear", align_corners=False)
    torch.testing.assert_close(Double()(maps), expected)


def test_halving_is_the_filter_1331():
    maps = drawn(2, 1, 8, 12)
    row = torch.tensor([1.0, 3.0, 3.0, 1.0]) / 8
    inner = F.conv2d(maps[:, :, 1:-1, 1:-1], torch.outer(row, row)[None, None], stride=2)  # no border is near
    torch.testing.assert_close(Halve()(maps)[:, :, 1:-1, 1:-1], inner)
    torch.testing.assert_close(Halve()(torch.ones(1, 1, 6, 6)), torch.ones(1, 1, 3, 3))


@pytest.mark.slow
def test_resampling_can_be_differentiated_twice():
    few, many = drawn(1, 2, 4, 6).double().requires_grad_(), drawn(1, 9, 2, 2).double().requires_grad_()
    for module, maps in ((Double(), few), (Double(), many), (Halve(), few)):
        assert torch.autograd.gradgradcheck(lambda x, module=module: module(x).square(), maps)


def test_the_start_is_a_learned_map_times_the_latent_channel_by_channel(wide):
    generator, latents = wide.generator(SPEC), drawn(2, 6)
    scales = latents @ generator.project.weight.T
    expected = generator.start.map[None] * scales[:, :, None, None]
    torch.testing.assert_close(generator.start(generator.project(latents)), expected)
    torch.testing.assert_close(generator(latents), generator.layers(expected))


def test_d_ends_in_a_map_sized_depth_wise_convolution_and_projects_labels(wide):
    spec, images, labels = ImageSpec(16, 24, 3, num_classes=3), drawn(4, 3, 16, 24), torch.tensor([0, 1, 2, 1])
    discriminator = wide.discriminator(spec)
    last = discriminator.layers[-1]
    assert (last.kernel_size, last.groups) == ((4, 6), 64)
    seen = discriminator.judge(discriminator.layers(images).flatten(1))
    expected = torch.stack([seen[i] @ discriminator.embed.weight[label] for i, label in enumerate(labels)])
    torch.testing.assert_close(discriminator(images, labels), expected)


@pytest.mark.parametrize(("progress", "share"), [(0, 0), (0.2, (1 - math.sqrt(0.5)) / 2), (0.4, 0.5), (0.8, 1), (1, 1)])
def test_one_half_cosine_for_every_number(progress, share):
    recipe, moment = load_recipe("r3gan"), Moment(0, 0.0, progress)
    settings = recipe.optimizers["default"].settings_at(moment)
    assert settings["lr"] == pytest.approx(2e-4 + (5e-5 - 2e-4) * share)
    assert settings["betas"] == pytest.approx((0, 0.9 + 0.09 * share))
    assert value_at(recipe.ema_half_life_kimg, moment) == pytest.approx(500 * share, abs=1e-9)
    gammas = [(each.kind, value_at(each.weight, moment), each.interval) for each in recipe.method.penalties]
    gamma = pytest.approx(2 - 1.8 * share)
    assert gammas == [("r1", gamma, 1), ("r2", gamma, 1)]
    assert recipe.kimg * 0.8 == 20_000


@pytest.mark.parametrize("name", ["r3gan", "r3gan-small", "r3gan-tiny"])
def test_presets_share_the_scheme(name):
    recipe = load_recipe(name)
    assert recipe.method.loss.kind == "relativistic"
    assert (recipe.method.discriminator_steps, recipe.method.latent_dim, recipe.ema_warmup) == (1, 64, 0)
    assert set(recipe.optimizers) == {"default"}
    lr = recipe.optimizers["default"].lr
    assert lr.start / lr.end == pytest.approx(4)
    for penalty in recipe.method.penalties:
        assert penalty.weight.start / penalty.weight.end == pytest.approx(10)


def test_images_beyond_the_range_are_clipped_where_they_are_shown():
    model = make_model("blocks=1", "base_channels=8", recipe="r3gan-tiny")
    generator = model.network("generator")
    latents = 5 * drawn(4, 4)
    with torch.no_grad():
        assert generator(latents).abs().max() > 1
        networks = nn.ModuleDict({"generator": generator})
        shown = model.method.preview(networks, model.method.fixed(0, 4, None))
    assert shown.abs().max() <= 1
    assert model.draw(latents).max() == 255


@pytest.mark.parametrize("num_classes", [0, 3])
def test_every_hidden_layer_of_d_has_features(num_classes):
    labels = torch.zeros(2, dtype=torch.long) if num_classes else None
    discriminator = R3GAN(max_channels=8, blocks=1).discriminator(ImageSpec(8, 8, 1, num_classes))
    logits, seen = logits_and_activations(discriminator, drawn(2, 1, 8, 8), labels, "signed")
    assert logits.shape == (2,)
    assert list(seen) == [f"layers.{name}" for name in ("0", "1.layers.0", "1.layers.2", "1.layers.4", "3.layers.0",
                                                        "3.layers.2", "3.layers.4", "4")]  # fmt: skip
