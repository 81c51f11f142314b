"""A small GAN in training, and the pictures of it."""

import base64
import json
import os
import queue
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from gansmith.core.plain_files import read_json
from gansmith.core.randomness import sample_latents
from gansmith.data.open import open_data
from gansmith.web.learn import PRESETS
from gansmith.web.learn_worker import CALIBRATING, Kinds, Session, Settings, Worker, _histogram, _kl, _net, _points

TINY: dict[str, Any] = {
    "data": "one-spot",
    "batch_size": 8,
    "width_generator": 8,
    "width_discriminator": 8,
    "layers_generator": 1,
    "layers_discriminator": 1,
}


def weights(session: Session, name: str) -> list[torch.Tensor]:
    return [each.detach().clone() for each in session.method.networks[name].parameters()]


def same(one: list[torch.Tensor], other: list[torch.Tensor]) -> bool:
    return all(torch.equal(a, b) for a, b in zip(one, other, strict=True))


@pytest.fixture
def session() -> Session:
    return Session(Settings.model_validate(TINY))


@pytest.mark.slow
def test_mode_collapse_is_mended_as_its_text_says() -> None:
    preset = next(each for each in read_json(PRESETS) if each["name"] == "mode-collapse")
    session = Session(Settings.model_validate(preset["settings"]))
    for _ in range(400):
        session.step()
    assert session.survey()["found"] <= 2
    session.change(Settings.model_validate({**preset["settings"], **preset["remedy"]["settings"]}))
    found = []
    for number in range(1, 701):
        session.step()
        found += [session.survey()["found"]] if number % 20 == 0 else []
    assert "within 700 rounds" in preset["remedy"]["text"]
    assert max(found) == 8
    assert found[-1] >= 7, "and they stay there"


@pytest.mark.parametrize("preset", read_json(PRESETS), ids=lambda preset: preset["name"])
def test_settings_of_experiments_are_allowed(preset: dict[str, Any]) -> None:
    settings = Settings.model_validate(preset["settings"])
    recipe = settings.recipe()
    assert recipe.method.loss.kind == settings.loss
    assert recipe.optimizer_for("discriminator").lr == settings.lr_discriminator
    if "remedy" in preset:
        after = Settings.model_validate({**preset["settings"], **preset["remedy"]["settings"]})
        assert not settings.needs_restart(after), "a remedy mends the same networks"


