"""Runs with snapshots: they change no number, pauses change no snapshot, and actions after mode collapse."""

import json
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest

from gansmith import api
from gansmith.core.errors import GansmithWarning
from gansmith.evaluation.health import HOPELESS, TITLES
from gansmith.inference.load import load_model
from gansmith.runs.checkpoint import MANIFEST
from gansmith.runs.folder import RunFolder
from gansmith.runs.log import best_snapshot, read_rows
from gansmith.runs.record import MonitorRecord
from gansmith.training import supervisor
from gansmith.training.supervisor import MAX_ROLLBACKS
from small_runs import COLLAPSING, MONITORED, Listener, assert_same_run, differing, newest, resume, train

STEPS, EVERY = 60, 10
COLLAPSES = (*MONITORED, "batch_size=16", "hidden=[32]", "lr=3e-3", *COLLAPSING)


@pytest.fixture(autouse=True)
def _no_results(monkeypatch):
    monkeypatch.setattr(api, "write_results", lambda *_: None)


@pytest.fixture(scope="module")
def whole(tiny_file, tmp_path_factory) -> Callable[..., Path]:
    """Return a function that trains a run which goes mad after 30 of 60 iterations, once for the same overrides."""

    @cache
    def run(*more: str) -> Path:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(api, "write_results", lambda *_: None)
            patch.setenv("GANSMITH_CACHE", str(tmp_path_factory.mktemp("cache")))
            out = tmp_path_factory.mktemp("whole") / "run"
            return train(tiny_file, out, "mlp-small", *COLLAPSES, *more, steps=STEPS).folder

    return run


@pytest.fixture(scope="module")
def left_alone(whole) -> Path:
    """A run whose generator goes mad, with nobody to stop it."""
    return whole()


def snapshots_of(folder: Path) -> list[dict]:
    return RunFolder(folder).read_snapshots()


def events_of(folder: Path, name: str) -> list[dict]:
    return [row for row in read_rows(RunFolder(folder).log) if row.get("event") == name]


@pytest.mark.slow
def test_a_run_has_snapshots_and_its_collapse_is_reported(left_alone):
    snapshots = snapshots_of(left_alone)
    assert [row["iteration"] for row in snapshots] == list(range(EVERY, STEPS + 1, EVERY))
    columns = {"fd100_untrained_train", "coverage100_untrained_train", "diversity100_untrained_train"}
    assert columns | {"copies100_untrained_train", "missing100_untrained_train"} <= snapshots[0].keys()
    names = list(snapshots[0]["modes"])
    assert all("(mostly " in name for name in names)
    assert sum(fake for _, fake in snapshots[0]["modes"].values()) == pytest.approx(1, abs=1e-3)
    assert snapshots[-1]["verdict"] in HOPELESS
    (*_, health) = events_of(left_alone, "health")
    assert health["began_kimg"] <= health["kimg"]
    assert "; try: " in health["message"]
    record = RunFolder(left_alone).record.monitor
    protocol = record.protocol
    assert (record.every, protocol.features, protocol.num_fake, protocol.num_real) == (
        EVERY,
        "untrained",
        100,
        96,
    )
    timing = [row for row in read_rows(RunFolder(left_alone).timing) if "snapshot_sec" in row]
    assert [row["iteration"] for row in timing] == [row["iteration"] for row in snapshots]
    assert all(row["snapshot_sec"] > 0 for row in timing)


@pytest.mark.slow
def test_snapshots_change_no_number(left_alone, tiny_file, tmp_path):
    blind = train(tiny_file, tmp_path / "run", "mlp-small", *COLLAPSES, "monitor.snapshot_kimg=0", steps=STEPS)
    assert snapshots_of(blind.folder) == []
    assert differing(newest(left_alone).tensors, newest(blind.folder).tensors) == []
    kept = [row for row in read_rows(RunFolder(left_alone).log) if row.get("event") != "health"]
    assert kept == read_rows(RunFolder(blind.folder).log)


