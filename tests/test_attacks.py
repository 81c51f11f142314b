"""Every door refuses a hostile file with a message, within 1 GB above the file's own size and 60 s of CPU."""

from pathlib import Path

import pytest

from attacks import CONTENTS, DOORS, HEAVY, NAMES, SPECIAL, Door, attack_in_turn, make_bases

pytestmark = pytest.mark.slow

FIRST = {door.kind: door for door in reversed(DOORS)}  # one door of each kind of content
CASES = [(door, name) for door in DOORS for name in (NAMES if door.kind == "names" else SPECIAL)]
CASES += [
    (door, name) for kind, door in FIRST.items() if kind != "names" for name in CONTENTS[kind] if name not in HEAVY
]


@pytest.fixture(scope="module")
def bases(tmp_path_factory, tiny_file) -> Path:
    folder = tmp_path_factory.mktemp("bases")
    make_bases(folder, tiny_file, onnx=False)  # its export takes longer than all attacks
    return folder


@pytest.mark.parametrize("door", [door for door in DOORS if door.kind != "onnx"], ids=lambda door: door.name)
def test_hostile_files_at_each_door(door: Door, bases, tmp_path):
    names = [name for each, name in CASES if each == door]
    found = attack_in_turn(door, names, bases, tmp_path)  # each may take 60 s of CPU
    for name, outcome in found.items():
        assert outcome.is_refused, f"{name}: {outcome.told}"
        assert outcome.memory_mb < 1000, f"{name}: {outcome}"
    assert [*found] == names
