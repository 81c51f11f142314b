"""Method ``unpaired`` on two tiny domains: loss terms, pools, previews, penalties, resume."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from gansmith import api
from gansmith.core.schedules import Moment
from gansmith.data.base import ImageData
from gansmith.data.batches import Batch, BatchStream
from gansmith.data.open import open_data
from gansmith.imaging.images import save_png
from gansmith.imaging.tensors import to_float, to_uint8
from gansmith.methods.base import methods
from gansmith.methods.unpaired import UnpairedMethod
from gansmith.parts.networks.base import ImageSpec, networks
from gansmith.parts.networks.cyclegan_resnet import ResidualBlock
from gansmith.parts.penalties.base import penalties
from gansmith.runs.folder import RunFolder
from small_models import make_translator
from small_runs import NOISE, PAUSE_AT, domains_from, newest, small, train, with_results

NOISE_OF_8 = replace(NOISE, positions=range(8))
GENERATOR = {"kind": "cyclegan_resnet", "base_channels": 4, "blocks": 1}
DISCRIMINATOR = {"kind": "patchgan", "base_channels": 4, "norm": "none"}
START = Moment(0, 0.0, 0.0)


@pytest.fixture
def data(tiny_file) -> ImageData:
    return open_data(domains_from(tiny_file))


def make(data: ImageData, **fields: Any) -> UnpairedMethod:
    values = {"kind": "unpaired", "generator": GENERATOR, "discriminator": DISCRIMINATOR, **fields}
    torch.manual_seed(0)
    return methods.parse(values).build(data.spec)


def batch_of(data: ImageData, runtime: Any) -> Batch:
    return BatchStream(data, 8, 0, runtime, mirror=False, domains=2).read(0)


@pytest.mark.slow
def test_the_generators_losses_are_the_papers(data, runtime):
    method, batch = make(data), batch_of(data, runtime)
    a, b = batch.images[0::2], batch.images[1::2]
    f, g, d_a, d_b = (method.networks[name] for name in ("a_to_b", "b_to_a", "discriminator_a", "discriminator_b"))
    terms = method.loss(method.phases[0], batch, NOISE_OF_8, START)
    fooled = [((d(fake) - 1) ** 2).mean() / 2 for d, fake in ((d_b, f(a)), (d_a, g(b)))]
    cycles = [(back - image).abs().mean() for back, image in ((g(f(a)), a), (f(g(b)), b))]
    same = [(kept - image).abs().mean() for kept, image in ((g(a), a), (f(b), b))]
    torch.testing.assert_close(terms.total, sum(fooled) + 10 * sum(cycles) + 5 * sum(same))
    expected = dict(zip(("cycle_a", "cycle_b", "identity_a", "identity_b"), [*cycles, *same], strict=True))
    expected["loss_generator"] = sum(fooled) / 2
    assert terms.log.keys() == expected.keys()
    for name, value in expected.items():
        torch.testing.assert_close(terms.log[name], value.detach(), msg=name)


@pytest.mark.slow
def test_discriminators_score_images_and_fakes_of_their_own_domain(data, runtime):
    method, batch = make(data, pool_size=0), batch_of(data, runtime)
    images = (batch.images[0::2], batch.images[1::2])
    with torch.no_grad():
        fakes = (method.networks["b_to_a"](images[1]), method.networks["a_to_b"](images[0]))
    total = torch.zeros(())
    for side, real, fake in zip("ab", images, fakes, strict=True):
        judge = method.networks[f"discriminator_{side}"]
        total = total + ((judge(real) - 1) ** 2).mean() / 2 + (judge(fake) ** 2).mean() / 2
    alone = method.loss(method.phases[1], batch, NOISE_OF_8, START)
    torch.testing.assert_close(alone.total, total)
    names = [f"{name}_{side}" for side in "ab" for name in
             ("score_real", "score_fake", "accuracy_real", "accuracy_fake")]  # fmt: skip
    assert list(alone.log) == ["loss_discriminator", *names]
    torch.testing.assert_close(2 * alone.log["loss_discriminator"], alone.total.detach())
    method.loss(method.phases[0], batch, NOISE_OF_8, START)
    for parameter in method.networks["a_to_b"].parameters():  # as a step would: earlier fakes are judged
        parameter.data.zero_()
    torch.testing.assert_close(method.loss(method.phases[1], batch, NOISE_OF_8, START).total, total)
    assert not torch.allclose(method.loss(method.phases[1], batch, NOISE_OF_8, START).total, total)


def test_weights_may_be_ramps_and_a_zero_identity_weight_costs_nothing(data, runtime):
    batch = batch_of(data, runtime)
    method = make(data, cycle_weight={"start": 8, "end": 0}, identity_weight=0)
    first, last = (method.loss(method.phases[0], batch, NOISE_OF_8, Moment(0, 0.0, at)) for at in (0.0, 1.0))
    assert not any(name.startswith("identity") for name in first.log)
    expected = 8 * (first.log["cycle_a"] + first.log["cycle_b"])
    torch.testing.assert_close((first.total - last.total).detach(), expected)


def test_a_pool_fills_and_then_gives_earlier_fakes_half_the_time(data):
    method, given, early = make(data, pool_size=6), 0, 0
    for iteration in range(60):
        fakes = torch.arange(given, given + 4).float()[:, None, None, None].expand(4, 1, 8, 8).clone()
        noise = replace(NOISE_OF_8, iteration=iteration, positions=range(0, 8, 2))
        out = method._through_pool(fakes, "a", noise)[:, 0, 0, 0]
        given += 4
        if given <= 4:
            assert torch.equal(out, fakes[:, 0, 0, 0])
        is_new = out == fakes[:, 0, 0, 0]
        assert (out[~is_new] < given).all()
        early += int((~is_new).sum())
    assert int(method.pools["filled_a"]) == 6
    assert int(method.pools["filled_b"]) == 0
    assert 0.38 < early / (given - 6) < 0.62
    kept = method.pools["images_a"][:, 0, 0, 0]
    assert len(set(kept.tolist())) == 6
    assert kept.min() > 20, "what is given out makes room"
    assert make(data, pool_size=0).pools == {}


@pytest.mark.slow
@pytest.mark.parametrize("fields", [
    *({"loss": name} for name in ("relativistic", "wasserstein", "non_saturating")),
    *({"penalties": [name]} for name in penalties.names()),
    {"discriminator": {"kind": "dcgan", "base_channels": 4}},
    {"generator": {**GENERATOR, "norm": "batch", "value_range": "unit", "upsample": "resize"}},
    {"discriminator": {**DISCRIMINATOR, "value_range": "unit"}, "constraints": ["weight_clip"]},
])  # fmt: skip
def test_unpaired_works_with_other_losses_penalties_and_networks(fields, data, runtime):
    method, batch = make(data, **fields), batch_of(data, runtime)
    for phase in method.phases:
        for name, network in method.networks.items():
            network.requires_grad_(name in phase.trains)
        terms = method.loss(phase, batch, NOISE_OF_8, START)
        terms.total.backward()
        assert all(value.isfinite() for value in terms.log.values())
        for kind in fields.get("penalties", ()) if phase.name == "discriminators" else ():
            assert {f"penalty_{kind}_a", f"penalty_{kind}_b"} <= terms.log.keys()
        for name in phase.trains:
            assert any(p.grad is not None and p.grad.any() for p in method.networks[name].parameters())


@pytest.mark.slow
def test_previews_show_image_translation_and_way_back_for_both_domains(data):
    method = make(data)
    method.networks.eval()
    fixed = method.fixed(0, None, data)
    assert (len(fixed.inputs), fixed.columns, fixed.labels.tolist()) == (16, 2, [0, 1] * 8)
    with torch.no_grad():
        pictures = method.preview(method.networks, fixed)
        assert pictures.shape == (16, 1, 8, 24)
        for row, (first, second) in enumerate((("a_to_b", "b_to_a"), ("b_to_a", "a_to_b"))):
            image = fixed.inputs[row::2]
            there = method.networks[first](image)
            expected = torch.cat([image, there, method.networks[second](there)], 3)
            torch.testing.assert_close(pictures[row::2], expected)
    torch.testing.assert_close(method.translate(method.networks["b_to_a"], image), there)


def test_previews_show_images_that_were_held_out(tiny_file):
    data = open_data(domains_from(tiny_file), holdout=0.25, seed=3)
    fixed = make(data).fixed(5, 12, data)
    held = to_float(data.held_out.read(range(len(data.held_out))))
    labels = torch.from_numpy(data.held_out.labels)
    for image, label in zip(fixed.inputs, fixed.labels, strict=True):
        assert (held[labels == label] == image).flatten(1).all(1).any()
    alone = replace(data, held_out=replace(data.held_out, labels=np.zeros(len(data.held_out), np.int64)))
    assert make(data).fixed(5, 12, alone).inputs.shape == fixed.inputs.shape  # one domain may have none


def test_data_and_parts_that_do_not_fit_unpaired_are_refused(refused, data, tiny_data):
    with refused("recipe.one_domain"):
        make(tiny_data)
    with refused("recipe.generator_from_noise"):
        make(data, generator={"kind": "dcgan"})
    with refused("recipe.penalty_with_batch_norm"):
        make(data, penalties=["r1"], discriminator={"kind": "dcgan"})


def test_cyclegan_resnet_refuses_noise_and_sides_it_cannot_halve_twice(refused):
    resnet = networks.parse({"kind": "cyclegan_resnet"})
    with refused("recipe.generator_from_images"):
        resnet.generator(ImageSpec(32, 32, 3, latent_dim=8))
    with refused("recipe.size_unfit_for_network"):
        resnet.generator(ImageSpec(30, 32, 3, source_channels=3))


@pytest.mark.slow
def test_cyclegan_resnet_has_the_papers_layers_at_its_size():
    with torch.device("meta"):
        network = networks.parse({"kind": "cyclegan_resnet"}).generator(ImageSpec(256, 256, 3, source_channels=3))
        assert network(torch.empty(1, 3, 256, 256)).shape == (1, 3, 256, 256)
        assert network(torch.empty(1, 3, 132, 60)).shape == (1, 3, 132, 60)  # convolutions take any multiple of 4
    weights = sum(p.numel() for name, p in network.named_parameters() if p.ndim == 4)
    first_and_last, sampling = 2 * 49 * 3 * 64, 2 * 9 * (64 * 128 + 128 * 256)
    assert weights == first_and_last + sampling + 9 * 2 * 9 * 256 * 256
    assert network.multiple == 4


def test_a_residual_block_adds_to_its_input():
    block = ResidualBlock(networks.parse({"kind": "cyclegan_resnet"}), 4)
    maps = torch.randn(2, 4, 5, 6, generator=torch.Generator().manual_seed(0))
    assert not torch.allclose(block(maps), maps)
    for parameter in block.parameters():
        parameter.data.zero_()
    assert torch.equal(block(maps), maps)


@pytest.fixture(scope="module")
def run(tiny_file, tmp_path_factory) -> Path:
    with with_results():
        return train(tiny_file, tmp_path_factory.mktemp("unpaired") / "run", "unpaired", "previews=2").folder


@pytest.mark.slow
def test_a_run_leaves_a_model_pictures_and_the_record_of_both_data_sets(refused, run, tiny_file):
    source = RunFolder(run).record.data.source
    assert source == f"domains:{tiny_file} -> {tiny_file.with_name('negative.npz')}"
    card = (run / "model" / "README.md").read_text()
    for text in ("pipeline_tag: image-to-image", "gansmith translate FOLDER", "b_to_a.safetensors", "translated back]"):
        assert text in card
    model = api.load(run)
    assert set(model.networks) == {"a_to_b", "b_to_a", "a_to_b-raw", "b_to_a-raw", "discriminator_a", "discriminator_b"}
    assert {path.suffix for path in run.iterdir()} >= {".html", ".png", ".gif"}
    assert "loss_generator" in api.Run(run, True).log[-1]
    with refused("model.other_method"):
        model.sample(4)
    tensors = newest(run).tensors
    assert tensors["pools/0/images_a"].shape == (4, 1, 8, 8)
    assert int(tensors["pools/0/filled_b"]) == 4


@pytest.mark.slow
def test_translate_goes_both_ways(refused, run, shell, tmp_path):
    model = api.load(run)
    (tmp_path / "images").mkdir()
    pixels = np.random.default_rng(0).integers(0, 256, (8, 12, 1), np.uint8)
    save_png(pixels, tmp_path / "images" / "x.png")
    assert shell("translate", run, tmp_path / "images", "--out", tmp_path / "there") == (
        0,
        f"{tmp_path / 'there'}\n",
        "",
    )
    assert shell("translate", run, tmp_path / "images", "--out", tmp_path / "back", "--reverse")[0] == 0
    for folder, name in (("there", "a_to_b"), ("back", "b_to_a")):
        with torch.no_grad():
            expected = to_uint8(model.network(name)(to_float(pixels[None])))[0]
        made = np.asarray(Image.open(tmp_path / folder / "x.png"))
        assert np.abs(made.astype(int) - expected[..., 0]).max() <= 1
    one_way = make_translator("denoise", channels=1)
    with refused("model.one_way"):
        api.translate(one_way, pixels, reverse=True)


@pytest.mark.slow
def test_from_and_to_stand_for_the_recipe_and_two_data_sets(tiny_file, shell, tmp_path, monkeypatch):
    other = domains_from(tiny_file).second
    monkeypatch.chdir(tmp_path)
    code, out, err = shell("train", "--from", tiny_file, "--to", other, "--steps", 2, "--json", *small("unpaired"))
    assert (code, json.loads(out)["folder"]) == (0, "runs/unpaired-tiny-to-negative-001")
    assert "cycle A-B-A" in err
    for words, got in (
        (("--from", "a"), "only --from"),
        (("--to", "b"), "only --to"),
        (("--from", "a", "--to", "b", "photos"), "DATA 'photos' too"),
    ):
        text = f"gansmith: --from and --to name the two data sets to translate between, got {got}\n  pass both, without"
        assert text in shell("train", *words)[2]
    for words in (["--pairs"], ["--task", "denoise"]):
        text = f"--from and --to learn without pairs, and {words[0]} learns from pairs\n  pass only one of them"
        assert text in shell("train", "--from", "a", "--to", "b", *words)[2]


@pytest.mark.slow
def test_a_run_cannot_go_on_without_one_of_its_data_sets(refused, tiny_file, tmp_path):
    source = tmp_path / "copy.npz"
    source.write_bytes(tiny_file.read_bytes())
    folder = train(source, tmp_path / "run", "unpaired", stop_at=PAUSE_AT).folder
    other = source.with_name("negative.npz")
    other.rename(tmp_path / "elsewhere.npz")
    with refused("run.data_moved") as caught:
        api.resume(folder)
    assert str(other) in str(caught.value)


@pytest.mark.slow
def test_each_discriminator_adapts_its_own_p(data, runtime):
    method = make(data, augment={"kind": "ada", "interval": 1, "adapt_kimg": 0.1})
    sure, unsure = (method.networks[f"discriminator_{side}"] for side in "ab")
    for network, answer in ((sure, 2.0), (unsure, -2.0)):
        network.register_forward_hook(lambda _, inputs, out, answer=answer: out * 0 + answer)
    batch, log = batch_of(data, runtime), {}
    for iteration in range(3):
        log = method.loss(method.phases[1], batch, replace(NOISE_OF_8, iteration=iteration), START).log
    assert log["augment_p_a"].item() == pytest.approx(0.08)  # 4 images of 100 at a time
    assert log["augment_p_b"].item() == 0
    names = ("images", "logits", "p", "signs")
    assert sorted(method.state) == sorted(f"augment_{name}_{side}" for name in names for side in "ab")
