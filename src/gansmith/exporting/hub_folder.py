"""Format ``hub-folder``: a model as the Hugging Face Hub shows and loads it."""

import os
import re
import shutil
import tempfile
import warnings
from contextlib import suppress
from pathlib import Path

import yaml
from pydantic import Field, field_validator

from gansmith.core.atomic_files import METADATA_KEY, commit_text, is_disk_full, no_room_to
from gansmith.core.errors import DiskFullError, GansmithError, GansmithWarning
from gansmith.core.output_paths import make_parent_folders, refuse_file_ending, refuse_used_folder
from gansmith.core.plain_files import read_text
from gansmith.evaluation.result import last_evaluation
from gansmith.exporting.base import Exported, ExportFormat, formats
from gansmith.inference.model import Model
from gansmith.methods.capabilities import samples_from_latents
from gansmith.reporting.model_card import CardFacts, model_card, published
from gansmith.reporting.run_results import card_facts, count_parameters
from gansmith.runs.folder import RunFolder

CARD, PREVIEW, FILMS = "README.md", "preview.png", ("film.gif", "film.mp4")
LICENSE = re.compile(r"[a-z0-9][a-z0-9.+-]{0,99}")
MOST_CARD_BYTES = 2**20
HUB_DATA = "hf:"  # data that were read from the Hub


@formats.register("hub-folder")
class HubFolder(ExportFormat):
    """A model folder that ``gansmith.load`` opens, with the generator as ONNX, a picture, the film and the card.

    README.md is the model card, with the front matter that the Hub reads.
    """

    license: str = Field("", description='license of the model as the Hub names it: "cc-by-4.0"')
    repo: str = Field("", max_length=200, description="NAME/REPO on the Hub, for the commands in the card")

    @field_validator("license")
    @classmethod
    def check_license(cls, license: str) -> str:
        """Raise GansmithError for a license that the Hub would refuse."""
        if license and not LICENSE.fullmatch(license):
            raise GansmithError(
                "export.license",
                f"{license[:100]!r} is not a license as the Hub names it\n  for example cc-by-4.0, mit or other",
            )
        return license

    def export(self, model: Model, out: Path | None, *, raw: bool, run: RunFolder | None) -> list[Exported]:
        """Write the folder, whole or not at all; without the libraries of ONNX it has no ONNX file, with a warning."""
        target = Path("hub-folder") if out is None else out
        refuse_file_ending(target)
        refuse_used_folder(target, ": --out FOLDER")
        make_parent_folders(target)
        # A folder that exists may be the current one, or another disk: it is filled, not replaced.
        beside = target if target.exists() else target.parent
        with tempfile.TemporaryDirectory(dir=beside, prefix=f".{target.resolve().name}.", suffix=".tmp") as temporary:
            folder = Path(temporary) / "folder"
            try:
                self._write(folder, model, raw=raw, run=run)
            except (OSError, DiskFullError) as problem:
                if not is_disk_full(problem):
                    raise
                raise DiskFullError("disk.full", no_room_to(f"write {target}", target.parent, problem)) from problem
            if target.exists():
                for path in folder.iterdir():
                    os.replace(path, target / path.name)
            else:
                os.replace(folder, target)
        names = sorted(path.name for path in target.iterdir())
        size = sum(path.stat().st_size for path in target.iterdir())
        return [Exported(target, "", {"files": names, "bytes": size}, f"{size:,} bytes: {', '.join(names)}")]

    def _write(self, folder: Path, model: Model, *, raw: bool, run: RunFolder | None) -> None:
        """Write the files."""
        model.save(folder)
        _write_onnx(model, folder, raw=raw, run=run)
        beside = _beside(model, run)
        if beside is not None and (beside / PREVIEW).is_file():
            shutil.copyfile(beside / PREVIEW, folder / PREVIEW)
        elif samples_from_latents(model.method):
            model.sample(64).grid().save(folder / PREVIEW)
        for film in [] if run is None else [run.path / name for name in FILMS]:
            if film.is_file():
                shutil.copyfile(film, folder / film.name)
        commit_text(folder / CARD, self._card(model, run))

    def _card(self, model: Model, run: RunFolder | None) -> str:
        """Return the model card with the front matter of the Hub."""
        evaluation, dataset = None, model.record.data.name
        if run is not None:
            evaluation, source = last_evaluation(run.path), run.record.data.source
            if source.startswith(HUB_DATA):
                dataset = source.removeprefix(HUB_DATA).partition(":")[0]
        card = card_of(model, run)
        return published(card, license=self.license, repo=self.repo, dataset=dataset, evaluation=evaluation)


def card_of(model: Model, run: RunFolder | None) -> str:
    """Return the model card: of the run, the one beside the model, or one from the model's record."""
    beside = _beside(model, run)
    if run is not None:
        evaluation = last_evaluation(run.path)
        numbers = None if evaluation is None else {name: each.value for name, each in evaluation.numbers.items()}
        return model_card(card_facts(run, model), metrics=numbers)
    if beside is not None and (card := _own_card(beside / CARD)):
        return card
    record = model.record
    recipe = {"name": record.name, "method": record.method.model_dump(mode="json")}
    return model_card(
        CardFacts(
            name=f"{record.name} on {record.data.name}",
            spec=record.data,
            recipe_yaml=yaml.safe_dump(recipe, sort_keys=False),
            parameters=count_parameters(model),
            kimg=record.kimg,
            seconds=0.0,
            last_row={},
            versions={METADATA_KEY: record.gansmith},
        )
    )


def _own_card(path: Path) -> str:
    """Return the text of a model card with front matter; "" for a file that is none, or cannot be read."""
    with suppress(OSError, UnicodeDecodeError):
        text = read_text(path, MOST_CARD_BYTES)
        return text if text.startswith("---\n") else ""
    return ""


def _beside(model: Model, run: RunFolder | None) -> Path | None:
    """Return the folder with the files beside a model's weights; None for a model that is not from a folder."""
    if run is not None:
        return run.model
    return model.origin.path if model.origin is not None else None


def _write_onnx(model: Model, folder: Path, *, raw: bool, run: RunFolder | None) -> None:
    try:
        formats.get("onnx")().export(model, folder / "generator.onnx", raw=raw, run=run)
    except GansmithError as problem:
        if problem.code != "export.extra_missing":
            raise
        warnings.warn(GansmithWarning(f"no ONNX file: {problem}"), stacklevel=3)
