"""Parts by name: the base class of parts, registries, and the loading of plugins."""

import hashlib
import importlib
import importlib.metadata
import importlib.util
import pkgutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Generic, TypeVar

from pydantic import BaseModel, ConfigDict, GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic_core import core_schema

from gansmith.core.errors import RecipeError, nearest, unknown_name

ENTRY_POINT_GROUP = "gansmith.plugins"


class FrozenModel(BaseModel):
    """A pydantic model that is validated when created and cannot be changed; unknown fields are errors."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Part(FrozenModel):
    """Something that a recipe names: a loss, a penalty, a network, a method, ...

    Its fields are its hyper-parameters. A recipe has its name, or a mapping with ``kind`` and the fields that differ
    from their defaults.
    """

    kind: ClassVar[str] = ""  # the registered name


PartT = TypeVar("PartT", bound=Part)


class Registry(Generic[PartT]):
    """The parts of one family: those of every module in one package of gansmith, and those of plugins."""

    def __init__(self, family: str, package: str) -> None:
        self.family = family
        self._package = package
        self._parts: dict[str, type[PartT]] = {}
        self._scanned = False

    def register(self, name: str) -> Callable[[type[PartT]], type[PartT]]:
        """Register a class under a name; RecipeError for a second class with the same name."""

        def add(part: type[PartT]) -> type[PartT]:
            known = self._parts.get(name)
            if known is not None and (known.__module__, known.__qualname__) != (part.__module__, part.__qualname__):
                raise RecipeError(
                    "plugin.registered_twice",
                    f"{self.family} '{name}' is registered twice, by {known.__module__} and {part.__module__}"
                    "\n  register one of them under another name",
                )
            part.kind = name
            self._parts[name] = part
            return part

        return add

    def get(self, name: str) -> type[PartT]:
        """Return the class registered under a name; RecipeError, with the nearest name, if there is none."""
        self._scan()
        if name not in self._parts:
            raise RecipeError("recipe.unknown_part", unknown_name(self.family, name, self._parts))
        return self._parts[name]

    def names(self) -> list[str]:
        """Return the registered names, sorted."""
        self._scan()
        return sorted(self._parts)

    def parse(self, value: Any) -> PartT:
        """Return a part from a part, a name, or a mapping with ``kind``; RecipeError if none of these fits."""
        if isinstance(value, Part) and value.kind in self.names() and type(value) is self._parts[value.kind]:
            return value
        if isinstance(value, str):
            value = {"kind": value}
        if not isinstance(value, dict) or not isinstance(value.get("kind"), str):
            raise RecipeError(
                "recipe.part_form",
                f"a {self.family} must be a name or a mapping with 'kind', got {value!r}"
                f"\n  known: {', '.join(self.names())}",
            )
        part = self.get(value["kind"])
        fields = {key: entry for key, entry in value.items() if key != "kind"}
        for key in fields:
            if key not in part.model_fields:
                raise RecipeError(
                    "recipe.unknown_part_field",
                    f"'{key}' is not a field of {self.family} '{value['kind']}'{nearest(key, part.model_fields)}"
                    f"\n  fields: {', '.join(part.model_fields) or 'none'}",
                )
        return part.model_validate(fields)

    def _scan(self) -> None:
        if self._scanned:
            return
        self._scanned = True
        package = importlib.import_module(self._package)
        for module in pkgutil.iter_modules(package.__path__):
            importlib.import_module(f"{self._package}.{module.name}")


@dataclass(frozen=True)
class PartOf:
    """Mark a pydantic field as a part: read by ``Registry.parse``, written as a mapping with ``kind``."""

    registry: "Registry[Any]"

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> core_schema.CoreSchema:
        """Return pydantic's schema for reading and writing the field."""
        written = core_schema.plain_serializer_function_ser_schema(_dump)
        return core_schema.no_info_plain_validator_function(self.registry.parse, serialization=written)

    def __get_pydantic_json_schema__(self, schema: Any, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        """Return the JSON Schema of the field: the name of a registered part, or a mapping with its fields."""
        names = self.registry.names()
        return {"anyOf": [{"enum": names}, *(_written_part(self.registry.get(name), handler) for name in names)]}


def _written_part(part: type[Part], handler: GetJsonSchemaHandler) -> dict[str, Any]:
    """Return the JSON Schema of a part with its ``kind``; it becomes a definition, because fields share parts."""
    known: Any = part.__pydantic_core_schema__
    if known["type"] != "definitions":
        known = {"type": "definitions", "schema": known, "definitions": []}
    ref = f"{part.__module__}.{part.__qualname__}:{id(part)}"  # with it pydantic makes a definition
    schema = handler({**known, "schema": {**known["schema"], "ref": ref}})
    found = handler.resolve_ref_schema(schema)
    found["properties"] = {"kind": {"const": part.kind}, **found.get("properties", {})}
    found["required"] = ["kind", *(name for name in found.get("required", []) if name != "kind")]
    return schema


def _dump(part: Part) -> dict[str, Any]:
    return {"kind": part.kind, **part.model_dump(mode="json")}


def load_plugins(files: tuple[Path, ...] = ()) -> None:
    """Import installed plugins (by entry point) and plugin files.

    Raises RecipeError for a file that is missing, is not Python or fails to import.
    """
    for entry_point in importlib.metadata.entry_points(group=ENTRY_POINT_GROUP):
        entry_point.load()
    for file in files:
        path = Path(file).resolve()
        if not path.exists():
            raise RecipeError(
                "plugin.not_found", f"plugin '{file}' does not exist\n  pass --plugin the path of a Python file"
            )
        module_name = f"gansmith_plugin_{path.stem}_{hashlib.sha256(str(path).encode()).hexdigest()[:8]}"
        if module_name in sys.modules and sys.modules[module_name].__file__ == str(path):
            continue
        spec = importlib.util.spec_from_file_location(module_name, path)
        if spec is None or spec.loader is None or not path.is_file():
            raise RecipeError(
                "plugin.not_python",
                f"plugin '{file}' is not a Python file\n  pass --plugin the path of a file that ends in .py",
            )
        module = importlib.util.module_from_spec(spec)
        sys.modules[module_name] = module
        try:
            spec.loader.exec_module(module)
        except Exception as problem:
            del sys.modules[module_name]
            raise RecipeError(
                "plugin.import_failed",
                f"plugin '{file}' fails to import: {type(problem).__name__}: {problem}\n  to see where: python {file}",
            ) from problem
