"""Two processes joined by gloo compute what one computes."""

import contextlib
import multiprocessing
import os
import re
import shutil
import signal
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pytest
import torch

from gansmith import api
from gansmith.cli.app import main
from gansmith.core import processes
from gansmith.core.errors import DiskFullError, GansmithError
from gansmith.core.runtime import Runtime, start_runtime
from gansmith.core.shared_work import shared_by
from gansmith.data import decoding, streaming
from gansmith.data.base import DataOptions
from gansmith.data.open import open_data
from gansmith.methods.unpaired import DISCRIMINATORS, GENERATORS
from gansmith.parts.losses.base import losses
from gansmith.parts.penalties.base import penalties
from gansmith.recipes.load import parse_recipe
from gansmith.runs.checkpoint import load_checkpoint
from gansmith.runs.folder import RunFolder
from gansmith.training import prepare
from killed_worker import let_one_die
from small_images import entries, write_photos, write_shards
from small_runs import (
    COLLAPSING,
    MONITORED,
    PAUSE_AT,
    RHYTHM,
    differing,
    domains_from,
    newest,
    quick_curves,
    quick_film,
    small,
    train,
    with_results,
)

HERE = Path(__file__).parents[1]
LIMIT_SEC = 1200  # of two processes; tests assert no times
CASES: dict[str, dict[str, Any]] = {
    **{f"loss {name}": {"loss": name} for name in losses.names()},
    **{f"penalty {name}": {"penalties": [name]} for name in penalties.names()},
    "share_fakes": {"share_fakes": True, "discriminator_steps": 2},
    "conditional": {"conditional": True, "fake_labels": "uniform", "augment": "mirror"},
    "classes": {
        "conditional": True,
        "discriminator": {"kind": "compact", "base_channels": 4, "norm": "none"},
        "class_weight": 0.5,
    },
    "ada": {"augment": {"kind": "ada", "probability": 0.8}, "penalties": ["r1", "gradient_penalty"]},
    "spectral_norm": {
        "generator": {"kind": "sngan_resnet", "base_channels": 4, "norm": "none"},
        "discriminator": {
            "kind": "sngan_resnet",
            "base_channels": 4,
            "blocks": 0,
            "norm": "none",
            "spectral_norm": True,
        },
        "loss": "hinge",
        "discriminator_steps": 2,
        "conditional": True,
    },
    "paired": {
        "kind": "paired",
        "generator": {"kind": "unet", "base_channels": 4, "norm": "instance"},
        "discriminator": {"kind": "patchgan", "base_channels": 4, "norm": "instance"},
        "task": "denoise",
        "loss": "relativistic",
        "penalties": ["r1", "r2"],
        "share_fakes": True,
        "discriminator_steps": 2,
        "augment": {"kind": "ada", "probability": 0.8},
    },
    "super_resolution": {
        "kind": "super_resolution",
        "generator": {"kind": "srresnet", "base_channels": 4, "blocks": 1},
        "discriminator": {"kind": "patchgan", "base_channels": 4, "norm": "none"},
        "scale": 2,
        "degradation": {"kind": "real_esrgan", "order": 2},
        "loss": "relativistic",
        "penalties": ["r1"],
        "feature_weight": 1,
        "share_fakes": True,
    },
    "unpaired": {
        "kind": "unpaired",
        "generator": {"kind": "cyclegan_resnet", "base_channels": 4, "blocks": 1},
        "discriminator": {"kind": "patchgan", "base_channels": 4, "norm": "instance"},
        "penalties": ["r1", "gradient_penalty"],
        "pool_size": 0,  # pools are each process's own
    },
    "unpaired_augmented": {
        "kind": "unpaired",
        "generator": {"kind": "cyclegan_resnet", "base_channels": 4, "blocks": 1},
        "discriminator": {"kind": "patchgan", "base_channels": 4, "norm": "instance"},
        "augment": "diffaugment",
        "cycle_weight": 0,  # see ``atol`` below
        "pool_size": 0,
    },
}
# BatchNorm equals one process's only with sync_batchnorm, which ``recipe_of`` sets.
SYNCHRONIZED: dict[str, dict[str, Any]] = {
    "batch norm": {
        "generator": {"kind": "mlp", "hidden": [8], "norm": "batch"},
        "discriminator": {"kind": "dcgan", "base_channels": 4, "norm": "batch"},
    },
    "class batch norm": {
        "generator": {"kind": "sngan_resnet", "base_channels": 4, "norm": "batch"},
        "penalties": ["r1", "gradient_penalty"],
        "conditional": True,
        "discriminator": {"kind": "compact", "base_channels": 4, "norm": "none"},
        "share_fakes": True,
    },
}
ALL = {**CASES, **SYNCHRONIZED}
TOY = """
name: toy
method:
  kind: pooled_two_discriminators
  generator: {kind: dcgan, base_channels: 4}
  discriminator: {kind: mlp, hidden: [8]}
optimizers: {default: {kind: adam, lr: 2.0e-3}}
batch_size: 8
epochs: 1
"""
# How a model is used by both processes together.
USES = {
    "sample": ["-n", 200],
    "features": [],
    "evaluate": ["-n", 300, "--features", "untrained", "--on-training", "--json"],
}
OUT = {"sample": "images", "features": "features.npz", "evaluate": "result"}
ADAPTING = "augment={kind: ada, adapt_kimg: 0.2, interval: 2, target: 0.1}"  # p by 0.08 at a time
PROPOSED = ("base_channels=4", "latent_dim=4", "batch_size=8", "fixed_images=4", "monitor.snapshot_kimg=0")
SHARDED = {"kept": (), "streamed": ("stream=1M",)}  # how a run reads the shards


