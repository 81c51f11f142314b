"""The residual networks of SNGAN and WGAN-GP, and their recipes, against the papers' tables and equations."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from gansmith import api
from gansmith.core.schedules import Moment
from gansmith.inference.directions import directions
from gansmith.inference.discriminator import logits_and_activations
from gansmith.parts.networks.base import ImageSpec
from gansmith.parts.networks.sngan_resnet import ClassBatchNorm2d, DiscriminatorBlock, DoublingBlock, SNGANResNet
from gansmith.recipes.load import load_recipe
from gansmith.runs.log import read_rows
from small_models import CLASSES, make_model
from small_runs import small

# side: G's start, the channels that leave G's start and blocks, those that leave D's blocks, and its last map
TABLES = {
    28: ((7, 7), [256, 256, 256], [128] * 4, (7, 7)),
    32: ((4, 4), [256] * 4, [128] * 4, (8, 8)),
    64: ((4, 4), [1024, 512, 256, 128, 64], [64, 128, 256, 512, 1024], (4, 4)),
    128: ((4, 4), [1024, 1024, 512, 256, 128, 64], [64, 128, 256, 512, 1024, 1024], (4, 4)),
}


def drawn(*shape: int) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(sum(shape)))


def blocks_of(network: nn.Module, kind: type) -> list[nn.Module]:
    return [module for module in network.modules() if isinstance(module, kind)]


@pytest.mark.parametrize("side", TABLES)
def test_the_papers_tables(side):
    start, growing, judging, last_map = TABLES[side]
    spec = ImageSpec(side, side, 3, latent_dim=128)
    with torch.device("meta"):
        generator, discriminator = SNGANResNet().generator(spec), SNGANResNet(norm="none").discriminator(spec)
        assert generator(torch.empty(2, 128)).shape == (2, 3, side, side)
        assert discriminator.layers(torch.empty(2, 3, side, side)).shape == (2, judging[-1], *last_map)
    assert generator.start == (growing[0], *start)
    doubling = blocks_of(generator, DoublingBlock)
    assert [growing[0], *(block.conv2.out_channels for block in doubling)] == growing
    assert all(block.conv1.out_channels == block.conv2.out_channels for block in doubling)
    found = blocks_of(discriminator, DiscriminatorBlock)
    assert [block.layers[-1].out_channels for block in found] == judging
    more = 2 if side <= 32 else 1
    assert [block.halve is not None for block in found] == [True] * (len(judging) - more) + [False] * more


def test_the_parameters_at_32_px():
    spec = ImageSpec(32, 32, 3, latent_dim=128)
    with torch.device("meta"):
        networks = SNGANResNet().generator(spec), SNGANResNet(norm="none").discriminator(spec)
    generator, discriminator = (sum(p.numel() for p in network.parameters()) for network in networks)
    grow = 2 * (256 * 256 * 9 + 256) + 256 * 256 + 256 + 4 * 256
    assert generator == 129 * 4096 + 3 * grow + 512 + 256 * 3 * 9 + 3
    conv = 128 * 128 * 9 + 128
    assert discriminator == (3 * 128 * 9 + 128 + conv + 4 * 128) + (2 * conv + 129 * 128) + 2 * 2 * conv + 129


def test_a_block_of_g_is_the_papers():
    torch.manual_seed(0)
    block, maps = DoublingBlock(SNGANResNet(), 6, 4, 0).train(), drawn(8, 6, 5, 5)
    inside = F.interpolate(F.batch_norm(maps, None, None, training=True).relu(), scale_factor=2)
    inside = F.batch_norm(block.conv1(inside), None, None, training=True).relu()
    beside = block.beside(F.interpolate(maps, scale_factor=2))
    torch.testing.assert_close(block(maps, None), block.conv2(inside) + beside)


@pytest.mark.parametrize("is_first", [True, False])
def test_a_block_of_d_is_the_papers(is_first):
    torch.manual_seed(0)
    block = DiscriminatorBlock(6, 4, "none", is_first=is_first, halves=True)
    maps = drawn(8, 6, 8, 8)
    conv1, conv2 = (layer for layer in block.layers if isinstance(layer, nn.Conv2d))
    inside = conv2(conv1(maps if is_first else maps.relu()).relu())
    torch.testing.assert_close(block(maps), F.avg_pool2d(inside, 2) + block.beside(F.avg_pool2d(maps, 2)))


def test_a_block_of_d_that_keeps_the_shape_has_a_plain_skip_connection():
    block, maps = DiscriminatorBlock(6, 6, "none", is_first=False, halves=False), drawn(2, 6, 4, 4)
    torch.testing.assert_close(block(maps), maps + block.layers(maps))


def test_class_batch_norm_has_a_gain_and_a_shift_for_each_class():
    norm, maps = ClassBatchNorm2d(4, 3), 3 * drawn(8, 4, 5, 5) + 1
    labels = torch.arange(8) % 3
    plain = F.batch_norm(maps, None, None, training=True)
    out = norm(maps, F.one_hot(labels, 3).float())
    for image, label in enumerate(labels):
        expected = plain[image] * norm.gain[label][:, None, None] + norm.shift[label][:, None, None]
        torch.testing.assert_close(out[image], expected)


@pytest.mark.parametrize("norm", ["batch", "none"])
def test_where_the_label_input_of_g_is(norm):
    generator = SNGANResNet(base_channels=4, norm=norm).generator(ImageSpec(8, 8, 1, num_classes=3, latent_dim=6))
    assert len(blocks_of(generator, ClassBatchNorm2d)) == (3 if norm == "batch" else 0)
    assert generator.project.in_features == (6 if norm == "batch" else 9)


def test_normal_init_leaves_the_gains_of_classes_near_1():
    config = SNGANResNet(base_channels=64, init="normal")
    for norm in blocks_of(config.generator(ImageSpec(8, 8, 1, num_classes=3, latent_dim=6)), ClassBatchNorm2d):
        assert norm.gain.mean().item() == pytest.approx(1, abs=0.01)
        assert norm.gain.std().item() == pytest.approx(0.02, rel=0.3)
        assert norm.shift.std().item() == pytest.approx(0.02, rel=0.3)


@pytest.mark.parametrize("pool", ["sum", "mean"])
def test_d_pools_its_last_map_and_projects_labels(pool):
    torch.manual_seed(0)
    config = SNGANResNet(base_channels=4, norm="none", pool=pool)
    discriminator = config.discriminator(ImageSpec(8, 8, 1, num_classes=3))
    images, labels = drawn(4, 1, 8, 8), torch.tensor([0, 1, 2, 1])
    maps = discriminator.layers(images)
    assert maps.min() == 0
    seen = getattr(maps, pool)((2, 3))
    expected = discriminator.judge(seen)[:, 0] + (discriminator.embed.weight[labels] * seen).sum(1)
    torch.testing.assert_close(discriminator(images, labels), expected)


def test_xavier_init():
    torch.manual_seed(0)
    network = SNGANResNet().discriminator(ImageSpec(32, 32, 3, num_classes=10))
    conv, embed = network.layers[1].layers[-1], network.embed
    assert conv.weight.abs().max().item() == pytest.approx((6 / (128 * 9 * 2)) ** 0.5, rel=0.01)
    assert embed.weight.abs().max().item() == pytest.approx((6 / 138) ** 0.5, rel=0.01)
    assert not conv.bias.any()


@pytest.mark.parametrize("side", ["generator", "discriminator"])
def test_sngan_resnet_refuses_sides_that_doubling_does_not_reach(refused, side):
    with refused("recipe.size_unfit_for_network"):
        getattr(SNGANResNet(), side)(ImageSpec(45, 45, 3, latent_dim=6))


@pytest.mark.slow
def test_sngan_holds_every_weight_of_d_and_the_vectors_of_classes():
    recipe = load_recipe("sngan", ("base_channels=4", "conditional=true"))
    discriminator = recipe.method.discriminator.discriminator(ImageSpec(8, 8, 1, num_classes=3))
    images, labels = drawn(4, 1, 8, 8), torch.tensor([0, 1, 2, 1])
    with torch.no_grad():
        for _ in range(60):
            discriminator(images, labels)
    held = [module for module in discriminator.modules() if hasattr(module, "parametrizations")]
    assert len(held) == 3 * 2 + 1 + 2  # two in each block, one beside the first; judge, embed
    for module in held:
        assert torch.linalg.matrix_norm(module.weight.flatten(1), 2).item() == pytest.approx(1, rel=0.03)
    generator = recipe.method.generator.generator(ImageSpec(8, 8, 1, num_classes=3, latent_dim=6))
    assert not any(hasattr(module, "parametrizations") for module in generator.modules())


@pytest.mark.parametrize(
    ("name", "loss", "pool"), [("sngan", "hinge", "sum"), ("wgan-gp-resnet", "wasserstein", "mean")]
)
def test_the_recipes_have_the_papers_numbers(name, loss, pool):
    recipe = load_recipe(name)
    method, adam = recipe.method, recipe.optimizers["default"]
    assert (method.loss.kind, method.discriminator.pool, method.discriminator_steps) == (loss, pool, 5)
    assert (method.latent_dim, recipe.batch_size, method.discriminator.norm) == (128, 64, "none")
    assert recipe.kimg * 1000 == 100_000 * 5 * 64
    for progress, lr in ((0, 2e-4), (0.5, 1e-4), (1, 0)):
        settings = adam.settings_at(Moment(0, 0.0, progress))
        assert settings == {"lr": pytest.approx(lr), "betas": (0.0, 0.9)}
    assert [(each.kind, each.weight) for each in method.penalties] == (
        [] if name == "sngan" else [("gradient_penalty", 10)]
    )
    assert method.discriminator.spectral_norm == (name == "sngan")


@pytest.mark.slow
def test_sngan_trains_in_bf16(tiny_file, tmp_path):
    overrides = small("sngan", "conditional=true", "log_rows=2", "previews=1", "checkpoints=1")
    run = api.train(
        tiny_file, recipe="sngan", overrides=overrides, out=tmp_path / "run", steps=2, device="cpu", precision="bf16"
    )
    rows = [row for row in read_rows(run.folder / "log.jsonl") if "loss_discriminator" in row]
    assert len(rows) == 2
    assert all(row["skipped"] == 0 and row["loss_generator"] is not None for row in rows)


def test_every_hidden_layer_of_d_has_features():
    config = SNGANResNet(base_channels=4, norm="none", spectral_norm=True)
    discriminator = config.discriminator(ImageSpec(8, 8, 1, num_classes=3)).eval()
    _, seen = logits_and_activations(discriminator, drawn(2, 1, 8, 8), torch.tensor([0, 1]), "signed")
    convolutions = [name for name, module in discriminator.named_modules() if isinstance(module, nn.Conv2d)]
    assert sorted(seen) == sorted(convolutions)
    pooled = discriminator.layers(drawn(2, 1, 8, 8)).sum((2, 3))
    torch.testing.assert_close(list(seen.values())[-1], pooled)


@pytest.mark.slow
@pytest.mark.parametrize("more", [(), ("conditional=true",)])
def test_directions_are_found_in_gs_first_layer(more):
    model = make_model("base_channels=4", *more, recipe="sngan", classes=CLASSES if more else ())
    assert directions(model, 2).vectors.shape == (2, 4)
