"""Exports: what the files hold, that they make the same images, and what is refused without leaving a file."""

import errno
import io
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from PIL import Image

import gansmith
import toy_methods  # noqa: F401  (registers a method that cannot be exported)
from gansmith.core.atomic_files import METADATA_KEY
from gansmith.core.errors import DiskFullError, ModelError
from gansmith.exporting import int8
from gansmith.exporting import onnx as onnx_format
from gansmith.exporting.agreement import Agreement, compare
from gansmith.exporting.base import Exported, choose_format, formats, generators_of
from gansmith.exporting.graph import Graph, graph_of
from gansmith.exporting.int8 import Cost
from gansmith.inference.load import load_model
from gansmith.inference.model import Model
from gansmith.inference.model_record import make_record, parse_record
from gansmith.inference.onnx_file import EXPORT_KEY
from gansmith.inference.translate import translate
from gansmith.methods.base import methods
from gansmith.recipes.layer_table import example_spec
from gansmith.recipes.load import load_recipe, recipe_names
from gansmith.recipes.recipe import Recipe
from small_models import CLASSES, make_model, make_translator
from small_runs import small, train


def small_recipe(name: str) -> Recipe:
    return load_recipe(name, () if name == "toy" else tuple(small(name)))  # the images of toy are points


def model_of(recipe: str) -> Model:
    """Return a model of a recipe, tiny and never trained."""
    chosen = small_recipe(recipe)
    spec = example_spec(chosen)
    with torch.random.fork_rng([]):
        torch.manual_seed(0)
        networks = chosen.method.build(spec).networks
    tensors = {name: dict(network.state_dict()) for name, network in networks.items()}
    return Model(make_record(recipe, chosen.method, spec, 0, 1.0), tensors, "cpu")


def different_graphs() -> list[str]:
    """Return recipes of which every other one has the same generator, inputs and image size as one of them."""
    found: dict[str, str] = {}
    for name in recipe_names():
        method, spec = (recipe := small_recipe(name)).method, example_spec(recipe)
        fields = method.model_dump(include={"generator", "conditional", "latent_dim", "task", "scale"})
        fields["generator"].pop("init", None)  # of its numbers alone
        found.setdefault(repr((method.kind, fields, spec.height, spec.width, spec.channels)), name)
    return list(found.values())


@pytest.fixture(scope="module")
def conditional() -> Model:
    return make_model("conditional=true", classes=CLASSES)


@pytest.fixture(scope="module")
def onnx_file(conditional, tmp_path_factory) -> Path:
    """One ONNX file, for all tests that only read it."""
    path = tmp_path_factory.mktemp("onnx") / "generator.onnx"
    choose_format("onnx", {}).export(conditional, path, raw=False, run=None)
    return path


def run(path: Path, *arrays: np.ndarray) -> np.ndarray:
    session = onnxruntime.InferenceSession(path.read_bytes())
    return session.run(None, {each.name: array for each, array in zip(session.get_inputs(), arrays, strict=True)})[0]


def test_every_format_is_found_in_its_file():
    assert {"onnx", "torch-export", "safetensors"} <= set(formats.names())


@pytest.mark.slow
def test_an_onnx_file_has_its_weights_names_and_record_inside(onnx_file, conditional):
    proto = onnx.load(onnx_file, load_external_data=False)
    onnx.checker.check_model(proto)
    assert [each.name for each in onnx_file.parent.iterdir()] == ["generator.onnx"]
    assert all(each.data_location == onnx.TensorProto.DEFAULT for each in proto.graph.initializer)
    assert [each.version for each in proto.opset_import] == [onnx_format.OPSET]
    shapes = {
        each.name: [dim.dim_param or dim.dim_value for dim in each.type.tensor_type.shape.dim]
        for each in (*proto.graph.input, *proto.graph.output)
    }
    assert shapes == {"latents": ["batch", 4], "labels": ["batch", 3], "images": ["batch", 8, 8, 1]}
    texts = {each.key: each.value for each in proto.metadata_props}
    assert set(texts) == {METADATA_KEY, EXPORT_KEY}
    record = parse_record(texts[METADATA_KEY], onnx_file)
    assert record == conditional.record.model_copy(update={"network": "generator"})
    facts = json.loads(texts[EXPORT_KEY])
    assert facts["largest_difference"] <= 1
    assert facts["equal"] >= 0.999
    assert (facts["opset"], facts["weights"], facts["multiple"], facts["scale"]) == (20, "fp32", 1, 1)
    assert (facts["sample_batch"], facts["direction"], facts["raw"]) == (64, None, False)


