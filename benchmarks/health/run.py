"""Test the verdicts: run cases that fail on purpose, and healthy ones, and compare."""

# Run:   python benchmarks/health/run.py --data-root DIR [--only TEXT ...] [--minutes 5] [--jobs 1]
# Table: python benchmarks/health/run.py --table
# cases.yaml has the cases and the verdicts that are right for each. A case is a run of `gansmith train` on one core,
# whose last checkpoint is then evaluated on the test split of Fashion-MNIST (fd10k and coverage, 4 sets of samples).
# RESULTS/CASE.json holds its rows and snapshots. A case with such a file is not run again; one that was stopped is
# resumed. Verdicts are computed from those files each time, so a threshold may change without a new run.
# A failure is confirmed if fd10k or coverage is worse than its healthy twin's (same recipe and seed) by more than twice
# the deviation of the difference. The table counts with two deviations: of the evaluation alone (other samples), and of
# evaluation and training (healthy runs of the recipe with other seeds). By the first, healthy runs would be failures of
# one another; the last lines of the table count how often. Delay: the first snapshot with an accepted verdict.

import argparse
import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from statistics import median, stdev
from typing import Any

import numpy as np
import yaml

from gansmith.evaluation.health import HEALTHY, diagnose
from gansmith.runs.log import measure, read_rows

HERE = Path(__file__).parent
TRAINING, TEST = "fashion-mnist", "fashion-mnist:test"
HEAD = (
    "| case | expected | last verdict | right | worse than its twin in | delay, kimg | fd10k | coverage | snapshots |"
)
CAPTION = (
    "Verdict of each run against the expected ones, and its last checkpoint against that of its healthy twin; "
    "Fashion-MNIST, one core a run"
)
KEPT = ("iteration", "kimg", "epoch", "accuracy_real", "accuracy_fake", "update_generator", "update_discriminator")


@dataclass(frozen=True)
class Case:
    """One run and its accepted verdicts, the best first."""

    name: str
    recipe: str
    seed: int
    expect: tuple[str, ...]
    overrides: tuple[str, ...]
    is_chosen_on: bool
    twin: str = ""
    images: int | None = None
    without_class: str = ""

    @property
    def key(self) -> str:
        return f"{self.recipe}-{self.name}-{self.seed}"


def read_cases(path: Path) -> list[Case]:
    """Return the cases of a file; healthy ones come first, since failures are compared with them."""
    told = yaml.safe_load(path.read_text())
    chosen, out = told["choose"], []
    for kind in ("healthy", "failures"):
        for each in told[kind]:
            for seed in each["seeds"]:
                recipe = each["recipe"]
                out.append(Case(
                    each["name"], recipe, seed, tuple(each.get("expect", [HEALTHY])),
                    (*told["recipes"][recipe], *each.get("overrides", [])),
                    recipe in chosen["recipes"] and seed in chosen["seeds"],
                    f"{recipe}-{each['twin']}-{seed}" if "twin" in each else "",
                    each.get("images"), each.get("without_class", ""),
                ))  # fmt: skip
    return out


def source_of(case: Case, folder: Path, root: Path | None) -> str:
    """Return the training images of a case: the data set, or a file with a part of it, made once."""
    if case.images is None and not case.without_class:
        return TRAINING
    path = folder / "data" / f"{case.without_class or case.images}-{0 if case.without_class else case.seed}.npz"
    if not path.is_file():
        from gansmith.data.open import open_data

        data = open_data(TRAINING, root=root)
        assert data.labels is not None
        order = np.random.default_rng(case.seed).permutation(len(data))[: case.images]
        if case.without_class:
            order = np.flatnonzero(data.labels != data.spec.classes.index(case.without_class))
        path.parent.mkdir(parents=True, exist_ok=True)
        # class_names has every class, even one without images: a run can then notice that it is missing.
        np.savez(path, images=data.read(order), labels=data.labels[order], class_names=np.array(data.spec.classes))
    return str(path)


def run_case(case: Case, args: argparse.Namespace) -> None:
    """Train or resume, evaluate the last checkpoint, and write the results."""
    run, out = args.runs / case.key, args.results / f"{case.key}.json"
    place = ["--data-root", str(args.data_root)] if args.data_root else []
    if any(run.glob("checkpoints/*/manifest.json")):
        words = ["resume", str(run)]
    else:
        source = source_of(case, args.runs, args.data_root)
        recipe = str(HERE.parent / "flagship" / "b.yaml") if case.recipe == "default" else case.recipe
        words = ["train", source, "--recipe", recipe, *case.overrides, "--seed", str(case.seed), "--out", str(run)]
        words += ["--minutes", str(args.minutes), "--device", "cpu", *place]
    log = args.runs / f"{case.key}.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    environ = {**os.environ, "OMP_NUM_THREADS": "1"}
    judged = args.runs / f"{case.key}-judged"
    judge_words = ["evaluate", str(run / "checkpoints"), TEST, "--features", "fashion", "--metrics"]
    judge_words += ["frechet,density_coverage", "--out", str(judged), *place]
    with open(log, "a", encoding="utf-8") as file:
        for each in (words, judge_words):
            command = [sys.executable, "-m", "gansmith", *each]
            if subprocess.run(command, env=environ, stdout=file, stderr=file, check=False).returncode != 0:
                print(f"{case.key}: failed, see {log}", flush=True)
                return
    args.results.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps(result_of(case, run, judged)) + "\n")
    print(f"{case.key}: done", flush=True)


