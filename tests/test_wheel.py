"""The sdist and the wheel: they hold all files of the package, and work where nothing else of gansmith is."""

import importlib.util
import json
import os
import site
import subprocess
import sys
import tarfile
import venv
import zipfile
from pathlib import Path

import pytest

import gansmith

REPOSITORY = Path(gansmith.__file__).parent.parent.parent
DOCS = ("questions", "pictures/lessons")  # folders of the documentation that the wheel holds too
BUILD = (sys.executable, "-m", "build", "--no-isolation")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(importlib.util.find_spec("build") is None, reason="needs the package build"),
]


def run(*words: object, **how) -> str:
    done = subprocess.run([*map(str, words)], capture_output=True, text=True, check=False, **how)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def dist(tmp_path_factory) -> Path:
    """A folder with the sdist, and the wheel that was built from the sdist."""
    folder = tmp_path_factory.mktemp("dist")
    run(*BUILD, "--outdir", folder, REPOSITORY)
    return folder


@pytest.fixture(scope="module")
def wheel(dist) -> Path:
    (path,) = dist.glob("*.whl")
    return path


@pytest.fixture(scope="module")
def environment(wheel, tmp_path_factory) -> Path:
    """The programs of an environment with the wheel's gansmith, and with the dependencies of this one."""
    folder = tmp_path_factory.mktemp("environment")
    venv.create(folder, with_pip=False)
    (packages,) = folder.rglob("site-packages")
    # A path in a .pth file adds the packages there, without their own .pth files: not this editable gansmith.
    (packages / "dependencies.pth").write_text("".join(f"{each}\n" for each in site.getsitepackages()))
    programs = folder / ("Scripts" if os.name == "nt" else "bin")
    run(sys.executable, "-m", "pip", "--python", programs / "python", "install", "--no-deps", "--no-index", "--target",
        packages, wheel)  # fmt: skip
    return programs


def test_the_sdist_builds_the_same_wheel_as_the_repository(dist, wheel, tmp_path):
    run(*BUILD, "--wheel", "--outdir", tmp_path, REPOSITORY)
    (other,) = tmp_path.glob("*.whl")
    assert other.name == wheel.name
    assert other.read_bytes() == wheel.read_bytes()
    (sdist,) = dist.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert {"pyproject.toml", "README.md", "LICENSE", "src/py.typed", "tests/test_wheel.py"} <= names


def test_the_wheel_holds_all_files_of_the_package(wheel):
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if name.startswith("gansmith/")}
    package = REPOSITORY / "src" / "gansmith"
    files = {path for path in package.rglob("*") if path.is_file() and "__pycache__" not in path.parts}
    docs = REPOSITORY / "docs"
    pages = [path for folder in DOCS for path in (docs / folder).rglob("*") if path.is_file()]
    added = {f"gansmith/web/docs/{path.relative_to(docs).as_posix()}" for path in pages}
    assert names == {"gansmith/py.typed", *added, *(path.relative_to(package.parent).as_posix() for path in files)}
    assert sum(not name.endswith(".py") for name in names) > 25  # recipes, sample images, extractor, report


def test_the_installed_wheel_trains_samples_evaluates_and_exports(environment, tmp_path):
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "GANSMITH"))}
    environ = {**inherited, "GANSMITH_CACHE": str(tmp_path / "cache"), "PYTHONNOUSERSITE": "1"}

    def gansmith_(*words: object) -> str:
        return run(environment / "python", "-m", "gansmith", *words, cwd=tmp_path, env=environ)

    where = "import gansmith; print(gansmith.__file__)"
    file = run(environment / "python", "-c", where, cwd=tmp_path, env=environ)
    assert Path(file).is_relative_to(environment.parent), "it is not the wheel's gansmith"
    trained = json.loads(
        gansmith_("train", "--recipe", "mlp-small", "--steps", 20, "--holdout", 0.1, "--device", "cpu", "--json")
    )
    assert trained["finished"]
    folder = tmp_path / trained["folder"]
    assert (folder / "report.html").stat().st_size > 10_000
    sampled = json.loads(gansmith_("sample", folder, "--num", 4, "--out", "grid.png", "--json"))
    assert (tmp_path / sampled["out"]).is_file()
    words = ("evaluate", folder, "--num", 100, "--features", "fashion", "--json")
    assert "fd100_fashion" in json.loads(gansmith_(*words))["numbers"]
    assert "dcgan" in gansmith_("recipes")
    exported = json.loads(gansmith_("export", folder, "--to", "onnx", "--out", "made.onnx", "--json"))
    assert len(exported["files"]) == 1
    assert (tmp_path / "made.onnx").is_file()
