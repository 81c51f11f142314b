"""The fixtures of all tests."""

import os
import signal
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path
from unittest import mock

import pytest
import torch

from forked import Forked
from gansmith import api, plugins
from gansmith.cli.app import main
from gansmith.core.runtime import Runtime
from gansmith.data.base import ImageData
from gansmith.data.open import open_data
from gansmith.exporting.base import choose_format
from gansmith.imaging.images import quiet_readers
from gansmith.inference.model import Model
from killed_worker import write_tiny
from small_images import write_photos
from small_models import CLASSES, made_once, make_enlarger, make_model, make_translator
from small_runs import quick_curves, quick_film, train, with_results


@pytest.fixture(scope="session", autouse=True)
def _one_thread():
    """Compute on one thread, here and in processes that tests start: more of them would wait for each other."""
    torch.set_num_threads(1)
    os.environ.setdefault("OMP_NUM_THREADS", "1")


@pytest.fixture(scope="session", autouse=True)
def _no_wait_for_disks():
    """Flush nothing: what was written outlives a kill, and only a power cut would take it. New processes do flush."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", os.fstat)  # which refuses what is no file, as well
        yield


@pytest.fixture(scope="session", autouse=True)
def _ctrl_c():
    """Hear SIGINT even where tests run in the background of a shell, which ignores it for its jobs."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session", autouse=True)
def _quick_results():
    """Leave the real film and the real curves to the tests that ask for ``real_results``."""
    with with_results(quick_film, quick_curves):
        yield


@pytest.fixture
def real_results():
    with with_results():
        yield


@pytest.fixture(scope="session")
def session_cache(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(autouse=True)
def _own_cache(monkeypatch, session_cache):
    """Keep the user's cache, and the user's data sets, out of every test."""
    monkeypatch.setenv("GANSMITH_CACHE", str(session_cache))
    monkeypatch.setenv("GANSMITH_DATA", str(session_cache / "no-data"))


@pytest.fixture(autouse=True)
def _own_random_numbers():
    """Give each test the same random numbers, whatever ran before it."""
    torch.default_generator.manual_seed(0)  # torch.manual_seed takes 3 ms, for devices that are not there


@pytest.fixture(autouse=True)
def _own_plugins():
    """Remove the parts that a test's plugins have registered, so that no other test finds or lists them."""
    registries = [each for each in vars(plugins).values() if isinstance(each, plugins.Registry)]
    before = [{name: each.get(name) for name in each.names()} for each in registries]  # names() finds the built-in ones
    modules = set(sys.modules)
    yield
    for each, parts in zip(registries, before, strict=True):
        each._parts = parts
    for name in set(sys.modules) - modules:
        if name.startswith("gansmith_plugin_"):
            del sys.modules[name]


@pytest.fixture
def restored_readers():
    """Undo what a stream of images silences for good in Pillow and other readers."""
    with quiet_readers():
        yield


@pytest.fixture
def cache_folder(tmp_path, monkeypatch) -> Path:
    """A cache of this test alone."""
    monkeypatch.setenv("GANSMITH_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def photos(tmp_path) -> Path:
    """A folder of the photos of ``small_images``."""
    return write_photos(tmp_path / "photos")


@pytest.fixture(scope="session")
def tiny_file(tmp_path_factory) -> Path:
    """96 gray images of 8 x 8 in 3 classes, each class with a brightness of its own."""
    return write_tiny(tmp_path_factory.mktemp("data") / "tiny.npz")


@pytest.fixture
def tiny_data(tiny_file) -> ImageData:
    return open_data(tiny_file)


@pytest.fixture(scope="session")
def mlp_run(tiny_file, session_cache, tmp_path_factory) -> Callable[..., Path]:
    """Return a function that trains mlp-small once, whole or up to an iteration, without results; tests change copies.

    The whole run is that of ``train(tiny_file, out, "mlp-small")``.
    """

    @cache
    def run(stop_at: int | None = None) -> Path:
        place = tmp_path_factory.mktemp("mlp") / "run"
        with mock.patch.dict(os.environ, GANSMITH_CACHE=str(session_cache)), mock.patch.object(api, "write_results"):
            return train(tiny_file, place, "mlp-small", stop_at=stop_at).folder

    return run


@pytest.fixture
def runtime() -> Runtime:
    return Runtime(torch.device("cpu"))


@pytest.fixture(scope="session")
def model() -> Model:
    """A model of random weights; tests look at it and never change it."""
    return make_model("hidden=[8]")


@pytest.fixture(scope="session")
def convolutional() -> Model:
    return make_model("base_channels=4", recipe="dcgan")


@pytest.fixture(scope="session")
def conditional() -> Model:
    return make_conditional()


def make_conditional() -> Model:
    return make_model("hidden=[8]", "conditional=true", classes=CLASSES)


@pytest.fixture(scope="session")
def onnx_of(tmp_path_factory) -> Callable[[str], Path]:
    """Return the ONNX file of a model, exported once for all tests, which only read it."""
    models = {"drawing": make_conditional, "translating": make_translator, "enlarging": make_enlarger}

    def find(name: str) -> Path:
        with made_once(tmp_path_factory, f"{name}-onnx") as folder:
            if not (file := folder / "generator.onnx").exists():
                choose_format("onnx", {}).export(models[name](), file, raw=False, run=None)
        return file

    return find


@pytest.fixture
def fork(tmp_path, monkeypatch) -> Callable[..., Forked]:
    """Return a function that runs a command line in a fork, with more variables of the environment."""
    monkeypatch.setenv("OMP_NUM_THREADS", "1")

    def forked(*words: object, **environment: str) -> Forked:
        return Forked(words, tmp_path / "stderr.txt", environment)

    return forked


@pytest.fixture
def shell(monkeypatch, capfd, tmp_path):
    """Run a command line in an empty folder; return exit code, stdout and stderr."""
    monkeypatch.chdir(tmp_path)

    def run(*words) -> tuple[int, str, str]:
        monkeypatch.setattr("sys.argv", ["gansmith", *map(str, words)])
        capfd.readouterr()
        with pytest.raises(SystemExit) as ended:
            main()
        out, err = capfd.readouterr()
        return int(ended.value.code or 0), out, err

    return run