def recipe_of(fields: dict[str, Any]) -> Any:
    from gansmith.recipes.recipe import Recipe

    network = {"kind": "dcgan", "base_channels": 4, "norm": "none"}
    latent = {"kind": "latent", "generator": network, "discriminator": network, "latent_dim": 4}
    method = fields if "kind" in fields else {**latent, **fields}
    optimizers = {"default": {"kind": "adam", "lr": 2e-3}}
    return Recipe.model_validate(
        {
            "name": "test",
            "method": method,
            "optimizers": optimizers,
            "batch_size": 8,
            "epochs": 1,
            "sync_batchnorm": True,
        }
    )


def gradients(fields: dict[str, Any], source: Path, runtime: Runtime) -> dict[str, torch.Tensor]:
    """Return the averaged gradients of every phase of the second iteration, and the weights and images after it."""
    from gansmith.data.base import DataOptions
    from gansmith.data.batches import BatchStream
    from gansmith.data.open import open_data
    from gansmith.training.state import RunState
    from gansmith.training.step import train_step

    recipe = recipe_of(fields)
    domains = len(recipe.method.domains)
    data = open_data(domains_from(source) if domains else source, DataOptions(mirror=True))
    state = RunState.fresh(recipe, data.spec, 1, runtime)
    stream = BatchStream(data, 8, 5, runtime, mirror=True, domains=domains or 1)
    moment = state.moment(1.0)
    train_step(state, stream, runtime, moment)
    out: dict[str, torch.Tensor] = {}
    for phase in state.method.phases:
        for name, each in state.trainable.items():
            for parameter in each:
                parameter.requires_grad_(name in phase.trains)
        batch = stream.read(3)
        parameters = [parameter for name in phase.trains for parameter in state.trainable[name]]
        for parameter in parameters:
            parameter.grad = None
        total = state.method.loss(phase, batch, state.noise(phase, phase.repeats - 1, runtime), moment).total
        with runtime.averaging_gradients(parameters):
            total.backward()
        for name in phase.trains:
            for key, parameter in state.method.networks[name].named_parameters():
                out[f"{name}.{key}"] = parameter.grad.contiguous().clone()
    out["images"] = torch.cat(runtime.gather(stream.read(2).images.contiguous())).contiguous()
    return out


def in_two_processes(work: Callable[..., None], *words: Path, errors: Path, restarts: int = 0) -> None:
    """Do work as torchrun does, with all its processes forks of this one: new ones would import torch anew."""
    import torch._dynamo  # noqa: F401  # which training imports: once for all forks

    launcher = multiprocessing.get_context("fork").Process(target=launch, args=(work, words, errors, restarts))
    launcher.start()
    launcher.join(LIMIT_SEC)
    launcher.kill()
    assert launcher.exitcode == 0, errors.read_text()[-6000:]