def result_of(case: Case, run: Path, judged: Path) -> dict[str, Any]:
    """Return the results of a run: rows, snapshots and their share of the time, numbers of the last checkpoint."""
    rows, timing, snapshots = (read_rows(run / f"{name}.jsonl") for name in ("log", "timing", "snapshots"))
    numbers = json.loads((judged / "evaluation.json").read_text())["numbers"]
    seconds = max((row["wall_sec"] for row in timing if "wall_sec" in row), default=0.0)
    return {
        "case": case.key,
        "expect": case.expect,
        "length": json.loads((run / "run.json").read_text())["length"],
        "snapshot_share": sum(row.get("snapshot_sec", 0.0) for row in timing) / max(seconds, 1e-9),
        "numbers": {name: numbers[name] for name in numbers if name.startswith(("fd10k", "coverage"))},
        "rows": [{name: row[name] for name in KEPT if name in row} for row in rows if "event" not in row],
        "snapshots": snapshots,
    }


def scatter_of(case: Case, cases: list[Case], results: dict[str, dict[str, Any]]) -> dict[str, float]:
    """Return the deviation of each number between healthy runs of a case's recipe with other seeds."""
    twin = case.twin or case.key
    alike = [each.key for each in cases if each.key.rpartition("-")[0] == twin.rpartition("-")[0]]
    numbers = [results[key]["numbers"] for key in alike if key in results]
    if len(numbers) < 2:
        return {}
    return {name: stdev(each[name]["value"] for each in numbers) for name in numbers[0]}


def worse(mine: dict[str, Any], twin: dict[str, Any], scatter: dict[str, float] | None = None) -> str:
    """Return the numbers in which a run is worse than its twin, or ""; ``scatter`` is the deviation of training."""
    found = []
    for name, number in mine["numbers"].items():
        other = twin["numbers"][name]
        trained = 2 * (scatter or {}).get(name, 0.0) ** 2
        spread = 2 * ((number["deviation"] or 0) ** 2 + (other["deviation"] or 0) ** 2 + trained) ** 0.5
        difference = number["value"] - other["value"]
        if (difference if name.startswith("fd") else -difference) > spread:
            found.append(name.partition("_")[0])
    return " and ".join(found)


