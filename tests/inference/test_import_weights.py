"""Weights of other programs: the nets of tutorials give the same images as before, and hostile files are refused."""

import os
import subprocess
import sys

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

import gansmith
from gansmith.inference import import_weights as module
from gansmith.inference import unpickle


def example_generator(latent: int = 6, width: int = 4, channels: int = 3, bias: bool = False) -> nn.Module:
    """The generator of pytorch/examples/dcgan, with narrower layers, for 32 px."""

    class Generator(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.main = nn.Sequential(
                nn.ConvTranspose2d(latent, width * 4, 4, 1, 0, bias=bias), nn.BatchNorm2d(width * 4), nn.ReLU(True),
                nn.ConvTranspose2d(width * 4, width * 2, 4, 2, 1, bias=bias), nn.BatchNorm2d(width * 2), nn.ReLU(True),
                nn.ConvTranspose2d(width * 2, width, 4, 2, 1, bias=bias), nn.BatchNorm2d(width), nn.ReLU(True),
                nn.ConvTranspose2d(width, channels, 4, 2, 1, bias=bias), nn.Tanh(),
            )  # fmt: skip

        def forward(self, latents):
            return self.main(latents)

    return drawn(Generator())


def example_discriminator(width: int = 4, channels: int = 3) -> nn.Module:
    return drawn(nn.Sequential(
        nn.Conv2d(channels, width, 4, 2, 1, bias=False), nn.LeakyReLU(0.2, True),
        nn.Conv2d(width, width * 2, 4, 2, 1, bias=False), nn.BatchNorm2d(width * 2), nn.LeakyReLU(0.2, True),
        nn.Conv2d(width * 2, width * 4, 4, 2, 1, bias=False), nn.BatchNorm2d(width * 4), nn.LeakyReLU(0.2, True),
        nn.Conv2d(width * 4, 1, 4, 1, 0, bias=False), nn.Sigmoid(),
    ))  # fmt: skip


def drawn(network: nn.Module) -> nn.Module:
    """Draw weights, and batch statistics as they are after training."""
    draws = torch.Generator().manual_seed(0)
    for name, tensor in network.state_dict().items():
        if tensor.is_floating_point():
            tensor.copy_(torch.rand(tensor.shape, generator=draws) * 0.4 + (0.5 if "running_var" in name else -0.2))
    return network.eval()


def latents(count: int, dim: int) -> torch.Tensor:
    return torch.randn(count, dim, generator=torch.Generator().manual_seed(1))


def images_of(model, draws, labels=None) -> torch.Tensor:
    with torch.no_grad():
        return model.networks["generator"](draws, labels)


@pytest.fixture
def quick_loader(tmp_path, monkeypatch) -> None:
    """Read pickled files in a fork of this process, which has torch: a new one takes two seconds for that alone.

    Such a fork has no limits, as this process has more memory than they allow.
    """

    def run(words, **_):
        if (child := os.fork()) == 0:
            code = 1
            try:
                with (tmp_path / "stderr").open("w") as sys.stderr:
                    code = unpickle.main(*words[2:])
            finally:
                os._exit(code)
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        return subprocess.CompletedProcess(words, code, "", (tmp_path / "stderr").read_text())

    monkeypatch.setattr(module.subprocess, "run", run)
    monkeypatch.setattr(unpickle, "limit", lambda *_: None)


@pytest.mark.parametrize(("ending", "bias"), [
    (".safetensors", False), (".safetensors", True), pytest.param(".pth", False, marks=pytest.mark.slow),
])  # fmt: skip
def test_the_dcgan_of_the_pytorch_example(tmp_path, ending, bias, quick_loader):
    generator, path = example_generator(bias=bias), tmp_path / f"netG{ending}"
    if ending == ".pth":
        torch.save(generator.state_dict(), path)
    else:
        save_file(generator.state_dict(), path)
    model = gansmith.import_weights(path)
    draws = latents(3, 6)
    with torch.no_grad():
        wanted = generator(draws[:, :, None, None])
    assert torch.allclose(images_of(model, draws), wanted, atol=1e-5)
    loaded = gansmith.load(model.save(tmp_path / "model"))
    assert loaded.sample(2).images.shape == (2, 32, 32, 3)
    assert np.array_equal(loaded.sample(2).images, model.sample(2).images)


@pytest.mark.slow
def test_both_networks_in_one_checkpoint(tmp_path, quick_loader):
    generator, discriminator, path = example_generator(), example_discriminator(), tmp_path / "both.pt"
    states = {"netG": generator.state_dict(), "netD": discriminator.state_dict()}
    torch.save({"epoch": 3, "loss": [0.1], **states}, path)
    model = gansmith.import_weights(path)
    images = torch.rand(3, 3, 32, 32, generator=torch.Generator().manual_seed(2)) * 2 - 1
    with torch.no_grad():
        logits = model.networks["discriminator"](images)
        assert torch.allclose(logits.sigmoid(), discriminator(images).flatten(), atol=1e-5)


def test_the_fully_connected_gan(tmp_path):
    network = drawn(nn.Sequential(
        nn.Linear(10, 16), nn.BatchNorm1d(16), nn.LeakyReLU(0.2), nn.Linear(16, 32), nn.BatchNorm1d(32),
        nn.LeakyReLU(0.2), nn.Linear(32, 784), nn.Tanh(),
    ))  # fmt: skip
    save_file({f"module.{key}": value for key, value in network.state_dict().items()}, tmp_path / "g.safetensors")
    model = gansmith.import_weights(tmp_path / "g.safetensors", "vanilla")
    with torch.no_grad():
        assert torch.allclose(images_of(model, latents(3, 10)).flatten(1), network(latents(3, 10)), atol=1e-5)


@pytest.mark.parametrize("labels_first", [True, False])
@pytest.mark.parametrize("embedded", [True, False])
def test_the_conditional_gan(tmp_path, embedded, labels_first):
    embed = nn.Embedding(3, 5) if embedded else None
    layers = drawn(nn.Sequential(nn.Linear(100 + (5 if embedded else 3), 16), nn.LeakyReLU(0.2), nn.Linear(16, 784)))
    state = {f"model.{key}": value for key, value in layers.state_dict().items()}
    if embed is not None:
        state["label_emb.weight"] = embed.weight.detach()
    save_file(state, tmp_path / "g.safetensors")
    model = gansmith.import_weights(
        tmp_path / "g.safetensors", "conditional", classes=("a", "b", "c"), labels_first=labels_first
    )
    assert model.classes == ("a", "b", "c")
    draws, labels = latents(3, 100), torch.tensor([2, 0, 1])
    given = nn.functional.one_hot(labels, 3).float() if embed is None else embed(labels)
    with torch.no_grad():
        wanted = layers(torch.cat([given, draws] if labels_first else [draws, given], 1)).tanh()
    assert torch.allclose(images_of(model, draws, labels).flatten(1), wanted, atol=1e-5)


@pytest.mark.slow
def test_the_verb(tmp_path, shell):
    torch.save(example_generator().state_dict(), tmp_path / "netG.pth")
    save_file(example_discriminator().state_dict(), tmp_path / "netD.safetensors")
    assert shell("import", "netG.pth", "netD.safetensors", "--out", "faces") == (0, "faces\n", "")
    assert shell("sample", "faces", "-n", 2, "--out", "x.png")[0] == 0
    code, _, err = shell("import", "netG.pth", "--out", "faces")
    assert code == 2
    assert "faces" in err
    assert shell("import", "netG.pth", "--out", "faces.pt")[0] == 2


def test_what_does_not_match_is_named_by_layer(tmp_path, refused):
    state = example_generator().state_dict()
    del state["main.4.weight"]
    state["main.6.weight"] = torch.zeros(8, 5, 4, 4)
    state["main.9.weight"] = torch.zeros(4, 3, 5, 5)
    save_file(state, tmp_path / "g.safetensors")
    with refused("import.unfit"):
        gansmith.import_weights(tmp_path / "g.safetensors")


def test_networks_of_another_recipe(tmp_path, refused):
    save_file(example_generator().state_dict(), tmp_path / "g.safetensors")
    for recipe in ("vanilla", "compact"):
        with refused("import.other_networks"):
            gansmith.import_weights(tmp_path / "g.safetensors", recipe)


def test_labels_that_the_recipe_or_the_names_lack(tmp_path, refused):
    state = {"label_emb.weight": torch.zeros(3, 5), "0.weight": torch.zeros(784, 105)}
    save_file(state, tmp_path / "g.safetensors")
    with refused("import.labels"):
        gansmith.import_weights(tmp_path / "g.safetensors", "vanilla")
    with refused("import.classes"):
        gansmith.import_weights(tmp_path / "g.safetensors", "conditional", classes=("a", "b"))


def test_weights_in_a_file_that_is_too_large(tmp_path, refused, monkeypatch):
    monkeypatch.setattr(module, "MAX_BYTES", 10)
    (tmp_path / "g.pth").write_bytes(bytes(11))
    with refused("import.too_large"):
        gansmith.import_weights(tmp_path / "g.pth")


@pytest.mark.parametrize(
    ("tensors", "recipe", "code"),
    [
        ({"norm.weight": torch.zeros(5)}, "dcgan", "import.no_weights"),
        ({"emb.weight": torch.zeros(10, 5)}, "vanilla", "import.no_weights"),
        ({"fc.weight": torch.zeros(784, 5)}, "conditional", "import.classes"),
    ],
)
def test_weights_that_are_no_network(tmp_path, refused, tensors, recipe, code):
    save_file(tensors, tmp_path / "g.safetensors")
    with refused(code):
        gansmith.import_weights(tmp_path / "g.safetensors", recipe)


def test_no_file(refused):
    with refused("import.not_found"):
        gansmith.import_weights([])


def test_two_generators(tmp_path, refused):
    save_file(example_generator().state_dict(), tmp_path / "g.safetensors")
    with refused("import.two_of_a_kind"):
        gansmith.import_weights([tmp_path / "g.safetensors"] * 2)


class Trap:
    """Makes a file when unpickled."""

    def __init__(self, marker) -> None:
        self.marker = marker

    def __reduce__(self):
        return (open, (str(self.marker), "w"))


@pytest.mark.slow
def test_a_hostile_file_runs_nothing(tmp_path, refused, quick_loader):
    marker, path = tmp_path / "marker", tmp_path / "netG.pth"
    torch.save({"main.0.weight": torch.zeros(2, 2), "trap": Trap(marker)}, path)
    torch.load(path, weights_only=False)
    assert marker.exists()  # the trap works
    marker.unlink()
    with refused("import.refused"):
        gansmith.import_weights(path)
    assert not marker.exists()


@pytest.mark.slow
def test_a_whole_network_is_refused(tmp_path, refused, quick_loader):
    torch.save(nn.Linear(2, 2), tmp_path / "net.pt")
    with refused("import.refused"):
        gansmith.import_weights(tmp_path / "net.pt")


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*torch.jit")
def test_a_file_that_is_cut_off_and_a_program_say_so(tmp_path, refused, quick_loader):
    torch.save(nn.Linear(2, 2).state_dict(), tmp_path / "cut.pth")
    (tmp_path / "cut.pth").write_bytes((tmp_path / "cut.pth").read_bytes()[:-200])
    with refused("import.refused"):
        gansmith.import_weights(tmp_path / "cut.pth")
    torch.jit.trace(nn.Linear(2, 2), torch.zeros(1, 2)).save(tmp_path / "program.pt")
    with refused("import.refused"):
        gansmith.import_weights(tmp_path / "program.pt")


@pytest.mark.parametrize("normed", [nn.utils.spectral_norm, nn.utils.parametrizations.weight_norm])
def test_a_layer_without_weights_of_its_own_is_not_left_out(tmp_path, refused, normed):
    network = nn.Sequential(normed(nn.Conv2d(3, 4, 4, 2, 1)), nn.Conv2d(4, 1, 4))
    save_file(network.state_dict(), tmp_path / "x.safetensors")
    with refused("import.unfit"):
        gansmith.import_weights(tmp_path / "x.safetensors")


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="Windows has no limits for processes")
def test_a_file_that_claims_huge_tensors(tmp_path, refused):
    """One number, shown a thousand million times: the copy would need 8 GB."""
    torch.save({"main.0.weight": torch.zeros(1).double().expand(10**9)}, tmp_path / "g.pth")
    with refused("import.refused"):
        gansmith.import_weights(tmp_path / "g.pth")