def launch(work: Callable[..., None], words: tuple[Path, ...], errors: Path, restarts: int) -> None:
    """Be torchrun; it and its processes write to a file instead of stderr."""
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch  # here: it takes half a second

    config = LaunchConfig(
        min_nodes=1, max_nodes=1, nproc_per_node=2, run_id="both", rdzv_backend="c10d", rdzv_endpoint="localhost:0",
        max_restarts=restarts, start_method="fork",
    )  # fmt: skip
    sys.stderr = errors.open("w", buffering=1)
    os.dup2(sys.stderr.fileno(), 2)
    warnings.showwarning = lambda *said: sys.stderr.write(warnings.formatwarning(*said[:4]))  # pytest keeps them
    warnings.resetwarnings()
    for category in (DeprecationWarning, ResourceWarning):  # as outside of tests
        warnings.simplefilter("ignore", category)
    elastic_launch(config, work)(*words)


def work(source: Path, shards: Path, out: Path) -> None:
    """Do on each of two processes the work of all tests, because starting a pair takes longer than the work."""
    decode_together(out)
    with mock.patch.object(api, "write_results"):
        write_numbers(source, out)
        write_buckets(out, int(os.environ["RANK"]))
        train_pools(source, out / "pools")
        stop_in_many_ways(source, out / "stopped")
        for name in SHARDED:
            train_from_shards(name, shards, out / name)
    with with_results(quick_film, quick_curves):
        train_by_command(source, out / "command")
    assert torch.distributed.get_world_size() == 2
    torch.distributed.barrier()
    torch.distributed.destroy_process_group()


def decode_together(out: Path) -> None:
    """Decode photos, one of which is damaged, into two new caches, of which one process sees only the first."""
    runtime, decode, counts = start_runtime("cpu", "fp32"), decoding.EntryPlan.decode, []

    def counted(self: decoding.EntryPlan, *job: Any) -> Any:
        counts.append(job)
        return decode(self, *job)

    for name, apart in (("shared", ""), ("apart", str(runtime.rank))):
        counts.clear()
        sees = (lambda *_: [0]) if apart else decoding._who_sees
        with (
            mock.patch.dict(os.environ, GANSMITH_CACHE=str(out / f"cache-{name}{apart}")),
            mock.patch.object(decoding.EntryPlan, "decode", counted),
            mock.patch.object(decoding, "_who_sees", sees),
            shared_by(runtime),
        ):
            data = open_data(out / "photos", DataOptions(size=16))
        (out / f"decoded-{name}-{runtime.rank}.txt").write_text(f"{len(counts)} {data.spec.pixels_sha256}")


def write_numbers(source: Path, out: Path) -> None:
    """Write, on each of two processes, the gradients of every case; train mlp-small."""
    from safetensors.torch import save_file

    runtime = start_runtime("cpu", "fp32")
    for number, (name, fields) in enumerate(ALL.items()):
        tensors = gradients(fields, source, runtime)
        save_file(tensors, out / f"{number}-{runtime.rank}.safetensors", {"case": name})
    try:
        runtime.slice_of(9)
    except GansmithError as problem:
        (out / f"slice-{runtime.rank}.txt").write_text(str(problem))
    train(source, out / "mlp", "mlp-small", "fixed_images=4", steps=10, loggers=["tensorboard"])
    train(source, out / "dcgan", "dcgan", "fixed_images=4", steps=4)
    train(source, out / "adapting", "mlp-small", "fixed_images=4", ADAPTING, steps=10)
    prepare.STEADY_SEC = 0.01
    api.train(source, overrides=PROPOSED, out=out / "auto", minutes=0.001, device="cpu", precision="fp32")
    train(source, out / "watched", "mlp-small", *MONITORED, *COLLAPSING, "monitor.patience=1", steps=60)


def bucketed(rank: int, bucket_bytes: int, dtype: torch.dtype | None = None) -> tuple[dict[str, torch.Tensor], int]:
    """Return the averaged gradients of a network one of whose layers has none on a process, and how many were sent."""
    torch.manual_seed(0)
    layers = [torch.nn.Linear(20, 20) for _ in range(6)]
    network, extra = torch.nn.Sequential(*layers), torch.nn.Linear(20, 20)
    torch.manual_seed(rank)
    out = network(torch.randn(8, 20)).square().mean()
    parameters = [*extra.parameters(), *network.parameters()]
    with (
        mock.patch.object(processes, "BUCKET_BYTES", bucket_bytes),
        mock.patch.object(processes, "MOST_BUCKETS", 10**9),
        mock.patch.object(torch.distributed, "all_reduce", wraps=torch.distributed.all_reduce) as sent,
        processes.averaging_gradients(parameters, dtype),
    ):
        (out if rank else out + extra(torch.ones(20)).sum()).backward()
        during = sent.call_count
    return {str(number): each.grad for number, each in enumerate(parameters)}, during


