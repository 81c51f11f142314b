"""A round of benchmarks/mixed_use.py: a run is trained, killed, resumed, used in every way, and cleaned away."""

import runpy
import sys
import tempfile

import pytest

pytestmark = [pytest.mark.slow, pytest.mark.skipif(sys.platform != "linux", reason="looks at /proc")]


@pytest.mark.filterwarnings("ignore::gansmith.core.errors.GansmithWarning")
def test_a_round_leaves_nothing_behind_and_loses_nothing(tmp_path, monkeypatch):
    for name in ("GANSMITH_CACHE", "TMPDIR"):
        monkeypatch.setenv(name, str(tmp_path))  # the home sets its own
    monkeypatch.setattr(tempfile, "tempdir", None)
    used = runpy.run_path("benchmarks/mixed_use.py")
    used["Home"].round.__globals__["RECIPES"] = ("mlp-small",)
    home = used["Home"](tmp_path, 0)
    home.round(0)
    assert home.faults == []
    assert {"train", "verify", "repair", "sample", "evaluate", "diagnose", "data"} <= {*home.counts}
