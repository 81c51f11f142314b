"""Network ``compact``: places of its blocks, effect of labels."""

import pytest
import torch
from torch import nn

from gansmith.parts.networks.base import ImageSpec
from gansmith.parts.networks.compact import Compact, DiscriminatorBlock, GeneratorBlock, Halving, LocalDetail
from gansmith.recipes.load import load_recipe

SMALL = Compact(base_channels=4, blocks=2, init="framework", norm="none")


def sides_with(network: nn.Module, kind: type, *inputs: torch.Tensor) -> list[tuple[int, int]]:
    """Return (channels, side) of the maps that blocks of a kind were given, in order."""
    seen: list[tuple[int, int]] = []
    for module in network.modules():
        if isinstance(module, kind):
            module.register_forward_hook(lambda _, given, __: seen.append(tuple(given[0].shape[1:3])))
    network.eval()(*inputs)
    return seen


@pytest.mark.parametrize(
    ("side", "block_px", "expected"),
    [
        (28, 8, [(8, 7)]),
        (28, 16, [(8, 7), (4, 14)]),
        (64, 8, [(32, 4), (16, 8)]),
        (64, 4, [(32, 4)]),
        (64, 2, [(32, 4)]),  # the smallest map always has them
    ],
)
def test_blocks_are_where_maps_are_small(side, block_px, expected):
    config, spec = SMALL.model_copy(update={"block_px": block_px}), ImageSpec(side, side, 3, latent_dim=5)
    twice = [each for each in expected for _ in range(2)]
    assert sides_with(config.generator(spec), GeneratorBlock, torch.randn(2, 5)) == twice
    assert sides_with(config.discriminator(spec), DiscriminatorBlock, torch.randn(2, 3, side, side)) == twice[::-1]


@pytest.mark.parametrize(("sides", "smallest"), [((56, 72), (7, 9)), ((32, 128), (4, 16))])
def test_smallest_maps_of_more_than_8_px_have_blocks(sides, smallest):
    spec = ImageSpec(*sides, 4, latent_dim=5)
    generator, discriminator = SMALL.generator(spec), SMALL.discriminator(spec)
    assert generator.start[1:] == smallest
    assert sides_with(generator, GeneratorBlock, torch.randn(2, 5)) == [(16, smallest[0])] * 2
    assert sides_with(discriminator, DiscriminatorBlock, torch.randn(2, 4, *sides)) == [(16, smallest[0])] * 2


def test_an_image_is_a_quarter_of_the_sum_over_all_sizes():
    layers = SMALL.generator(ImageSpec(28, 28, 3, latent_dim=5)).layers
    first, second = torch.randn(2, 8, 7, 7), torch.rand(1, 3, 1, 1).expand(2, 3, 14, 14)
    before = layers.heads[0](layers.stages[0](first))
    after = layers.heads[1](layers.stages[1](layers.stages[0](first)))
    torch.testing.assert_close(layers(first), (0.25 * (layers.enlarge(before) + after)).tanh())
    assert (before.shape, after.shape) == ((2, 3, 14, 14), (2, 3, 28, 28))
    torch.testing.assert_close(layers.enlarge(second), second[..., :1, :1].expand(2, 3, 28, 28))  # even areas stay so


def test_the_last_map_adds_an_image_of_its_own_size():
    layers = SMALL.model_copy(update={"last_map": True}).generator(ImageSpec(28, 28, 3, latent_dim=5)).layers
    first = torch.randn(2, 8, 7, 7)
    second = layers.stages[1](layers.stages[0](first))
    third = layers.stages[2](second)
    assert third.shape == (2, 2, 28, 28)
    images = layers.enlarge(layers.heads[0](layers.stages[0](first))) + layers.heads[1](second)
    torch.testing.assert_close(layers(first), (0.25 * (images + layers.heads[2](third))).tanh())


def test_blocks_add_to_their_input():
    maps, generating, judging = (
        torch.randn(2, 3, 4, 4),
        GeneratorBlock(3, "batch", end_norm=False).eval(),
        DiscriminatorBlock(3, "none", leak=0.1),
    )
    torch.testing.assert_close(generating(maps) - maps, generating.layers(maps))
    raw = maps + judging.layers(maps)
    torch.testing.assert_close(judging(maps), torch.where(raw < 0, raw * 0.1, raw))


def test_d_with_shortcuts_adds_the_averages_of_each_map_to_the_next():
    layers = SMALL.model_copy(update={"shortcuts": True}).discriminator(ImageSpec(28, 28, 3)).layers
    halvings = [layer for layer in layers if isinstance(layer, Halving)]
    assert [each.shortcut.weight.shape for each in halvings] == [(4, 3, 1, 1), (8, 4, 1, 1)]
    maps = torch.randn(2, 3, 28, 28)
    averages = maps.unflatten(2, (14, 2)).unflatten(4, (14, 2)).mean((3, 5))
    beside = torch.einsum("ncij,dc->ndij", averages, halvings[0].shortcut.weight[..., 0, 0])
    torch.testing.assert_close(halvings[0](maps), (halvings[0].layers(maps) + beside) / 2**0.5)


