"""Models of random weights, small enough to be drawn in no time."""

import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from filelock import FileLock

from gansmith.data.base import DataSpec
from gansmith.inference.model import Model
from gansmith.inference.model_record import make_record
from gansmith.recipes.load import load_recipe

CLASSES = ("dark", "gray", "light")


def make_model(*overrides: str, classes: tuple[str, ...] = (), recipe: str = "mlp-small") -> Model:
    """Return a model of random weights, as large in its images as 8 x 8."""
    chosen = load_recipe(recipe, ("size=8", "channels=1", "latent_dim=4", *overrides))
    spec = DataSpec("toy", 8, 8, 1, 96, classes, "0123")
    with torch.random.fork_rng([]):
        torch.manual_seed(0)
        averaged, raw = (chosen.method.build(spec).networks for _ in range(2))
    for network in (*averaged.values(), *raw.values()):
        for parameter in network.parameters():
            parameter.data.mul_(3)  # images that differ from one another
    tensors = {
        "generator": dict(averaged["generator"].state_dict()),
        "generator-raw": dict(raw["generator"].state_dict()),
        "discriminator": dict(raw["discriminator"].state_dict()),
    }
    return Model(make_record("toy", chosen.method, spec, 0, 1.0), tensors, "cpu")


def make_translator(task: str = "colorize", *overrides: str, channels: int = 3, size: int = 16) -> Model:
    """Return a model of random weights with 2 halvings."""
    recipe = load_recipe("translate", (f"method.task={task}", "base_channels=4", *overrides))
    spec = DataSpec("toy", size, size, channels, 96, (), "0123")
    with torch.random.fork_rng([]):
        torch.manual_seed(0)
        networks = recipe.method.build(spec).networks
    for parameter in networks["generator"].parameters():
        parameter.data.mul_(8)
    tensors = {name: dict(network.state_dict()) for name, network in networks.items()}
    tensors["generator-raw"] = tensors["generator"]
    return Model(make_record("toy", recipe.method, spec, 0, 1.0), tensors, "cpu")


def make_enlarger(scale: int = 2, channels: int = 3, *overrides: str) -> Model:
    """Return a model of random weights that are large enough to be seen."""
    recipe = load_recipe("srgan", (f"scale={scale}", "base_channels=4", "blocks=1", *overrides))
    spec = DataSpec("toy", 16, 16, channels, 96, (), "0123")
    with torch.random.fork_rng([]):
        torch.manual_seed(0)
        networks = recipe.method.build(spec).networks
    tensors = {name: dict(network.state_dict()) for name, network in networks.items()}
    tensors["generator-raw"] = {name: tensor * 1.1 for name, tensor in tensors["generator"].items()}
    return Model(make_record("toy", recipe.method, spec, 0, 1.0), tensors, "cpu")


@contextmanager
def made_once(tmp_path_factory, name: str) -> Iterator[Path]:
    """Yield a folder that all processes of the session share, one at a time."""
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / name
    folder.mkdir(exist_ok=True)
    with FileLock(folder.with_name(f"{name}.lock")):
        yield folder


def assert_writes_pictures(shell: Callable[..., tuple[int, str, str]], verb: str, folder: Path, out: str) -> None:
    """Check that a verb writes photo.png into ``out``, or where it is told to, and never into a used folder."""
    assert shell(verb, folder, "photo.png") == (0, f"{out}\n", "")
    _, told, _ = shell(verb, folder, "photo.png", "--raw", "--out", "other", "--json")
    files = [str(Path("other") / "photo.png")]
    assert json.loads(told) == {"out": "other", "files": files, "already": 0, "failed": []}
    code, _, err = shell(verb, folder, "photo.png")
    assert code == 2
    assert "already there" in err
    code, told, _ = shell(verb, folder, "photo.png", "--continue", "--json", "--out", "other")
    assert (code, json.loads(told)["already"]) == (0, 1)
