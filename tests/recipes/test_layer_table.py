from dataclasses import replace

import pytest
import torch

from gansmith.data.base import DataSpec
from gansmith.data.sources.domains import DOMAINS
from gansmith.methods.latent import LatentConfig
from gansmith.parts.networks.base import ImageSpec, networks, networks_with
from gansmith.recipes.layer_table import LayerRow, format_table, layer_table, numbers_in, widest_map
from gansmith.recipes.load import load_recipe


def rows(network: torch.nn.Module, *inputs: torch.Tensor | None) -> list[tuple[str, tuple[int, ...], int]]:
    return [(row.layer, row.shape, row.parameters) for row in layer_table(network, *inputs)]


def test_mlp():
    spec = ImageSpec(28, 28, 1, latent_dim=100)
    config = networks.parse({"kind": "mlp", "hidden": [300], "value_range": "unit"})
    assert rows(config.generator(spec), torch.empty(2, 100), None) == [
        ("input", (100,), 0),
        ("Linear", (300,), 100 * 300 + 300),
        ("LeakyReLU 0.2", (300,), 0),
        ("Linear", (784,), 300 * 784 + 784),
        ("Sigmoid", (784,), 0),
    ]
    config = networks.parse({"kind": "mlp", "hidden": [300, 100]})
    assert rows(config.discriminator(spec), torch.empty(2, 1, 28, 28), None) == [
        ("input", (1, 28, 28), 0),
        ("Linear", (300,), 784 * 300 + 300),
        ("LeakyReLU 0.2", (300,), 0),
        ("Linear", (100,), 300 * 100 + 100),
        ("LeakyReLU 0.2", (100,), 0),
        ("Linear", (1,), 101),
    ]


def test_dcgan():
    spec = ImageSpec(32, 32, 3, latent_dim=100)
    config = networks.parse({"kind": "dcgan", "base_channels": 64})
    assert rows(config.generator(spec), torch.empty(2, 100), None) == [
        ("input", (100,), 0),
        ("Linear", (4096,), 100 * 4096),
        ("BatchNorm2d", (256, 4, 4), 512),
        ("ReLU", (256, 4, 4), 0),
        ("ConvTranspose2d 4x4 stride 2", (128, 8, 8), 256 * 128 * 16),
        ("BatchNorm2d", (128, 8, 8), 256),
        ("ReLU", (128, 8, 8), 0),
        ("ConvTranspose2d 4x4 stride 2", (64, 16, 16), 128 * 64 * 16),
        ("BatchNorm2d", (64, 16, 16), 128),
        ("ReLU", (64, 16, 16), 0),
        ("ConvTranspose2d 4x4 stride 2", (3, 32, 32), 64 * 3 * 16 + 3),
        ("Tanh", (3, 32, 32), 0),
    ]
    assert rows(config.discriminator(spec), torch.empty(2, 3, 32, 32), None) == [
        ("input", (3, 32, 32), 0),
        ("Conv2d 4x4 stride 2", (64, 16, 16), 3 * 64 * 16 + 64),
        ("LeakyReLU 0.2", (64, 16, 16), 0),
        ("Conv2d 4x4 stride 2", (128, 8, 8), 64 * 128 * 16),
        ("BatchNorm2d", (128, 8, 8), 256),
        ("LeakyReLU 0.2", (128, 8, 8), 0),
        ("Conv2d 4x4 stride 2", (256, 4, 4), 128 * 256 * 16),
        ("BatchNorm2d", (256, 4, 4), 512),
        ("LeakyReLU 0.2", (256, 4, 4), 0),
        ("Conv2d 4x4 stride 1", (1, 1, 1), 256 * 16 + 1),
    ]


def test_labels_widen_the_first_layers():
    spec = ImageSpec(8, 8, 1, num_classes=3, latent_dim=5)
    config = networks.parse({"kind": "dcgan", "base_channels": 4})
    labels = torch.zeros(2, dtype=torch.long)
    assert rows(config.generator(spec), torch.empty(2, 5), labels)[1] == ("Linear", (64,), 8 * 64)
    first = rows(config.discriminator(spec), torch.empty(2, 1, 8, 8), labels)[1]
    assert first == ("Conv2d 4x4 stride 2", (4, 4, 4), 4 * 4 * 16 + 4)