def line_of(case: Case, cases: list[Case], results: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Return a case's line: verdicts from snapshot to snapshot, the last one, and whether the failure is confirmed."""
    mine = results[case.key]
    snapshots, rows = mine["snapshots"], mine["rows"]
    said = [diagnose(rows, snapshots[: count + 1]).name for count in range(len(snapshots))]
    twin = results.get(case.twin)
    is_healthy = case.expect == (HEALTHY,)
    first = next((row["kimg"] for row, name in zip(snapshots, said, strict=True) if name in case.expect), None)
    last = said[-1] if said else "no snapshot"
    return {
        "case": case.key,
        "expected": case.expect,
        "verdict": last,
        "accused": [name for name in dict.fromkeys(said) if name != HEALTHY],
        "right": last in case.expect,
        "confirmed": "" if is_healthy else "twin not run" if twin is None else worse(mine, twin),
        "beyond_scatter": not is_healthy
        and twin is not None
        and bool(worse(mine, twin, scatter_of(case, cases, results))),
        "delay_kimg": None if is_healthy else first,
        "kimg": snapshots[-1]["kimg"] if snapshots else 0.0,
        "fd": measure(snapshots[-1], "fd") if snapshots else None,
        "snapshot_share": mine["snapshot_share"],
        "is_healthy": is_healthy,
        **{name.partition("_")[0]: number["value"] for name, number in mine["numbers"].items()},
    }


def summary(lines: list[dict[str, Any]]) -> list[str]:
    """Return the totals of a table, in sentences."""
    failed = [line for line in lines if not line["is_healthy"] and line["confirmed"] not in ("", "twin not run")]
    beyond = [line for line in failed if line["beyond_scatter"]]
    healthy = [line for line in lines if line["is_healthy"]]
    delays = [line["delay_kimg"] for line in failed if line["delay_kimg"] is not None]
    return [
        f"{sum(line['right'] for line in failed)} of {len(failed)} confirmed failures named rightly at the end "
        f"({sum(line['right'] for line in beyond)} of the {len(beyond)} that are worse by more than training scatter); "
        f"{sum(not line['right'] for line in healthy)} of {len(healthy)} healthy runs got a bad verdict at the end, "
        f"{sum(bool(line['accused']) for line in healthy)} at any snapshot; "
        f"median delay {f'{median(delays):,.1f} kimg' if delays else 'unknown'}.",
    ]


def table(cases: list[Case], results: dict[str, dict[str, Any]], where: str = "") -> str:
    """Return two Markdown tables: the runs that chose the thresholds, and the runs that report on them."""
    out = []
    for title, is_chosen in (
        ("Runs that chose the thresholds", True),
        ("Runs that had no say in the thresholds", False),
    ):
        lines = [
            line_of(case, cases, results) for case in cases if case.is_chosen_on == is_chosen and case.key in results
        ]
        if not lines:
            continue
        out += [f"### {title}", "", f"{CAPTION}{where}.", "", HEAD, "|---" * HEAD.count(" | ") + "|---|"]
        for line in lines:
            delay = (
                "" if line["is_healthy"] else "never" if line["delay_kimg"] is None else f"{line['delay_kimg']:,.1f}"
            )
            coverage = next(value for name, value in line.items() if name.startswith("coverage"))
            during = [name for name in line["accused"] if name != line["verdict"]]
            said = line["verdict"] + (f" (before: {', '.join(during)})" if during else "")
            out.append(
                f"| {line['case']} | {', '.join(line['expected'])} | {said} | {'yes' if line['right'] else '**no**'} |"
                f" {line['confirmed'] or ('' if line['is_healthy'] else 'not worse')}"
                f"{'' if line['beyond_scatter'] or not line['confirmed'] else ', within scatter'} |"
                f" {delay} of {line['kimg']:,.1f} |"
                f" {line['fd10k']:.2f} | {coverage:.3f} | {line['snapshot_share']:.1%} |"
            )
        out += ["", *summary(lines), ""]
    healthy = [case for case in cases if case.expect == (HEALTHY,) and case.key in results]
    pairs = [(a, b) for a in healthy for b in healthy if a != b and (a.recipe, a.name) == (b.recipe, b.name)]
    for words, is_wide in (("evaluation alone", False), ("evaluation and training", True)):
        found = sum(
            bool(worse(results[a.key], results[b.key], scatter_of(a, cases, results) if is_wide else None))
            for a, b in pairs
        )
        out.append(
            f"By the deviation of {words}, {found} of {len(pairs)} pairs of healthy runs count as failure and twin."
        )
    return "\n".join(out)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="*", default=[], help="run only cases whose name contains one of these")
    parser.add_argument(
        "--split",
        choices=("choose", "report"),
        help="run only the cases that choose thresholds, or the others",
    )
    parser.add_argument("--minutes", type=float, help="length of each run; default: as in cases.yaml")
    parser.add_argument("--jobs", type=int, default=1, help="number of runs at a time, one core each")
    parser.add_argument("--data-root", type=Path, help="folder with Fashion-MNIST, as for 'gansmith train'")
    parser.add_argument("--runs", type=Path, default=HERE / "runs", help="folder for the runs; may be removed")
    parser.add_argument("--results", type=Path, default=HERE / "results", help="folder for one JSON file a case")
    parser.add_argument("--table", action="store_true", help="run nothing; print and write the table of all results")
    parser.add_argument("--machine", help="machine and date, for the captions of the tables")
    args = parser.parse_args()
    cases = read_cases(HERE / "cases.yaml")
    if args.minutes is None:
        args.minutes = yaml.safe_load((HERE / "cases.yaml").read_text())["minutes"]
    wanted = [case for case in cases if not args.only or any(text in case.key for text in args.only)]
    wanted = [case for case in wanted if args.split is None or case.is_chosen_on == (args.split == "choose")]
    if not args.table:
        missing = [case for case in wanted if not (args.results / f"{case.key}.json").is_file()]
        print(f"{len(missing)} of {len(wanted)} cases to run, {args.minutes:g} minutes each", flush=True)
        with ThreadPoolExecutor(args.jobs) as pool:
            list(pool.map(lambda case: run_case(case, args), missing))
    files = {path.stem: path for path in args.results.glob("*.json")}
    where = f", {args.machine}" if args.machine else ""
    text = table(cases, {key: json.loads(path.read_text()) for key, path in files.items()}, where)
    print(text)
    if text:
        (args.results / "table.md").write_text(text)


if __name__ == "__main__":
    main()