@pytest.mark.slow
def test_an_onnx_file_tells_nothing_of_the_machine(onnx_file):
    content = onnx_file.read_bytes()
    assert str(Path(gansmith.__file__).parent).encode() not in content
    assert b".py" not in content


@pytest.mark.slow
def test_seeds_and_blends_name_the_same_images_in_onnx(onnx_file, conditional):
    latents, blends = torch.randn(5, 4), torch.tensor([[0.5, 0.5, 0], [0.2, 0.3, 0.5], [0, 0, 1], [1, 0, 0], [0, 1, 0]])
    made, wanted = run(onnx_file, latents.numpy(), blends.numpy()), conditional.draw(latents, blends)
    assert made.dtype == np.uint8
    assert wanted.std() > 5
    assert np.abs(made.astype(int) - wanted).max() <= 1


@pytest.mark.slow
def test_the_pages_python_needs_onnxruntime_alone(onnx_file, tmp_path):
    page = (Path(__file__).parents[2] / "docs" / "export.md").read_text()
    lines = page.split("## Ten lines of Python")[1].split("```python\n")[1].split("```")[0]
    assert len([line for line in lines.splitlines() if line]) <= 12
    (tmp_path / "generator.onnx").write_bytes(onnx_file.read_bytes())
    blocked = "import sys; sys.modules['torch'] = sys.modules['gansmith'] = None\n"
    subprocess.run([sys.executable, "-c", blocked + lines], cwd=tmp_path, check=True)
    assert Image.open(tmp_path / "row.png").size == (8 * 8, 8)


@pytest.mark.parametrize("model", [lambda: make_model(recipe="dcgan"), lambda: make_model("value_range=unit")])
def test_the_graph_makes_the_bytes_of_sample(model):
    graph = graph_of(model(), "generator", raw=True)
    (inputs,) = graph.draw()
    batch = graph.model.record.sample_batch
    with torch.no_grad():
        assert np.array_equal(graph.module(inputs[0][:batch]).numpy(), graph.model.draw(inputs[0][:batch], raw=True))


@pytest.mark.parametrize("task", ["colorize", "inpaint", "upscale2"])
def test_the_graph_of_a_translator_makes_the_pixels_of_translate(task):
    model = make_translator(task)
    graph = graph_of(model, "generator", raw=False)
    images = graph.draw()[0][0][:1]
    picture, mask = images[0, ..., :3].numpy(), images[0, ..., 3].numpy() >= 128 if task == "inpaint" else None
    with torch.no_grad():
        made = graph.module(images)[0].numpy()
    wanted = translate(model, picture, mask=mask).array
    assert made.shape == wanted.shape
    assert np.abs(made.astype(int) - wanted).max() <= 1  # blended tiles round once more
    assert (made == wanted).mean() > 0.99


@pytest.mark.slow
def test_a_generator_with_spectral_norm_is_exported(tmp_path):
    model = make_model("generator.spectral_norm=true", recipe="dcgan")
    (written,) = choose_format("onnx", {}).export(model, tmp_path / "x.onnx", raw=False, run=None)
    latents = torch.randn(5, 4)
    assert np.abs(run(written.path, latents.numpy()).astype(int) - model.draw(latents)).max() <= 1


