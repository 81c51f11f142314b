"""The snapshot file: compared, written, and kept free of entries that no test gives."""

import shutil
from pathlib import Path

import pytest

import prose as plugin

pytestmark = pytest.mark.slow

pytest_plugins = ["pytester"]
TEST = """
import pytest

def test_a(prose, tmp_path):
    prose("place", f"{tmp_path}/x is good")
    prose("place", "again")

@pytest.mark.parametrize("number", [1, 2])
def test_b(prose, number):
    prose("number", str(number))
"""


@pytest.fixture
def project(pytester, monkeypatch) -> Path:
    """A project of two tests with a snapshot file of its own."""
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")  # others than xdist: most of the time of a start
    shutil.copy(plugin.__file__, pytester.path / "prose.py")
    (pytester.path / "snapshots").mkdir()
    (pytester.path / "tests").mkdir()
    pytester.makeini("[pytest]\ntestpaths = tests")
    pytester.makeconftest('pytest_plugins = ["prose"]')
    pytester.syspathinsert()
    (pytester.path / "tests" / "test_it.py").write_text(TEST)
    return pytester.path


def run(pytester, *words: str) -> tuple[int, str]:
    found = pytester.runpytest_subprocess("-p", "xdist.plugin", "-p", "no:cacheprovider", *words)
    return int(found.ret), "\n".join(found.outlines)


def test_snapshots_are_written_compared_and_dropped(pytester, project):
    entries, tests = project / "snapshots" / "messages.txt", project / "tests" / "test_it.py"
    assert run(pytester, "-n", "2", "--write-snapshots")[0] == 0
    assert plugin.read_entries(entries.read_text()) == {
        "number | test_b[1]": "1", "number | test_b[2]": "2", "place | test_a": "TMP/x is good",
        "place | test_a (2)": "again",
    }  # fmt: skip
    before = entries.read_text()
    assert run(pytester, "-n", "0")[0] == 0

    tests.write_text(tests.read_text().replace("is good", "is bad"))
    assert run(pytester, "-n", "0")[0] == 1
    assert run(pytester, "-n", "0", "-k", "test_b")[0] == 0  # the others are not of this session
    assert run(pytester, "-n", "0", "-k", "test_b", "--write-snapshots")[0] == 0
    assert entries.read_text() == before
    assert run(pytester, "-n", "0", "tests/test_it.py::test_a", "--write-snapshots")[0] == 0
    assert entries.read_text() == before.replace("is good", "is bad")

    tests.write_text(tests.read_text().replace("[1, 2]", "[1]").replace('prose("place", "again")', ""))
    code, out = run(pytester, "-n", "2")
    assert code == 1
    assert "number | test_b[2]\n  place | test_a (2)" in out
    (project / "tests" / "test_other.py").write_text(tests.read_text().replace("def test_", "def test_other_"))
    assert run(pytester, "-n", "0", "--write-snapshots")[0] == 0
    (project / "tests" / "test_other.py").unlink()
    assert run(pytester, "-n", "0")[0] == 1
    assert run(pytester, "-n", "0", "-m", "not slow")[0] == 0  # files may not have been collected
    assert run(pytester, "-n", "0", "--write-snapshots")[0] == 0
    assert list(plugin.read_entries(entries.read_text())) == ["number | test_b[1]", "place | test_a"]


def test_two_tests_of_one_name_are_refused(pytester, project):
    shutil.copy(project / "tests" / "test_it.py", project / "tests" / "test_other.py")
    assert run(pytester, "-n", "0")[0] == int(pytest.ExitCode.USAGE_ERROR)


def test_a_mistake_is_asserted_by_its_code(pytester, project):
    (project / "tests" / "test_it.py").write_text(
        "from gansmith.core.errors import DataError\n"
        "def test_c(refused):\n    with refused('data.empty', ['[0-9]+']):\n        raise DataError(CODE, '3 images')\n"
    )
    text = (project / "tests" / "test_it.py").read_text()
    (project / "tests" / "test_it.py").write_text(text.replace("CODE", "'data.empty'"))
    assert run(pytester, "-n", "0", "--write-snapshots")[0] == 0
    assert "## data.empty | test_c\n... images\n" in (project / "snapshots" / "messages.txt").read_text()
    (project / "tests" / "test_it.py").write_text(text.replace("CODE", "'data.other'"))
    assert run(pytester, "-n", "0")[0] == 1
