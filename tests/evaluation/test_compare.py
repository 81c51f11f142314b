"""Runs side by side: what differs, which is better by more than noise, what is refused, and the page."""

import json
import re
import shutil
from pathlib import Path

import pytest

import gansmith
from gansmith.cli.app import main
from gansmith.cli.text import columns
from gansmith.core.atomic_files import commit_json
from gansmith.evaluation.compare import Comparison, _distances
from gansmith.evaluation.result import FILE, FOLDER, Evaluation, Protocol, badness, best_end, is_more_than_noise
from gansmith.imaging.images import make_grid
from gansmith.parts.metrics.base import Number
from gansmith.reporting.comparison_curves import draw_overlay
from gansmith.runs.folder import RunFolder
from gansmith.runs.log import append_row, read_rows
from small_runs import train

PROTOCOL = Protocol(
    features="own",
    features_sha256="a" * 64,
    resize="8 px",
    num_fake=1000,
    num_sets=4,
    num_real=500,
    reference="tiny:test",
    reference_fingerprint="b" * 64,
    reference_split="all of them",
)


def number(value: float, deviation: float | None) -> Number:
    return Number(value, deviation, "4 independent fake sets", 1000)


def write_evaluation(
    run: Path, protocol: Protocol = PROTOCOL, kimg: float = 0.096, **values: tuple[float, float]
) -> None:
    numbers = {name: number(*pair) for name, pair in values.items()}
    (run / FOLDER).mkdir(exist_ok=True)
    commit_json(run / FOLDER / FILE, Evaluation("m", kimg, protocol, numbers, ("words",), {}, 1.0).to_json())


@pytest.fixture(scope="module")
def runs(tmp_path_factory, session_cache) -> list[Path]:
    """Three runs: one with another rate, one with another seed, on the same images."""
    import os

    import numpy as np

    os.environ["GANSMITH_CACHE"] = str(session_cache)
    root = tmp_path_factory.mktemp("compared")
    source = root / "tiny.npy"
    np.save(source, np.random.default_rng(0).integers(0, 256, (96, 8, 8), np.uint8))
    train(source, root / "a", "mlp-small")
    train(source, root / "b", "mlp-small", "lr=1e-3")
    train(source, root / "c", "mlp-small", seed=4)
    return [root / name for name in "abc"]


@pytest.fixture
def evaluated(runs) -> list[Path]:
    write_evaluation(
        runs[0], fd1k_own=(5.0, 0.2), coverage1k_own=(0.8, 0.01), density1k_own=(0.7, 0.01), swd1k=(9.0, 0.5)
    )
    write_evaluation(
        runs[1], fd1k_own=(4.0, 0.2), coverage1k_own=(0.7, 0.01), density1k_own=(1.1, 0.01), swd1k=(9.5, 0.5)
    )
    write_evaluation(
        runs[2], fd1k_own=(4.3, 0.2), coverage1k_own=(0.79, 0.01), density1k_own=(1.0, 0.01), swd1k=(9.2, 0.5)
    )
    return runs


def row_of(found: Comparison, name: str):
    return next(row for row in found.rows if row.name == name)


def test_the_rule_of_noise():
    # 2 sqrt(0.3^2 + 0.4^2) = 1
    assert not is_more_than_noise(number(5, 0.3), number(6, 0.4))
    assert is_more_than_noise(number(5, 0.3), number(6.001, 0.4))
    assert is_more_than_noise(number(6.001, 0.4), number(5, 0.3))
    assert not is_more_than_noise(number(5, None), number(5, None))


def test_which_end_of_a_number_is_best():
    names = ("fd10k_fashion", "fid10k", "fd2k_own_train", "kid10k_own", "coverage5k_own", "density5k", "nearer120_x")
    assert [best_end(name) for name in names] == ["low", "low", "low", "low", "high", "one", "chance"]
    assert best_end("nonsense10k") == ""
    assert badness("density5k", number(1.4, 0)) == pytest.approx(badness("density5k", number(0.6, 0)))
    assert (
        badness("nearer5k", number(0.2, 0)) == badness("nearer5k", number(0.4, 0)) < badness("nearer5k", number(0.6, 0))
    )
    assert badness("coverage5k", number(0.9, 0)) < badness("coverage5k", number(0.5, 0))