@pytest.mark.slow
@pytest.mark.parametrize("recipe", different_graphs())
def test_every_recipe_is_the_same_in_onnx_and_torch_export(recipe, tmp_path, monkeypatch):
    model = model_of(recipe)
    for name in generators_of(model):
        program = graph_of(model, name, raw=False).trace()
        monkeypatch.setattr(
            Graph, "trace", lambda _, program=program: program
        )  # once for both formats: most of the work
        for kind, ending in (("onnx", ".onnx"), ("torch-export", ".pt2")):
            written = choose_format(kind, {}).write(model, name, tmp_path / f"{name}{ending}", raw=False, run=None)
            assert written.network == name
            assert written.path.is_file()
            assert written.facts["largest_difference"] <= 1
            assert written.facts["equal"] >= (0.999 if kind == "onnx" else 1)
        monkeypatch.undo()


@pytest.mark.slow
def test_translators_take_images_of_any_size(onnx_of):
    model = make_translator("colorize")
    images = np.random.default_rng(0).integers(0, 256, (3, 20, 32, 3), np.uint8)
    made = run(onnx_of("translating"), images)
    assert made.shape == (3, 20, 32, 3)
    wanted = np.stack([translate(model, image).array for image in images])
    assert np.abs(made.astype(int) - wanted).max() <= 1


@pytest.mark.slow
def test_two_directions_are_two_files(tmp_path):
    model = model_of("unpaired")
    written = choose_format("safetensors", {}).export(model, tmp_path / "x.safetensors", raw=False, run=None)
    assert {each.path.name: each.network for each in written} == {
        "x-a_to_b.safetensors": "a_to_b",
        "x-b_to_a.safetensors": "b_to_a",
    }
    picture = np.random.default_rng(0).integers(0, 256, (8, 8, 3), np.uint8)
    made = translate(load_model(tmp_path / "x-b_to_a.safetensors", "cpu"), picture, reverse=True).array
    assert np.array_equal(made, translate(model, picture, reverse=True).array)
    alone = load_model(tmp_path / "x-b_to_a.safetensors", "cpu")
    (again,) = choose_format("safetensors", {}).export(alone, tmp_path / "y.safetensors", raw=False, run=None)
    assert (again.path.name, again.network) == ("y.safetensors", "b_to_a")


def test_a_second_file_that_fails_takes_the_first_one_along(tmp_path, monkeypatch):
    def fails_at_the_second(self, model, name, target, **_):
        if name == "b_to_a":
            raise ModelError("export.differs", "other images")
        target.touch()
        return Exported(target, name, {}, "")

    monkeypatch.setattr(formats.get("safetensors"), "write", fails_at_the_second)
    with pytest.raises(ModelError):
        choose_format("safetensors", {}).export(model_of("unpaired"), tmp_path / "x.safetensors", raw=False, run=None)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("raw", [False, True])
def test_weights_alone_make_the_same_samples(raw, tmp_path, conditional):
    (written,) = choose_format("safetensors", {}).export(conditional, tmp_path / "x.safetensors", raw=raw, run=None)
    again = load_model(written.path, "cpu")
    assert list(again.networks) == ["generator"]
    assert np.array_equal(again.sample(4).images, conditional.sample(4, raw=raw).images)


@pytest.mark.slow
def test_a_program_of_torch_export_has_the_record_and_a_free_batch(tmp_path, conditional):
    (written,) = choose_format("torch-export", {}).export(conditional, tmp_path / "x.pt2", raw=False, run=None)
    texts = {METADATA_KEY: "", EXPORT_KEY: ""}
    program = torch.export.load(io.BytesIO(written.path.read_bytes()), extra_files=texts).module()
    assert parse_record(texts[METADATA_KEY], written.path).network == "generator"
    assert json.loads(texts[EXPORT_KEY])["equal"] == 1
    latents, labels = torch.randn(64, 4), torch.eye(3).repeat(22, 1)[:64]
    assert np.array_equal(program(latents, labels).numpy(), conditional.draw(latents, labels))