def write_buckets(out: Path, rank: int) -> None:
    """Write the averaged gradients of one bucket, of many, and of many sent in bf16."""
    from safetensors.torch import save_file

    for name, size, dtype in (("one", 2**30, None), ("many", 1000, None), ("bf16", 1000, torch.bfloat16)):
        tensors, during = bucketed(rank, size, dtype)
        save_file(tensors, out / f"bucket-{name}-{rank}.safetensors", {"during": str(during)})


def train_pools(source: Path, out: Path) -> None:
    """Train the toy with state and pools, on each of two processes, with and without a pause."""
    runtime = start_runtime("cpu")
    recipe, plugin = out / f"toy-{runtime.rank}.yaml", out / "pooled.py"
    recipe.write_text(TOY)
    if runtime.is_main:
        # Names of its own: the process that continues the run may know the toys by the name of their module.
        plugin.write_text((HERE / "toy_methods.py").read_text().replace('register("toy_', 'register("pooled_'))
    runtime.barrier()
    for place, stop_at in (("whole", None), ("run", 7)):
        train(source, out / place, str(recipe), overrides=RHYTHM, plugins=[plugin], stop_at=stop_at)
    api.resume(out / "run")


def stop_in_many_ways(source: Path, out: Path) -> None:
    """Train on a disk that is full for the main process, and ask the other process alone to stop."""
    from gansmith.core.runtime import start_runtime
    from gansmith.training import trainer as training

    runtime, save = start_runtime("cpu"), training.save_checkpoint

    def full(folder: Path, tensors: dict[str, torch.Tensor], values: dict[str, Any]) -> Path:
        if values["iteration"] >= 6:
            raise DiskFullError("disk.full", f"no room at {folder.name}")
        return save(folder, tensors, values)

    said = []
    with mock.patch.object(training, "save_checkpoint", full):
        for place, words, stop_at in (("full", ["checkpoints=12"], None), ("stop", [], PAUSE_AT)):
            try:
                train(source, out / place, "mlp-small", *words, stop_at=stop_at)
            except DiskFullError as problem:
                said.append(str(problem))
    run = train(source, out / "run", "mlp-small", stop_at=None if runtime.is_main else PAUSE_AT)
    said.append(f"finished {run.finished}, stopped by {run.stopped_by}")
    (out / f"said-{runtime.rank}.txt").write_text("\n".join(said))


def train_from_shards(name: str, shards: Path, out: Path) -> None:
    """Train from eight shards, of whose images 27 are shuffled at a time where they are streamed."""
    with mock.patch.object(streaming, "WINDOWS", 600):
        train(shards, out, "mlp-small", "fixed_images=4", *SHARDED[name], steps=24)


def be_killed(shards: Path, out: Path) -> None:
    """Train as ``train_from_shards`` does, each time until process 1 is killed; this is run again after each kill."""
    runtime = start_runtime("cpu", "fp32")
    for name in SHARDED:
        done = out / f"{name}.done"
        if not done.exists():
            let_one_die(17, out / f"{name}.mark")
            train_from_shards(name, shards, out / name)
            runtime.barrier()
            done.touch()
            runtime.barrier()


def train_by_command(source: Path, out: Path) -> None:
    """Train from the command line, and use the model, on each of two processes; write what each of them prints."""
    words = small("mlp-small", "log_rows=2", "previews=1", "checkpoints=1")
    command(out, "train", source, "--recipe", "mlp-small", "--out", out / "run", "--steps", 4, "--json", *words)
    for verb, words in USES.items():
        data = [] if verb == "sample" else [source]
        command(out / verb, verb, out / "run", *data, *words, "--out", out / verb / OUT[verb])


def command(out: Path, *words: object) -> None:
    """Run a command in this process, and write what it prints."""
    out.mkdir(exist_ok=True)
    with (
        open(out / f"stdout-{os.environ['RANK']}.txt", "w") as stdout,
        open(out / f"stderr-{os.environ['RANK']}.txt", "w") as stderr,
        contextlib.redirect_stdout(stdout),
        contextlib.redirect_stderr(stderr),
        mock.patch.object(sys, "argv", ["gansmith", *map(str, words)]),
    ):
        try:
            main()
        except SystemExit as ended:
            if ended.code:
                raise


