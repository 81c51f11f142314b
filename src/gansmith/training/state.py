"""The state of a run during training, in memory and as the tensors of a checkpoint."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from gansmith.core.errors import CheckpointError, RecipeError, unknown_name
from gansmith.core.noise import Noise
from gansmith.core.processes import synchronize_batch_norms_
from gansmith.core.randomness import derive_seed
from gansmith.core.runtime import Runtime
from gansmith.core.schedules import Moment
from gansmith.data.base import DataSpec
from gansmith.methods.base import Method, Phase
from gansmith.parts.optimizers.base import OptimizerPart
from gansmith.recipes.recipe import Recipe
from gansmith.training.ema import Ema


class Meter:
    """Means of the logged numbers since the last row; they stay on the device, since reading them synchronises."""

    def __init__(self) -> None:
        self.cells: dict[str, Tensor] = {}  # "name,name,...": (names + 1,), one sum for each name, then the count

    def add(self, values: dict[str, Tensor]) -> None:
        """Add one value for each name: 0-d tensors on one device."""
        key = ",".join(values)
        one = torch.ones((), device=next(iter(values.values())).device)
        row = torch.stack([*(value.detach().float() for value in values.values()), one])
        self.cells[key] = self.cells[key] + row if key in self.cells else row

    def take(self, runtime: Runtime) -> dict[str, float]:
        """Return the means over the processes, and clear the meter."""
        cells = [self.cells[key] for key in sorted(self.cells)]  # sorted: a resumed meter has another order
        runtime.average_(cells)
        totals: dict[str, tuple[float, float]] = {}
        for key, row in zip(sorted(self.cells), cells, strict=True):
            *sums, count = row.tolist()
            for name, value in zip(key.split(","), sums, strict=True):
                before = totals.get(name, (0.0, 0.0))
                totals[name] = (before[0] + value, before[1] + count)
        self.cells = {}
        return {name: total / count for name, (total, count) in totals.items()}


@dataclass
class RunState:
    """A method with its networks, optimizers and averaged weights, and the position in the run."""

    recipe: Recipe
    method: Method
    trainable: dict[str, list[nn.Parameter]]  # by network, without the parameters that the method froze
    optimizers: dict[str, Optimizer]
    averages: dict[str, Ema]
    meter: Meter
    bad_steps: Tensor  # (2,): non-finite iterations in a row, and their maximum since the last row
    seed: int
    iteration: int = 0
    salt: int = 0  # each rollback raises it, so training continues with new random numbers
    halvings: int = 0  # how often rollbacks after mode collapse halved all learning rates

    @classmethod
    def fresh(cls, recipe: Recipe, data: DataSpec, seed: int, runtime: Runtime) -> "RunState":
        """Return the state before the first iteration, with weights drawn from the seed.

        Raises RecipeError if the recipe has an optimizer for an unknown network.
        """
        with torch.random.fork_rng([]):
            torch.manual_seed(derive_seed("weights", seed))
            method = recipe.method.build(data)
        # With channels_last, convolutions are faster on CPUs and GPUs; linear layers do not change.
        method.networks.to(runtime.device).to(memory_format=torch.channels_last)
        method.networks.train()
        method.state.update({name: tensor.to(runtime.device) for name, tensor in method.state.items()})
        method.pools.update({name: tensor.to(runtime.device) for name, tensor in method.pools.items()})
        for name in recipe.optimizers:
            if name not in ("default", *method.networks):
                raise RecipeError(
                    "recipe.unknown_optimizer_network",
                    unknown_name("network in optimizers", name, ["default", *method.networks]),
                )
        trainable = {n: [p for p in net.parameters() if p.requires_grad] for n, net in method.networks.items()}
        runtime.broadcast_([tensor.detach() for tensor in method.networks.state_dict(keep_vars=True).values()])
        averages = {name: Ema(method.networks[name]) for name in method.averaged}
        if recipe.sync_batchnorm and runtime.world_size > 1:
            synchronize_batch_norms_(method.networks)
        runtime.compile_(method.networks.values())
        return cls(
            recipe=recipe,
            method=method,
            trainable=trainable,
            optimizers={name: recipe.optimizer_for(name).build(each) for name, each in trainable.items()},
            averages=averages,
            meter=Meter(),
            bad_steps=torch.zeros(2, device=runtime.device),
            seed=seed,
        )

    @property
    def images_per_iteration(self) -> int:
        """Return how many real images one iteration shows to the discriminator."""
        return self.recipe.images_per_iteration

    @property
    def draws_per_iteration(self) -> int:
        """Return how many global batches one iteration reads."""
        return self.recipe.batches_per_iteration

    @property
    def kimg(self) -> float:
        """Return the real images shown so far, in thousands."""
        return self.iteration * self.images_per_iteration / 1000

    def moment(self, schedule_kimg: float) -> Moment:
        """Return the position of the run on a schedule of ``schedule_kimg``."""
        return Moment(self.iteration, self.kimg, min(self.kimg / schedule_kimg, 1.0))

    def noise(self, phase: Phase, repeat: int, runtime: Runtime) -> Noise:
        """Return the random numbers for one repeat of a phase in this iteration."""
        first, count = runtime.slice_of(self.recipe.batch_size)
        at = (self.seed, self.salt, self.iteration, phase.name, repeat)
        return Noise(*at, range(first, first + count), self.recipe.batch_size, runtime.device)

    def optimizer_for(self, network: str) -> OptimizerPart:
        """Return a network's optimizer, its learning rate halved for each rollback after mode collapse."""
        part = self.recipe.optimizer_for(network)
        return part.slowed(0.5**self.halvings) if self.halvings else part

    def preview_networks(self) -> nn.ModuleDict:
        """Return the networks that previews use: the averaged weights if a network has them."""
        averaged = {name: ema.network for name, ema in self.averages.items()}
        return nn.ModuleDict({name: averaged.get(name, net) for name, net in self.method.networks.items()})

    def all_finite(self) -> bool:
        """Say whether every weight, batch statistic and average is finite."""
        norms = torch._foreach_norm([each for _, each in self._floats()], torch.inf)
        return bool(torch.stack(list(norms)).isfinite().all())

    def is_untrained(self) -> bool:
        """Say whether every step so far was skipped."""
        return 0 < self.iteration <= int(self.bad_steps[0].item())

    def not_finite(self) -> list[str]:
        """Return the names of weights, batch statistics and averages that are not finite."""
        return [name for name, tensor in self._floats() if not tensor.isfinite().all()]

    def _floats(self) -> Iterator[tuple[str, Tensor]]:
        modules = {
            "": self.method.networks,
            **{f"average of {name}.": ema.network for name, ema in self.averages.items()},
        }
        named = [
            (before + name, tensor)
            for before, module in modules.items()
            for name, tensor in (*module.named_parameters(), *module.named_buffers())
        ]
        named += [*self.method.state.items(), *self.method.pools.items()]
        return ((name, tensor.detach()) for name, tensor in named if tensor.is_floating_point())

    def values(self) -> dict[str, Any]:
        """Return the values of a checkpoint that are not tensors."""
        at = {"iteration": self.iteration, "kimg": self.kimg}
        return {**at, "salt": self.salt, "halvings": self.halvings, "seed": self.seed}

    def tensors(self, runtime: Runtime) -> dict[str, Tensor]:
        """Return every tensor of the run by name; all processes must call it."""
        out = {f"networks/{name}": tensor for name, tensor in self.method.networks.state_dict().items()}
        for name, ema in self.averages.items():
            out |= {f"averages/{name}.{key}": tensor for key, tensor in ema.network.state_dict().items()}
        for name, optimizer in self.optimizers.items():
            for index, parameter in enumerate(_parameters(optimizer)):
                entries = optimizer.state.get(parameter, {}).items()
                out |= {f"optimizers/{name}.{index}.{key}": value for key, value in entries}
        kept = [*self.method.state.values(), *self.method.pools.values()]
        assert all(tensor.is_contiguous() for tensor in kept), "other memory formats do not survive a checkpoint"
        out |= {f"state/{name}": tensor for name, tensor in self.method.state.items()}
        for name, tensor in self.method.pools.items():
            out |= {f"pools/{rank}/{name}": each for rank, each in enumerate(runtime.gather(tensor))}
        for name, cell in sorted(self.meter.cells.items()):
            if runtime.world_size == 1:
                out[f"meter/{name}"] = cell
            else:  # not their mean: a sum in another order differs in its last bit
                out |= {f"meters/{rank}/{name}": each for rank, each in enumerate(runtime.gather(cell))}
        return {**out, "bad_steps": self.bad_steps}

    def restore(self, tensors: dict[str, Tensor], values: dict[str, Any], runtime: Runtime) -> None:
        """Restore the state from a checkpoint; CheckpointError if the checkpoint does not fit the networks."""
        parts: dict[str, dict[str, Tensor]] = {}
        for name, tensor in tensors.items():
            family, _, key = name.partition("/")
            parts.setdefault(family, {})[key] = tensor.to(runtime.device)
        try:
            self.method.networks.load_state_dict(parts["networks"])
            for name, ema in self.averages.items():
                ema.network.load_state_dict(_below(parts["averages"], f"{name}."))
            for name, optimizer in self.optimizers.items():
                _restore_optimizer(optimizer, _below(parts.get("optimizers", {}), f"{name}."))
        except (RuntimeError, KeyError) as problem:
            raise CheckpointError(
                "checkpoint.other_networks", f"the checkpoint does not fit the networks of the recipe: {problem}"
            ) from problem
        self.method.state.clear()
        self.method.state.update(parts.get("state", {}))
        self.method.pools.clear()
        pools = parts.get("pools", {})
        pooled = len({name.partition("/")[0] for name in pools}) or 1  # another number of processes than this, perhaps
        self.method.pools.update(_below(pools, f"{runtime.rank % pooled}/"))
        self.meter.cells = parts.get("meter", {}) or _meter_of(parts.get("meters", {}), runtime)
        self.bad_steps = parts["bad_steps"][""]
        self.iteration, self.salt, self.seed = values["iteration"], values["salt"], values["seed"]
        self.halvings = values.get("halvings", 0)  # absent from older checkpoints