@pytest.mark.parametrize(
    "wrong",
    [
        {"loss": "hing"}, {"penalty": "r3"}, {"optimizer_generator": "sgdd"},
        {"optimizer_discriminator": "sgdd"}, {"constraint": "x"}, {"data": "celeba"},
        {"data": "drawn"}, {"data": "drawn", "points": [[0, 0]]}, {"width_generator": 10**9},
        {"layers_generator": 0}, {"layers_discriminator": 6},
        {"lr_generator": -1}, {"lr_generator": float("nan")}, {"batch_size": 2**40}, {"seed": -1}, {"other": 1},
        {"data": "drawn", "points": [[0, 0]] * 2001}, {"latent_dim": "many"},
    ],
)  # fmt: skip
def test_settings_have_bounds(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Settings.model_validate(wrong)


def test_the_form_has_the_parts_of_each_family() -> None:
    form = Settings.form()["properties"]
    assert {"hinge", "minimax", "relativistic"} <= set(form["loss"]["enum"])
    assert form["penalty"]["enum"][0] == "none"
    assert form["loss"]["live"] is True
    assert "live" not in form["width_generator"]
    assert form["discriminator_steps"]["description"] == "D steps per iteration, each with new images"


@pytest.mark.slow
def test_a_change_goes_on_with_the_same_networks(session: Session) -> None:
    for _ in range(3):
        session.step()
    before, moments = weights(session, "generator"), session.state.tensors(session.runtime)
    changed = {
        **TINY,
        "loss": "hinge",
        "penalty": "none",
        "lr_generator": 1e-5,
        "discriminator_steps": 2,
        "batch_size": 16,
    }
    assert session.change(Settings.model_validate(changed)) is False
    assert same(before, weights(session, "generator"))
    assert session.state.iteration == 3
    after = session.state.tensors(session.runtime)
    assert all(torch.equal(after[name], moments[name]) for name in moments if name.startswith("optimizers/"))
    assert session.method.config.loss.kind == "hinge"
    session.step()
    assert session.state.images_per_iteration == 32
    assert session.change(Settings.model_validate({**changed, "width_generator": 9})) is True
    assert session.state.iteration == 0


def test_one_network_can_step_alone(session: Session) -> None:
    g, d = weights(session, "generator"), weights(session, "discriminator")
    session.step("discriminator")
    assert same(g, weights(session, "generator"))
    assert not same(d, weights(session, "discriminator"))
    d = weights(session, "discriminator")
    session.step("generator")
    assert not same(g, weights(session, "generator"))
    assert same(d, weights(session, "discriminator"))


def test_a_frame_has_all_that_is_drawn(session: Session) -> None:
    session.step()
    first, frame = session.first(), session.frame()
    json.dumps([first, frame, session.survey()], allow_nan=False)
    assert first["view"] == "plane"
    assert len(first["real"]) == 2000
    assert len(frame["fake"]) == 800
    assert len(base64.b64decode(frame["heat"])) == first["heat_side"] ** 2
    assert len(frame["net"]) == 2 * first["net_side"] ** 2
    assert {"loss_discriminator", "loss_generator", "penalty_r1"} <= set(frame["means"])


@pytest.mark.parametrize("loss", ["minimax", "non_saturating", "hinge", "wasserstein", "relativistic", "least_squares"])
def test_arrows_are_minus_the_gradient_of_the_loss_of_g(loss: str) -> None:
    session = Session(Settings.model_validate({**TINY, "loss": loss, "penalty": "none"}))
    fakes, real = torch.rand(2, 4, 1, 1, 2, generator=torch.Generator().manual_seed(0)) * 2 - 1
    push = session.push(fakes, real)
    method, step = session.method.config, 1e-2

    def total(images: torch.Tensor) -> float:
        with torch.no_grad():
            real_logits = session.logits(real) if method.loss.generator_needs_real else None
            return float(method.loss.generator(real_logits, session.logits(images))) * len(images)

    moved = torch.zeros_like(fakes)
    moved[2, 0, 0, 1] = step
    slope = (total(fakes + moved) - total(fakes - moved)) / (2 * step)
    assert float(push[2, 0, 0, 1]) == pytest.approx(-slope, abs=2e-3)


def test_the_colours_are_the_opinion_of_d_from_the_upper_left(session: Session) -> None:
    with torch.no_grad():
        for parameter in session.method.networks["discriminator"].parameters():
            parameter.zero_()
    session.method.networks["discriminator"].layers[0].weight.data[0] = torch.tensor([0.0, 1.0])  # y, upwards
    session.method.networks["discriminator"].layers[-1].weight.data[0, 0] = 50.0
    heat = np.frombuffer(base64.b64decode(session.frame()["heat"]), np.uint8).reshape(40, 40)
    assert heat[0].min() > heat[-1].max()


def test_divergences_of_known_histograms() -> None:
    left, right = _histogram(torch.full((100, 2), -0.5)), _histogram(torch.full((100, 2), 0.5))
    mean = (left + right) / 2
    assert (_kl(left, mean) + _kl(right, mean)) / 2 == 1
    assert _kl(left, left) == 0
    assert _kl(left, right) > 10


@pytest.mark.slow
def test_modes_are_counted() -> None:
    session = Session(Settings.model_validate({**TINY, "data": "ring-8"}))
    real = torch.tensor(session.view._real.flatten(1).tolist())  # as many points of each mode
    session.fakes = lambda latents, generator: real.reshape(-1, 1, 1, 2)  # type: ignore[method-assign]
    found = session.survey()
    assert (found["found"], found["of"]) == (8, 8)
    assert found["js"] < 0.05
    session.fakes = lambda latents, generator: real[:1].expand(400, 2).reshape(-1, 1, 1, 2)  # type: ignore[method-assign]
    assert session.survey()["found"] == 1


def test_the_net_covers_the_noise() -> None:
    assert _net(1).shape == (129, 1)
    assert _net(3).shape == (0, 3)
    net = _net(2)
    assert float(net.mean()) == pytest.approx(0, abs=1e-5)
    assert float(net.std()) == pytest.approx(1, abs=0.1)


@pytest.mark.slow
def test_uniform_noise_is_spread_evenly_before_the_first_layer() -> None:
    session = Session(Settings.model_validate({**TINY, "noise": "uniform", "optimizer_generator": "sgd", "beta1": 0.5}))
    seen = list[torch.Tensor]()
    session.generator.layers.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    session.fakes(torch.from_numpy(sample_latents(0, 0, 10_000, 2)), session.generator)
    assert seen[0].histc(4, -1, 1).tolist() == pytest.approx([5000] * 4, rel=0.05)
    before = weights(session, "generator")
    session.step()
    assert not same(before, weights(session, "generator"))
    assert session.state.recipe.optimizer_for("generator").momentum == 0.5


def test_each_network_has_its_own_layers_and_optimizer() -> None:
    changes = {"layers_generator": 2, "layers_discriminator": 4, "optimizer_generator": "rmsprop"}
    recipe = Settings.model_validate({**TINY, **changes}).recipe()
    assert (len(recipe.method.generator.hidden), len(recipe.method.discriminator.hidden)) == (2, 4)
    assert recipe.optimizer_for("generator").kind == "rmsprop"
    assert recipe.optimizer_for("discriminator").kind == "adam"


def test_a_drawing_is_trained_on_as_it_is() -> None:
    points = [[-0.5, 0.25], [0.5, -0.25], [0.5, -0.25]]
    session = Session(Settings.model_validate({**TINY, "data": "drawn", "points": points}))
    session.step()
    assert np.array(session.first()["real"]).reshape(-1, 2) == pytest.approx(np.array(points) * 1000, abs=5)


@pytest.mark.slow
def test_garments_are_drawn_with_opinions_and_gradients() -> None:
    settings = {**TINY, "data": "fashion-sample", "latent_dim": 4}
    session = Session(Settings.model_validate(settings))
    session.step()
    first, frame = session.first(), session.frame()
    assert first["view"] == "garments"
    assert len(base64.b64decode(frame["fake"])) == len(base64.b64decode(frame["gradient"])) == 36 * 784
    assert len(frame["opinion_fake"]) == len(frame["opinion_real"]) == 36
    survey = session.survey()
    assert (survey["found"], survey["of"], sum(survey["shares"])) == (0, 10, 0), "noise shows no garment"


@pytest.mark.slow
def test_real_garments_are_of_all_kinds_and_noise_of_none() -> None:
    data = open_data("fashion-sample")
    kinds = Kinds(data, 10)
    chosen_by = np.linspace(0, len(data) - 1, 2 * CALIBRATING).astype(np.int64)
    real = kinds.of(data.read(np.setdiff1d(np.arange(3, len(data), 50), chosen_by)))
    assert (real >= 0).float().mean() > 0.85
    assert (torch.bincount(real[real >= 0], minlength=10) >= 0.25 * len(real) / 10).all()
    noise = np.random.default_rng(0).integers(0, 256, (200, 28, 28, 1), np.uint8)
    gray = np.full((10, 28, 28, 1), 128, np.uint8)
    assert (kinds.of(noise) == -1).all()
    assert (kinds.of(gray) == -1).all()


def run_worker(*commands: dict[str, Any]) -> list[dict[str, Any]]:
    waiting: queue.Queue[dict[str, Any] | None] = queue.Queue()
    for number, command in enumerate(commands):
        waiting.put({"id": number, **command})
    waiting.put(None)
    out = list[dict[str, Any]]()
    Worker(waiting, out.append).run()
    return out


@pytest.mark.slow
def test_a_worker_answers_every_command() -> None:
    out = run_worker(
        {"playing": True}, {"settings": TINY}, {"step": "both"}, {"settings": {"loss": "x"}},
        {"settings": {**TINY, "loss": "hinge"}}, {"settings": {**TINY, "seed": 1}},
    )  # fmt: skip
    answers = [message for message in out if message["kind"] == "answer"]
    assert [each.get("error", {}).get("code") for each in answers] == [
        "web.learn_not_started", None, None, "web.learn_settings", None, None,
    ]  # fmt: skip
    assert "did you mean" not in answers[0]["error"]["message"]
    assert answers[3]["error"]["message"].startswith("settings: unknown loss 'x'")
    assert [message["start"] for message in out if message["kind"] == "started"] == [1, 1, 2]
    assert out[0]["kind"] == "ready"


def test_networks_begin_trained() -> None:
    out = run_worker({"settings": TINY, "restart": True, "ahead": 3})
    frame = next(message for message in out if message["kind"] == "frame")
    assert (frame["iteration"], frame["means"]) == (3, {})


def test_points_are_whole_thousandths() -> None:
    assert _points(torch.tensor([0.1234, -1.0, float("nan"), float("inf")])) == [123, -1000, 0, 1_000_000]


@pytest.mark.slow
def test_the_child_process_ends_with_its_server() -> None:
    command = [sys.executable, "-m", "gansmith.web.learn_worker"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment) as child:
        assert child.stdin is not None
        assert child.stdout is not None
        assert json.loads(child.stdout.readline())["kind"] == "ready"
        child.stdin.write(json.dumps({"id": 1, "settings": TINY, "playing": True}) + "\n")
        child.stdin.flush()
        while json.loads(child.stdout.readline())["kind"] != "frame":
            pass
        child.stdin.close()  # as when the server is killed
        child.stdout.close()
        assert child.wait(20) == 0
