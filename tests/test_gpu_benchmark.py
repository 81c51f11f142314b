"""benchmarks/gpu.py: its whole path on the CPU, with tiny networks."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from gansmith.parts.losses.base import losses
from gansmith.parts.penalties.base import penalties

pytestmark = pytest.mark.slow

SCRIPT = Path(__file__).parents[1] / "benchmarks" / "gpu.py"


def run(out: Path, faces: Path, cache: Path) -> list[str]:
    """Run the benchmark, and return its lines."""
    command = [sys.executable, SCRIPT, "--tiny", "--device", "cpu", "--out", out, "--faces", faces]
    env = {**os.environ, "OMP_NUM_THREADS": "1", "GANSMITH_CACHE": str(cache)}
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return done.stdout.splitlines()


def test_the_gpu_benchmark_runs_on_the_cpu_and_goes_on_where_it_was(tiny_file, tmp_path, session_cache):
    lines = run(tmp_path, tiny_file, session_cache)
    assert lines[0].startswith("cpu; skipped: speed, compiled (no GPU)")
    rows = json.loads((tmp_path / "gpu.json").read_text())["rows"]
    assert [key for key, row in rows.items() if "error" in row] == []
    families = [key.split("/")[0] for key in rows]
    assert list(dict.fromkeys(families)) == ["card", "gradients", "speed", "resume", "r3gan", "processes"]
    assert {f"gradients/loss {name}" for name in losses.names()} <= rows.keys()
    assert {f"gradients/penalty {name}" for name in penalties.names()} <= rows.keys()
    assert families.count("speed") == 2 * 9
    assert rows["resume/deterministic algorithms"]["differ"] == 0
    assert rows["processes/2 on one device"]["largest_difference_of_weights"] < 1e-5
    assert all((tmp_path / f"{name}.png").exists() for name in ("fashion", "faces"))
    del rows["gradients/loss hinge"]
    rows["card/bf16"] = {"error": "a crash"}
    (tmp_path / "gpu.json").write_text(json.dumps({"rows": rows}))
    again = run(tmp_path, tiny_file, session_cache)
    assert [line.split(": ")[0] for line in again[1:3]] == ["card/bf16", "gradients/loss hinge"]
    assert again[3].startswith("images a second")