@pytest.mark.slow
def test_a_file_that_takes_too_long(tmp_path, refused, monkeypatch):
    torch.save({"main.0.weight": torch.zeros(2, 2)}, tmp_path / "g.pth")
    monkeypatch.setattr(module, "SECONDS", 0.001)
    with refused("import.refused"):
        gansmith.import_weights(tmp_path / "g.pth")


@pytest.mark.parametrize(("name", "content", "code"), [
    ("x.safetensors", b"\xff" * 16, "model.unreadable"),
    ("x.h5", b"", "import.unknown_ending"), ("", b"", "import.not_found"),
])  # fmt: skip
def test_what_is_no_file_of_weights(tmp_path, refused, name, content, code):
    if name:
        (tmp_path / name).write_bytes(content)
    with refused(code):
        gansmith.import_weights(tmp_path / name)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 1j])
def test_weights_that_are_no_finite_numbers(tmp_path, refused, value):
    save_file({"main.0.weight": torch.full((4, 4), value)}, tmp_path / "x.safetensors")
    with refused("import.not_finite"):
        gansmith.import_weights(tmp_path / "x.safetensors")


@pytest.mark.slow
def test_a_file_without_layers(tmp_path, refused, quick_loader):
    torch.save({"epoch": 3}, tmp_path / "x.pth")
    with refused("import.no_weights"):
        gansmith.import_weights(tmp_path / "x.pth")


def test_names_of_tensors_in_nested_dictionaries():
    tensor = torch.zeros(1)
    found = unpickle.tensors_in({"net": {"a.weight": tensor}, "b.weight": tensor, "epoch": 3})
    assert set(found) == {"net/a.weight", "b.weight"}
