"""The training step, the same for every method."""

import torch
from torch.nn.utils import get_total_norm

from gansmith.core.runtime import Runtime
from gansmith.core.schedules import Moment, value_at
from gansmith.data.batches import BatchStream
from gansmith.training.state import RunState

SENT = {"fp32": None, "bf16": torch.bfloat16}  # between processes; None: as they are


def train_step(state: RunState, stream: BatchStream, runtime: Runtime, moment: Moment) -> None:
    """Run one iteration: each phase of the method with its repeats, then update the averaged weights."""
    method, recipe = state.method, state.recipe
    draw, batch, bad = state.iteration * state.draws_per_iteration, None, torch.zeros_like(state.bad_steps[0])
    for phase in method.phases_at(moment):
        parameters = [parameter for name in phase.trains for parameter in state.trainable[name]]
        for name, each in state.trainable.items():
            for parameter in each:
                parameter.requires_grad_(name in phase.trains)
        for repeat in range(phase.repeats):
            if phase.reads_data or batch is None:
                batch = stream.read(draw)
                draw += 1
            noise = state.noise(phase, repeat, runtime)
            with noise.inside_networks(), runtime.autocast():
                terms = method.loss(phase, batch, noise, moment)
            for parameter in parameters:
                parameter.grad = None
            with runtime.averaging_gradients(parameters, SENT[recipe.sent_gradients]):
                terms.total.backward()
            norm = get_total_norm([p.grad for p in parameters if p.grad is not None])
            found_inf = (~norm.isfinite()).float()
            for name in phase.trains:
                state.optimizer_for(name).step(state.optimizers[name], found_inf, moment)
                with torch.no_grad():
                    for constraint in method.constraints.get(name, ()):
                        constraint.apply_(method.networks[name])
            bad = torch.maximum(bad, found_inf)
            state.meter.add({**terms.log, f"grad_norm_{phase.name}": norm, "skipped": found_inf})
        runtime.average_(method.state.values())
    # After all phases: a later phase may run backward through an earlier phase's graph, which needs its buffers.
    runtime.average_(method.networks.buffers())
    state.bad_steps[0] = (state.bad_steps[0] + 1) * bad
    state.bad_steps[1] = state.bad_steps.max()
    half_life = value_at(recipe.ema_half_life_kimg, moment) * moment.stretch
    seen = state.kimg + state.images_per_iteration / 1000
    for name, average in state.averages.items():
        average.update(method.networks[name], state.images_per_iteration, seen, half_life, recipe.ema_warmup)
    state.iteration += 1
