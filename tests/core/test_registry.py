import sys
from pathlib import Path

import pytest
import torch

from gansmith.core.registry import Part, Registry, load_plugins
from gansmith.parts.losses.base import losses
from gansmith.parts.losses.hinge import Hinge
from gansmith.parts.penalties.base import penalties
from gansmith.recipes.load import load_recipe

PLUGIN = '''
"""A loss of one's own."""

from pydantic import Field

from gansmith.plugins import AdversarialLoss, losses


@losses.register("{name}")
class {cls}(AdversarialLoss):
    """Scores times a number.

    Source: none.
    Differs: none.
    """

    factor: float = Field(2.0, gt=0)

    def discriminator(self, real_logits, fake_logits):
        """Return D's loss."""
        return self.factor * (fake_logits.mean() - real_logits.mean())

    def generator(self, real_logits, fake_logits):
        """Return G's loss."""
        return -self.factor * fake_logits.mean()
'''

MODULE_NAMES = [r"(gansmith_plugin|tests)[\w.]+"]  # they depend on the folder


@pytest.fixture(autouse=True)
def _forget_plugins():
    losses.names()  # the parts that come with gansmith
    known, modules = dict(losses._parts), set(sys.modules)
    yield
    losses._parts.clear()
    losses._parts.update(known)
    for name in set(sys.modules) - modules:
        if name.startswith("gansmith_plugin_"):
            del sys.modules[name]


def plugin(folder: Path, text: str, name: str = "my_part.py") -> Path:
    folder.mkdir(exist_ok=True)
    path = folder / name
    path.write_text(text)
    return path


def test_a_plugin_file_adds_a_loss_that_is_found_validated_and_listed(refused, tmp_path):
    assert "scaled" not in losses.names()
    load_plugins((plugin(tmp_path, PLUGIN.format(name="scaled", cls="Scaled")),))
    assert "scaled" in losses.names()
    part = losses.parse({"kind": "scaled", "factor": 3})
    assert part.generator(None, torch.ones(2)).item() == -3
    with refused("recipe.unknown_part_field"):
        losses.parse({"kind": "scaled", "factr": 3})
    recipe = load_recipe("dcgan", ("loss=scaled", "factor=4"))
    assert recipe.method.loss == losses.parse({"kind": "scaled", "factor": 4})
    with refused("recipe.invalid_value"):
        load_recipe("dcgan", ("loss=scaled", "factor=-1"))
    with refused("recipe.unknown_part", ["(?<=known: ).*"]):
        losses.get("unheard of")


def test_a_plugin_may_be_named_twice(tmp_path):
    path = plugin(tmp_path, PLUGIN.format(name="scaled", cls="Scaled"))
    load_plugins((path,))
    first = losses.get("scaled")
    load_plugins((path, path))
    assert losses.get("scaled") is first


def test_a_name_is_taken_once(refused, tmp_path):
    with refused("plugin.import_failed", MODULE_NAMES) as caught:
        load_plugins((plugin(tmp_path, PLUGIN.format(name="hinge", cls="Other")),))
    assert "loss 'hinge' is registered twice" in str(caught.value)
    assert "gansmith.parts.losses.hinge" in str(caught.value)
    assert losses.get("hinge") is Hinge


def test_two_plugin_files_of_one_name_do_not_replace_each_other(refused, tmp_path):
    load_plugins((plugin(tmp_path / "a", PLUGIN.format(name="scaled", cls="Scaled")),))
    first = losses.get("scaled")
    with refused("plugin.import_failed", MODULE_NAMES):
        load_plugins((plugin(tmp_path / "b", PLUGIN.format(name="scaled", cls="Scaled")),))
    assert losses.get("scaled") is first


def test_an_installed_package_adds_a_loss(tmp_path, monkeypatch):
    plugin(tmp_path, PLUGIN.format(name="scaled", cls="Scaled"), "gansmith_plugin_installed.py")
    about = tmp_path / "installed-1.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: installed\nVersion: 1\n")
    (about / "entry_points.txt").write_text("[gansmith.plugins]\nscaled = gansmith_plugin_installed\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    load_plugins()
    assert losses.get("scaled").__module__ == "gansmith_plugin_installed"


@pytest.mark.parametrize(("text", "code"), [
    ("import no_such_module_at_all", "plugin.import_failed"),
    ("def broken(:", "plugin.import_failed"),
    ("1 / 0", "plugin.import_failed"),
])  # fmt: skip
def test_a_plugin_that_does_not_import(refused, tmp_path, text, code):
    path = plugin(tmp_path, text)
    with refused(code):
        load_plugins((path,))
    assert "gansmith_plugin_my_part" not in sys.modules
    path.write_text(PLUGIN.format(name="scaled", cls="Scaled"))
    load_plugins((path,))  # and may be mended
    assert "scaled" in losses.names()


def test_a_plugin_that_is_not_there(refused, tmp_path):
    with refused("plugin.not_found"):
        load_plugins((tmp_path / "missing.py",))


@pytest.mark.parametrize("name", ["notes.txt", "."])
def test_a_plugin_that_is_no_python_file(refused, tmp_path, name):
    (tmp_path / "notes.txt").write_text("x = 1")
    with refused("plugin.not_python"):
        load_plugins((tmp_path / name,))


def test_unknown_names(refused):
    with refused("recipe.unknown_part", ["(?<=known: ).*"]):
        losses.get("hinges")
    assert {"hinge", "least_squares", "minimax", "non_saturating", "relativistic", "wasserstein"} <= {*losses.names()}
    with refused("recipe.unknown_part", ["(?<=known: ).*"]):
        losses.get("zzz")


@pytest.mark.parametrize("value", [3, None, ["hinge"], {}, {"margin": 1}, {"kind": 3}])
def test_values_that_are_no_part(refused, value):
    with refused("recipe.part_form", ["(?<=known: ).*"]):
        losses.parse(value)


def test_a_part_of_another_family_is_refused(refused):
    with refused("recipe.part_form", ["(?<=known: ).*"]):
        penalties.parse(Hinge())


def test_parts_are_read_from_three_forms():
    assert losses.parse("hinge") == losses.parse({"kind": "hinge"}) == losses.parse(Hinge()) == Hinge()


def test_a_new_registry(refused):
    registry: Registry[Part] = Registry("thing", "gansmith.recipes")  # a package without modules

    @registry.register("one")
    class One(Part):
        pass

    assert registry.names() == ["one"]
    assert One.kind == "one"
    assert isinstance(registry.parse("one"), One)
    with refused("plugin.registered_twice", MODULE_NAMES):
        registry.register("one")(Hinge)
