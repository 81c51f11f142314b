import sys
from pathlib import Path

import pytest
import torch

from gansmith.errors import RecipeError
from gansmith.losses.base import losses
from gansmith.losses.hinge import Hinge
from gansmith.penalties.base import penalties
from gansmith.recipe import load_recipe
from gansmith.registry import Part, Registry, load_plugins

PLUGIN = '''
"""A loss of one's own."""

from pydantic import Field

from gansmith.losses.base import AdversarialLoss, losses


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


def test_a_plugin_file_adds_a_loss_that_is_found_validated_and_listed(tmp_path):
    assert "scaled" not in losses.names()
    load_plugins((plugin(tmp_path, PLUGIN.format(name="scaled", cls="Scaled")),))
    assert "scaled" in losses.names()
    part = losses.parse({"kind": "scaled", "factor": 3})
    assert part.generator(None, torch.ones(2)).item() == -3
    with pytest.raises(RecipeError, match=r"'factr' is not a field of loss 'scaled' \(did you mean 'factor'\?\)"):
        losses.parse({"kind": "scaled", "factr": 3})
    recipe = load_recipe("dcgan", ("loss=scaled", "factor=4"))
    assert recipe.method.loss == losses.parse({"kind": "scaled", "factor": 4})
    with pytest.raises(RecipeError, match=r"method.loss.factor: input should be greater than 0, got -1"):
        load_recipe("dcgan", ("loss=scaled", "factor=-1"))
    with pytest.raises(RecipeError, match=r"known: hinge, .*scaled, wasserstein"):
        losses.get("unheard of")


def test_a_plugin_may_be_named_twice(tmp_path):
    path = plugin(tmp_path, PLUGIN.format(name="scaled", cls="Scaled"))
    load_plugins((path,))
    first = losses.get("scaled")
    load_plugins((path, path))
    assert losses.get("scaled") is first


def test_a_name_is_taken_once(tmp_path):
    with pytest.raises(RecipeError) as caught:
        load_plugins((plugin(tmp_path, PLUGIN.format(name="hinge", cls="Other")),))
    head, hint = str(caught.value).split("\n")
    assert head.startswith(
        f"plugin '{tmp_path / 'my_part.py'}' does not import: RecipeError: loss 'hinge' is registered twice: "
        "by gansmith.losses.hinge and by gansmith_plugin_my_part"
    )
    assert hint == "  give one of them another name"
    assert losses.get("hinge") is Hinge


def test_two_plugin_files_of_one_name_do_not_replace_each_other(tmp_path):
    load_plugins((plugin(tmp_path / "a", PLUGIN.format(name="scaled", cls="Scaled")),))
    first = losses.get("scaled")
    with pytest.raises(RecipeError, match="registered twice"):
        load_plugins((plugin(tmp_path / "b", PLUGIN.format(name="scaled", cls="Scaled")),))
    assert losses.get("scaled") is first


@pytest.mark.parametrize(("text", "reason"), [
    ("import no_such_module_at_all", "ModuleNotFoundError: No module named 'no_such_module_at_all'"),
    ("def broken(:", "SyntaxError: invalid syntax"),
    ("1 / 0", "ZeroDivisionError: division by zero"),
])  # fmt: skip
def test_a_plugin_that_does_not_import(tmp_path, text, reason):
    path = plugin(tmp_path, text)
    with pytest.raises(RecipeError) as caught:
        load_plugins((path,))
    assert str(caught.value).startswith(f"plugin '{path}' does not import: {reason}")
    assert "gansmith_plugin_my_part" not in sys.modules
    path.write_text(PLUGIN.format(name="scaled", cls="Scaled"))
    load_plugins((path,))  # and may be mended
    assert "scaled" in losses.names()


def test_a_plugin_that_is_not_there(tmp_path):
    with pytest.raises(RecipeError) as caught:
        load_plugins((tmp_path / "missing.py",))
    assert str(caught.value) == f"plugin '{tmp_path / 'missing.py'}' does not exist\n  pass --plugin the path of a file"


@pytest.mark.parametrize("name", ["notes.txt", "."])
def test_a_plugin_that_is_no_python_file(tmp_path, name):
    (tmp_path / "notes.txt").write_text("x = 1")
    with pytest.raises(RecipeError) as caught:
        load_plugins((tmp_path / name,))
    assert (
        str(caught.value) == f"plugin '{tmp_path / name}' is not a Python file\n  pass --plugin a path that ends in .py"
    )


def test_unknown_names():
    with pytest.raises(RecipeError) as caught:
        losses.get("hinges")
    assert str(caught.value) == (
        f"unknown loss 'hinges' (did you mean 'hinge'?)\n  known: {', '.join(losses.names())}"  # plugins of tests too
    )
    assert {"hinge", "least_squares", "minimax", "non_saturating", "relativistic", "wasserstein"} <= {*losses.names()}
    with pytest.raises(RecipeError) as caught:
        losses.get("zzz")
    assert str(caught.value).startswith("unknown loss 'zzz'\n  known:")


@pytest.mark.parametrize("value", [3, None, ["hinge"], {}, {"margin": 1}, {"kind": 3}])
def test_what_is_no_part(value):
    with pytest.raises(RecipeError) as caught:
        losses.parse(value)
    assert str(caught.value).startswith(
        f"a loss is written as a name or as a mapping with 'kind', got {value!r}\n  known: "
    )


def test_a_part_of_another_family_is_refused():
    with pytest.raises(RecipeError, match="penalty"):
        penalties.parse(Hinge())


def test_parts_are_read_from_three_forms():
    assert losses.parse("hinge") == losses.parse({"kind": "hinge"}) == losses.parse(Hinge()) == Hinge()


def test_a_registry_of_ones_own():
    registry: Registry[Part] = Registry("thing", "gansmith.recipes")  # a package without modules

    @registry.register("one")
    class One(Part):
        pass

    assert registry.names() == ["one"]
    assert One.kind == "one"
    assert isinstance(registry.parse("one"), One)
    with pytest.raises(RecipeError, match="thing 'one' is registered twice"):
        registry.register("one")(Hinge)