def _meter_of(meters: dict[str, Tensor], runtime: Runtime) -> dict[str, Tensor]:
    """Return this process's part of the sums of several processes, or their mean for another number of processes."""
    ranks = sorted({name.partition("/")[0] for name in meters})
    if len(ranks) == runtime.world_size:
        return _below(meters, f"{runtime.rank}/")
    names = [name.partition("/")[2] for name in meters if name.startswith("0/")]
    return {name: torch.stack([meters[f"{rank}/{name}"] for rank in ranks]).mean(0) for name in names}


def _parameters(optimizer: Optimizer) -> list[nn.Parameter]:
    return [parameter for group in optimizer.param_groups for parameter in group["params"]]


def _below(tensors: dict[str, Tensor], head: str) -> dict[str, Tensor]:
    return {name.removeprefix(head): tensor for name, tensor in tensors.items() if name.startswith(head)}


def _restore_optimizer(optimizer: Optimizer, tensors: dict[str, Tensor]) -> None:
    """Restore each parameter's state in the parameter's memory format: fused kernels read raw memory."""
    optimizer.state.clear()
    parameters = _parameters(optimizer)
    for name, value in tensors.items():
        index, _, key = name.partition(".")
        parameter = parameters[int(index)]
        same = value.shape == parameter.shape
        optimizer.state[parameter][key] = torch.empty_like(parameter).detach().copy_(value) if same else value.clone()


@torch.no_grad()
def copy_weights(state: RunState) -> dict[str, list[Tensor]]:
    """Return a copy of every trained parameter by network."""
    return {name: [p.detach().clone() for p in each] for name, each in state.trainable.items()}


@torch.no_grad()
def update_ratios(state: RunState, before: dict[str, list[Tensor]]) -> dict[str, float]:
    """Return the norm of each network's change since ``before``, divided by the norm of its weights."""
    out = {}
    for name, each in state.trainable.items():
        moved = torch._foreach_sub([p.detach() for p in each], before[name])
        size = nn.utils.get_total_norm(before[name])
        out[f"update_{name}"] = float(nn.utils.get_total_norm(moved) / size.clamp(min=1e-12))
    return out