@pytest.mark.slow
def test_points_leave_as_coordinates():
    model = model_of("toy")
    graph = graph_of(model, "generator", raw=False)
    (inputs,) = graph.draw()
    with torch.no_grad():
        made = graph.module(*inputs)
    assert (graph.output, made.dtype, made.shape[1:]) == ("points", torch.float32, (2,))
    assert len(made) * 2 >= 50_000
    found = compare(graph, lambda arrays: graph.module(torch.from_numpy(arrays[0])).detach().numpy())
    assert found.worst <= 1


@pytest.mark.slow
def test_a_file_that_makes_other_images_is_not_kept(monkeypatch, tmp_path, refused, conditional, onnx_file):
    honest = onnx_format.onnx_run
    monkeypatch.setattr(onnx_format, "_as_onnx", lambda graph: onnx.load(onnx_file))

    def wrong(content, inputs):
        made = honest(content, inputs)
        return lambda arrays: made(arrays) + np.uint8(2)

    monkeypatch.setattr(onnx_format, "onnx_run", wrong)
    with refused("export.differs"):
        choose_format("onnx", {}).export(conditional, tmp_path / "x.onnx", raw=False, run=None)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("found", "fits"),
    [(Agreement(0, 1.0), True), (Agreement(1, 0.999), True), (Agreement(1, 0.9989), False), (Agreement(2, 1), False)],
)
def test_one_level_and_one_value_of_a_thousand_are_allowed(found, fits):
    if fits:
        found.require("x", 1, 0.999, "hint")
    else:
        with pytest.raises(ModelError):
            found.require("x", 1, 0.999, "hint")


def test_a_comparison_counts_differences_at_several_batch_sizes(conditional):
    graph, sizes = graph_of(conditional, "generator", raw=False), []
    wanted = graph.made_here(graph.draw()[0])

    def made(arrays):
        start = sum(sizes)
        sizes.append(len(arrays[0]))
        images = wanted[start : start + len(arrays[0])].astype(int)
        images[0, 0, 0] += 3 if start == 4 else 0
        return images.clip(0, 255).astype(np.uint8)

    found = compare(graph, made)
    assert sizes[:3] == [1, 3, 64]
    assert sum(sizes) == len(wanted)
    assert (found.worst, found.equal) == (3, 1 - 1 / wanted.size)
    assert "99.99" in found.words()
    assert "100 %" not in found.words()


@pytest.mark.slow
def test_weights_of_half_the_size(tmp_path, conditional, onnx_file):
    half = choose_format("onnx", {"weights": "fp16"})
    (written,) = half.export(conditional, tmp_path / "x.onnx", raw=False, run=None)
    assert written.facts["weights"] == "fp16"
    assert 0.9 <= written.facts["equal"] <= 1
    assert written.path.stat().st_size < 0.65 * onnx_file.stat().st_size


@pytest.mark.slow
def test_int8_is_measured_on_the_images_of_the_run(tmp_path, tiny_file, monkeypatch):
    monkeypatch.setattr(int8, "IMAGES", 200)
    done = train(tiny_file, tmp_path / "run", "dcgan")
    (written,) = gansmith.export(done.folder, out=tmp_path / "x.onnx", quantize="int8")
    assert written.facts["weights"] == "int8"
    assert "fd200_untrained_train" in written.words
    types = {each.data_type for each in onnx.load(written.path).graph.initializer}
    assert onnx.TensorProto.INT8 in types
    assert run(written.path, np.zeros((3, 4), np.float32)).shape == (3, 8, 8, 1)


def test_int8_that_costs_too_much_is_refused(refused):
    Cost("fd5k_own_train", 10.0, 10.5).require(Path("x.onnx"))
    with refused("export.quantization_costs"):
        Cost("fd5k_own_train", 10.0, 10.6).require(Path("x.onnx"))
    with pytest.raises(ModelError):
        Cost("fd5k_own_train", 10.0, float("nan")).require(Path("x.onnx"))


