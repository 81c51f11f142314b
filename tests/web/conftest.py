"""Models in ONNX files, exported once for all tests, and a client of the application over them."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("fastapi", reason="needs the extra studio")
pytest.importorskip("onnx", reason="needs the extra studio")
from fastapi.testclient import TestClient

from gansmith.exporting.base import choose_format
from gansmith.inference.model import Model
from gansmith.web.app import create_app
from small_models import made_once, make_model

HOME = "http://127.0.0.1:8000"


@pytest.fixture(scope="session")
def served(onnx_of, tmp_path_factory) -> Path:
    """A folder of models: cond.onnx, and the model folder plain/ with its file."""
    with made_once(tmp_path_factory, "served-models") as folder:
        if not (folder / "plain").exists():
            plain = make_model("hidden=[8]")
            shutil.copyfile(onnx_of("drawing"), folder / "cond.onnx")
            plain.save(folder / "made")
            export(plain, folder / "made" / "generator.onnx")
            (folder / "made").rename(folder / "plain")
    return folder


@pytest.fixture(scope="session")
def served_all(served, onnx_of, tmp_path_factory) -> Path:
    """The models of ``served``, colorize.onnx and up.onnx."""
    with made_once(tmp_path_factory, "all-served-models") as folder:
        if not (folder / "plain").exists():
            shutil.copyfile(onnx_of("translating"), folder / "colorize.onnx")
            shutil.copyfile(onnx_of("enlarging"), folder / "up.onnx")
            shutil.copytree(served, folder, dirs_exist_ok=True)
    return folder


def export(model: Model, path: Path) -> None:
    choose_format("onnx", {}).export(model, path, raw=False, run=None)


@pytest.fixture(scope="module")
def client(served) -> Iterator[TestClient]:
    with TestClient(create_app([served]), base_url=HOME) as made:
        yield made


@pytest.fixture(scope="module")
def client_of_all(served_all) -> Iterator[TestClient]:
    with TestClient(create_app([served_all]), base_url=HOME) as made:
        yield made
