"""Export freshly initialised networks of every recipe: size, CPU ms an image, equal values.

python benchmarks/export.py [RECIPE OR RUN ...]  prints the table of docs/export.md; without names: every recipe.
"""

import math
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch

from gansmith.core.errors import ModelError
from gansmith.exporting.base import choose_format, generators_of
from gansmith.exporting.graph import graph_of
from gansmith.exporting.onnx import onnx_run
from gansmith.inference.load import load_model
from gansmith.inference.model import Model
from gansmith.inference.model_record import make_record
from gansmith.recipes.layer_table import example_spec
from gansmith.recipes.load import load_recipe, recipe_names

REPEATS = 7
HEAD = """\
| recipe | image | onnx | fp16 | torch-export | ms onnxruntime | ms torch | equal, worst | equal with fp16, worst |
|---|---|---|---|---|---|---|---|---|"""


def main(names: list[str]) -> None:
    torch.set_num_threads(1)
    print(HEAD)
    for name in names:
        model = load_model(name, "cpu") if Path(name).is_dir() else fresh(name)
        print(row(Path(name).name, model), flush=True)


def fresh(name: str) -> Model:
    """Return a model of a recipe that was never trained."""
    recipe = load_recipe(name)
    spec = example_spec(recipe)
    torch.manual_seed(0)
    networks = recipe.method.build(spec).networks
    tensors = {key: dict(network.state_dict()) for key, network in networks.items()}
    return Model(make_record(name, recipe.method, spec, 0, 0.0), tensors, "cpu")


def row(name: str, model: Model) -> str:
    network, cells = generators_of(model)[0], []
    sizes, facts = {}, {}
    with tempfile.TemporaryDirectory() as folder:
        for key, kind, ending, options in (
            ("onnx", "onnx", ".onnx", {}),
            ("fp16", "onnx", ".onnx", {"weights": "fp16"}),
            ("pt2", "torch-export", ".pt2", {}),
        ):
            target = Path(folder) / (key + ending)
            try:
                written = choose_format(kind, options).write(model, network, target, raw=False, run=None)
            except ModelError as problem:
                print(problem, file=sys.stderr)
                sizes[key], facts[key] = "refused", None
                continue
            sizes[key], facts[key] = megabytes(target), written.facts
        graph = graph_of(model, network, raw=False)
        inputs = tuple(each[:1] for each in graph.draw()[0])
        arrays = tuple(each.numpy() for each in inputs)
        run = onnx_run((Path(folder) / "onnx.onnx").read_bytes(), graph.inputs) if facts["onnx"] else None
        made = graph.module(*inputs)
        with torch.no_grad():
            times = [cpu_ms(lambda: run(arrays)) if run else float("nan"), cpu_ms(lambda: graph.module(*inputs))]
    cells = [name, " x ".join(map(str, made.shape[1:])), sizes["onnx"], sizes["fp16"], sizes["pt2"]]
    cells += [f"{each:.3g}" for each in times] + [share(facts["onnx"]), share(facts["fp16"])]
    return "| " + " | ".join(cells) + " |"


def megabytes(path: Path) -> str:
    return f"{path.stat().st_size / 1e6:.2f} MB"


def share(facts: dict | None) -> str:
    if facts is None:
        return "refused"
    return f"{math.floor(1e5 * facts['equal']) / 1e3:.3f} %, {facts['largest_difference']}"


def cpu_ms(work: Callable[[], object]) -> float:
    """Return the median processor time of a call."""
    work()
    times = []
    for _ in range(REPEATS):
        start = time.process_time()
        work()
        times.append(1e3 * (time.process_time() - start))
    return statistics.median(times)


if __name__ == "__main__":
    main(sys.argv[1:] or recipe_names())
