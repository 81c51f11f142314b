"""Every error of a user has a stable code."""

import ast
import copy
import pickle
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import gansmith
from gansmith.core.errors import AREAS, DiskFullError, GansmithError
from gansmith.imaging import images  # noqa: F401  (its ImageError is one of the classes)

PACKAGE = Path(gansmith.__file__).parent
CODE = re.compile(r"[a-z]+(\.[a-z0-9_]+)+")
MADE_FROM_OTHERS = {
    "code_of(problem)",  # of the pydantic error that a RecipeError reports
    "problem.code",  # of the error to whose message one more line is added
    "f'{area}.storage_package'",  # of a run's storage or of that of the data
    "f'{area}.storage_refused'",
    "f'{area}.storage_silent'",
    "told['code']",  # of the error that a process of the studio tells
}


def classes(cls: type = GansmithError) -> set[str]:
    return {cls.__name__}.union(*(classes(child) for child in cls.__subclasses__()))


def codes_of(node: ast.expr) -> list[ast.expr]:
    """The expressions that a code may be; ``a if b else c`` is two."""
    return [*codes_of(node.body), *codes_of(node.orelse)] if isinstance(node, ast.IfExp) else [node]


def made_errors() -> Iterator[tuple[str, ast.expr | None]]:
    """Yield (place, code) of every error that the package makes."""
    names = classes()
    for file in sorted(PACKAGE.rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Call) and ast.unparse(node.func).rpartition(".")[2] in names:
                place = f"{file.relative_to(PACKAGE)}:{node.lineno}"
                if len(node.args) != 2 or node.keywords:
                    yield place, None
                else:
                    yield from ((place, code) for code in codes_of(node.args[0]))


@pytest.mark.slow
def test_every_error_has_a_literal_code_of_a_known_area():
    used, wrong = set(), []
    for place, code in made_errors():
        if isinstance(code, ast.Constant) and isinstance(code.value, str) and CODE.fullmatch(code.value):
            used.add(code.value.partition(".")[0])
        elif code is None or ast.unparse(code) not in MADE_FROM_OTHERS:
            wrong.append(f"{place}: {ast.unparse(code) if code else 'not (code, message)'}")
    assert not wrong
    assert used == AREAS - {"system"}  # that one is of the errors of the operating system


@pytest.mark.slow
def test_errors_are_made_where_they_are_raised():
    """A bare class, ``raise DataError``, would pass by the test above."""
    names = classes()
    for file in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Raise) and node.exc is not None:
                assert ast.unparse(node.exc).rpartition(".")[2] not in names, file


@pytest.mark.parametrize("again", [copy.copy, copy.deepcopy, lambda error: pickle.loads(pickle.dumps(error))])
def test_copies_keep_code_and_message(again):
    got = again(DiskFullError("disk.full", "no room"))
    assert (type(got), got.code, str(got)) == (DiskFullError, "disk.full", "no room")