@pytest.mark.slow
def test_better_values_and_differences_within_noise(evaluated):
    found, path = gansmith.compare(evaluated)
    assert path is None
    assert row_of(found, "fd1k_own").leaders == (1, 2)  # 4.0 and 4.3: less than 2 sqrt(2) 0.2
    assert row_of(found, "fd1k_own").is_decided
    assert row_of(found, "coverage1k_own").leaders == (0, 2)
    assert row_of(found, "density1k_own").leaders == (2,)
    assert not row_of(found, "swd1k").is_decided


@pytest.mark.slow
def test_nearer_than_chance_alone_is_worse(evaluated):
    write_evaluation(evaluated[0], nearer1k_own=(0.2, 0.01))
    write_evaluation(evaluated[1], nearer1k_own=(0.4, 0.01))
    assert row_of(gansmith.compare(evaluated[:2])[0], "nearer1k_own").leaders == (0, 1)
    write_evaluation(evaluated[0], nearer1k_own=(0.7, 0.01))
    assert row_of(gansmith.compare(evaluated[:2])[0], "nearer1k_own").leaders == (1,)


@pytest.mark.slow
def test_recipes_and_seeds_that_differ(evaluated):
    found, _ = gansmith.compare(evaluated)
    assert found.recipe == {"optimizers.default.lr": (2e-4, 1e-3, 2e-4), "seed": (3, 3, 4)}
    assert found.notes == ()
    alike, _ = gansmith.compare(evaluated[:2])
    assert "seed" not in alike.recipe


@pytest.mark.slow
def test_differences_of_data_and_length_are_noted(evaluated, tmp_path, tiny_file, prose):
    other = train(tiny_file, tmp_path / "other", "mlp-small", steps=8).folder
    found, _ = gansmith.compare([evaluated[0], other])
    first, second, third = found.notes
    prose("data sets differ", first, hiding=[r"\b[0-9a-f]{8}\b"])
    prose("lengths differ", second)
    prose("not evaluated", third)
    assert found.rows == ()


@pytest.mark.slow
def test_an_evaluation_of_an_earlier_model_is_noted(evaluated, prose):
    write_evaluation(evaluated[0], kimg=0.05, fd1k_own=(5.0, 0.2))
    found, _ = gansmith.compare(evaluated[:2])
    (note,) = found.notes
    prose("evaluated before", note)


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"num_fake": 2000}, "metric.protocols_differ"),
        ({"features_sha256": "c" * 64}, "metric.protocols_differ"),
        ({"reference_split": "holdout share, 0.1 by seed 1"}, "metric.protocols_differ"),
        ({"weights": "raw"}, "metric.protocols_differ"),
        ({"truncation": 0.7}, "metric.protocols_differ"),
    ],
)
def test_protocols_that_differ_are_refused(refused, evaluated, change, code):
    write_evaluation(evaluated[1], PROTOCOL.model_copy(update=change), fd1k_own=(4.0, 0.2))
    with refused(code):
        gansmith.compare(evaluated)


@pytest.mark.slow
def test_runs_that_cannot_be_compared_are_refused(refused, evaluated, tmp_path):
    with refused("metric.number_of_runs"):
        gansmith.compare(evaluated[:1])
    with refused("metric.same_run_twice"):
        gansmith.compare([evaluated[0], evaluated[0]])
    with refused("run.not_a_run"):
        gansmith.compare([evaluated[0], tmp_path])
    with refused("output.unknown_ending"):
        gansmith.compare(evaluated, out=tmp_path / "x.png")


@pytest.mark.slow
def test_the_same_latents_are_shown(evaluated):
    found, _ = gansmith.compare(evaluated)
    assert (found.runs[0].picture == make_grid(gansmith.load(evaluated[0]).sample(36, seed=0).images, 6)).all()


@pytest.mark.slow
def test_time_goes_on_over_the_starts_of_a_run(evaluated):
    rows = gansmith.compare(evaluated)[0].runs[0].rows
    minutes = [row["minutes"] for row in rows]
    assert len(rows) >= 3
    assert minutes == sorted(minutes)
    assert minutes[0] > 0


