"""Runs with forward passes in bf16, at tiny size on the CPU."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from gansmith import api
from gansmith.core.runtime import Runtime, pick_precision
from gansmith.data.base import DataSpec
from gansmith.imaging.values import PixelValues
from gansmith.parts.penalties.base import penalties
from gansmith.runs.folder import RunFolder
from gansmith.training.prepare import precise_enough
from small_runs import PAUSE_AT, Listener, assert_same_run, newest, train
from training.test_compile import gradients, with_penalty

BF16 = {"precision": "bf16"}
CASES = {"mlp-small": (), "dcgan": ("discriminator.norm=none", "penalties=[{kind: r1, interval: 2}]")}
SLOW = "this CPU has no bf16 instructions: training is many times slower than with --precision fp32"


@pytest.fixture(autouse=True)
def _no_results(monkeypatch):
    monkeypatch.setattr(api, "write_results", lambda *_: None)


def losses(folder: Path) -> torch.Tensor:
    rows = api.Run(folder, True).log
    return torch.tensor([[value for name, value in row.items() if name.startswith("loss_")] for row in rows])


@pytest.mark.slow
@pytest.mark.parametrize("recipe", CASES)
def test_bf16_trains_as_fp32_does_but_for_rounding_and_resumes_to_the_same_bits(recipe, tiny_file, tmp_path):
    words = (*CASES[recipe], "log_rows=12")
    train(tiny_file, tmp_path / "fp32", recipe, *words)
    train(tiny_file, tmp_path / "whole", recipe, *words, **BF16)
    run = train(tiny_file, tmp_path / "run", recipe, *words, **BF16, stop_at=PAUSE_AT)
    assert RunFolder(run.folder).record.numerics.precision == "bf16"
    assert api.resume(run.folder).finished
    assert_same_run(tmp_path / "whole", run.folder)
    assert {each.dtype for each in newest(run.folder).tensors.values() if each.is_floating_point()} == {torch.float32}
    exact, rounded = losses(tmp_path / "fp32"), losses(run.folder)
    assert not torch.equal(exact, rounded)
    torch.testing.assert_close(rounded, exact, rtol=2**-8, atol=0)


@pytest.mark.slow
@pytest.mark.parametrize("kind", penalties.names())
def test_every_penalty_trains_in_bf16(kind, tiny_file, tmp_path):
    words = ("discriminator.norm=none", f"penalties=[{{kind: {kind}}}]")
    run = train(tiny_file, tmp_path / "run", "dcgan", *words, **BF16)
    assert all(row[f"penalty_{kind}"] is not None for row in run.log)


@pytest.mark.parametrize("interval", [1, 3])
@pytest.mark.parametrize("kind", penalties.names())
def test_gradients_with_a_penalty_are_those_of_fp32_within_rounding(kind, interval, tiny_file, runtime):
    def of_discriminator(precision: str) -> torch.Tensor:
        found = gradients(with_penalty(kind, interval), tiny_file, replace(runtime, precision=precision), 1)
        return torch.cat([each.flatten() for name, each in found.items() if name.startswith("discriminator")])

    exact, rounded = of_discriminator("fp32"), of_discriminator("bf16")
    assert not torch.equal(exact, rounded)
    # 8 bits, and rounding takes units across 0, where LeakyReLU has another slope
    assert (rounded - exact).norm() / exact.norm() < 0.06


@pytest.mark.parametrize(("device", "precision", "has", "slow"), [
    ("cpu", "bf16", {}, True), ("cpu", "bf16", {"avx512_bf16": False, "amx_bf16": False}, True),
    ("cpu", "bf16", {"avx512_bf16": True}, False), ("cpu", "bf16", {"amx_bf16": True}, False),
    ("cpu", "fp32", {}, False), ("cuda", "bf16", {}, False),
])  # fmt: skip
def test_where_bf16_is_slow(device, precision, has, slow, monkeypatch):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: has, raising=False)
    assert Runtime(torch.device(device), precision=precision).is_slowed_by_precision == slow


@pytest.mark.parametrize(("device", "has", "picked"), [
    ("cpu", {}, "fp32"), ("cpu", {"avx512_bf16": True}, "bf16"), ("cuda", {}, "bf16"), ("mps", {}, "fp32"),
    ("cuda", None, "fp32"),
])  # fmt: skip
def test_auto_is_bf16_where_the_device_has_it(device, has, picked, monkeypatch):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: has, raising=False)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: has is not None)
    assert pick_precision("auto", torch.device(device)) == picked
    assert pick_precision("fp32", torch.device(device)) == "fp32"


@pytest.mark.slow
def test_a_run_takes_what_auto_means(tiny_file, tmp_path, monkeypatch):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"amx_bf16": True}, raising=False)
    events = Listener()
    run = train(tiny_file, tmp_path / "run", "mlp-small", steps=1, on_event=events, precision="auto")
    assert RunFolder(run.folder).record.numerics.precision == "bf16"
    assert "forward passes run in bf16, which this device supports" in events.said("note")


@pytest.mark.slow
@pytest.mark.parametrize("slow", [True, False])
def test_a_run_that_is_slow_with_bf16_says_so(slow, tiny_file, tmp_path, monkeypatch):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"amx_bf16": not slow}, raising=False)
    events = Listener()
    train(tiny_file, tmp_path / "run", "mlp-small", steps=1, on_event=events, **BF16)
    assert events.said("warning") == ([SLOW] if slow else [])


@pytest.mark.parametrize(("depth", "asked", "expected"), [
    ("float", "auto", "fp32"), ("16", "auto", "fp32"), ("8", "auto", "bf16"), ("16", "bf16", "bf16"),
])  # fmt: skip
def test_images_of_more_than_8_bits_train_in_fp32_unless_asked(depth, asked, expected):
    spec = DataSpec("toy", 8, 8, 1, 4, (), "", values=PixelValues(depth, (0.0,), (1.0,), "float32"))
    runtime = Runtime(torch.device("cpu"), precision="bf16")
    assert precise_enough(runtime, asked, spec).precision == expected
    assert precise_enough(runtime, "auto", replace(spec, values=None)).precision == "bf16"
