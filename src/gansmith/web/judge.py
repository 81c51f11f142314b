"""Routes of the place Judge: evaluations of a model, and what their numbers mean."""

import asyncio
import time
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from fastapi import APIRouter, FastAPI, Query
from fastapi.responses import FileResponse
from pydantic import Field

from gansmith.core.errors import GansmithError, ModelError, reason_of
from gansmith.core.metric_name import MetricName
from gansmith.core.plain_files import read_json
from gansmith.core.registry import FrozenModel
from gansmith.evaluation.facts import check_facts
from gansmith.web.models import run_child
from gansmith.web.places import ONNX, RUN_JSON
from gansmith.web.state import State
from gansmith.web.summary import summarize

EVALUATION, FILE = "evaluation", "evaluation.json"  # in a model's folder; evaluation/result.py imports torch
PICTURES = ("real", "samples", "nearest", "translations")
EVALUATION_SEC = 6 * 3600.0
MOST_BYTES = 20_000_000  # of evaluation.json


@dataclass(frozen=True)
class Meaning:
    """A metric in plain words."""

    title: str
    asks: str
    read: str
    best: Literal["low", "high", "one", "zero", "chance", ""]  # as evaluation.result.best_end says it


MEANINGS = {
    "fd": Meaning(
        "Fréchet distance",
        "Are samples and real images alike, all in all?",
        "Lower is better. Blur, noise and missing variety all raise it. Compare it only under the same name.",
        "low",
    ),
    "fid": Meaning(
        "FID",
        "Are samples and real images alike, in the eyes of Inception?",
        "Lower is better. The number that papers report; compare it only for the same number of images.",
        "low",
    ),
    "kid": Meaning(
        "Kernel distance",
        "The same as the Fréchet distance, and trustworthy with few images.",
        "Lower is better, about 0 for real images.",
        "low",
    ),
    "precision": Meaning(
        "Precision",
        "Does a sample look like a real image?",
        "1: all look plausible. Low: broken or strange samples.",
        "high",
    ),
    "recall": Meaning(
        "Recall", "Is every kind of real image also made?", "1: everything is made. Low: much is never made.", "high"
    ),
    "density": Meaning(
        "Density",
        "Do samples lie where real images are many?",
        "1 is like real images. Above 1: only the most typical ones are made.",
        "one",
    ),
    "coverage": Meaning(
        "Coverage",
        "How many real images have a sample like them?",
        "1 is best. The most reliable single number about variety.",
        "high",
    ),
    "classes": Meaning(
        "Effective classes",
        "How many classes does the model make, weighted by how often?",
        "Best is the number of classes, all made equally often.",
        "high",
    ),
    "missing_classes": Meaning("Missing classes", "How many classes are hardly ever made?", "0 is best.", "low"),
    "modes": Meaning("Modes", "How many of the known modes are made at least once?", "Best is all of them.", "high"),
    "kl": Meaning("Evenness of modes", "How far are the shares of the modes from equal?", "0 is best.", "low"),
    "in_modes": Meaning("In modes", "Which share of the points lies in a mode?", "1 is best.", "high"),
    "ndb": Meaning(
        "Groups off their share",
        "Which share of 100 groups of similar images is made too rarely or too often?",
        "0.05 by chance, 1 at worst. It is strict.",
        "low",
    ),
    "empty_bins": Meaning(
        "Empty groups",
        "Which share of 100 groups of similar images is hardly made?",
        "0 is best. It shows mode collapse without labels.",
        "low",
    ),
    "diversity": Meaning(
        "Diversity",
        "Are samples as different from each other as real images are?",
        "1 is like real images. Near 0: everything looks the same, mode collapse.",
        "one",
    ),
    "label_accuracy": Meaning(
        "Label accuracy", "Does a sample belong to the class that was asked for?", "1 is best.", "high"
    ),
    "nearer": Meaning(
        "Nearer than new images",
        "Are samples nearer to training images than new real images are?",
        "0.5 by chance. Near 1: the model memorized its images.",
        "chance",
    ),
    "copies": Meaning("Copies", "Which share of samples are near copies of training images?", "0 is best.", "low"),
    "swd": Meaning(
        "Patches", "Do small patches look alike: textures and edges, without meaning?", "Lower is better.", "low"
    ),
    "texture": Meaning(
        "Texture",
        "Do samples have as much fine detail as real images?",
        "1 is like real images. Above: grainy. Below: blurred.",
        "one",
    ),
    "texture_fine": Meaning(
        "Finest detail", "Is the finest level of detail as strong as in real images?", "1 is like real images.", "one"
    ),
    "texture_middle": Meaning(
        "Middle detail", "Is the second finest level as strong as in real images?", "1 is like real images.", "one"
    ),
    "texture_median": Meaning(
        "Noise of flat areas",
        "How much more does a pixel differ from its neighbours than in real images?",
        "0 is like real images. Above, in gray levels: flat areas are noisy.",
        "zero",
    ),
    "is": Meaning(
        "Inception score",
        "Is each sample clearly of one class, and are all classes made?",
        "Higher is better. It ignores the real images, so it misses much.",
        "high",
    ),
    "psnr": Meaning("Peak signal to noise", "How near is each pixel to the known result?", "Higher is better.", "high"),
    "ssim": Meaning(
        "Structural similarity", "Are local patterns like those of the known result?", "1 is best.", "high"
    ),
    "l1": Meaning("Mean difference", "How far is a pixel from the known result?", "0 is best.", "low"),
    "feature_distance": Meaning(
        "Feature distance", "Does the result look like the known one to a network?", "Lower is better.", "low"
    ),
    "colourfulness_ratio": Meaning("Colourfulness", "Are results as colourful as known ones?", "1 is best.", "one"),
    "cycle_error": Meaning(
        "Way back", "How far is an image from itself after both translations?", "Lower is better.", "low"
    ),
    # No value of these is the best one, or they belong to snapshots alone.
    "change": Meaning(
        "Change",
        "How far is a translation from its image?",
        "Where it and the way back are 0, nothing is translated.",
        "",
    ),
    "missing": Meaning("Missing modes", "Which share of the modes do hardly any samples show?", "0 is best.", ""),
    "averaged_fd": Meaning(
        "Averaged weights", "How far are samples of the averaged weights from real images?", "Lower is better.", ""
    ),
    "raw_fd": Meaning(
        "Weights without averaging",
        "How far are samples of the last weights from real images?",
        "Much below the distance of the averaged weights: the average lags.",
        "",
    ),
}