@pytest.mark.slow
def test_the_page_holds_all_and_loads_nothing(evaluated, tmp_path):
    found, path = gansmith.compare(evaluated, out=tmp_path / "new" / "compare.html")
    text = path.read_text()
    assert text.count("data:image/png;base64,") == 4  # three grids and the curves
    assert not re.findall(r"(?:src|href)=\"(?!data:)", text)
    assert "optimizers.default.lr" in text
    assert "<b>4 ± 0.2</b>" in text
    assert "<td>5 ± 0.2</td>" in text
    assert "B, C better" in text
    assert "<td>noise</td>" in text
    for line in found.runs[0].evaluation.protocol.lines():
        assert line in text


def run_command(monkeypatch, capsys, *words: object) -> str:
    monkeypatch.setattr("sys.argv", ["gansmith", *map(str, words)])
    with pytest.raises(SystemExit) as ended:
        main()
    assert not ended.value.code
    return capsys.readouterr().out


@pytest.mark.slow
def test_the_table_fits_a_terminal(evaluated, monkeypatch, capsys, tmp_path):
    monkeypatch.chdir(evaluated[0].parent)
    out = run_command(monkeypatch, capsys, "compare", "a", "b", "c", "--out", tmp_path / "x.html")
    lines = out.splitlines()
    minutes = max(row["wall_sec"] for row in read_rows(evaluated[0] / "timing.jsonl") if "wall_sec" in row) / 60
    assert lines[0].startswith(f"A  a: mlp-small on tiny, 0.096 kimg, {minutes:.1f} min")
    assert max(len(line) for line in lines[:-1]) <= 80
    assert any(re.match(r"fd1k_own +5\+-0.2 +4\+-0.2 +4.3\+-0.2 +B, C better", line) for line in lines)
    assert columns([["a", "bb"], ["long text", "c"]]) == ["a          bb", "long text  c"]
    assert columns([["a", "abcdefghijk"]], 8) == ["a  abcde..."]


@pytest.mark.slow
def test_json(evaluated, monkeypatch, capsys, tmp_path):
    value = json.loads(run_command(monkeypatch, capsys, "compare", *evaluated, "--json", "--out", tmp_path / "x.html"))
    assert value["numbers"]["density1k_own"] == {
        "best": "one",
        "leaders": ["C"],
        "decided": True,
        "values": {"A": [0.7, 0.01], "B": [1.1, 0.01], "C": [1.0, 0.01]},
    }
    assert value["runs"]["A"]["protocol"]["features"] == "own"
    assert value["page"] == str(tmp_path / "x.html")


@pytest.mark.slow
def test_a_run_without_rows_has_no_curves(evaluated, tmp_path):
    silent = Path(shutil.copytree(evaluated[2], tmp_path / "silent"))
    for run in (silent, Path(shutil.copytree(evaluated[0], tmp_path / "too"))):
        RunFolder(run).log.write_text("")
    _, path = gansmith.compare([silent, tmp_path / "too"], out=tmp_path / "x.html")
    assert path.read_text().count("data:image/png;base64,") == 2
    assert draw_overlay({"A": [], "B": []}) == b""
    row = {"kimg": 1.0, "minutes": 1.0}
    png = draw_overlay({"A": [{**row, "score_real": 0.1}], "B": [{**row, "d_real": 0.2}], "C": []})
    assert png.startswith(b"\x89PNG")


def test_protocols_have_words_for_what_is_unusual():
    changed = replace_protocol(truncation=0.7, features="none", features_sha256="")
    assert changed.lines()[1:] == [
        "samples: 4 sets of 1,000, averaged weights, truncation 0.7",
        "features: none",
    ]


def replace_protocol(**fields) -> Protocol:
    return PROTOCOL.model_copy(update=fields)


def test_snapshots_get_their_minutes_from_the_rows_around_them(tmp_path):
    run = RunFolder.create(tmp_path / "run")
    for iteration, fd in ((10, 9.0), (15, 7.0), (40, 5.0)):
        row = {"iteration": iteration, "kimg": iteration / 100, "fd2k_own_train": fd, "coverage2k_own_train": 0.5}
        append_row(run.snapshots, {**row, "fd_of_one": 20.0})
    assert _distances(run, {10: 1.0, 20: 3.0}) == [
        {"iteration": 10, "kimg": 0.1, "minutes": 1.0, "fd2k_own_train": 9.0},
        {"iteration": 15, "kimg": 0.15, "minutes": 2.0, "fd2k_own_train": 7.0},
        {"iteration": 40, "kimg": 0.4, "minutes": 3.0, "fd2k_own_train": 5.0},
    ]
    assert _distances(run, {}) == []
