"""Rules for all source files. An allow-list may only shrink: an entry that is no longer needed fails too."""

import ast
import io
import pkgutil
import re
import subprocess
import sys
import tokenize
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

import gansmith

PACKAGE = Path(gansmith.__file__).parent
REPOSITORY = PACKAGE.parent.parent
FILES = sorted(PACKAGE.rglob("*.py"))
MODULES = sorted(
    module.name
    for module in pkgutil.walk_packages(gansmith.__path__, "gansmith.")
    if module.name != "gansmith.__main__"  # runs the command line
)
RUNNERS = r"compile|__import__|.*\.(exec_module|extract|extractall)"
FEATURES = {
    ("parts/extractors/base.py", "self.extract"),
    ("parts/extractors/fashion_stacked.py", "one.extract"),
}  # no archive
RUNTIME, PROCESSES = "core/runtime.py", "core/processes.py"
DEVICE_FILES = {
    "cli/options.py",  # the help of --device
    "inference/onnx_file.py",  # the devices of onnxruntime
    "parts/extractors/torch_fidelity.py",  # tells torch-fidelity to stay on the CPU
    "training/planning/machine.py",  # describes the machine
    "core/noise.py",  # seeds the generators inside networks
}


def path_of(file: Path) -> str:
    return file.relative_to(PACKAGE).as_posix()


@cache
def tree_of(file: Path) -> ast.Module:
    return ast.parse(file.read_text())


def calls(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            yield ast.unparse(node.func)


def runs_code(file: Path) -> Iterator[str]:
    """Yield calls that can run code from a file; ruff (S, TID251) bans pickle, eval, yaml.load and shells."""
    for node in ast.walk(tree_of(file)):
        if isinstance(node, ast.keyword) and node.arg == "allow_pickle" and ast.unparse(node.value) != "False":
            yield node.arg
        if isinstance(node, ast.Call) and re.fullmatch(RUNNERS, name := ast.unparse(node.func)):
            yield name


@pytest.mark.slow
def test_nothing_runs_code_that_it_reads():
    found = {(path_of(file), what) for file in FILES for what in runs_code(file)} - FEATURES
    assert found == {("core/registry.py", "spec.loader.exec_module")}  # loads the plugins that the user named


@pytest.mark.slow
def test_errors_of_users_are_not_asserts_or_exits():
    exits = {path_of(file) for file in FILES if {"sys.exit", "exit", "quit", "os._exit"} & set(calls(tree_of(file)))}
    assert exits <= {
        "__main__.py", "cli/app.py", "core/signals.py",  # exit codes; Ctrl-C during imports, a second one
        PROCESSES,  # a thread that misses another process
        "web/learn_worker.py",  # a child whose server is gone
    }  # fmt: skip


def code_of(file: Path) -> str:
    """Return the file without comments and docstrings."""
    text = file.read_text()
    tree = ast.parse(text)
    docstrings = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and ast.get_docstring(node):
            docstrings.add((node.body[0].lineno, node.body[0].col_offset))
    kept = []
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type != tokenize.COMMENT and token.start not in docstrings:
            kept.append(token.string)
    return " ".join(kept)


def knows(file: Path, word: re.Pattern[str]) -> bool:
    return bool(word.search(file.read_text()) and word.search(code_of(file)))


@pytest.mark.slow
def test_only_the_runtime_knows_devices_and_processes():
    device = re.compile(r"\b(cuda|mps|nccl|gloo)\b")
    assert device.search(code_of(PACKAGE / RUNTIME))
    assert {path_of(file) for file in FILES if knows(file, device)} - {RUNTIME} == DEVICE_FILES
    process = re.compile(r"torch *\. *distributed|\bdist *\.|WORLD_SIZE|LOCAL_RANK|\bRANK\b")
    assert {path_of(file) for file in FILES if knows(file, process)} == {RUNTIME, PROCESSES, "core/launched.py"}


def imports_without_reason(file: Path) -> Iterator[str]:
    """Yield imports of our own modules inside functions, unless a comment stands at the first of them or above it."""
    lines = file.read_text().splitlines()
    for function in ast.walk(tree_of(file)):
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
            own = {
                node.lineno for node in ast.walk(function)
                if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("gansmith")
            }  # fmt: skip
            firsts = sorted(line for line in own if line - 1 not in own)
            yield from (lines[at - 1].strip() for at in firsts if "#" not in lines[at - 1] + lines[at - 2])


def test_imports_inside_functions_say_why():
    assert {path_of(file): found for file in FILES if (found := [*imports_without_reason(file)])} == {}


@pytest.mark.slow
def test_import_contracts():
    pytest.importorskip("importlinter")
    command = Path(sys.executable).parent / "lint-imports"
    done = subprocess.run([command, "--no-cache"], cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_packages_stand_on_at_most_twelve_floors():
    contracts = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    (layers,) = (contract for contract in contracts if contract["type"] == "layers")
    assert layers["exhaustive"], "a module that no layer names could import anything"
    assert len(layers["layers"]) <= 12


def test_the_package_folder_has_at_most_eighteen_entries():
    assert len([each for each in PACKAGE.iterdir() if each.name != "__pycache__"]) <= 18


IMPORT_ALL = """
import importlib, sys

class Blocked:
    names = {"tensorboard", "torchvision", "torch_fidelity", "fastapi", "uvicorn", "scipy", "sklearn", "pandas", "cv2",
             "skimage", "datasets", "huggingface_hub", "imagehash", "onnx", "onnxruntime", "pytest", "jaxtyping",
             "beartype", "wandb", "trackio", "mlflow", "tifffile", "pydicom", "nibabel", "pillow_heif", "ray"}

    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in self.names:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Blocked())
for name in sys.argv[1:]:
    importlib.import_module(name)
"""


@pytest.mark.slow
def test_every_module_imports_with_the_base_dependencies():
    """All but the studio, which the command line imports when it is asked for and whose absence it explains."""
    modules = [name for name in MODULES if not name.startswith("gansmith.web.")]
    done = subprocess.run(
        [sys.executable, "-W", "error:::gansmith", "-c", IMPORT_ALL, *modules],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_importing_gansmith_does_not_import_torch():
    code = "import sys, gansmith; assert 'torch' not in sys.modules; assert 'numpy' not in sys.modules"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