@pytest.mark.slow
def test_the_best_checkpoint_is_kept_and_is_the_model(left_alone, refused, prose):
    best = best_snapshot(snapshots_of(left_alone))
    assert best["iteration"] < STEPS
    assert load_model(left_alone, "cpu").record.kimg == pytest.approx(best["kimg"])
    assert load_model(left_alone / "checkpoints", "cpu").record.kimg == pytest.approx(newest(left_alone).values["kimg"])
    place = left_alone / "checkpoints" / f"{best['iteration']:09d}"
    assert load_model(place, "cpu").record.kimg == pytest.approx(best["kimg"])
    with refused("model.not_found"):
        load_model(left_alone / "checkpoints" / "000000001", "cpu")
    manifest = (place / MANIFEST).read_bytes()
    (place / MANIFEST).write_bytes(b"{")  # a damaged checkpoint is skipped
    try:
        with pytest.warns(GansmithWarning) as caught:
            model = load_model(left_alone, "cpu")
        prose("warning", str(caught[0].message))
        assert model.record.kimg == pytest.approx(newest(left_alone).values["kimg"])
    finally:
        (place / MANIFEST).write_bytes(manifest)


@pytest.mark.slow
@pytest.mark.parametrize("how", ["monitor.patience=2", "monitor.on_collapse=stop"])
def test_a_collapsing_run_is_ended_and_the_best_is_the_model(how, left_alone, tiny_file, tmp_path):
    events = Listener()
    words = (*COLLAPSES, how)
    run = train(tiny_file, tmp_path / "run", "mlp-small", *words, steps=STEPS, on_event=events)
    assert run.finished
    at = newest(run.folder).values["iteration"]
    assert EVERY < at < STEPS
    snapshots = snapshots_of(run.folder)
    assert snapshots == snapshots_of(left_alone)[: len(snapshots)]
    best = best_snapshot(snapshots)
    assert best["iteration"] < at
    assert load_model(run.folder, "cpu").record.kimg == pytest.approx(best["kimg"])
    (ended,) = events_of(run.folder, "ended")
    assert ended["iteration"] == at
    assert "that checkpoint is the model" in ended["message"]
    assert ended["message"] in events.said("warning")
    assert RunFolder(run.folder).record.length.iterations == at
    assert run.ended_by == (snapshots[-1]["verdict"] if snapshots[-1]["verdict"] in HOPELESS else None)
    assert run.ended_by or how == "monitor.patience=2"
    log = RunFolder(run.folder).log.read_bytes()
    assert api.resume(run.folder).finished
    assert RunFolder(run.folder).log.read_bytes() == log


@pytest.mark.slow
def test_a_run_that_gets_better_is_not_ended(tiny_file, tmp_path):
    run = train(tiny_file, tmp_path / "run", "mlp-small", *MONITORED, "lr=1e-4", "monitor.patience=2", steps=STEPS)
    assert newest(run.folder).values["iteration"] == STEPS
    assert events_of(run.folder, "ended") == []


@pytest.mark.slow
def test_rollback_goes_to_the_best_checkpoint_with_half_the_rates_three_times_at_most(tiny_file, tmp_path):
    folder = tmp_path / "run"
    words = (*COLLAPSES, "monitor.on_collapse=rollback")
    run = train(tiny_file, folder, "mlp-small", *words, steps=STEPS)
    assert run.finished
    back = events_of(folder, "rollback")
    assert 1 <= len(back) <= MAX_ROLLBACKS
    values = newest(folder).values
    assert (values["salt"], values["halvings"]) == (len(back), len(back))
    for number, row in enumerate(back, 1):
        assert row["message"].endswith(f"learning rates times {0.5**number:g} (rollback {number} of {MAX_ROLLBACKS})")
        assert "full mode collapse since" in row["message"] or "diverged since" in row["message"]
        assert "was best at" in row["message"]
    assert [row["iteration"] for row in snapshots_of(folder)] == list(range(EVERY, STEPS + 1, EVERY))


@pytest.mark.slow
def test_there_is_an_end_to_rollbacks(tiny_file, tmp_path, monkeypatch):
    monkeypatch.setattr(supervisor, "MAX_ROLLBACKS", 1)
    words = (*COLLAPSES, "monitor.on_collapse=rollback")
    one = train(tiny_file, tmp_path / "one", "mlp-small", *words, steps=STEPS)
    assert len(events_of(one.folder, "rollback")) == 1
    assert snapshots_of(one.folder)[-1]["verdict"] in HOPELESS
    assert newest(one.folder).values["iteration"] == STEPS


