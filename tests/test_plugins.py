"""``gansmith.plugins`` is enough: what the page for authors of parts shows, and what the example plugins import."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from gansmith import plugins

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