@pytest.fixture(scope="module")
def shards(tmp_path_factory) -> Path:
    pixels = np.random.default_rng(0).integers(0, 256, (96, 8, 8), np.uint8)
    return write_shards(tmp_path_factory.mktemp("shards") / "set", pixels, 8)


@pytest.fixture(scope="module")
def both(tiny_file, shards, tmp_path_factory, session_cache) -> Path:
    """Return the folder that two processes have filled."""
    out = tmp_path_factory.mktemp("both")
    for folder in ("pools", "stopped", "command"):
        (out / folder).mkdir()
    damage(write_photos(out / "photos"))
    with mock.patch.dict(os.environ, GANSMITH_CACHE=str(session_cache)):
        in_two_processes(work, tiny_file, shards, out, errors=out / "stderr.txt")
    return out


@pytest.fixture(autouse=True)
def _no_results(monkeypatch):
    """Leave out film, curves and report of the runs to compare with."""
    monkeypatch.setattr(api, "write_results", lambda *_: None)


def of_two(both: Path, name: str, rank: int) -> dict[str, torch.Tensor]:
    from safetensors.torch import load_file

    return load_file(both / f"{list(ALL).index(name)}-{rank}.safetensors")


@pytest.mark.slow
def test_gradients_are_sent_in_buckets_during_the_backward_to_the_same_bits(both):
    from safetensors import safe_open
    from safetensors.torch import load_file

    found = {name: load_file(both / f"bucket-{name}-0.safetensors") for name in ("one", "many", "bf16")}
    for name, tensors in found.items():
        assert differing(tensors, load_file(both / f"bucket-{name}-1.safetensors")) == []
    assert differing(found["one"], found["many"]) == []
    assert float(found["one"]["0"].min()) == 0.5, "a gradient that one process lacks counts as zeros there"
    with safe_open(both / "bucket-many-1.safetensors", "pt") as file:
        assert int(file.metadata()["during"]) >= 4, "buckets are sent before the backward ends"
    for one, rounded in zip(found["one"].values(), found["bf16"].values(), strict=True):
        assert 0 <= float((one - rounded).abs().max()) <= float(one.abs().max()) / 64
    assert differing(found["one"], found["bf16"]) != []


@pytest.mark.slow
@pytest.mark.parametrize("name", ALL)
def test_averaged_gradients_and_images_of_two_processes_are_those_of_one(name, both, tiny_file, runtime):
    one, two = gradients(ALL[name], tiny_file, runtime), of_two(both, name, 0)
    assert differing(two, of_two(both, name, 1)) == []
    assert torch.equal(two["images"], one["images"])
    assert one.keys() == two.keys()
    pair = {"generator", "discriminator"} if not name.startswith("unpaired") else {*GENERATORS, *DISCRIMINATORS}
    assert {key.split(".")[0] for key in one} == {*pair, "images"}
    jumps = {"unpaired": 1e-4, "super_resolution": 1e-5}  # L1's gradient jumps at 0: rounding takes pixels across
    atol = jumps.get(name, 1e-6)
    for key in one:
        torch.testing.assert_close(two[key], one[key], rtol=1e-4, atol=atol, msg=lambda text, key=key: f"{key}: {text}")
    moved = [key for key in one if one[key].abs().max() > 1e-5]
    still = 3 if name in SYNCHRONIZED else 1  # biases before a norm
    assert len(moved) >= len(one) - still  # the last bias of a relativistic critic has no gradient but rounding


def damage(photos: Path) -> None:
    """Cut a photo of the second half in its pixels, which only decoding notices."""
    file = photos / "30.png"
    file.write_bytes(file.read_bytes()[:-200])


@pytest.mark.slow
def test_two_processes_share_the_decoding_to_the_same_cache(both, cache_folder):
    one = open_data(both / "photos", DataOptions(size=16))
    assert len(one.summary.quarantine) == 1
    told = [(both / f"decoded-shared-{rank}.txt").read_text().split() for rank in range(2)]
    assert told == [["19", one.spec.pixels_sha256], ["20", one.spec.pixels_sha256]]
    told = [(both / f"decoded-apart-{rank}.txt").read_text().split() for rank in range(2)]
    assert told == [["39", one.spec.pixels_sha256]] * 2
    (mine,) = entries(cache_folder)
    (theirs,) = entries(both / "cache-shared")
    assert {path.name for path in mine.iterdir()} == {path.name for path in theirs.iterdir()}
    for path in mine.iterdir():
        assert path.name == "checked.json" or path.read_bytes() == (theirs / path.name).read_bytes()