def test_blocks_with_a_norm_at_their_end_begin_as_identities():
    network = Compact(base_channels=4, end_norm=True).generator(ImageSpec(28, 28, 1, latent_dim=5)).eval()
    (block,) = (module for module in network.modules() if isinstance(module, GeneratorBlock))
    maps = torch.randn(2, 8, 7, 7)
    assert torch.equal(block(maps), maps)
    with torch.no_grad():
        block.layers[-1].weight.fill_(1)
    assert not torch.allclose(block(maps), maps)


def test_channels_double_as_the_side_halves_up_to_the_widest():
    config = Compact(base_channels=4, max_channels=10, blocks=0)
    layers = config.discriminator(ImageSpec(64, 64, 3)).layers
    assert [layer.out_channels for layer in layers if isinstance(layer, nn.Conv2d)] == [4, 8, 10, 10]


def test_a_label_adds_its_own_weights_on_the_last_map():
    network = SMALL.discriminator(ImageSpec(8, 8, 1, num_classes=3)).eval()
    images, labels = torch.randn(4, 1, 8, 8), torch.tensor([0, 1, 2, 1])
    maps = network.layers(images).permute(0, 2, 3, 1).flatten(1)
    expected = network.judge(maps).flatten() + torch.stack(
        [maps[i] @ network.embed.weight[k] for i, k in enumerate(labels)]
    )
    torch.testing.assert_close(network(images, labels), expected)


def test_images_are_scored_independently():
    """Penalties need it: the score of an image must not depend on the others of its batch."""
    network, images = SMALL.discriminator(ImageSpec(28, 28, 1)), torch.randn(6, 1, 28, 28)
    assert not SMALL.has_batch_statistics
    torch.testing.assert_close(network(images)[:2], network(images[:2]), rtol=1e-4, atol=1e-6)


def test_the_recipe_ties_its_learning_rate_to_the_budget():
    lr = load_recipe("compact").optimizer_for("generator").lr
    assert lr.at(0) == 0
    assert lr.at(lr.warmup) == pytest.approx(lr.start, rel=0.01)
    assert lr.at(1) == pytest.approx(0, abs=1e-9)


def test_local_detail_is_0_on_flat_ground_and_near_1_on_edges():
    images = torch.full((2, 3, 16, 16), 0.3)
    images[1, :, :, 8:] = -0.3
    seen = LocalDetail(0.1)(images)
    assert seen.shape == (2, 4, 16, 16)
    assert torch.equal(seen[:, :3], images)
    assert seen[0, 3].abs().max() < 1e-6
    detail = seen[1, 3, 1:-1]
    assert detail[:, 7:9].min() > 0.95
    assert detail[:, [*range(7), *range(9, 16)]].abs().max() < 1e-6
    grain = torch.full((1, 3, 16, 16), 0.3)
    grain[0, 1] += 0.03 * torch.randn(16, 16)  # in one colour
    assert 0.1 < LocalDetail(0.1)(grain)[:, 3, 1:-1, 1:-1].mean() < 0.9


@pytest.mark.parametrize(("detail", "channels"), [(False, 3), (True, 4)])
def test_detail_is_an_option_of_the_discriminator(detail, channels):
    """Without it the layers have their places and names of before, so that old checkpoints fit."""
    network = Compact(base_channels=4, detail=detail, norm="none").discriminator(ImageSpec(64, 64, 3))
    first = next(layer for layer in network.layers if isinstance(layer, nn.Conv2d))
    assert first.in_channels == channels
    assert isinstance(network.layers[0], LocalDetail) == detail
    with torch.device("meta"):  # as a model is loaded: nothing but saved weights may be needed
        loaded = Compact(base_channels=4, detail=detail, norm="none").discriminator(ImageSpec(64, 64, 3))
    loaded.load_state_dict(network.state_dict(), assign=True)
    images = torch.randn(2, 3, 64, 64, requires_grad=True)
    (gradient,) = torch.autograd.grad(network(images).sum(), images, create_graph=True)
    gradient.square().sum().backward()  # R1 differentiates twice
    assert images.grad.isfinite().all()
    torch.testing.assert_close(loaded(images), network(images))


def test_a_unit_range_has_half_the_limit_of_a_signed_one():
    signed, unit = (
        Compact(base_channels=4, detail=True, value_range=each).discriminator(ImageSpec(16, 16, 1)).layers[0]
        for each in ("signed", "unit")
    )
    images = torch.rand(1, 1, 16, 16)
    torch.testing.assert_close(signed(2 * images - 1)[:, 1], unit(images)[:, 1])
