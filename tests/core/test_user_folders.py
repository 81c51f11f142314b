import os
import stat
from pathlib import Path

import pytest

from gansmith.core import user_folders
from gansmith.core.errors import GansmithWarning
from gansmith.core.user_folders import user_folder


@pytest.fixture(autouse=True)
def _no_variables(monkeypatch, tmp_path):
    for name in ("GANSMITH_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(user_folders.tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(user_folders, "_said", set())


def without_number(said) -> str:
    return str(said.message).replace(f"gansmith-{os.getuid()}", "gansmith-UID")


def folder() -> Path:
    return user_folder("GANSMITH_CACHE", "XDG_CACHE_HOME", ".cache")


def test_variables_before_the_home_folder(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert folder() == tmp_path / ".cache" / "gansmith"
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert folder() == tmp_path / "xdg" / "gansmith"
    monkeypatch.setenv("GANSMITH_CACHE", str(tmp_path / "own"))
    assert folder() == tmp_path / "own"


def _without_home() -> Path:
    raise RuntimeError("Could not determine home directory.")


def test_without_a_home_folder_it_is_a_temporary_one_and_that_is_said_once(monkeypatch, tmp_path, prose):
    monkeypatch.setattr(Path, "home", _without_home)
    with pytest.warns(GansmithWarning) as said:
        found = folder()
    assert found == tmp_path / f"gansmith-{os.getuid()}"
    assert stat.S_IMODE(found.stat().st_mode) == 0o700
    prose("no home folder", without_number(said[0]))
    assert folder() == found


def test_a_home_folder_that_cannot_be_written_to(monkeypatch, tmp_path, prose):
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setattr(user_folders.os, "access", lambda *_: False)
    with pytest.warns(GansmithWarning) as said:
        assert folder() == tmp_path / f"gansmith-{os.getuid()}"
    prose("home folder that cannot be written to", without_number(said[0]))


def test_a_home_folder_that_is_closed_to_this_user(monkeypatch, tmp_path):
    """In a container with another user id HOME is often still that of root."""
    monkeypatch.setenv("HOME", str(tmp_path / "closed" / "home"))
    (tmp_path / "closed").mkdir()
    real = os.stat

    def stat_of(path: str | Path, **keywords: bool) -> os.stat_result:
        if not isinstance(path, int) and (tmp_path / "closed") in Path(path).parents:
            raise PermissionError(13, "Permission denied")
        return real(path, **keywords)

    monkeypatch.setattr(user_folders.os, "stat", stat_of)
    monkeypatch.setattr(user_folders.os, "access", lambda path, _: Path(path) != tmp_path / "closed")
    with pytest.warns(GansmithWarning, match=r"closed/home/\.cache/gansmith' cannot be written to"):
        assert folder() == tmp_path / f"gansmith-{os.getuid()}"


def test_a_variable_below_a_home_folder_that_there_is_not(monkeypatch, tmp_path):
    monkeypatch.setenv("GANSMITH_CACHE", "~no-such-user/cache")
    with pytest.warns(GansmithWarning, match="there is no home folder"):
        assert folder() == tmp_path / f"gansmith-{os.getuid()}"


@pytest.mark.parametrize("taken", ["file", "link", "of another user"])
def test_a_name_that_another_has_taken(monkeypatch, tmp_path, taken):
    monkeypatch.setattr(Path, "home", _without_home)
    place = tmp_path / f"gansmith-{os.getuid()}"
    if taken == "file":
        place.write_text("")
    elif taken == "link":
        (tmp_path / "other").mkdir()
        place.symlink_to(tmp_path / "other")
    else:
        place.mkdir()
        monkeypatch.setattr(user_folders.os, "getuid", lambda: os.stat(tmp_path).st_uid + 1)
        (tmp_path / f"gansmith-{os.getuid()}").mkdir(exist_ok=True)
    with pytest.warns(GansmithWarning):
        found = folder()
    assert found.parent == tmp_path
    assert found.name.startswith("gansmith-")
    assert found != place