class Wanted(FrozenModel):
    """What an evaluation is made of."""

    num: int = Field(2000, ge=100, le=50_000, description="images in a set of samples")
    on_training: bool = Field(False, description="use the training images as reference set")


@dataclass
class Work:
    """An evaluation that waits for another one, is under way, or failed."""

    started: float | None = None
    task: asyncio.Task[None] | None = None
    problem: GansmithError | None = None


def router(state: State) -> APIRouter:
    """Return the routes."""
    works = dict[str, Work]()
    one_at_a_time = asyncio.Lock()

    @asynccontextmanager
    async def ending(_: FastAPI) -> Any:
        yield
        for work in works.values():
            if work.task is not None:
                work.task.cancel()

    routes = APIRouter(prefix="/v1/judge/{model}", tags=["judge"], lifespan=ending)

    @routes.get("")
    async def show(model: str) -> dict[str, Any]:
        """Return the last evaluation of a model, or null, and whether one is under way."""
        entry, place = state.models.get(model), state.places.model(model)
        work = works.get(model)
        busy = work is not None and work.task is not None
        started = None if work is None else work.started
        return {
            "model": model,
            "evaluation": _evaluation(place, None if entry.record is None else entry.record.kimg),
            "pictures": [name for name in PICTURES if _picture(place, name).is_file()],
            "holds_out": _holds_out(place),
            "can_evaluate": place.suffix.lower() != ONNX,
            "running_sec": (0.0 if started is None else round(time.monotonic() - started, 1)) if busy else None,
            "waits": busy and started is None,
            "problem": None if work is None or work.problem is None else _json(work.problem),
        }

    @routes.post("", status_code=202)
    async def evaluate(model: str, wanted: Wanted) -> dict[str, str]:
        """Begin an evaluation in a process of its own; ``GET`` says when it is done."""
        place = state.places.model(model)
        if place.suffix.lower() == ONNX:
            raise ModelError(
                "model.needs_weights",
                f"model '{model}' is an ONNX file, and an evaluation needs the weights"
                "\n  evaluate the run or the model folder that it was exported from",
            )
        known = works.get(model)
        if known is None or known.task is None:
            work = works[model] = Work()

            async def evaluated() -> None:
                try:
                    async with one_at_a_time:
                        work.started = time.monotonic()
                        await run_child(_words(place, wanted), EVALUATION_SEC)
                except GansmithError as problem:
                    work.problem = problem
                except OSError as problem:  # no process could be started
                    told = f"the evaluation could not be started: {reason_of(problem)}\n  try again later"
                    work.problem = GansmithError("web.child_failed", told)
                finally:
                    work.task = None

            work.task = asyncio.get_running_loop().create_task(evaluated())
        return {"model": model}

    @routes.delete("", status_code=204)
    async def stop(model: str) -> None:
        """End an evaluation that is under way."""
        state.places.model(model)
        work = works.get(model)
        if work is not None and work.task is not None:
            work.task.cancel()

    @routes.get("/{picture}.png", response_class=FileResponse)
    async def picture(
        model: str,
        picture: Literal["real", "samples", "nearest", "translations"],
        of: Annotated[float | None, Query(description="any number; another one lets a page load it again")] = None,
    ) -> FileResponse:
        """Return a picture of the last evaluation: real images, samples, samples beside their nearest neighbours."""
        path = _picture(state.places.model(model), picture)
        if not path.is_file():
            raise ModelError(
                "web.no_such_picture",
                f"the evaluation of '{model[:100]}' has no picture '{picture}'\n  evaluate it again",
            )
        return FileResponse(path, media_type="image/png", headers={"Cache-Control": "no-cache"})

    return routes


