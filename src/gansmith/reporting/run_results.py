"""The results of a finished run: model folder, model card, film, curves and report."""

import shlex
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from gansmith.core.atomic_files import commit_bytes, commit_text, is_disk_full
from gansmith.core.errors import counted
from gansmith.core.events import MessageEvent, OnEvent
from gansmith.core.metric_name import column_of
from gansmith.core.plain_files import read_bytes, read_text
from gansmith.inference.model import Model
from gansmith.reporting.curves import draw_curves
from gansmith.reporting.film import write_film
from gansmith.reporting.model_card import CardFacts, model_card
from gansmith.reporting.run_report import write_report
from gansmith.runs.folder import RunFolder
from gansmith.runs.log import add_up, best_snapshot, read_rows
from gansmith.runs.record import RunRecord


def write_results(
    run: RunFolder, model: Model, on_event: OnEvent, has_time_for: Callable[[str], bool] = lambda _: True
) -> None:
    """Write all results; a later call replaces them.

    ``has_time_for`` says whether film and report, with its curves, still come in time; the model is always written.
    """
    rows, snapshots = read_rows(run.log), run.read_snapshots()
    facts = card_facts(run, model)
    on_event(MessageEvent("note", "writing model, film, curves and report"))
    model.save(run.model)
    commit_text(run.model / "README.md", model_card(facts))
    frames = run.previews("ema")
    per_iteration = facts.last_row.get("kimg", 0) / max(1, facts.last_row.get("iteration", 1))
    if frames:
        until_kept = [each for each in frames if int(each.stem[:9]) * per_iteration <= model.record.kimg + 1e-6]
        commit_bytes(run.model / "preview.png", read_bytes((until_kept or frames)[-1]))
    has_film = has_time_for("film")
    if frames and has_film:
        captions = [f"{int(frame.stem[:9]) * per_iteration:,.1f} kimg" for frame in frames]
        with _or_warning("film", run, on_event):
            broken = write_film(frames, captions, run.path / "film.gif", run.path / "film.mp4")
            if broken:
                left = (
                    f"{counted(len(broken), 'picture')} of {len(frames)} cannot be read, the first is {broken[0].name}"
                )
                on_event(MessageEvent("warning", f"the film is without some of its frames: {left}"))
    has_report = has_time_for("report")
    if has_report:
        with _or_warning("curves", run, on_event):
            draw_curves([*rows, *snapshots], run.path / "curves.png")
        with _or_warning("report", run, on_event):
            refresh_report(run, model, always=True)
    if not (has_film and has_report):
        what = "the film is" if has_report else "curves and report are" if has_film else "film, curves and report are"
        text = f"{what} left out, because the time is over\n  to write all results: gansmith resume"
        on_event(MessageEvent("warning", f"{text} {shlex.quote(str(run.path))}"))


@contextmanager
def _or_warning(what: str, run: RunFolder, on_event: OnEvent) -> Iterator[None]:
    """Turn an error inside into a warning: the model matters more than the pictures of its training."""
    try:
        yield
    except Exception as problem:
        if is_disk_full(problem):
            raise
        on_event(MessageEvent("warning", f"no {what}: {problem}\n  to write it later: gansmith resume {run.path}"))


def card_facts(run: RunFolder, model: Model) -> CardFacts:
    """Return the facts of a run and its model for the model card."""
    return CardFacts(
        name=f"{model.record.name} on {model.record.data.name}",
        spec=model.record.data,
        recipe_yaml=read_text(run.recipe),
        parameters=count_parameters(model),
        kimg=model.record.kimg,
        seconds=total_seconds([row for row in read_rows(run.timing) if "wall_sec" in row]),
        last_row=next((row for row in reversed(read_rows(run.log)) if "event" not in row), {}),
        versions={"gansmith": model.record.gansmith, "torch": run.record.numerics.torch},
    )


def refresh_report(run: RunFolder, model: Model, *, always: bool = False) -> None:
    """Write report.html anew, with the newest evaluation; without a report so far only if ``always``."""
    if not (always or run.report.is_file()):
        return
    spec, seconds = model.record.data, total_seconds([row for row in read_rows(run.timing) if "wall_sec" in row])
    parameters, best = count_parameters(model), best_snapshot(run.read_snapshots())
    record = run.record
    shown = max((row["kimg"] for row in read_rows(run.log) if "event" not in row), default=model.record.kimg)
    write_report(
        run,
        title=f"{model.record.name} on {spec.name}",
        facts={
            "data": f"{spec.name}: {spec.contents}",
            "trained on": f"{shown:,.1f} kimg (thousands of images)",
            **(
                {}
                if best is None
                else {"model": f"best checkpoint, at {model.record.kimg:,.1f} kimg: {_lowest_distance(best)}"}
            ),
            **(
                {}
                if record.init_from is None
                else {"first weights": "; ".join([record.init_from, *_taken_layers(record)])}
            ),
            "training time": f"{seconds / 60:,.1f} min",
            "parameters": ", ".join(f"{name} {count:,}" for name, count in parameters.items()),
            "seed": str(model.record.seed),
            "torch": record.numerics.torch,
        },
    )


def count_parameters(model: Model) -> dict[str, int]:
    """Return the number of parameters of each network, by name."""
    networks = {name: net for name, net in model.networks.items() if not name.endswith("-raw")}
    return {name: sum(p.numel() for p in net.parameters()) for name, net in networks.items()}


def total_seconds(timing: list[dict[str, float]]) -> float:
    """Return the training time in seconds over all starts of a run."""
    return [0.0, *add_up(timing)][-1]


def _taken_layers(record: RunRecord) -> list[str]:
    return [f"{name}: {taken.text}" for name, taken in record.init_layers.items()]


def _lowest_distance(snapshot: dict[str, Any]) -> str:
    name = column_of(snapshot, "fd")
    return f"{name} is lowest there, {snapshot[name]:.4g}"