METHODS = {
    "mlp": LatentConfig(generator="mlp", discriminator="mlp", conditional=True),
    "dcgan": LatentConfig(generator="dcgan", discriminator="dcgan", conditional=True),
    "unet and patchgan": load_recipe("translate").method,
    "cyclegan_resnet": load_recipe("unpaired").method,
}


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize("device", ["cpu", "meta"])
def test_the_table_counts_every_parameter_once_and_leaves_no_hooks(name, device):
    with torch.device(device):
        method = METHODS[name].build(DataSpec("x", 32, 32, 3, 10, DOMAINS, ""))
        for name, inputs in method.example_inputs(2).items():
            network = method.networks[name]
            total = sum(row.parameters for row in layer_table(network, *inputs))
            assert total == sum(parameter.numel() for parameter in network.parameters())
            assert not any(module._forward_hooks for module in network.modules())


@pytest.mark.parametrize("kind", networks_with("discriminator"))
def test_spectral_norm_changes_no_row(kind):
    spec = ImageSpec(16, 16, 1, latent_dim=5)
    images = torch.zeros(2, 1, 16, 16)
    configs = [networks.parse({"kind": kind, "init": "framework", "spectral_norm": on}) for on in (False, True)]
    plain, normed = (config.discriminator(spec) for config in configs)
    assert rows(normed, images, None) == rows(plain, images, None)


def test_the_table_in_text():
    table = [LayerRow("input", (100,), 0), LayerRow("Linear", (8, 4, 4), 12800), LayerRow("Flatten", (), 0)]
    assert format_table("generator", table) == [
        "generator: 12,800 parameters",
        "  input          100",
        "  Linear   8 x 4 x 4  12,800",
        "  Flatten          1",
    ]


def test_the_numbers_of_a_recipe_are_computed_once_for_each_format_of_images(monkeypatch):
    built, build = [], LatentConfig.build
    monkeypatch.setattr(LatentConfig, "build", lambda config, spec: built.append(spec) or build(config, spec))
    narrow, wide = (load_recipe("dcgan", (f"base_channels={width}", "latent_dim=7")) for width in (3, 5))
    spec = DataSpec("one", 32, 32, 3, 100, (), "0")
    small = numbers_in(narrow, spec)
    assert numbers_in(narrow, replace(spec)) == small
    assert len(built) == 1
    assert [widest_map(each, spec) for each in (narrow, wide)] == [12, 20]
    assert numbers_in(narrow, replace(spec, height=64, width=64))[1] > small[1]
    assert numbers_in(narrow, replace(spec, channels=1))[0] < small[0]
    assert len(built) == 4


@pytest.mark.parametrize(("size", "channels", "base", "generator", "discriminator"), [
    (28, 1, 32, 347_073, 36_577), (32, 3, 32, 370_627, 167_841), (64, 3, 64, 3_576_707, 2_765_633),
])  # fmt: skip
def test_what_dcgan_builds_where_its_width_is_left_open(size, channels, base, generator, discriminator):
    """The golden curves are of networks made tiny; these are the recipe's own."""
    with torch.device("meta"):
        method = load_recipe("dcgan", ("base_channels=null",)).method.build(
            DataSpec("any", size, size, channels, 100, (), "")
        )
    parameters = {name: sum(each.numel() for each in net.parameters()) for name, net in method.networks.items()}
    assert parameters == {"generator": generator, "discriminator": discriminator}
    convolutions = [each for each in method.networks["discriminator"].modules() if isinstance(each, torch.nn.Conv2d)]
    assert (convolutions[0].in_channels, convolutions[0].out_channels) == (channels, base)
    start = size // 2 ** (len(convolutions) - 1)  # D halves as often as G doubles; then one convolution to a logit
    project = method.networks["generator"].project
    assert (project.in_features, project.out_features) == (100, convolutions[-1].in_channels * start * start)
