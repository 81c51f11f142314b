"""Compare the variants of a sweep: metrics as means and deviations over seeds."""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from html import escape
from pathlib import Path
from string import ascii_uppercase
from typing import Any

import numpy as np

from gansmith.core.html import table
from gansmith.core.metric_name import column_of
from gansmith.evaluation.downstream.seeds import gain_over
from gansmith.evaluation.health import HEALTHY
from gansmith.evaluation.result import badness, best_end, last_evaluation
from gansmith.parts.metrics.base import Number
from gansmith.runs.folder import RunFolder, is_run
from gansmith.runs.log import Row, add_up, best_snapshot, read_rows
from gansmith.runs.sweep import State, SweepFolder, SweptRun


@dataclass(frozen=True)
class RunOfVariant:
    """What one run of a sweep has reached."""

    folder: str
    seed: int
    state: State
    error: str
    kimg: float
    minutes: float
    verdict: str  # that ended the run, else of its last snapshot; "" without snapshots
    is_ended: bool  # the verdict ended it before its length
    numbers: dict[str, Number]  # fd of its best snapshot, and metrics of its evaluation; none if it failed
    snapshots: list[Row]


@dataclass(frozen=True)
class Variant:
    """One combination of values, with a run for each seed."""

    letter: str
    changes: tuple[str, ...]
    runs: tuple[RunOfVariant, ...]

    def values(self, metric: str) -> dict[int, float]:
        """Return a metric by seed, of the runs that have it."""
        return {run.seed: run.numbers[metric].value for run in self.runs if metric in run.numbers}

    def number(self, metric: str) -> Number | None:
        """Return the mean of a metric and its standard deviation over seeds; None if no run has it."""
        found = list(self.values(metric).values())
        if not found:
            return None
        spread = float(np.std(found, ddof=1)) if len(found) > 1 else None
        return Number(float(np.mean(found)), spread, f"{len(found)} seeds", 0)

    @property
    def verdicts(self) -> str:
        """Return how many runs ended how: "2 healthy, 1 ended by full_collapse"."""
        words = [
            "failed"
            if run.state == "failed"
            else f"ended by {run.verdict}"
            if run.is_ended
            else run.verdict or run.state
            for run in self.runs
        ]
        return ", ".join(f"{words.count(word)} {word}" for word in dict.fromkeys(words))

    @property
    def best(self) -> RunOfVariant | None:
        """Return the run with the lowest badness of the metric that decides; None without one."""
        metric = deciding([self])
        known = [run for run in self.runs if metric in run.numbers]
        return min(known, key=lambda run: badness(metric, run.numbers[metric]), default=None)


@dataclass(frozen=True)
class SweepTable:
    """All variants of a sweep, and which of them are best."""

    variants: tuple[Variant, ...]
    metric: str  # that decides; "" if no run has one
    leaders: tuple[str, ...]  # letters of the best variant, and of those that are not clearly worse
    is_decided: bool  # some variant is clearly worse than the best

    @property
    def ranked(self) -> list[Variant]:
        """Return the variants, the leaders first, then the others from the best mean; last those without one."""

        def place(variant: Variant) -> tuple[float, float]:
            if variant.letter in self.leaders:
                return self.leaders.index(variant.letter), 0.0
            number = variant.number(self.metric)
            return len(self.leaders), math.inf if number is None else badness(self.metric, number)

        return sorted(self.variants, key=place)

    @property
    def metrics(self) -> list[str]:
        """Return the names of all metrics, the deciding one first."""
        names = [name for variant in self.variants for run in variant.runs for name in run.numbers]
        return list(dict.fromkeys([self.metric, *names])) if self.metric else []

    @property
    def sentence(self) -> str:
        """Say which variant is best, and whether that is more than noise."""
        seeds = max((len(variant.values(self.metric)) for variant in self.variants), default=0)
        if not self.metric:
            return "no run has a metric, so nothing can be compared"
        if seeds < 2:
            return f"{self.leaders[0]} has the best {self.metric}, by one seed: differences may be noise"
        where = f"by {self.metric} over {seeds} seeds"
        if not self.is_decided:
            return f"no clear difference {where}; {self.leaders[0]} has the best mean"
        return f"{', '.join(self.leaders)} better {where}"

    @property
    def records(self) -> list[dict[str, Any]]:
        """Return a flat record for each run: ``pandas.DataFrame(table.records)`` is a table of them."""
        rows = []
        for variant in self.variants:
            changes = dict(text.partition("=")[::2] for text in variant.changes)
            for run in variant.runs:
                row = {"variant": variant.letter, **changes, "seed": run.seed, "folder": run.folder, "state": run.state}
                row |= {"kimg": run.kimg, "minutes": run.minutes, "verdict": run.verdict, "ended": run.is_ended}
                rows.append(row | {name: number.value for name, number in run.numbers.items()})
        return rows

    def to_json(self) -> dict[str, Any]:
        """Return the table as JSON values."""
        variants = {}
        for variant in self.variants:
            numbers = {name: variant.number(name) for name in self.metrics}
            variants[variant.letter] = {
                "changes": variant.changes,
                "numbers": {name: [each.value, each.deviation] for name, each in numbers.items() if each is not None},
                "runs": [{key: value for key, value in asdict(run).items() if key not in ("numbers", "snapshots")}
                         | {name: number.value for name, number in run.numbers.items()} for run in variant.runs],
            }  # fmt: skip
        leaders = {"metric": self.metric, "leaders": self.leaders, "decided": self.is_decided}
        return {**leaders, "sentence": self.sentence, "variants": variants}

    def _repr_html_(self) -> str:
        rows = [
            (variant.letter, *map(escape, (" ".join(variant.changes), *number_texts(variant, self.metrics))),
             escape(variant.verdicts)) for variant in self.variants
        ]  # fmt: skip
        return f"<div>{table(('', 'changes', *self.metrics, 'runs'), rows)}<div>{escape(self.sentence)}</div></div>"


