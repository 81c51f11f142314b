"""Models in ONNX files, exported once for all tests, and a client of the application over them."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from filelock import FileLock

pytest.importorskip("fastapi", reason="needs the extra studio")
pytest.importorskip("onnx", reason="needs the extra studio")
from fastapi.testclient import TestClient

from gansmith.exporting.base import choose_format
from gansmith.web.app import create_app
from small_models import CLASSES, make_enlarger, make_model, make_translator

HOME = "http://127.0.0.1:8000"


@pytest.fixture(scope="session")
def served(tmp_path_factory) -> Path:
    """A folder of models: cond.onnx, colorize.onnx, up.onnx, points.onnx and the model folder plain/ with its file."""
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "served-models"
    folder.mkdir(exist_ok=True)
    with FileLock(folder / ".lock"):
        if not (folder / "plain").exists():
            plain = make_model("hidden=[8]")
            models = {
                "cond": make_model("hidden=[8]", "conditional=true", classes=CLASSES),
                "colorize": make_translator(),
                "up": make_enlarger(),
                "plain": plain,
            }
            for name, model in models.items():
                choose_format("onnx", {}).export(model, folder / f"{name}.onnx", raw=False, run=None)
            plain.save(folder / "made")
            (folder / "plain.onnx").rename(folder / "made" / "generator.onnx")
            (folder / "made").rename(folder / "plain")
    return folder


@pytest.fixture(scope="module")
def client(served) -> Iterator[TestClient]:
    with TestClient(create_app([served]), base_url=HOME) as made:
        yield made
