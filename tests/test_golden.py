"""Losses and gradient norms of the first 20 iterations of every recipe, tiny, against those kept in tests/golden.

A change that should not move numbers must not move these. One that should is followed by

    GANSMITH_UPDATE_GOLDEN=1 python -m pytest tests/test_golden.py

which writes the files anew; the difference is then part of the commit, and its message says why they moved.
"""

import json
import os
from pathlib import Path

import pytest

from gansmith import api
from gansmith.recipes.load import recipe_names
from small_runs import few_in_the_fast_lane, newest, small, source_for

FOLDER = Path(__file__).parent / "golden"
UPDATE = "GANSMITH_UPDATE_GOLDEN"
STEPS = 20
AVERAGE = "weights_to_average"  # how far the averaged weights are from the others after the last iteration
DIGITS = 6  # kept; processors differ in the last of them
TOLERANCE = 1e-4
# Instance norm of tiny, even maps divides by nearly nothing: a change of weights by 1e-7 moved the losses by 1e-2
# within 20 iterations, so that they differed from process to process. Without it they move by 2e-6.
STEADIER = {"unpaired": ("generator.norm=none",)}
# With seed 0 a number of sngan's is so near the kink of a ReLU that with AVX-512 it falls on the other side.
SEEDS = {"sngan": 1}


def numbers(recipe: str, source: Path, folder: Path, *more: str) -> dict[str, list[float]]:
    """Return losses and gradient norms of every iteration of a recipe at tiny size, on one thread."""
    rhythm = (f"log_rows={STEPS}", "previews=1", "checkpoints=1", "monitor.snapshot_kimg=0", *STEADIER.get(recipe, ()))
    run = api.train(
        source_for(recipe, source), recipe=recipe, overrides=small(recipe, *rhythm, *more), out=folder, steps=STEPS,
        seed=SEEDS.get(recipe, 0), device="cpu", precision="fp32",
    )  # fmt: skip
    rows = run.log
    assert [row["iteration"] for row in rows] == list(range(1, STEPS + 1))
    names = [name for name in rows[-1] if name.startswith(("loss_", "penalty_", "grad_norm_"))]
    out = {name: [row[name] for row in rows if name in row] for name in names}
    tensors = newest(folder).tensors
    raws = {name: tensor for name, tensor in tensors.items() if name.startswith("networks/") and "weight" in name}
    pairs = [(raw, tensors.get(name.replace("networks/", "averages/"), raw)) for name, raw in raws.items()]
    out[AVERAGE] = [sum((raw - average).double().square().sum().item() for raw, average in pairs) ** 0.5]
    return {name: [float(f"{value:.{DIGITS}g}") for value in values] for name, values in out.items()}


def moved(kept: dict[str, list[float]], now: dict[str, list[float]]) -> list[str]:
    """Return in words what is not as it was kept."""
    out = [f"{name}: {'new' if name in now else 'gone'}" for name in sorted(kept.keys() ^ now.keys())]
    for name in sorted(kept.keys() & now.keys()):
        if len(kept[name]) != len(now[name]):
            out.append(f"{name}: {len(kept[name])} -> {len(now[name])} values")
        for iteration, (before, after) in enumerate(zip(kept[name], now[name], strict=False), 1):
            if abs(after - before) > TOLERANCE * abs(before) + 1e-6:
                out.append(f"{name} of iteration {iteration}: {before} -> {after}")
                break
    return out


@pytest.fixture(autouse=True)
def _no_results(monkeypatch):
    monkeypatch.setattr(api, "write_results", lambda *_: None)


@pytest.mark.slow
@pytest.mark.parametrize("name", few_in_the_fast_lane(recipe_names()))
def test_the_numbers_of_a_recipe_are_as_they_were(name, tiny_file, tmp_path):
    now, path = numbers(name, tiny_file, tmp_path / "run"), FOLDER / f"{name}.json"
    if os.environ.get(UPDATE):
        lines = [f'  "{loss}": {json.dumps(values)}' for loss, values in now.items()]
        path.write_text("{\n" + ",\n".join(lines) + "\n}\n")
    how = f"{UPDATE}=1 python -m pytest tests/test_golden.py"
    assert path.is_file(), f"recipe '{name}' has no golden numbers yet; make tests/golden/{name}.json with: {how}"
    found = moved(json.loads(path.read_text()), now)
    assert not found, f"the numbers of recipe '{name}' moved: {'; '.join(found)}\n  if they should, run: {how}"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("mlp-small", "lr=2.1e-4"), ("dcgan", "beta1=0.52"), ("mlp-small", "loss=hinge"), ("dcgan", "latent_dim=5"),
        ("mlp-small", "mirror=true"), ("dcgan", "ema_warmup=0.06"),
    ],
)  # fmt: skip
def test_a_small_change_is_seen(name, change, tiny_file, tmp_path):
    kept = json.loads((FOLDER / f"{name}.json").read_text())
    assert moved(kept, numbers(name, tiny_file, tmp_path / "run", change))


def test_every_file_is_of_a_recipe():
    assert {path.stem for path in FOLDER.iterdir()} == set(recipe_names())


def test_what_is_kept_can_be_wrong():
    kept = {"loss_generator": [0.7, 2.0], "loss_discriminator": [1.4, 1.3]}
    assert moved(kept, kept) == []
    assert moved(kept, {**kept, "loss_generator": [0.7, 2.0001]}) == []
    assert moved(kept, {**kept, "loss_generator": [0.7, 2.001]}) == ["loss_generator of iteration 2: 2.0 -> 2.001"]
    assert moved(kept, {**kept, "loss_generator": [0.7]}) == ["loss_generator: 2 -> 1 values"]
    assert moved(kept, {**kept, "loss_generator": [0.7001, 2.0]}) == ["loss_generator of iteration 1: 0.7 -> 0.7001"]
    assert moved(kept, {**kept, "loss_x": [1.0]}) == ["loss_x: new"]


@pytest.mark.parametrize("name", recipe_names())
def test_kept_losses_move(name):
    kept = json.loads((FOLDER / f"{name}.json").read_text())
    assert kept
    assert len(kept.pop(AVERAGE)) == 1
    for values in kept.values():
        assert len(values) == STEPS
        assert len(set(values)) > STEPS // 2
