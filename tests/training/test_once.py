"""A command finds its data once, opens them once, and builds networks no more often than it has to."""

import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from gansmith import api
from gansmith.cli.app import app
from gansmith.data import find
from gansmith.data import open as opening
from gansmith.data.sources.domains import Domains
from gansmith.training import prepare
from gansmith.training.state import RunState
from small_runs import domains_from, small

pytestmark = pytest.mark.slow

COMPACT = ("base_channels=4", "latent_dim=4", "batch_size=8", "fixed_images=4")
MLP = ("--recipe", "mlp-small", *small("mlp-small"))


@pytest.fixture
def calls(monkeypatch) -> Counter[str]:
    """Count the sources that are looked up, the data sets that are opened, and the networks that get weights."""
    counted: Counter[str] = Counter()

    def count(name: str, function, counts=lambda *_: True):
        def counting(*given, **more):
            counted[name] += counts(*given)
            return function(*given, **more)

        for module in [each for key, each in sys.modules.items() if key.startswith("gansmith")]:
            for attribute in [key for key, value in vars(module).items() if value is function]:
                monkeypatch.setattr(module, attribute, counting)

    count("resolve", find.find_source, lambda source, *_: isinstance(source, str | Path | Domains))
    count("open", opening.open_data)
    fresh = RunState.fresh.__func__

    def building(cls, *given):
        counted["build"] += 1
        return fresh(cls, *given)

    monkeypatch.setattr(RunState, "fresh", classmethod(building))
    monkeypatch.setattr(prepare, "STEADY_SEC", 0.01)
    monkeypatch.setattr(api, "write_results", lambda *_: None)
    return counted


@pytest.fixture
def photos(tmp_path) -> str:
    pixels = np.random.default_rng(0).integers(0, 256, (100, 8, 8, 3), np.uint8)
    np.savez(tmp_path / "photos.npz", images=pixels)
    return str(tmp_path / "photos.npz")


SLOW = pytest.mark.slow


@pytest.mark.parametrize(("words", "builds"), [
    pytest.param(("train", *MLP, "--steps", "2"), 1, id="train"),
    pytest.param(("train", *MLP, "--minutes", "0.001"), 2, id="train --minutes", marks=SLOW),
    pytest.param(("train", *MLP, "--steps", "2", "--dry-run"), 1, id="train --dry-run"),
    pytest.param(("train", *COMPACT, "--steps", "2"), 2, id="auto"),
    pytest.param(("train", *COMPACT, "--steps", "2", "--dry-run"), 1, id="auto --dry-run", marks=SLOW),
    pytest.param(("plan", *COMPACT, "--kimg", "0.1"), 1, id="plan"),
    pytest.param(("train", *COMPACT, "--minutes", "0.001"), 2, id="auto --minutes"),
    pytest.param(("train", *COMPACT, "--minutes", "0.001", "--dry-run"), 1, id="auto --minutes --dry-run", marks=SLOW),
    pytest.param(("plan", *COMPACT, "--minutes", "0.001"), 1, id="plan --minutes", marks=SLOW),
])  # fmt: skip
def test_each_step_before_a_run_is_taken_once(calls, photos, tmp_path, monkeypatch, words, builds):
    monkeypatch.chdir(tmp_path)
    app([words[0], photos, *words[1:], "--device", "cpu"], standalone_mode=False)
    assert calls == {"resolve": 1, "open": 1, "build": builds}


def test_two_domains_are_found_once_each(calls, tiny_file, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    both = domains_from(tiny_file)
    words = ["--from", both.first, "--to", both.second, *small("unpaired")]
    app(["train", *words, "--steps", "1", "--device", "cpu"], standalone_mode=False)
    assert calls == {"resolve": 3, "open": 1, "build": 1}  # the pair, and each of its data sets


def test_a_resumed_run_finds_and_opens_its_data_once(calls, photos, tmp_path):
    keywords = {"recipe": "mlp-small", "overrides": small("mlp-small"), "out": tmp_path / "run", "device": "cpu"}
    run = api.train(photos, steps=2, **keywords)
    calls.clear()
    api.resume(run.folder, kimg=0.1)
    assert calls == {"resolve": 1, "open": 1, "build": 1}
