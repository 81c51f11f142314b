"""Readers of files that others may have made: kinds of files, sizes, depth, control characters."""

import contextlib
import json
import os
import socket
import tracemalloc

import pytest
import torch
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import save_file
from safetensors.torch import save_file as torch_save

from gansmith.core.atomic_files import commit_bytes, commit_text
from gansmith.core.plain_files import (
    MAX_DEPTH,
    MAX_YAML_BYTES,
    SPARSE_BYTES,
    AnchorError,
    UnfitFileError,
    open_plain,
    parse_json,
    parse_yaml,
    read_bytes,
    read_json,
    refuse_damaged_tensors,
    sha256_of,
    text_lines,
)
from gansmith.core.tensor_files import load_tensors

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


def test_a_plain_file(tmp_path):
    path = tmp_path / "a"
    path.write_bytes(b"abc")
    with open_plain(path) as file:
        assert file.read() == b"abc"
    assert read_bytes(path, 3) == b"abc"
    with pytest.raises(UnfitFileError, match="it has 3 bytes, and at most 2 are read"):
        read_bytes(path, 2)
    with pytest.raises(FileNotFoundError):
        open_plain(tmp_path / "b")
    with pytest.raises(IsADirectoryError):
        open_plain(tmp_path)


READERS = [read_bytes, read_json, sha256_of, refuse_damaged_tensors, lambda path: [*text_lines(path)]]


@pytest.mark.parametrize("read", READERS)
def test_what_is_no_plain_file(read, tmp_path):
    os.mkfifo(tmp_path / "pipe")
    place = socket.socket(socket.AF_UNIX)
    place.bind(str(tmp_path / "socket"))
    with open(tmp_path / "sparse", "wb") as file:
        file.truncate(SPARSE_BYTES * 100)
    (tmp_path / "link").symlink_to("/dev/zero")
    kinds = {"pipe": "a named pipe", "socket": "a socket", "link": "a device", "sparse": "sparse|at most"}
    for name, kind in kinds.items():
        with pytest.raises(UnfitFileError, match=kind):
            read(tmp_path / name)
    place.close()


