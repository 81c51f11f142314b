"""Parts by name: the base class of parts, registries, and the loading of plugins."""

import functools
import hashlib
import importlib
import importlib.metadata
import importlib.util
import inspect
import math
import os
import pkgutil
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar, Generic, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic_core import core_schema

from gansmith.core.errors import GansmithError, RecipeError, nearest, reason_of, unknown_name
from gansmith.core.plain_files import open_plain

ENTRY_POINT_GROUP = "gansmith.plugins"
MAX_PLUGIN_BYTES = 2**24


def _within(low: float, below: float = math.inf) -> AfterValidator:
    """Return a check of numbers that are read from a file. A schema of the file does not show it."""

    def check(value: Any) -> Any:
        if not low <= value < below:
            raise ValueError(f"{value} is out of range")
        return value

    return AfterValidator(check)


Positive = Annotated[int, _within(1)]
NotNegative = Annotated[int, _within(0)]
AboveZero = Annotated[float, _within(sys.float_info.min)]
Share = Annotated[float, _within(0, 1)]


class FrozenModel(BaseModel):
    """A pydantic model that is validated when created and cannot be changed; unknown fields are errors."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Part(FrozenModel):
    """Something that a recipe names: a loss, a penalty, a network, a method, ...

    Its fields are its hyper-parameters. A recipe has its name, or a mapping with ``kind`` and the fields that differ
    from their defaults.
    """

    kind: ClassVar[str] = ""  # the registered name

    def fault_in(self, method: str, result: Any, arguments: tuple[Any, ...]) -> str:
        """Return what is wrong with the result of a method, such as "returns a str"; "" if nothing is.

        It is asked about parts of plugins only.
        """
        return ""


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
            if _loading:
                _guard(part, _Origin(_loading, self.family, name))
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
class _Origin:
    """Where a part of a plugin comes from."""

    plugin: str  # file, or name of the entry point
    family: str
    kind: str

    def __str__(self) -> str:
        return f"plugin '{self.plugin}', {self.family} '{self.kind}'"


_loading = ""  # the plugin that is being imported
_plugin_modules = dict[str, str]()  # name of a module to its plugin
_plugin_parts = dict[type[BaseModel], _Origin]()


def _guard(part: type[Part], origin: _Origin) -> None:
    """Make the methods of a plugin's part name the plugin where they fail or return what they must not."""
    _plugin_parts[part] = origin
    _plugin_modules[part.__module__] = origin.plugin
    for name, function in list(vars(part).items()):
        of_contract = any(name in vars(base) for base in part.__mro__[1:] if base.__module__.startswith("gansmith."))
        if inspect.isfunction(function) and of_contract and (name == "__call__" or not name.startswith("_")):
            setattr(part, name, _guarded(function, origin))


def _guarded(function: Callable[..., Any], origin: _Origin) -> Callable[..., Any]:
    @functools.wraps(function)
    def call(self: Part, *arguments: Any, **keywords: Any) -> Any:
        name = function.__name__
        try:
            result = function(self, *arguments, **keywords)
        except GansmithError:
            raise
        except MemoryError:
            raise
        except (Exception, SystemExit) as problem:
            if is_signal(problem):
                raise
            text = f"{origin}: {name} fails: {type(problem).__name__}: {reason_of(problem)}"
            raise RecipeError("plugin.part_failed", f"{text}\n  to see where, pass --debug") from problem
        if fault := self.fault_in(name, result, arguments):
            text = f"{origin}: {name} {fault}\n  docs/add_a_part.md says what it returns"
            raise RecipeError("plugin.wrong_result", text)
        return result

    return call


def is_signal(problem: BaseException) -> bool:
    """Say whether a SystemExit comes from a signal's handler, and not from the code that it interrupted."""
    last = problem.__traceback__
    while last is not None and last.tb_next is not None:
        last = last.tb_next
    return last is None or last.tb_frame.f_globals.get("__name__") == "gansmith.core.signals"


def plugin_fault(problem: BaseException) -> str:
    """Return in words where a plugin's code raised an error; "" if it was not in a plugin."""
    frame, found = problem.__traceback__, ""
    while frame is not None:
        plugin = _plugin_modules.get(str(frame.tb_frame.f_globals.get("__name__")))
        if plugin and not (isinstance(problem, SystemExit) and is_signal(problem)):
            where = getattr(frame.tb_frame.f_code, "co_qualname", frame.tb_frame.f_code.co_name)
            found = f"plugin '{plugin}': {where} fails: {type(problem).__name__}: {reason_of(problem)}"
        frame = frame.tb_next
    return found


def plugin_parts_in(value: Any) -> list[str]:
    """Return in words the parts of plugins that a recipe or a part holds."""
    if isinstance(value, BaseModel):
        mine = [str(_plugin_parts[type(value)])] if type(value) in _plugin_parts else []
        return mine + [each for name in type(value).model_fields for each in plugin_parts_in(getattr(value, name))]
    if isinstance(value, dict):
        return [each for entry in value.values() for each in plugin_parts_in(entry)]
    if isinstance(value, list | tuple):
        return [each for entry in value for each in plugin_parts_in(entry)]
    return []


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
        with _naming(entry_point.name, entry_point.module):
            entry_point.load()
    for file in files:
        path = Path(os.path.realpath(file))  # resolve() raises RuntimeError for links in a circle
        if not path.exists():
            raise RecipeError(
                "plugin.not_found", f"plugin '{file}' does not exist\n  pass --plugin the path of a Python file"
            )
        module_name = f"gansmith_plugin_{path.stem}_{hashlib.sha256(str(path).encode()).hexdigest()[:8]}"
        if module_name in sys.modules and sys.modules[module_name].__file__ == str(path):
            continue
        spec = importlib.util.spec_from_file_location(module_name, path)
        if spec is None or spec.loader is None or not _is_readable(path):
            raise RecipeError(
                "plugin.not_python",
                f"plugin '{file}' is not a Python file\n  pass --plugin the path of a file that ends in .py",
            )
        module = importlib.util.module_from_spec(spec)
        sys.modules[module_name] = module
        try:
            with _naming(str(file), module_name):
                spec.loader.exec_module(module)
        except BaseException:
            sys.modules.pop(module_name, None)
            raise


def _is_readable(path: Path) -> bool:
    """Say whether a plugin is a plain file of a size that a program can have."""
    try:
        open_plain(path, MAX_PLUGIN_BYTES).close()
    except OSError:
        return False
    return True


@contextmanager
def _naming(plugin: str, module: str) -> Iterator[None]:
    """Import a plugin inside: its parts are noted as its own; RecipeError if it fails, also if it exits."""
    global _loading
    before, _loading = _loading, plugin
    _plugin_modules[module] = plugin
    try:
        yield
    except (Exception, SystemExit) as problem:
        if isinstance(problem, SystemExit) and is_signal(problem):
            raise
        raise RecipeError(
            "plugin.import_failed",
            f"plugin '{plugin}' fails to import: {type(problem).__name__}: {problem}\n  to see where: python {plugin}",
        ) from problem
    finally:
        _loading = before
