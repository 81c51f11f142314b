"""What a person reads, compared with tests/snapshots/messages.txt; ``make snapshots`` rewrites that file.

Tests assert codes and values, and give sentences to the fixtures ``refused`` and ``prose``. So a better wording changes
one file, which reads from top to bottom. Not syrupy: it keeps one file for each test module. Here one file
holds all, and an entry is found by its test's name alone, so that a test may move to another file.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from gansmith.core.errors import GansmithError

FILE = Path(__file__).parent / "snapshots" / "messages.txt"
REPOSITORY = Path(__file__).parent.parent
HEADING = "## "
INTRODUCTION = (
    "What a person reads: the code or name, the test that reads it, the text. `make snapshots` writes this file.\n"
)
MOST_LINES = 3  # of an error


class Snapshots:
    """The entries of the file, and what the tests of this session (or of this process of it) have given."""

    def __init__(self) -> None:
        self.wanted = read_entries(FILE.read_text()) if FILE.exists() else {}
        self.given: dict[str, str] = {}
        self.passed: set[str] = set()  # tests that gave all that they have
        self.known: set[str] = set()  # tests with prose that exist, chosen for this session or not


SNAPSHOTS = pytest.StashKey[Snapshots]()


def key_of(name: str, test: str, turn: int = 1) -> str:
    return f"{name} | {test}" + (f" ({turn})" if turn > 1 else "")


def owner_of(key: str) -> str:
    return re.sub(r" \(\d+\)$", "", key.partition(" | ")[2])


def read_entries(text: str) -> dict[str, str]:
    parts = (part.partition("\n") for part in text.split(f"\n{HEADING}")[1:])
    return {key: body.strip("\n") for key, _, body in parts}


def written(entries: dict[str, str]) -> str:
    return INTRODUCTION + "".join(f"\n{HEADING}{key}\n{entries[key]}\n" for key in sorted(entries))


def without_places(text: str, temporary: Path, hiding: Iterable[str] = ()) -> str:
    """Return a text without what differs by machine and session; ``hiding`` are further patterns, shown as "..."."""
    text = re.sub(re.escape(str(temporary)) + r"/[\w.-]+", "TMP", text).replace(str(REPOSITORY), "REPOSITORY")
    text = re.sub(r"-[0-9a-f]{16}(?=\.jsonl)", "-HASH", text)  # of a place
    text = re.sub(r"\btoy_\w+, ", "", text)  # parts that other tests have registered, in a list of known names
    for pattern in hiding:
        text = re.sub(pattern, "...", text)
    text = re.sub(r"[\x00-\x08\x0b-\x1f\x7f]", lambda found: f"\\x{ord(found[0]):02x}", text)  # the file stays text
    return "\n".join(line.rstrip() for line in text.strip("\n").split("\n"))


@pytest.fixture
def prose(request, tmp_path_factory) -> Callable[..., None]:
    """Compare a text with its snapshot: ``prose("help of train", text)``."""
    snapshots, turns = request.config.stash[SNAPSHOTS], Counter[str]()
    writing = request.config.getoption("--write-snapshots")

    def check(name: str, text: str, hiding: Iterable[str] = ()) -> None:
        turns[name] += 1
        key = key_of(name, request.node.name, turns[name])
        got = without_places(text, tmp_path_factory.getbasetemp(), hiding)
        assert not re.search(f"^{HEADING}", got, re.MULTILINE), "a line looks like a heading of the snapshots' file"
        snapshots.given[key] = got
        if not writing:
            assert key in snapshots.wanted, f"no snapshot of this text: make snapshots\n{got}"
            assert got == snapshots.wanted[key], "if the new wording is better: make snapshots"

    return check


@pytest.fixture
def refused(prose):
    """Expect a mistake of the user: ``with refused("data.empty"): ...`` compares its message with the snapshot."""

    @contextmanager
    def expect(code: str, hiding: Iterable[str] = ()) -> Iterator[pytest.ExceptionInfo[GansmithError]]:
        with pytest.raises(GansmithError) as caught:
            yield caught
        assert caught.value.code == code
        assert len(str(caught.value).splitlines()) <= MOST_LINES
        prose(code, str(caught.value), hiding)

    return expect


def pytest_addoption(parser):
    parser.addoption("--write-snapshots", action="store_true", help="write tests/snapshots/messages.txt")


def pytest_configure(config):
    config.stash[SNAPSHOTS] = Snapshots()


@pytest.hookimpl(tryfirst=True)  # before any test is deselected
def pytest_collection_modifyitems(config, items):
    names = Counter(item.name for item in items if "prose" in item.fixturenames)
    if twice := [name for name, times in names.items() if times > 1]:
        raise pytest.UsageError(
            f"snapshots are found by a test's name; more than one test is called {', '.join(twice)}"
        )
    config.stash[SNAPSHOTS].known |= names.keys()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    report = yield
    if report.when == "call" and report.passed and "prose" in item.fixturenames:
        item.config.stash[SNAPSHOTS].passed.add(item.name)
    return report


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node, error):
    """Take over what a process of pytest-xdist has seen."""
    given, passed, known = getattr(node, "workeroutput", {}).get("snapshots", ({}, (), ()))
    snapshots = node.config.stash[SNAPSHOTS]
    snapshots.given |= given
    snapshots.passed |= set(passed)
    snapshots.known |= set(known)


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session, exitstatus):
    """Write the file if asked to; else fail for entries that no test gives any more."""
    config, snapshots = session.config, session.config.stash[SNAPSHOTS]
    if hasattr(config, "workeroutput"):
        config.workeroutput["snapshots"] = (snapshots.given, [*snapshots.passed], [*snapshots.known])
        return
    if exitstatus not in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED):
        return
    # ``make fast`` does not even collect files that hold slow tests alone
    everything = config.args_source is pytest.Config.ArgsSource.TESTPATHS and not config.option.markexpr
    stale = {
        key
        for key in snapshots.wanted.keys() - snapshots.given.keys()
        if owner_of(key) in snapshots.passed or (everything and owner_of(key) not in snapshots.known)
    }
    if config.getoption("--write-snapshots"):
        entries = {key: text for key, text in (snapshots.wanted | snapshots.given).items() if key not in stale}
        FILE.parent.mkdir(exist_ok=True)
        FILE.write_text(written(entries))
    elif stale:
        print("\nsnapshots that no test gives any more (make snapshots drops them):", *sorted(stale), sep="\n  ")
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