def test_a_file_with_a_hole_that_holds_data_is_read(tmp_path):
    with open(tmp_path / "some", "wb") as file:
        file.truncate(SPARSE_BYTES + 1)
        file.seek(0)
        file.write(b"x" * (SPARSE_BYTES // 8))
    with open_plain(tmp_path / "some") as file:
        assert file.read(1) == b"x"


def test_outputs_never_take_the_place_of_a_pipe(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(UnfitFileError):
        commit_bytes(tmp_path / "pipe", b"x")
    commit_text(tmp_path / "new", "\u00e9")
    assert (tmp_path / "new").read_bytes() == "\u00e9".encode()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["new", "pipe"]


@pytest.mark.parametrize(
    "text", ["[" * 100_000, "[" * 100_000 + "]" * 100_000, '{"a":' * 5000, '["[[[[' + '", [' * 200]
)
def test_json_that_is_too_deep(text):
    with pytest.raises(ValueError, match=r"levels deep|delimiter"):
        parse_json(text)


def test_json_that_is_just_deep_enough():
    text = "[" * MAX_DEPTH + '"' + "[" * 1000 + '\\""' + "]" * MAX_DEPTH
    assert parse_json(text) == json.loads(text)
    with pytest.raises(ValueError, match=f"{MAX_DEPTH + 1} levels deep"):
        parse_json(f"[{text}]")


TWO_THINGS = {
    "NaN": "no finite number",
    "[-Infinity]": "no finite number",
    '{"a": 1e999}': "no finite number",
    "9" * 5000: "a number has 5,000 digits",
    '{"a": 1, "b": 2, "a": 3}': "'a' stands twice",
}


@pytest.mark.parametrize(("text", "reason"), TWO_THINGS.items(), ids=["nan", "infinity", "large", "digits", "twice"])
def test_json_that_says_two_things_or_no_number(text, reason):
    with pytest.raises(ValueError, match=reason):
        parse_json(text)


@pytest.mark.parametrize("text", ["a: 1\nb: 2\na: 3", "a: .inf", "a: .nan", "a: 1" + ":1" * 50_000, "a: " + "9" * 5000])
def test_yaml_that_says_two_things_or_no_number(text):
    with pytest.raises(ValueError, match=r"stands twice|number"):
        parse_yaml(text)


def test_text_of_json_has_no_control_characters():
    found = parse_json('{"a\\u001b[31m": ["x\\u009b\\ty\\n", "\\ud800", "\\u202e", "caf\\u00e9"]}')
    assert found == {"a\\x1b[31m": ["x\\x9b\ty\n", "\\ud800", "\\u202e", "café"]}


@pytest.mark.slow
@settings(deadline=None, max_examples=50)
@given(VALUES)
def test_json_comes_back(value):
    text = json.dumps(value)
    found = parse_json(text)
    if all(character.isprintable() or character in "\n\t" for character in "".join(map(str, _texts(value)))):
        assert found == json.loads(text)


def _texts(value):
    if isinstance(value, dict):
        return [each for pair in value.items() for part in pair for each in _texts(part)]
    return [each for part in value for each in _texts(part)] if isinstance(value, list) else [value]


@pytest.mark.slow
@settings(deadline=None, max_examples=50)
@given(st.text(alphabet='[]{}":,\\ a1\n\u202e') | st.binary())
def test_any_text_is_json_or_a_value_error(text):
    with contextlib.suppress(ValueError):
        parse_json(text)


@pytest.mark.parametrize("text", ["[" * 250_000, "- " * 100_000, "{a: " * 60_000, "? " * 100_000, "[1, " * 60_000])
def test_yaml_that_is_too_deep(text):
    with pytest.raises(ValueError, match="nested more than"):
        parse_yaml(text)


def test_yaml_that_is_too_long_or_has_anchors():
    with pytest.raises(ValueError, match="at most"):
        parse_yaml("#" * (MAX_YAML_BYTES + 1))
    with pytest.raises(AnchorError):
        parse_yaml("a: &x [1]\nb: *x")
    assert parse_yaml("a: [1, {b: 2}]") == {"a": [1, {"b": 2}]}


@pytest.mark.slow
@settings(deadline=None, max_examples=50)
@given(st.text(alphabet="[]{}:,-?&*!|>'\"# a1\n\t\\"))
def test_any_text_is_yaml_or_an_error(text):
    with contextlib.suppress(ValueError, yaml.YAMLError):
        parse_yaml(text)


def test_tensors_that_are_not_as_long_as_their_header_says(tmp_path):
    import numpy as np

    path = tmp_path / "a.safetensors"
    save_file({"a": np.zeros(100, np.float32)}, path)
    refuse_damaged_tensors(path)
    whole = path.read_bytes()
    for data in (whole[:-1], whole + b"\0", b"", b"\xff" * 8, whole[:6], (2**40).to_bytes(8, "little") + whole[8:]):
        path.write_bytes(data)
        with pytest.raises(ValueError, match=r"header|cut off"):
            refuse_damaged_tensors(path)


HEADERS = [b"[1]", b'{"a": 1}', b'{"a": {"data_offsets": [-4, 0]}}', b'{"__metadata__": {"a": 1}}']


@pytest.mark.parametrize("header", HEADERS)
def test_a_header_of_tensors_of_other_types(header, tmp_path):
    (tmp_path / "a.safetensors").write_bytes(len(header).to_bytes(8, "little") + header)
    with pytest.raises(ValueError, match="its header"):
        refuse_damaged_tensors(tmp_path / "a.safetensors")


def test_tensors_below_a_folder_whose_name_is_not_utf8(tmp_path):
    folder = tmp_path / os.fsdecode(b"r\xffn")
    folder.mkdir()
    torch_save({"a": torch.arange(3)}, folder / "a.safetensors")
    assert load_tensors(folder / "a.safetensors")["a"].tolist() == [0, 1, 2]


@pytest.mark.slow
def test_lines_are_read_one_by_one(tmp_path):
    path = tmp_path / "log"
    path.write_bytes(b'{"a": 1}\n' * 20_000 + b"\xff\n")
    tracemalloc.start()
    assert sum(1 for _ in text_lines(path)) == 20_001
    assert tracemalloc.get_traced_memory()[1] < 2**18
    tracemalloc.stop()
    path.write_bytes(b"x" * 2**21)
    with pytest.raises(UnfitFileError, match="line 1 has more than"):
        list(text_lines(path))
