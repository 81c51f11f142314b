"""Names of files and classes: text under every locale, and back to paths."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from gansmith.core.file_names import can_be_path, escaped, in_home, path_of, printable


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        (b"cat.png", "cat.png"),
        ("猫".encode(), "猫"),
        (b"ma\xf1ana", "ma\\xf1ana"),
        (b"a\x1b[31m\n", "a\\x1b[31m\\n"),
        ("a\u202eb".encode(), "a\\u202eb"),
        ("👩\u200d🔬".encode(), "👩\u200d🔬"),  # one picture of two letters
    ],
)
def test_names_are_text_of_utf8(raw, text):
    assert escaped(os.fsdecode(raw)) == escaped(raw) == text
    text.encode()


def test_equal_names_are_equal_text():
    assert printable("Mu\u0308ller") == printable("M\u00fcller") == "M\u00fcller"
    assert escaped("Mu\u0308ller") == "Mu\u0308ller", "a path keeps its own form"
    assert printable("\ud800") == "\\ud800"


def test_text_is_a_path_again(tmp_path):
    for raw in (b"ma\xf1ana", "猫".encode(), b"plain", b"back\\xff"):
        path = tmp_path / os.fsdecode(raw)
        path.touch()
        assert path_of(escaped(path)) == path
    assert path_of(tmp_path / "missing") == tmp_path / "missing"
    assert can_be_path("猫")


def test_a_name_may_begin_with_a_tilde(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert path_of("~no-such-user") == Path("~no-such-user")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert path_of("~/a") == in_home("~/a") == tmp_path / "a"


def test_a_locale_without_letters_gives_the_same_text(tmp_path):
    (tmp_path / "猫").touch()
    code = (
        "import os, sys; from gansmith.core.file_names import *; name = os.listdir(sys.argv[1])[0];"
        "print(ascii(printable(name)), path_of(sys.argv[1] + '/' + printable(name)).exists())"
    )
    plain = {"PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "LC_ALL": "C", "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], env=plain, capture_output=True, text=True)
    assert done.stdout.strip() == f"{'猫'!a} True", done.stderr