def test_steps_use_the_halved_learning_rates(tiny_data, runtime):
    from gansmith.core.schedules import Moment
    from gansmith.recipes.load import load_recipe
    from gansmith.training.state import RunState
    from small_runs import small

    ramp = "optimizers.generator={kind: adam, lr: {start: 4.0e-3, end: 2.0e-3}}"
    state = RunState.fresh(load_recipe("mlp-small", (*small("mlp-small"), ramp)), tiny_data.spec, 0, runtime)
    half_way = Moment(0, 0.0, 0.5)
    rates = [state.optimizer_for(name).settings_at(half_way)["lr"] for name in ("generator", "discriminator")]
    state.halvings = 2
    slowed = [state.optimizer_for(name).settings_at(half_way)["lr"] for name in ("generator", "discriminator")]
    assert rates == pytest.approx([3e-3, 2e-4])
    assert slowed == pytest.approx([rate / 4 for rate in rates])


@pytest.mark.slow
@pytest.mark.parametrize("stop_at", [EVERY, 37, 55])
@pytest.mark.parametrize("more", [(), ("monitor.on_collapse=rollback",), ("monitor.patience=2",)], ids=" ".join)
def test_a_pause_changes_no_snapshot_and_nothing_that_follows(more, stop_at, whole, tiny_file, tmp_path, monkeypatch):
    undisturbed = whole(*more)
    run = train(tiny_file, tmp_path / "run", "mlp-small", *COLLAPSES, *more, steps=STEPS, stop_at=stop_at)
    if not run.finished:
        monkeypatch.setattr(supervisor, "choose_interval", lambda *_: pytest.fail("decided a second time"))
        assert resume(run.folder).finished
    assert_same_run(undisturbed, run.folder)


@pytest.mark.slow
def test_a_kill_in_a_rollback_changes_nothing(whole, tiny_file, tmp_path, monkeypatch):
    """Every step of a rollback may be the last one: the files that are left lead to the same end."""
    from gansmith.training import trainer as training

    words = (*COLLAPSES, "monitor.on_collapse=rollback")
    undisturbed = whole("monitor.on_collapse=rollback")
    places = [(training, "prune_checkpoints"), (RunFolder, "truncate"), (RunFolder, "drop_samples_after"),
              (training.Trainer, "_save")]  # fmt: skip
    for number, (owner, name) in enumerate(places):
        folder, original, armed = tmp_path / str(number), getattr(owner, name), [False]

        def killed(*arguments, original=original, armed=armed, **words):
            if armed[0]:
                raise KeyboardInterrupt
            return original(*arguments, **words)

        go_back = training.Trainer._roll_back_to_best

        def begun(self, ruling, armed=armed, go_back=go_back):
            armed[0] = True
            go_back(self, ruling)

        with monkeypatch.context() as patch:
            patch.setattr(owner, name, killed)
            patch.setattr(training.Trainer, "_roll_back_to_best", begun)
            with pytest.raises(KeyboardInterrupt):
                train(tiny_file, folder, "mlp-small", *words, steps=STEPS)
        assert resume(folder).finished
        assert_same_run(undisturbed, folder)


@pytest.mark.slow
def test_patience_in_a_run_without_snapshots_warns(tiny_file, tmp_path, prose):
    events = Listener()
    run = train(tiny_file, tmp_path / "run", "mlp-small", "monitor.patience=2", on_event=events)
    assert RunFolder(run.folder).record.monitor == MonitorRecord(every=0)
    assert snapshots_of(run.folder) == []
    (said,) = events.said("warning")
    prose("training.no_snapshots", said)
    quiet = Listener()
    train(tiny_file, tmp_path / "quiet", "mlp-small", on_event=quiet)
    assert quiet.said("warning") == []


@pytest.mark.slow
def test_events_of_snapshots_reach_front_ends(tiny_file, tmp_path):
    events = Listener()
    train(tiny_file, tmp_path / "run", "mlp-small", *COLLAPSES, steps=STEPS, on_event=events)
    snapshots = [event for event in events.events if event.kind == "snapshot"]
    assert len(snapshots) == STEPS // EVERY
    assert {"kimg", "img_per_sec", "eta_sec", "fd100_untrained_train"} <= snapshots[0].values.keys()
    health = [event for event in events.events if event.kind == "health"]
    assert [event.values for event in health] == events_of(tmp_path / "run", "health")
    assert all(event.values["message"] == event.message for event in health)
    assert {event.values["verdict"] for event in health} <= TITLES.keys()
    assert json.dumps([event.values for event in health])