def _words(place: Path, wanted: Wanted) -> list[str]:
    words = ["evaluate", str(place), "--num", str(wanted.num)]
    return [*words, "--on-training"] if wanted.on_training else words


def _picture(place: Path, name: str) -> Path:
    return place / EVALUATION / f"{name}.png"


def _holds_out(place: Path) -> bool | None:
    """Say whether a run held images back; None for a model that is not a run."""
    try:
        return bool(read_json(place / RUN_JSON)["data"]["spec"]["held_out"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _evaluation(place: Path, kimg_now: float | None) -> dict[str, Any] | None:
    """Return the last evaluation with the meaning of each number; None if there is none that can be read."""
    path = place / EVALUATION / FILE
    try:
        found = read_json(path, MOST_BYTES)
        numbers = [_number(name, number) for name, number in found["numbers"].items()]
        facts, kimg = check_facts(found["facts"]), found["kimg"]
        stale = None not in (kimg, kimg_now) and abs(kimg_now - kimg) > 0.05
        summary = summarize(found["numbers"], found["protocol"]["reference"])
        out = {name: found[name] for name in ("model", "kimg", "protocol", "words", "skipped", "seconds")}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None
    return {
        **out, "summary": summary, "numbers": numbers, "stale": stale, "classes": facts.get("class_coverage"),
        "memorization": facts.get("memorization"),
    }  # fmt: skip


def meaning_of(name: str) -> Meaning:
    """Return what a metric asks and how to read it; of one without a text its name alone."""
    parsed = MetricName.parse(name)
    return MEANINGS.get(parsed.label if parsed is not None else name, Meaning(name, "", "", ""))


def _number(name: str, number: dict[str, Any]) -> dict[str, Any]:
    kept = {key: number[key] for key in ("value", "deviation", "over")}
    return {"name": name, **kept, **asdict(meaning_of(name))}


def _json(problem: GansmithError) -> dict[str, str]:
    return {"code": problem.code, "message": str(problem)}
