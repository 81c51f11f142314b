"""``gansmith.plugins`` is enough: what the page for authors of parts shows, and what the example plugins import."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from gansmith import api, plugins
from gansmith.core.errors import GansmithError
from small_runs import RHYTHM, newest, small, train

TESTS = Path(__file__).parent
PAGE = (TESTS.parent / "docs" / "add_a_part.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```python\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
TOYS = sorted(TESTS.glob("toy_*.py"))
FAMILIES = [name for name in plugins.__all__ if isinstance(getattr(plugins, name), plugins.Registry)]


def imported_modules(text: str) -> Iterator[str]:
    """Yield the modules of gansmith that a file imports."""
    for node in ast.walk(ast.parse(text)):
        names = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
        names += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        yield from (name for name in names if name.partition(".")[0] == "gansmith")


@pytest.mark.parametrize("text", [*BLOCKS, *(path.read_text() for path in TOYS)])
def test_examples_import_nothing_else_of_gansmith(text):
    assert {*imported_modules(text)} == {"gansmith.plugins"}


def test_the_page_has_a_row_for_every_family():
    rows = re.findall(r"^\|[^|]+\| `(\w+)` \| `@(\w+)\.register` \|", PAGE, re.MULTILINE)
    assert {family for _, family in rows} == {*FAMILIES}
    for base, family in rows:
        assert issubclass(getattr(plugins, base), plugins.Part), family


def test_every_name_is_exported_once():
    assert len({*plugins.__all__}) == len(plugins.__all__)
    public = {name for name, value in vars(plugins).items() if not name.startswith("_")}
    assert public == {*plugins.__all__}


@pytest.mark.parametrize("text", BLOCKS)
def test_the_parts_on_the_page_work_as_they_stand(text):
    registries = [getattr(plugins, family) for family in FAMILIES]
    before = {each.family: {*each.names()} for each in registries}
    exec(compile(text, "docs/add_a_part.md", "exec"), {"__name__": "page"})
    ((registry, name),) = [(each, name) for each in registries for name in {*each.names()} - before[each.family]]
    try:
        part = registry.parse(name)
        if isinstance(part, plugins.Network):
            spec, labels = plugins.ImageSpec(8, 8, 3, num_classes=2, latent_dim=4), torch.arange(5) % 2
            images = part.generator(spec)(torch.zeros(5, 4), labels)
            assert images.shape == (5, 3, 8, 8)
            assert part.discriminator(spec)(images, labels).shape == (5,)
    finally:
        del registry._parts[name]


FAULTY = {
    "exits": ("lr=0.001", "sys.exit(0)"),
    "string": ("loss=toy_f_string", "return 'x'"),
    "shape": ("loss=toy_f_shape", "return fake_logits"),
    "whole number": ("loss=toy_f_whole", "return (fake_logits > 0).sum()"),
    "detached": ("loss=toy_f_detached", "return fake_logits.mean().detach()"),
    "raises": ("loss=toy_f_raises", "return {}['key']"),
    "raises later": ("loss=toy_f_later", "if next(COUNT) > 4: 1 / 0\n        return fake_logits.mean()"),
    "exits later": ("loss=toy_f_exits", "if next(COUNT) > 4: sys.exit(0)\n        return fake_logits.mean()"),
}
LOSS = """
@losses.register("{name}")
class Faulty(AdversarialLoss):
    def discriminator(self, real_logits, fake_logits):
        {body}

    def generator(self, real_logits, fake_logits):
        return fake_logits.mean()
"""
NETWORK = """
class Layers(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(64, 1)

    def forward(self, images, labels):
        {body}

@networks.register("{name}")
class Faulty(Network):
    def discriminator(self, spec):
        return {made}
"""
PENALTY = """
@penalties.register("toy_f_penalty")
class Faulty(Penalty):
    def __call__(self, critic, scored, noise):
        return scored.real_logits.detach().mean()
"""
OPTIMIZER = """
@optimizers.register("toy_f_optimizer")
class Faulty(OptimizerPart):
    def build(self, parameters):
        return None
"""
TWO = "return self.layer(images.flatten(1)), 5"
OTHERS = {
    "forward": ("discriminator=toy_f_fw", NETWORK.format(name="toy_f_fw", made="Layers()", body="return 1 / 0")),
    "two results": ("discriminator=toy_f_two", NETWORK.format(name="toy_f_two", made="Layers()", body=TWO)),
    "no module": ("discriminator=toy_f_none", NETWORK.format(name="toy_f_none", made="5", body="pass")),
    "penalty": ("penalties=toy_f_penalty", PENALTY),
    "optimizer": ("optimizers.default=toy_f_optimizer", OPTIMIZER),
}


@pytest.mark.parametrize("name", [*FAULTY, *OTHERS])
def test_a_plugin_that_fails_is_named_with_its_part_and_method(name, tiny_file, tmp_path, monkeypatch):
    head = "import itertools, sys\nfrom torch import nn\nfrom gansmith.plugins import *\nCOUNT = itertools.count()\n"
    override, body = FAULTY.get(name) or OTHERS[name]
    if name in FAULTY and name != "exits":
        body = LOSS.format(name=override.partition("=")[2], body=body)
    file = tmp_path / "faulty.py"
    file.write_text(head + body)
    monkeypatch.setattr(api, "write_results", lambda *_: None)
    with pytest.raises(GansmithError) as caught:
        train(
            tiny_file, tmp_path / "run", "mlp-small", overrides=[*small("mlp-small", *RHYTHM), override], plugins=[file]
        )
    text = str(caught.value)
    assert caught.value.code.startswith("plugin.")
    assert str(file) in text
    part = override.partition("=")[2]
    assert name == "exits" or f"'{part}'" in text or "Layers.forward" in text
    if name in FAULTY and name != "exits":
        assert ": discriminator " in text
    if name != "exits":
        assert "gansmith resume" in text or not (tmp_path / "run").exists()
    if "later" in name:
        assert "the last checkpoint is kept" in text
        assert newest(tmp_path / "run").values["iteration"] == 0