@pytest.mark.slow
@pytest.mark.parametrize("verb", USES)
def test_two_processes_use_a_model_to_the_results_of_one(verb, both, tiny_file, tmp_path):
    place, run = both / "command" / verb, both / "command" / "run"
    data = [] if verb == "sample" else [tiny_file]
    with mock.patch.dict(os.environ, RANK="0"):
        command(tmp_path / verb, verb, run, *data, *USES[verb], "--out", tmp_path / verb / OUT[verb])
    printed = [(place / f"stdout-{rank}.txt").read_bytes() for rank in range(2)]
    alone = (tmp_path / verb / "stdout-0.txt").read_bytes()
    assert untimed(printed[0].replace(bytes(place), b"")) == untimed(alone.replace(bytes(tmp_path / verb), b""))
    assert printed[1] == b""
    whole = tmp_path / verb / OUT[verb]
    files = [path for path in whole.rglob("*") if path.is_file()] if whole.is_dir() else [whole]
    assert len(files) == {"sample": 200, "features": 1}.get(verb, len(files))
    for path in files:
        assert untimed((place / path.relative_to(tmp_path / verb)).read_bytes()) == untimed(path.read_bytes()), (
            path.name
        )


def untimed(content: bytes) -> bytes:
    return re.sub(rb'"seconds": [\d.]+', b"", content)


@pytest.mark.slow
def test_a_batch_that_does_not_divide_is_an_error(both):
    text = "batch_size 9 is not divisible by 2 processes\n  use 1 process, or a multiple, for example batch_size=10"
    assert [(both / f"slice-{rank}.txt").read_text() for rank in range(2)] == [text, text]


def test_a_slice_is_a_part_of_the_global_batch(refused):
    four = [Runtime(torch.device("cpu"), rank, 4).slice_of(12) for rank in range(4)]
    assert four == [(0, 3), (3, 3), (6, 3), (9, 3)]
    with refused("recipe.batch_size_of_processes"):
        Runtime(torch.device("cpu"), 1, 4).slice_of(10)


@pytest.mark.slow
def test_a_refused_number_of_processes_changes_nothing_in_a_run(tiny_file, tmp_path, monkeypatch, refused):
    run = train(tiny_file, tmp_path / "run", "mlp-small", stop_at=PAUSE_AT).folder
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    monkeypatch.setattr(api, "start_runtime", lambda *_, **__: Runtime(torch.device("cpu"), 0, 3))
    monkeypatch.setattr(api, "refuse_other_options", lambda *_: None)  # it asks the others, who are not there
    with refused("recipe.batch_size_of_processes"):
        api.resume(run)
    assert {path: path.read_bytes() for path in run.rglob("*") if path.is_file()} == before


@pytest.mark.slow
def test_two_processes_train_mlp_small_to_the_weights_of_one(both, tiny_file, tmp_path):
    train(tiny_file, tmp_path / "one", "mlp-small", "fixed_images=4", steps=10)
    one, two = newest(tmp_path / "one").tensors, newest(both / "mlp").tensors
    assert one.keys() == two.keys()
    for key in one:
        torch.testing.assert_close(two[key], one[key], rtol=1e-4, atol=1e-5, msg=lambda text, key=key: f"{key}: {text}")
    assert RunFolder(both / "mlp").record.numerics.processes == 2
    first = load_checkpoint(both / "mlp/checkpoints/000000005").tensors
    assert any(not torch.equal(first[key], two[key]) for key in two if key.startswith("networks/"))
    rows = [api.Run(folder, True).log for folder in (tmp_path / "one", both / "mlp")]
    assert [row["iteration"] for row in rows[0]] == [row["iteration"] for row in rows[1]] == [3, 6, 9, 10]
    for left, right in zip(*rows, strict=True):
        assert left.keys() == right.keys()
        assert all(left[key] == pytest.approx(right[key], rel=1e-4, abs=1e-5) for key in left)


@pytest.mark.slow
def test_only_the_main_process_sends_to_loggers(both):
    assert len([*(both / "mlp" / "tensorboard").iterdir()]) == 1


@pytest.mark.slow
def test_two_processes_adapt_as_one(both, tiny_file, tmp_path):
    train(tiny_file, tmp_path / "one", "mlp-small", "fixed_images=4", ADAPTING, steps=10)
    rows = [[row["augment_p"] for row in api.Run(folder, True).log] for folder in (tmp_path / "one", both / "adapting")]
    assert rows[0] == pytest.approx(rows[1])
    assert len(set(rows[0])) > 2
    one, two = (
        {n: t for n, t in newest(f).tensors.items() if n.startswith("state/")}
        for f in (tmp_path / "one", both / "adapting")
    )
    assert len(one) == 4
    assert torch.equal(one["state/augment_p"], two["state/augment_p"])
    for name in ("signs", "logits"):  # means over the processes
        assert torch.equal(one[f"state/augment_{name}"], 2 * two[f"state/augment_{name}"])


@pytest.mark.slow
def test_two_processes_end_together_when_a_snapshot_of_the_main_process_says_so(both, tiny_file, tmp_path):
    """Only the main process evaluates snapshots; if the other went on alone, both would wait for ever."""
    one = train(
        tiny_file, tmp_path / "one", "mlp-small", *MONITORED, *COLLAPSING, "monitor.patience=1", steps=60
    ).folder
    assert all(10 < newest(folder).values["iteration"] < 60 for folder in (one, both / "watched"))
    left, right = (RunFolder(folder).read_snapshots()[0] for folder in (one, both / "watched"))
    assert left["iteration"] == right["iteration"]  # later ones drift apart: a collapse makes much of rounding
    assert left["fd100_untrained_train"] == pytest.approx(right["fd100_untrained_train"], rel=1e-2)


@pytest.mark.slow
def test_two_processes_train_the_recipe_that_auto_plans(both):
    """Each measures a speed of its own: recipes that differ would leave them waiting for each other."""
    recipe = parse_recipe((both / "auto" / "recipe.yaml").read_text(), where="x")
    assert (recipe.name, recipe.batch_size) == ("auto", 8)
    assert newest(both / "auto").values["kimg"] == recipe.kimg


@pytest.mark.slow
def test_two_processes_train_dcgan_whose_shared_fakes_keep_their_graph_over_a_phase(both, tiny_file, tmp_path):
    train(tiny_file, tmp_path / "one", "dcgan", "fixed_images=4", steps=4)
    one, two = newest(tmp_path / "one").tensors, newest(both / "dcgan").tensors
    assert one.keys() == two.keys()
    name = "networks/generator.layers.0.running_mean"  # of halves of a batch: near to those of the whole
    torch.testing.assert_close(two[name], one[name], rtol=0.1, atol=0.05)


@pytest.mark.slow
def test_state_and_pools_of_two_processes_survive_a_pause(both):
    pools = both / "pools"
    whole, run = newest(pools / "whole"), newest(pools / "run")
    assert {name for name in whole.tensors if name.startswith("pools/")} == {
        f"pools/{rank}/{name}" for rank in range(2) for name in ("images", "filled")
    }
    assert not torch.equal(whole.tensors["pools/0/images"], whole.tensors["pools/1/images"])
    assert whole.values["iteration"] == run.values["iteration"] == 12
    assert [row["iteration"] for row in api.Run(pools / "run", True).log] == [4, 8, 12]
    assert differing(whole.tensors, run.tensors) == []
    assert (pools / "run/timing.jsonl").read_text().count('"started"') == 2
    assert api.Run(pools / "run", True).log == api.Run(pools / "whole", True).log


@pytest.mark.slow
def test_a_full_disk_and_a_signal_to_one_process_stop_both(both):
    stopped = both / "stopped"
    wanted = "no room at 000000008\nno room at 000000009\nfinished False, stopped by 15"
    main, other = ((stopped / f"said-{rank}.txt").read_text() for rank in range(2))
    assert other == wanted.replace("by 15", "by 2")
    assert main == wanted
    assert newest(stopped / "full").values["iteration"] == 5
    assert newest(stopped / "run").values["iteration"] == PAUSE_AT


@pytest.mark.slow
def test_one_process_continues_a_run_of_two_with_the_same_data_and_noise(both, tmp_path):
    for name, kept in (("mlp", 5), ("pools/run", 6)):
        folder = Path(shutil.copytree(both / name, tmp_path / name))
        shutil.rmtree(folder / f"checkpoints/{newest(folder).values['iteration']:09d}")
        assert newest(folder).values["iteration"] <= kept + 3
        assert api.resume(folder).finished
        assert RunFolder(folder).record.changes[0].changes == ("processes: 2 -> 1",)
        assert any("processes: 2 -> 1" in row.get("message", "") for row in api.Run(folder, True).events)
    one, two = newest(tmp_path / "mlp").tensors, newest(both / "mlp").tensors
    for key in one:
        torch.testing.assert_close(two[key], one[key], rtol=1e-4, atol=1e-5, msg=lambda text, key=key: f"{key}: {text}")


@pytest.mark.slow
def test_training_from_eight_shards_continues_after_a_kill_to_the_same_weights(both, shards, tmp_path):
    in_two_processes(be_killed, shards, tmp_path, errors=tmp_path / "stderr.txt", restarts=2)
    for name in SHARDED:
        assert (tmp_path / f"{name}.mark").exists()
        assert (tmp_path / name / "timing.jsonl").read_text().count('"started"') == 2
        assert differing(newest(tmp_path / name).tensors, newest(both / name).tensors) == []
    ends = [newest(both / name).tensors for name in SHARDED]
    assert differing(*ends) != [], "the order of streamed images is another one"


@pytest.mark.slow
def test_train_in_two_processes_ends_with_the_code_of_a_mistake(tmp_path, fork):
    started = fork("train", tmp_path / "nothing", "--processes", "2", "--recipe", "mlp-small")
    text = started.communicate()[1]
    assert started.returncode == 2
    assert "Traceback" not in text
    assert text.count("is neither a data set nor a path") == 1, "each process says it"


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="workers are found in /proc")
@pytest.mark.parametrize("ends", ["a signal to the command", "a killed worker"])
def test_train_in_two_processes_is_ended(ends, tiny_file, tmp_path, fork):
    words = [*small("mlp-small", "checkpoints=1000"), "--steps", "50000", "--processes", "2"]
    started = fork("train", tiny_file, "--recipe", "mlp-small", "--device", "cpu", "--out", tmp_path / "run", *words)
    try:
        end = time.monotonic() + 120
        while not list((tmp_path / "run/checkpoints").glob("0*/manifest.json")) and time.monotonic() < end:
            time.sleep(0.2)
        if ends == "a killed worker":
            os.kill(worker_of(started.pid), signal.SIGKILL)
        else:
            started.send_signal(signal.SIGUSR1)
        code = started.wait(timeout=60)
    finally:
        if started.poll() is None:
            started.send_signal(signal.SIGKILL)
    text = started.communicate()[1]
    if ends == "a killed worker":
        assert code == 128 + signal.SIGKILL
        assert "process 1 of 2 was ended by SIGKILL" in text
        assert "gansmith resume RUN --processes 2" in text
    else:
        assert code == 3, text
        assert "SIGUSR1: saved at" in text
        assert f"continue with: gansmith resume {tmp_path / 'run'} --processes 2" in text
    assert "Traceback" not in text


def worker_of(parent: int) -> int:
    """Return the second process that a command has started."""
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            mine = f"PPid:\t{parent}\n" in (folder / "status").read_text()
            if mine and b"\0RANK=1\0" in (folder / "environ").read_bytes():
                return int(folder.name)
    raise AssertionError("no worker was found")


@pytest.mark.slow
def test_nothing_is_warned_about(both):
    """But that one of the runs, which start together, may have to wait for the images."""
    lines = (both / "stderr.txt").read_text().splitlines()
    assert [line for line in lines if "Warning" in line and "another run reads the same images" not in line] == []


@pytest.mark.slow
def test_torchrun_trains_and_only_the_main_process_writes(both):
    folder = both / "command" / "run"
    assert newest(folder).values["iteration"] == 4
    assert len(RunFolder(folder).log.read_text().splitlines()) == 2
    for stream, text in (("stdout", '"finished": true'), ("stderr", "run folder:")):
        printed = [(both / "command" / f"{stream}-{rank}.txt").read_text() for rank in range(2)]
        assert [each.count(text) for each in printed] == [1, 0]
    assert (folder / "report.html").is_file()