def number_texts(variant: Variant, metrics: Sequence[str]) -> list[str]:
    """Return the metrics of a variant as texts: mean ± standard deviation over seeds."""
    numbers = [variant.number(name) for name in metrics]
    return [
        "" if each is None else f"{each.value:.4g}" + ("" if each.deviation is None else f" ± {each.deviation:.2g}")
        for each in numbers
    ]


def compare_variants(sweep: SweepFolder) -> SweepTable:
    """Read the runs of a sweep; return them by variant.

    A variant leads if it has the best mean, or if its differences from the best, seed by seed, have a mean within two
    standard deviations. With fewer than two common seeds that cannot be told. Raises CheckpointError for a log that
    cannot be read.
    """
    record = sweep.record
    variants = tuple(
        Variant(
            _letter(number), changes, tuple(_read(sweep.path, run) for run in record.runs if run.changes == changes)
        )
        for number, changes in enumerate(record.variants())
    )
    metric = deciding(variants)
    ranked = {}
    for variant in variants:
        if (number := variant.number(metric)) is not None:
            ranked[variant.letter] = badness(metric, number)
    if not ranked:
        return SweepTable(variants, "", (), False)
    best = next(variant for variant in variants if variant.letter == min(ranked, key=lambda letter: ranked[letter]))
    behind = [variant for variant in variants if variant.letter in ranked and _is_clearly_worse(variant, best, metric)]
    leaders = [variant.letter for variant in variants if variant.letter in ranked and variant not in behind]
    return SweepTable(variants, metric, tuple(sorted(leaders, key=lambda letter: ranked[letter])), bool(behind))


def deciding(variants: Sequence[Variant]) -> str:
    """Return the metric that decides: fd of evaluations where there are any, else of best snapshots; "" for none."""
    names = dict.fromkeys(name for variant in variants for run in variant.runs for name in run.numbers)
    return column_of(names, "fd") or next((name for name in names if best_end(name)), "")


def _is_clearly_worse(variant: Variant, best: Variant, metric: str) -> bool:
    mine, its = variant.values(metric), best.values(metric)
    seeds = [seed for seed in mine if seed in its]
    if variant is best or len(seeds) < 2:
        return False
    sides = ([badness(metric, Number(values[seed], None, "", 0)) for seed in seeds] for values in (mine, its))
    gain = gain_over(*sides)
    return gain.is_clear and gain.mean > 0


def _read(sweep: Path, swept: SweptRun) -> RunOfVariant:
    path = sweep / swept.folder
    about = (swept.folder, swept.seed, swept.state, swept.error)
    if not is_run(path):
        return RunOfVariant(*about, 0.0, 0.0, "", False, {}, [])
    run = RunFolder(path)
    snapshots = run.read_snapshots()
    rows = [row for row in read_rows(run.log) if "event" not in row]
    seconds = add_up([row for row in read_rows(run.timing) if "wall_sec" in row])
    ended_by = run.record.ended_by
    return RunOfVariant(
        *about,
        kimg=rows[-1]["kimg"] if rows else 0.0,
        minutes=round(seconds[-1] / 60, 2) if seconds else 0.0,
        verdict=ended_by or (snapshots[-1].get("verdict", HEALTHY) if snapshots else ""),
        is_ended=ended_by is not None,
        numbers={} if swept.state == "failed" else _numbers(path, snapshots),
        snapshots=snapshots,
    )


def _numbers(path: Path, snapshots: list[Row]) -> dict[str, Number]:
    """Return the metrics of an evaluation that have a best value, and fd of the best snapshot."""
    evaluation, best = last_evaluation(path), best_snapshot(snapshots)
    out = {} if evaluation is None else {name: each for name, each in evaluation.numbers.items() if best_end(name)}
    if best is not None and (name := column_of(best, "fd")):
        out.setdefault(name, Number(best[name], best.get("deviations", {}).get("fd"), "one set", 0))
    return out


def _letter(number: int) -> str:
    """Return A to Z, then AA, AB, ..."""
    head, last = divmod(number, len(ascii_uppercase))
    return (_letter(head - 1) if head else "") + ascii_uppercase[last]
