"""Plan and train a sweep: every combination of values and seeds, or those optuna suggests."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

from gansmith.core.errors import DiskFullError, GansmithError, RecipeError, TrainingError, unknown_name, why_not
from gansmith.core.events import MessageEvent, OnEvent
from gansmith.core.on_ray import run_each
from gansmith.core.runtime import set_threads, threads
from gansmith.core.version import __version__
from gansmith.evaluation.result import badness
from gansmith.evaluation.variants import compare_variants
from gansmith.recipes.load import override
from gansmith.recipes.recipe import Recipe
from gansmith.runs.sweep import (
    MANY,
    Search,
    State,
    SweepFolder,
    SweepRecord,
    combinations,
    count_of,
    refuse_many,
)

BETWEEN = ".."  # of the two ends of a range
TRIALS = 20  # combinations that optuna tries, unless the user says how many
REPEATS = 20  # suggestions in a row that were trained already; then the first combination that was not is taken
MOST_CHECKED = 2000  # combinations; of more, each value is checked alone too
LOG_RATIO = 10  # a range whose ends differ by more is searched on a log scale

TrainOne = Callable[[Path, str], bool]  # trains the run in a folder of the sweep; False: a signal paused it


def plan_sweep(
    source: str,
    vary: Mapping[str, Sequence[str]],
    recipe: Recipe,
    *,
    seeds: Sequence[int] = (0,),
    search: Search = "grid",
    trials: int | None = None,
    most: int = MANY,
    keywords: Mapping[str, Any] = {},
) -> SweepRecord:
    """Return the record of a new sweep, after checking every combination; GansmithError for any mistake in it.

    ``source`` is the address of the data, ``recipe`` the one before the changes, ``most`` the number of runs above
    which a sweep is refused, ``keywords`` are those of ``gansmith.train`` for every run.
    """
    if search not in ("grid", "optuna"):
        raise GansmithError("run.unknown_search", unknown_name("search", search, ("grid", "optuna")))
    if not vary:
        raise GansmithError("run.vary_form", "a sweep needs something to vary\n  for example --vary lr=1e-4,2e-4")
    if "seed" in vary:
        raise GansmithError(
            "run.vary_form", "a sweep has seeds of its own\n  leave out --vary seed, and pass --seeds N"
        )
    ranges = {key for key, values in vary.items() if any(map(_range, values))}
    if search == "grid" and ranges:
        key = min(ranges)
        raise GansmithError(
            "run.vary_range",
            f"--vary {key}={','.join(vary[key])} is a range, and a grid has only single values"
            "\n  list the values, or add --search optuna --trials 20",
        )
    if not seeds or (trials is not None and trials < 1):
        raise GansmithError("run.sweep_out_of_range", "--seeds and --trials have to be 1 or more")
    chosen = None if ranges else count_of(vary)
    if search == "optuna":
        chosen = min(trials or TRIALS, chosen or trials or TRIALS)
    assert chosen is not None
    refuse_many(chosen, len(seeds), keywords.get("minutes"), most)
    _check(recipe, vary)
    return SweepRecord(
        gansmith=__version__,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        source=source,
        recipe=recipe.model_dump(mode="json"),
        vary={key: tuple(values) for key, values in vary.items()},
        seeds=tuple(seeds),
        search=search,
        trials=chosen,
        keywords=dict(keywords),
    )


def _check(recipe: Recipe, vary: Mapping[str, Sequence[str]]) -> None:
    """Raise RecipeError for a combination that is no recipe, and for two that are the same one."""
    ends = {key: [end for value in values for end in _range(value) or (value,)] for key, values in vary.items()}
    for key, values in ends.items():  # one value at a time names the mistake
        for value in values:
            override(recipe, (f"{key}={value}",))
    known = dict[str, tuple[str, ...]]()
    for changes in islice(combinations(ends), MOST_CHECKED):
        text = override(recipe, changes).model_dump_json()
        if text in known:
            raise RecipeError(
                "run.same_variant",
                f"{' '.join(known[text])} and {' '.join(changes)} are the same recipe\n  leave out one of the values",
            )
        known[text] = changes


def train_sweep(
    sweep: SweepFolder, train_one: TrainOne, on_event: OnEvent, *, on: str | None = None, gpus_each: float = 0.0
) -> bool:
    """Train the runs of a sweep that have not ended; return False if a signal paused one.

    They run one after the other, or with ``on`` at once in workers of Ray; with optuna the seeds of one combination. A
    run that diverges or runs out of memory has failed; the others go on. Raises GansmithError for anything that every
    run would meet, such as a full disk.
    """
    record = sweep.record
    suggested = ([each] for each in _suggested(sweep))
    groups = suggested if record.search == "optuna" else iter([list(combinations(record.vary))])

    def note(folder: str, end: tuple[State, str]) -> None:
        sweep.note(folder, *end)
        if end[0] == "failed":
            on_event(MessageEvent("warning", f"{folder} failed: {end[1]}"))

    for group in groups:
        runs = [run for changes in group for run in sweep.add(changes)]
        waiting = [run for run in runs if run.state == "waiting"]
        if on is not None and waiting:
            text = f"{len(waiting)} of {record.total} runs start in workers of Ray, as many at once as there is room"
            on_event(MessageEvent("note", text))
            work = partial(end_of, sweep.path.resolve(), train_one=train_one)
            run_each(work, [run.folder for run in waiting], on, gpus_each, on_end=note)
            continue
        for run in waiting:
            done = sum(each.state != "waiting" for each in sweep.record.runs)
            text = f"run {done + 1} of {record.total}: {' '.join(run.changes)}, seed {run.seed}"
            on_event(MessageEvent("note", text))
            end = end_of(sweep.path, run.folder, train_one)
            if end[0] == "waiting":
                return False
            note(run.folder, end)
    return True


def end_of(path: Path, folder: str, train_one: TrainOne) -> tuple[State, str]:
    """Train a run; return how it ended, "waiting" if a signal paused it, and the error of one that failed."""
    count = threads()
    try:
        return ("finished" if train_one(path, folder) else "waiting"), ""
    except DiskFullError:
        raise
    except TrainingError as problem:
        return "failed", str(problem).partition("\n")[0]
    finally:
        set_threads(count)  # a run on a busy machine may have taken fewer


def _suggested(sweep: SweepFolder) -> Iterator[tuple[str, ...]]:
    """Yield the combinations that optuna suggests; each takes the results of those before into account.

    Suggestions depend on the seed and on results alone, so a sweep that goes on gets the same ones again.
    """
    optuna = _import_optuna()
    record = sweep.record
    study = optuna.create_study(sampler=optuna.samplers.TPESampler(seed=record.seeds[0]))
    values, tried, repeats = dict[tuple[str, ...], float | None](), 0, 0
    while tried < record.trials:
        trial = study.ask()
        changes = tuple(f"{key}={_suggest(trial, key, each)}" for key, each in record.vary.items())
        repeats += 1
        if repeats > REPEATS and changes in values:  # there is a list for every key: a range does not repeat itself
            new = next(each for each in combinations(record.vary) if each not in values)
            study.enqueue_trial(dict(text.partition("=")[::2] for text in new))
        if changes not in values:
            tried, repeats = tried + 1, 0
            yield changes
            values[changes] = _value_of(sweep, changes)
        if values[changes] is None:
            study.tell(trial, state=optuna.trial.TrialState.FAIL)
        else:
            study.tell(trial, values[changes])


def _suggest(trial: Any, key: str, values: Sequence[str]) -> str:
    """Return a value of a key: one of a list, or a number of a range."""
    ends = _range(values[0]) if len(values) == 1 else None
    if ends is None:
        return str(trial.suggest_categorical(key, list(values)))
    if all(end.lstrip("+-").isdecimal() for end in ends):
        return str(trial.suggest_int(key, *map(int, ends)))
    low, high = map(float, ends)
    return f"{trial.suggest_float(key, low, high, log=low > 0 and high / low > LOG_RATIO):.4g}"


def _value_of(sweep: SweepFolder, changes: tuple[str, ...]) -> float | None:
    """Return the badness of a combination by the metric that decides; None if no run of it has one."""
    table = compare_variants(sweep)
    variant = next(each for each in table.variants if each.changes == changes)
    number = variant.number(table.metric) if table.metric else None
    return None if number is None else badness(table.metric, number)


def _range(value: str) -> tuple[str, str] | None:
    """Return the two ends of a range such as 1e-5..1e-3; None for another value."""
    low, between, high = value.partition(BETWEEN)
    try:
        return (low, high) if between and float(low) < float(high) else None
    except ValueError:
        return None


def _import_optuna() -> Any:
    try:
        import optuna  # here: an extra
    except ImportError as problem:
        raise GansmithError(
            "run.optuna_missing",
            f"--search optuna needs the library optuna{why_not(problem, 'optuna')}"
            "\n  install it: pip install 'gansmith[search]'",
        ) from problem
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna
