"""Ray: one run in several workers (Ray Train), and many runs at once (its tasks)."""

# gansmith has no scheduler of its own. Ray starts workers, joins them to a process group, notices dead ones and starts
# all again; then a run goes on from its last checkpoint, as it does after a restart by torchrun.

import os
import tempfile
import uuid
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from gansmith.core.errors import GansmithError, TrainingError, reason_of, why_not
from gansmith.core.processes import WAIT, leave
from gansmith.core.signals import Stopped

LOCAL = ("local", "ray")  # a Ray of this machine, started for this command
RESTARTS = 3  # of a worker group, or of one run of many

Found = TypeVar("Found")


def run_together(
    work: Callable[[], Found], on: str, workers: int, gpus_each: int = 0, restarts: int = RESTARTS
) -> Found:
    """Call a function in several workers of Ray that form one process group; return what the first one returns.

    A dead worker ends all of them, and they start again, up to ``restarts`` times. Raises the GansmithError of the
    first worker, TrainingError if workers die more often, and GansmithError without Ray or an answer of it.
    """
    ray = connected(on)
    _refuse_more_than_here(ray, on, workers, workers * gpus_each)
    train = ray.train
    resources = {"CPU": 1, **({"GPU": gpus_each} if gpus_each else {})}
    name = f"gansmith-{uuid.uuid4().hex[:12]}"
    with tempfile.TemporaryDirectory(prefix="gansmith-ray-") as notes:  # Ray's own; the run folder is ours
        trainer = train.torch.TorchTrainer(
            partial(_in_worker, work, name, os.getcwd()),
            scaling_config=train.ScalingConfig(
                num_workers=workers, use_gpu=gpus_each > 0, resources_per_worker=resources
            ),
            torch_config=train.torch.TorchConfig(timeout_s=int(WAIT.total_seconds())),
            run_config=train.RunConfig(
                name=name, storage_path=notes, failure_config=train.FailureConfig(max_failures=restarts)
            ),
        )
        try:
            found: Found | GansmithError = trainer.fit().return_value
        except train.TrainingFailedError as problem:
            again = f"--on {on} --workers {workers}{f' --gpus-per-worker {gpus_each}' if gpus_each else ''}"
            raise TrainingError(
                "training.workers_lost",
                f"Ray has lost the workers more than {restarts} times: {reason_of(problem)}"
                f"\n  see what they said; the last checkpoint is intact: gansmith resume RUN {again}",
            ) from problem
    if isinstance(found, GansmithError):
        raise found
    return found


def _in_worker(work: Callable[[], Found], name: str, folder: str) -> Found | GansmithError:
    """Call a function in a worker of Ray Train; ``name`` is the same after a restart."""
    os.environ["TORCHELASTIC_RUN_ID"] = name
    if Path(folder).is_dir():
        os.chdir(folder)
    try:
        return work()
    except GansmithError as problem:
        leave()  # so that no other worker waits for this one
        return problem


def run_each(
    work: Callable[[str], Found],
    names: Sequence[str],
    on: str,
    gpus_each: float = 0.0,
    *,
    on_end: Callable[[str, Found], None],
) -> None:
    """Call a function for each name in a worker of Ray, as many at once as there is room; a dead one starts again.

    ``on_end`` is called in this process as each one ends. Raises the first GansmithError of a worker.
    """
    ray = connected(on)
    _refuse_more_than_here(ray, on, 1, gpus_each)
    start = ray.remote(num_cpus=1, num_gpus=gpus_each, max_retries=RESTARTS)(_in_task)
    waiting = {start.remote(work, os.getcwd(), name): name for name in names}
    try:
        while waiting:
            (ended,), _ = ray.wait(list(waiting), num_returns=1)
            name = waiting.pop(ended)
            found = ray.get(ended)
            if isinstance(found, GansmithError):
                raise found
            on_end(name, found)
    except SystemError as problem:  # Ray's C code makes one of the exception of a signal's handler
        raise problem.__cause__ if isinstance(problem.__cause__, Stopped) else problem from None
    except ray.exceptions.WorkerCrashedError as problem:
        raise TrainingError(
            "training.workers_lost",
            f"Ray has lost a worker more than {RESTARTS} times: {reason_of(problem)}"
            "\n  see what it said; the same command continues",
        ) from problem
    finally:
        for task in waiting:
            ray.cancel(task, force=True)


def _in_task(work: Callable[[str], Found], folder: str, name: str) -> Found | GansmithError:
    """Call a function in a worker of Ray."""
    if Path(folder).is_dir():
        os.chdir(folder)
    try:
        return work(name)
    except GansmithError as problem:
        return problem


def _refuse_more_than_here(ray: Any, on: str, cpus: int, gpus: float) -> None:
    """Raise GansmithError for work that this machine has no room for, on which Ray would wait for ever."""
    if on not in LOCAL:  # a cluster may grow
        return
    here = ray.cluster_resources()
    for name, wanted in (("CPU", cpus), ("GPU", gpus)):
        if wanted > (found := here.get(name, 0)):
            raise GansmithError(
                "machine.too_small_for_workers",
                f"--on {on}: the workers need {wanted:g} {name}s together, and Ray finds {found:g} on this machine"
                "\n  pass fewer --workers or GPUs for each, or a cluster: --on ray://HOST:PORT",
            )


def connected(on: str) -> Any:
    """Return the module ray, connected, once; GansmithError if it is missing or nobody answers."""
    if on not in LOCAL and not on.startswith("ray://"):
        raise GansmithError(
            "machine.not_an_address", f"--on '{on}' is no address of Ray\n  allowed: local, or ray://HOST:PORT"
        )
    try:
        import ray
        import ray.train.torch  # here: an extra
    except ImportError as problem:
        raise GansmithError(
            "machine.ray_missing",
            f"--on needs the library {problem.name or 'ray'}{why_not(problem, problem.name or '')}"
            "\n  install it: pip install 'gansmith[ray]'",
        ) from problem
    if ray.is_initialized():
        return ray
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    try:
        if on in LOCAL:
            os.environ.setdefault("RAY_TRAIN_ENABLE_PREEMPTION_WATCHER", "0")  # nobody takes this machine away
            ray.init(address="local", include_dashboard=False, runtime_env={"env_vars": _variables()})
        else:
            ray.init(on, runtime_env={"env_vars": _variables()})
    except (ConnectionError, TimeoutError, RuntimeError, ImportError) as problem:
        raise GansmithError(
            "machine.no_answer",
            f"Ray does not answer at {on}: {reason_of(problem)}"
            "\n  start it: ray start --head; its port for ray:// is 10001",
        ) from problem
    return ray


def _variables() -> dict[str, str]:
    """Return the variables of this process that workers need: folders of gansmith, and the number of threads."""
    return {
        name: value for name, value in os.environ.items() if name.startswith("GANSMITH_") or name == "OMP_NUM_THREADS"
    }