@pytest.mark.parametrize("make", [make_model, make_translator], ids=["without_a_run", "of_a_translator"])
def test_int8_that_cannot_be_measured_is_refused(make, tmp_path, refused):
    with refused("export.quantization_unmeasured"):
        choose_format("onnx", {"quantize": "int8"}).export(make(), tmp_path / "x.onnx", raw=False, run=None)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("code", "to", "options"),
    [
        ("export.unknown_format", "onxx", {}),
        ("export.unknown_option", "safetensors", {"weights": "fp16"}),
        ("export.unknown_value", "onnx", {"weights": "fp61"}),
        ("export.unknown_value", "onnx", {"quantize": "int4"}),
        ("export.license", "hub-folder", {"license": "My own: ["}),
    ],
)
def test_a_form_that_there_is_not_is_refused(code, to, options, refused):
    with refused(code):
        choose_format(to, options)


def test_two_ways_to_be_smaller_exclude_each_other(tmp_path, refused, conditional):
    both = choose_format("onnx", {"weights": "fp16", "quantize": "int8"})
    with refused("export.options_clash"):
        both.export(conditional, tmp_path / "x.onnx", raw=False, run=None)


def toy_model(kind: str) -> Model:
    network = {"kind": "mlp", "hidden": [4]}
    config = methods.parse({"kind": kind, "generator": network, "discriminator": network})
    spec = make_model().record.data
    tensors = {"generator": dict(config.build(spec).networks["generator"].state_dict())}
    return Model(make_record("toy", config, spec, 0, 1.0), tensors, "cpu")


def test_a_method_that_declares_no_images_is_refused(refused):
    with refused("model.other_method"):
        generators_of(toy_model("toy_two_discriminators"))


def test_the_graph_of_a_plugins_method_makes_the_bytes_of_sample():
    graph = graph_of(toy_model("toy_sampler"), "generator", raw=False)
    latents = graph.draw()[0][0][:64]
    with torch.no_grad():
        assert np.array_equal(graph.module(latents).numpy(), graph.model.draw(latents))


@pytest.mark.parametrize("missing", ["onnx", "onnxscript", "onnxruntime"])
def test_a_missing_library_names_the_extra(missing, monkeypatch, tmp_path, refused, conditional):
    monkeypatch.setitem(sys.modules, missing, None)
    with refused("export.extra_missing"):
        choose_format("onnx", {}).export(conditional, tmp_path / "x.onnx", raw=False, run=None)


def test_what_exists_is_not_overwritten(tmp_path, refused, conditional):
    (tmp_path / "x.safetensors").write_text("mine")
    with refused("output.exists"):
        choose_format("safetensors", {}).export(conditional, tmp_path / "x.safetensors", raw=False, run=None)
    with refused("output.unknown_ending"):
        choose_format("onnx", {}).export(conditional, tmp_path / "x.pt", raw=False, run=None)
    assert (tmp_path / "x.safetensors").read_text() == "mine"


def test_a_full_disk_leaves_nothing(tmp_path, monkeypatch, conditional):
    def full(self: Path, content: bytes) -> int:
        self.touch()
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(DiskFullError):
        choose_format("safetensors", {}).export(conditional, tmp_path / "x.safetensors", raw=False, run=None)
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_the_command_prints_the_file_and_says_what_it_holds(shell, tmp_path, prose, monkeypatch):
    monkeypatch.chdir(tmp_path)
    make_model(recipe="dcgan").save(tmp_path / "model")
    code, out, err = shell("export", "model", "--to", "safetensors")
    assert (code, out) == (0, "generator.safetensors\n")
    prose("exported weights", err)
    code, out, _ = shell("export", "model", "--to", "safetensors", "--out", "there/x.safetensors", "--raw", "--json")
    assert json.loads(out) == {
        "files": [{"path": str(Path("there/x.safetensors")), "network": "generator", "raw": True}]
    }
    code, _, err = shell("export", "model", "--to", "safetensors")
    assert code == 2
    assert "generator.safetensors" in err
