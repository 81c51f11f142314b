"""``--compile``: a compiled run has the gradients of an eager one, penalties with their second derivative too."""

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

import gansmith.core.runtime
from gansmith import api
from gansmith.core.runtime import Runtime, require_compiler, start_runtime
from gansmith.data.batches import BatchStream
from gansmith.data.open import open_data
from gansmith.parts.penalties.base import penalties
from gansmith.recipes.load import load_recipe
from gansmith.recipes.recipe import Recipe
from gansmith.runs.folder import RECORD, RunFolder
from gansmith.training.state import RunState
from gansmith.training.step import train_step
from small_runs import (
    PAUSE_AT,
    Listener,
    assert_same_run,
    distinct_recipes,
    domains_from,
    newest,
    small,
    source_for,
    train,
)
from training.test_distributed import CASES, recipe_of

JUMPS = {"unpaired": 1e-4, "super_resolution": 1e-4}  # L1's gradient jumps at 0: rounding takes pixels across
BF16_STEPS = 4 * 2**-8  # of 8 bits; a penalty that is missing changes some gradients wholly


@pytest.fixture(autouse=True)
def _no_results(monkeypatch):
    monkeypatch.setattr(api, "write_results", lambda *_: None)


@pytest.fixture
def graphs(monkeypatch) -> list[Any]:
    """The forward graphs that were compiled, by a backend that needs no C++ compiler and runs them as they are."""
    from torch._dynamo.backends.debugging import aot_eager  # here: it takes seconds, also from those who only collect

    torch.compiler.reset()
    made: list[Any] = []

    def backend(graph: Any, inputs: list[Any]) -> Any:
        made.append(graph)
        return aot_eager(graph, inputs)

    monkeypatch.setattr(gansmith.core.runtime, "COMPILE", {"backend": backend, "dynamic": False})
    return made


def gradients(recipe: Recipe, source: Path | str, runtime: Runtime, iterations: int) -> dict[str, torch.Tensor]:
    """Return the gradients of the last of some iterations."""
    data = open_data(source)
    state = RunState.fresh(recipe, data.spec, 1, runtime)
    stream = BatchStream(data, recipe.batch_size, 5, runtime, mirror=False, domains=len(recipe.method.domains) or 1)
    for _ in range(iterations):
        train_step(state, stream, runtime, state.moment(1.0))
    named = state.method.networks.named_parameters()
    return {name: each.grad for name, each in named if each.grad is not None}


def assert_same_gradients(recipe: Recipe, source: Path | str, runtime: Runtime, iterations: int = 1) -> None:
    expected = gradients(recipe, source, runtime, iterations)
    got = gradients(recipe, source, replace(runtime, compiled=True), iterations)
    assert got.keys() == expected.keys()
    for key, each in expected.items():
        if runtime.precision == "bf16":  # a graph may round elsewhere; where a CPU has no bf16 it does
            assert (got[key] - each).norm() <= BF16_STEPS * each.norm() + 1e-6, key
            continue
        atol = JUMPS.get(recipe.method.kind, 1e-6) * max(1.0, each.abs().max().item())
        torch.testing.assert_close(got[key], each, rtol=1e-4, atol=atol, msg=lambda text, key=key: f"{key}: {text}")
    moving = [key for key, each in expected.items() if each.abs().max() > 1e-5]
    assert len(moving) > len(expected) / 3  # before blocks that begin as identities there is no gradient yet


def with_penalty(kind: str, interval: int) -> Recipe:
    return recipe_of({"penalties": [{"kind": kind, "interval": interval}], "share_fakes": True})


# The penalty is due in the last of three steps (of every kind; with compiled programs in fp32 too, below), in each of
# them, or only before the last; when it is due is not its own affair, so one kind is enough for that.
DUE = [*((kind, 2, 3, "bf16") for kind in penalties.names()), ("r1", 1, 2, "fp32"), ("gradient_penalty", 3, 3, "fp32")]


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "interval", "num_graphs", "precision"), DUE)
def test_gradients_are_those_of_an_eager_run(kind, interval, num_graphs, precision, tiny_file, runtime, graphs):
    assert_same_gradients(with_penalty(kind, interval), tiny_file, replace(runtime, precision=precision), 3)
    assert len(graphs) == num_graphs, "of G, of D where G learns, of D where it learns and no penalty is due"


# Their networks are those of others, and their penalties are compiled above and below; losses and constraints are not.
ELSEWHERE = {"unpaired", "wgan", "wgan-gp", "linear"}


@pytest.mark.slow
@pytest.mark.parametrize("recipe", [name for name in distinct_recipes() if name not in ELSEWHERE])
def test_every_recipe_has_the_gradients_of_an_eager_run(recipe, tiny_file, runtime, graphs):
    chosen = load_recipe(recipe, small(recipe))
    assert_same_gradients(chosen, source_for(recipe, tiny_file), runtime)
    assert graphs


@pytest.mark.slow
@pytest.mark.parametrize("name", ["super_resolution", "spectral_norm", "unpaired", "conditional"])
def test_methods_have_the_gradients_of_an_eager_run(name, tiny_file, runtime, graphs):
    fields = CASES[name]
    assert_same_gradients(recipe_of(fields), domains_from(tiny_file) if name == "unpaired" else tiny_file, runtime)
    assert graphs


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None, reason="no C++ compiler here")
@pytest.mark.parametrize("kind", penalties.names())
def test_gradients_of_compiled_programs_are_those_of_an_eager_run(kind, tiny_file, runtime):
    torch.compiler.reset()
    assert_same_gradients(with_penalty(kind, 2), tiny_file, runtime, 3)


@pytest.mark.slow
def test_a_compiled_run_is_recorded_and_resumed_compiled_to_the_same_bits(tiny_file, tmp_path, graphs):
    events = Listener()
    train(tiny_file, tmp_path / "whole", "mlp-small", compiled=True, on_event=events)
    assert "networks are compiled, so the first steps take longer" in events.said("note")
    run = train(tiny_file, tmp_path / "run", "mlp-small", compiled=True, stop_at=PAUSE_AT)
    assert RunFolder(run.folder).record.numerics.compiled is True
    torch.compiler.reset()
    graphs.clear()
    assert api.resume(run.folder).finished
    assert graphs
    assert_same_run(tmp_path / "whole", run.folder)
    eager = train(tiny_file, tmp_path / "eager", "mlp-small")
    assert newest(eager.folder).tensors.keys() == newest(run.folder).tensors.keys()


@pytest.mark.slow
def test_a_run_from_before_there_was_compiling_goes_on_eagerly(tiny_file, tmp_path, graphs):
    run = train(tiny_file, tmp_path / "run", "mlp-small", stop_at=PAUSE_AT)
    path = run.folder / RECORD
    record = json.loads(path.read_text())
    del record["numerics"]["compiled"]
    path.write_text(json.dumps(record))
    assert api.resume(run.folder).finished
    assert graphs == []


def test_a_missing_compiler_is_an_error(monkeypatch, refused):
    monkeypatch.setenv("CXX", "g+++")
    with refused("machine.compiler_missing"):
        start_runtime("cpu", compiled=True)
    assert not start_runtime("cpu").compiled
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    with refused("machine.triton_missing"):
        require_compiler(torch.device("cuda"))
