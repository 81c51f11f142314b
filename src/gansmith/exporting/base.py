"""The interface of export formats, and their registry."""

import importlib
from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, get_args

from pydantic import ValidationError

from gansmith.core.errors import GansmithError, ModelError, unknown_name, why_not
from gansmith.core.output_paths import output_file
from gansmith.core.registry import Part, Registry
from gansmith.inference.model import Model
from gansmith.methods.capabilities import samples_from_latents, translates, upscales
from gansmith.recipes.load import code_of, explain
from gansmith.runs.folder import RunFolder


@dataclass(frozen=True)
class Exported:
    """A file or folder that an export wrote."""

    path: Path
    network: str  # the generator in it, "" for a whole model
    facts: dict[str, Any]  # as the file's own metadata has them
    words: str  # the same in one line for a person


class ExportFormat(Part):
    """A form in which a trained model leaves gansmith. Its fields are the options of the export."""

    @abstractmethod
    def export(self, model: Model, out: Path | None, *, raw: bool, run: RunFolder | None) -> list[Exported]:
        """Write a model to ``out``, None for a name of the format's own, and return what was written.

        ``raw`` takes the weights without EMA. ``run`` is the run of the model, if it comes from one. Nothing
        half-written stays. Raises GansmithError for an output that exists, ModelError for a model that this format
        cannot hold, DiskFullError.
        """


class FileFormat(ExportFormat):
    """A format with one file for each generator of a model: one, or two for a model that also translates back."""

    ending: ClassVar[str]  # of the files, with its dot

    def export(self, model: Model, out: Path | None, *, raw: bool, run: RunFolder | None) -> list[Exported]:
        """Write each generator; with two of them ``out`` gets their names, as x-a_to_b.onnx."""
        names = _held(model, generators_of(model), raw=raw)
        targets = [Path(f"{name}{self.ending}") for name in names]
        if out is not None:
            path = output_file(out, f"a file of format '{self.kind}'", self.ending)
            targets = [path] if len(names) == 1 else [path.with_stem(f"{path.stem}-{name}") for name in names]
        for target in targets:
            refuse_used_file(target)
        written: list[Exported] = []
        try:
            for name, target in zip(names, targets, strict=True):
                written.append(self.write(model, name, target, raw=raw, run=run))
        except BaseException:
            for each in written:
                each.path.unlink()
            raise
        return written

    @abstractmethod
    def write(self, model: Model, name: str, target: Path, *, raw: bool, run: RunFolder | None) -> Exported:
        """Write the generator ``name`` to a file, after comparing it with the model; see ``export``."""


formats: Registry[ExportFormat] = Registry("export format", "gansmith.exporting")


def choose_format(name: str, options: Mapping[str, str | None]) -> ExportFormat:
    """Return the format of a name with its options; None and "fp32" are the defaults, which every format takes.

    Raises GansmithError, with the nearest name, for an unknown format, option or value.
    """
    if name not in formats.names():
        raise GansmithError("export.unknown_format", unknown_name("format", name, formats.names()))
    chosen = formats.get(name)
    wanted = {key: value for key, value in options.items() if value not in (None, "fp32")}
    for key, value in wanted.items():
        if key not in chosen.model_fields:
            taking = [each for each in formats.names() if key in formats.get(each).model_fields]
            raise GansmithError(
                "export.unknown_option",
                f"format '{name}' has no option {key}={value}\n  formats that have it: {', '.join(taking) or 'none'}",
            )
        kind = chosen.model_fields[key].annotation  # Literal["a"], or Literal["a"] | None
        allowed = [word for each in (kind, *get_args(kind)) for word in get_args(each) if isinstance(word, str)]
        if allowed and value not in allowed:
            raise GansmithError("export.unknown_value", unknown_name(f"value of {key}:", str(value), allowed))
    try:
        return chosen.model_validate(wanted)
    except ValidationError as problem:
        raise GansmithError(code_of(problem), explain(problem, f"format '{name}'")) from problem


def generators_of(model: Model) -> tuple[str, ...]:
    """Return the names of a model's generators; ModelError if its method has none that can be exported."""
    if samples_from_latents(model.method):
        return ("generator",)
    if translates(model.method) or upscales(model.method):
        return tuple(model.method.translators)
    raise ModelError(
        "model.other_method",
        f"cannot export a model of method '{model.record.method.kind}'"
        "\n  only generators that make images from latents or from images can be exported",
    )


def _held(model: Model, names: tuple[str, ...], *, raw: bool) -> tuple[str, ...]:
    """Return the generators whose weights a model has: a weights file holds one of two. All if it has none."""
    return tuple(name for name in names if (f"{name}-raw" if raw else name) in model.networks) or names


def refuse_used_file(path: Path) -> None:
    """Raise GansmithError if an output exists."""
    if path.exists():
        raise GansmithError("output.exists", f"'{path}' exists\n  remove it, or name another file: --out FILE")


def require_extra(kind: str, *modules: str) -> None:
    """Raise GansmithError if a library that a format needs is not installed."""
    for module in modules:
        try:
            importlib.import_module(module)
        except ImportError as problem:
            raise GansmithError(
                "export.extra_missing",
                f"format '{kind}' needs the library {module}{why_not(problem, module)}"
                "\n  install it: pip install 'gansmith[export]'",
            ) from problem
