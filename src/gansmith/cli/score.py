"""``gansmith score``: how usual images are for a trained model."""

from typing import Annotated, Any

import typer

from gansmith.cli.options import AsJson, Device, ImagePaths, Plugin, WeightsPath
from gansmith.cli.text import json_text, tell
from gansmith.core.errors import GansmithError, counted
from gansmith.core.events import Progress, say, saying_what_is_there


def score(
    model: WeightsPath,
    images: ImagePaths,
    label: Annotated[str | None, typer.Option(metavar="CLASS", help="Class of the images, by name or number.")] = None,
    how: Annotated[str, typer.Option(metavar="METHOD", help="discriminator or inversion.")] = "discriminator",
    skip: Annotated[
        int, typer.Option(min=0, metavar="FILES", help="Leave out so many files, which a stopped command has scored.")
    ] = 0,
    device: Device = "auto",
    plugin: Plugin = None,
    as_json: AsJson = False,
) -> None:
    """Score how typical images are for the model; low means unusual.

    --how discriminator: probability that an image is real, or the critic's score.
    --how inversion: PSNR in dB of the nearest image that the model makes; slow.
    """
    from gansmith import api  # here: it imports torch, which takes seconds

    loaded = api.load_weights(model, "score", device, plugin or [])
    left_out, failed, scores = list[tuple[str, str]](), list[tuple[str, str]](), list[dict[str, Any]]()

    def leave_out(file: str, reason: str) -> None:
        left_out.append((file, reason))
        say(f"warning: left out: {file} ({reason})")

    def fail(file: str, reason: str) -> None:
        failed.append((file, reason))
        leave_out(file, reason)

    number, done, total = 0, skip, 0

    def see(progress: Progress) -> None:
        nonlocal done, total
        done, total = round(progress.done), round(progress.total)

    def results() -> dict[str, Any]:
        return {"scores": scores, "left_out": [{"file": file, "reason": reason} for file, reason in left_out]}

    def stopped() -> str:
        files = f"{done:,} of {counted(total, 'file')} are scored" if total else "no file is scored yet"
        text = f"stopped: {files}; the same command with --skip {done} scores the others"
        if as_json:
            tell(json_text({**results(), "stopped": text}))
        return text

    try:
        with saying_what_is_there(stopped):
            for file, value in api.score_files(
                loaded, images, label, how, skip=skip, on_left_out=leave_out, on_failed=fail, on_progress=see
            ):
                number += 1
                if as_json:
                    scores.append({"file": file, "score": value})
                else:
                    tell(f"{value:8.4f}  {file}")
    except GansmithError as problem:
        problem.results = results()
        raise
    if as_json:
        tell(json_text(results()))
    if failed:
        say(api.failures_text(failed, number + len(failed), "scored"))
