"""Models in ONNX files: equal to torch, without torch, and files that are refused."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

import gansmith
from gansmith import api
from gansmith.imaging.images import as_levels, save_png
from gansmith.inference import onnx_file
from gansmith.inference.latents import Latents, find_latents
from gansmith.inference.load import load_model
from gansmith.inference.onnx_model import OnnxModel
from small_models import make_enlarger, make_translator

# --- the same as torch --------------------------------------------------------------------------------------------

WITHOUT_TORCH = """
import sys

class NoTorch:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "torch":
            raise ModuleNotFoundError(f"{name} is blocked", name=name)

sys.meta_path.insert(0, NoTorch())

import numpy as np
import gansmith
from gansmith.cli.app import main

drawing, translating, enlarging = (gansmith.load(f"{name}.onnx") for name in ("drawing", "translating", "enlarging"))
photo = np.load("photo.npy")
latent = gansmith.pick(drawing, "7:5", truncation=0.5)
made = {
    "sample": drawing.sample(70, seed=3).images,
    "label": drawing.sample(3, label="light", truncation=0.7).images,
    "named": gansmith.pick(drawing, ["3,7:9", "two.safetensors"], label="gray").images,
    "fade": gansmith.interpolate(drawing, "3,7:9", label="dark", to_label="light", frames=9).images,
    "lerp": drawing.interpolate("3,9", mode="lerp", closed=False).images,
    "sum": gansmith.arithmetic(drawing, ["3,5", "9"], ["4"], label="dark").images,
    "translation": translating.translate(photo).array,
    "enlarged": gansmith.upscale(enlarging, photo).array,
    "batch": enlarging.upscale(photo[None, :20, :20]),
}
np.savez("made.npz", **made)
for words in (
    "sample drawing.onnx -n 9 --seed 4 --numbered --out grid.png",
    "sample drawing.onnx -n 9 --seed 4 --out sample.npz",
    "interpolate drawing.onnx --seeds 3,9 --frames 5 --out strip.png",
    "translate translating.onnx photo.png --out translated",
    "upscale enlarging.onnx photo.png --out enlarged",
):
    sys.argv = ["gansmith", *words.split()]
    try:
        main()
    except SystemExit as ended:
        assert not ended.code, words
sys.argv = ["gansmith", "score", "drawing.onnx", "photo.png"]
try:
    main()
except SystemExit as ended:
    assert ended.code == 2
assert "torch" not in sys.modules
assert repr(gansmith.load("drawing.onnx")).startswith("OnnxModel(toy on toy")
"""


def assert_near(made: np.ndarray, wanted: np.ndarray) -> None:
    assert made.shape == wanted.shape
    assert np.abs(made.astype(int) - wanted).max() <= 1


@pytest.mark.slow
def test_a_file_draws_what_torch_draws_where_torch_cannot_be_imported(prose, conditional, onnx_of, tmp_path):
    translator, enlarger = make_translator(), make_enlarger()
    for name in ("drawing", "translating", "enlarging"):
        shutil.copyfile(onnx_of(name), tmp_path / f"{name}.onnx")
    photo = np.random.default_rng(0).integers(0, 256, (41, 601, 3), np.uint8)  # more than one tile, and no multiple
    np.save(tmp_path / "photo.npy", photo)
    save_png(photo, tmp_path / "photo.png")
    two = api.pick(conditional, "5,6")
    latents = find_latents(conditional, "5,6").save(tmp_path / "two.safetensors")
    command = [sys.executable, "-c", WITHOUT_TORCH]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    prose("a verb that needs torch, without torch", done.stderr)

    with np.load(tmp_path / "made.npz") as made:
        assert_near(made["sample"], conditional.sample(70, seed=3).images)
        assert_near(made["label"], conditional.sample(3, label="light", truncation=0.7).images)
        assert_near(made["named"], api.pick(conditional, ["3,7:9", latents], label="gray").images)
        assert_near(made["fade"], conditional.interpolate("3,7:9", label="dark", to_label="light", frames=9).images)
        assert_near(made["lerp"], conditional.interpolate("3,9", mode="lerp", closed=False).images)
        assert_near(made["sum"], api.arithmetic(conditional, ["3,5", "9"], ["4"], label="dark").images)
        assert_near(made["translation"], gansmith.translate(translator, photo).array)
        assert_near(made["enlarged"], gansmith.upscale(enlarger, photo).array)
        assert_near(made["batch"], enlarger.upscale(photo[None, :20, :20]))
    with np.load(tmp_path / "sample.npz") as sample:
        assert_near(sample["images"], conditional.sample(9, seed=4).images)
    assert two.images.shape == (2, 8, 8, 1)
    assert (tmp_path / "grid.png").is_file()
    assert (tmp_path / "strip.png").is_file()
    for verb in ("translated", "enlarged"):
        assert (tmp_path / verb / "photo.png").is_file()


# --- files made by hand -------------------------------------------------------------------------------------------

DATA = {
    "name": "toy", "height": 4, "width": 4, "channels": 1, "count": 9, "classes": [], "fingerprint": "", "held_out": 0,
    "split": {"name": "all", "share": 0.0, "seed": 0}, "pixels_sha256": "", "pairs": False,
}  # fmt: skip
RECORD = {
    "format": 1, "gansmith": "1", "name": "toy", "data": DATA, "seed": 0, "kimg": 1.0, "sample_batch": 1024,
    "network": "generator", "method": {"kind": "latent", "generator": {"kind": "mlp"}, "latent_dim": 16},
}  # fmt: skip
EXPORT = {"format": 1, "raw": False, "multiple": 1, "scale": 1, "direction": None, "mixes_labels": False, "opset": 20}


IMAGES = np.zeros((1, 4, 4, 1), np.uint8)


def graph(inputs, outputs, nodes, *initializers):
    types = {np.float32: TensorProto.FLOAT, np.uint8: TensorProto.UINT8}
    ports = [
        [helper.make_tensor_value_info(name, types[kind], shape) for name, kind, shape in each]
        for each in (inputs, outputs)
    ]
    return helper.make_graph(nodes, "toy", *ports, initializer=list(initializers))


def latent_graph(side: int = 4, latent_dim: int = 16):
    """Return a graph that makes images (N, side, side, 1) of the numbers of latents."""
    shape = numpy_helper.from_array(np.array([-1, side, side, 1]), "shape")
    nodes = [
        helper.make_node("Abs", ["latents"], ["size"]),
        helper.make_node("Cast", ["size"], ["whole"], to=TensorProto.UINT8),
        helper.make_node("Reshape", ["whole", "shape"], ["images"]),
    ]
    inputs = [("latents", np.float32, ["batch", latent_dim])]
    return graph(inputs, [("images", np.uint8, ["batch", side, side, 1])], nodes, shape)


def image_graph(channels: int = 3, given: int = 3):
    """Return a graph whose results are the first ``channels`` of the images."""
    numbers = {"first": [0], "end": [channels], "axis": [3]}
    arrays = [numpy_helper.from_array(np.array(value), name) for name, value in numbers.items()]
    nodes = [helper.make_node("Slice", ["images", *numbers], ["results"])]
    inputs = [("images", np.uint8, ["batch", "height", "width", given])]
    outputs = [("results", np.uint8, ["batch", "height", "width", channels])]
    return graph(inputs, outputs, nodes, *arrays)


def written(path: Path, made, record=RECORD, facts=EXPORT) -> Path:
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    for key, value in ((onnx_file.METADATA_KEY, record), (onnx_file.EXPORT_KEY, facts)):
        if value is not None:
            model.metadata_props.add(key=key, value=value if isinstance(value, str) else json.dumps(value))
    path.write_bytes(model.SerializeToString())
    return path


def with_method(**method):
    return RECORD | {"method": {"generator": {"kind": "unet"}, **method}, "data": DATA | {"channels": 3}}


@pytest.fixture
def drawing(tmp_path) -> OnnxModel:
    return gansmith.load(written(tmp_path / "x.onnx", latent_graph()))


def test_an_image_is_the_same_whatever_else_is_asked(drawing):
    many = drawing.sample(150, seed=2).images
    assert np.array_equal(drawing.sample(3, seed=2).images, many[:3])
    assert np.array_equal(gansmith.pick(drawing, "2:149").images, many[149:])
    assert drawing.record.sample_batch == 64  # a file cannot ask for more memory


def test_points_are_rounded_as_in_torch(tmp_path):
    nodes = [helper.make_node("Clip", ["latents", "low", "high"], ["points"])]
    limits = [numpy_helper.from_array(np.array(value, np.float32), name) for name, value in (("low", -1), ("high", 1))]
    ports = [("latents", np.float32, ["batch", 2])], [("points", np.float32, ["batch", 2])]
    record = RECORD | {"data": DATA | {"height": 1, "width": 2}, "method": RECORD["method"] | {"latent_dim": 2}}
    model = gansmith.load(written(tmp_path / "x.onnx", graph(*ports, nodes, *limits), record))
    values = np.array([[0.1, -3], [0, 1]], np.float32)
    assert model.draw(values).tolist() == [[[[140], [0]]], [[[128], [255]]]]
    assert np.array_equal(model.draw(values).reshape(2, 2), as_levels(values))
    assert model.sample(2).are_points


def test_a_photo_keeps_its_pixels_through_padding_and_tiles(tmp_path):
    facts = EXPORT | {"multiple": 8}
    model = gansmith.load(written(tmp_path / "x.onnx", image_graph(), with_method(kind="paired"), facts))
    photo = np.random.default_rng(0).integers(0, 256, (13, 700, 3), np.uint8)
    assert np.array_equal(model.translate(photo).array, photo)
    assert np.array_equal(model.translate(photo, as_source=True).array, photo)  # without a task they are sources


def test_a_mask_is_the_last_channel(tmp_path, refused):
    record = with_method(kind="paired", task={"kind": "inpaint"})
    model = gansmith.load(written(tmp_path / "x.onnx", image_graph(given=4), record))
    photo = np.random.default_rng(0).integers(0, 256, (8, 9, 3), np.uint8)
    assert np.array_equal(gansmith.translate(model, photo, mask=np.ones((8, 9), bool)).array, photo)
    with refused("data.mask_needed"):
        model.translate(photo)
    with refused("model.needs_weights"):
        model.translate(photo, as_source=True)


def test_a_file_holds_one_direction(tmp_path, refused):
    facts = EXPORT | {"direction": "a_to_b"}
    path = written(tmp_path / "x.onnx", image_graph(), with_method(kind="unpaired"), facts)
    with refused("model.one_direction"):
        gansmith.load(path).translate(np.zeros((8, 8, 3), np.uint8), reverse=True)
    with refused("model.one_way"):
        gansmith.load(written(path, image_graph(), with_method(kind="paired"))).translator(reverse=True)


def test_classes_are_mixed_only_by_a_generator_that_can(tmp_path, refused):
    made = latent_graph()
    made.input.append(helper.make_tensor_value_info("labels", TensorProto.FLOAT, ["batch", 2]))
    record = RECORD | {"method": RECORD["method"] | {"conditional": True}, "data": DATA | {"classes": ["a", "b"]}}
    one, two = (
        gansmith.load(written(tmp_path / "x.onnx", made, record, EXPORT | {"mixes_labels": mixes}))
        for mixes in (False, True)
    )
    halves = Latents(np.ones((1, 16), np.float32), np.full((1, 2), 0.5, np.float32), ("half",))
    assert gansmith.pick(two, halves).images.shape == (1, 4, 4, 1)
    assert one.sample(1, label="b").labels.tolist() == [1]
    with refused("model.class_changes"):
        gansmith.pick(one, halves)


# --- what it cannot do --------------------------------------------------------------------------------------------


NEEDS_ANOTHER_MODEL = {
    "score": (lambda model: model.score(IMAGES), "model.needs_weights"),
    "features": (lambda model: model.discriminator_features(IMAGES), "model.needs_weights"),
    "save": (lambda model: model.save(Path("new")), "model.needs_weights"),
    "invert": (lambda model: gansmith.invert(model, IMAGES[0]), "model.needs_weights"),
    "directions": (lambda model: gansmith.directions(model), "model.needs_weights"),
    "evaluate": (lambda model: gansmith.evaluate(model.path), "model.needs_weights"),
    "first weights of a run": (lambda model: load_model(model.path), "model.needs_weights"),
    "raw": (lambda model: model.sample(1, raw=True), "model.no_such_weights"),
    "translate": (lambda model: model.translate(IMAGES[0]), "model.other_method"),
    "upscale": (lambda model: model.upscale(IMAGES), "model.other_method"),
    "mps": (lambda model: gansmith.load(model.path, "mps"), "machine.unknown_device"),
    "cuda": (lambda model: gansmith.load(model.path, "cuda"), "machine.device_missing"),
}


@pytest.mark.parametrize("name", NEEDS_ANOTHER_MODEL)
def test_it_says_what_needs_another_model(refused, drawing, name):
    work, code = NEEDS_ANOTHER_MODEL[name]
    with refused(code):
        work(drawing)


@pytest.mark.slow
@pytest.mark.parametrize("verb", ["invert", "features"])
def test_verbs_that_need_the_weights(shell, drawing, verb):
    code, _, err = shell(verb, drawing.path, "photo.png")
    assert code == 2
    assert "cannot" in err
    assert "ONNX" in err


def test_a_translator_draws_no_latents(refused, tmp_path):
    model = gansmith.load(written(tmp_path / "x.onnx", image_graph(), with_method(kind="super_resolution")))
    for work, name in ((model.sample, "sample"), (model.translate, "translate")):
        with refused("model.other_method"):
            work(*[np.zeros((4, 4, 3), np.uint8)] * (name == "translate"))


# --- bad files ----------------------------------------------------------------------------------------------------


def external_data(path: Path) -> None:
    made = latent_graph()
    weights = helper.make_tensor("elsewhere", TensorProto.FLOAT, [1], bytes(4), raw=True)
    weights.data_location = TensorProto.EXTERNAL
    weights.external_data.add(key="location", value="../../etc/passwd")
    inner = helper.make_graph([helper.make_node("Constant", [], ["deep"], value=weights)], "inner", [], [])
    made.node.append(helper.make_node("If", ["no"], ["never"], then_branch=inner, else_branch=inner))
    written(path, made)


def cut(path: Path, share: float) -> None:
    content = written(path, latent_graph()).read_bytes()
    path.write_bytes(content[: int(len(content) * share)])


def deep(levels: int) -> str:
    return json.dumps(RECORD)[:-1] + ', "more": ' + "[" * levels + "]" * levels + "}"


def record(**changes):
    return lambda path: written(path, latent_graph(), RECORD | changes)


BAD_FILES = {
    "missing": (lambda path: None, "model.not_found"),
    "folder": (lambda path: path.mkdir(), "model.not_found"),
    "fifo": (lambda path: os.mkfifo(path), "model.not_found"),
    "empty": (lambda path: path.write_bytes(b""), "model.unreadable"),
    "text": (lambda path: path.write_text("not ONNX"), "model.unreadable"),
    "noise": (lambda path: path.write_bytes(np.random.default_rng(0).bytes(5000)), "model.unreadable"),
    "cut off early": (lambda path: cut(path, 0.1), "model.unreadable"),
    "cut off late": (lambda path: cut(path, 0.95), "model.unreadable"),
    "other tool": (lambda path: written(path, latent_graph(), None, None), "model.not_ours"),
    "half of the metadata": (lambda path: written(path, latent_graph(), RECORD, None), "model.not_ours"),
    "external data": (external_data, "model.unreadable"),
    "no JSON": (lambda path: written(path, latent_graph(), "{"), "model.invalid_record"),
    "deep JSON": (lambda path: written(path, latent_graph(), deep(100_000)), "model.invalid_record"),
    "long metadata": (lambda path: written(path, latent_graph(), " " * 5_000_000), "model.unreadable"),
    "newer format": (record(format=2), "model.invalid_record"),
    "newer export": (
        lambda path: written(path, latent_graph(), RECORD, EXPORT | {"format": 2}), "model.invalid_record",
    ),
    "huge images": (record(data=DATA | {"height": 10**6}), "model.size_out_of_range"),
    "huge latents": (record(method=RECORD["method"] | {"latent_dim": 10**9}), "model.invalid_record"),
    "another height": (record(data=DATA | {"height": 8}), "model.graph_unfit"),
    "other latents": (record(method=RECORD["method"] | {"latent_dim": 8}), "model.graph_unfit"),
    "labels without classes": (
        record(method=RECORD["method"] | {"conditional": True}, data=DATA | {"classes": ["a"]}), "model.graph_unfit",
    ),
    "other channels": (lambda path: written(path, image_graph(1), with_method(kind="paired")), "model.graph_unfit"),
    "unknown operator": (
        lambda path: written(path, graph([], [("images", np.uint8, [1])], [helper.make_node("Evil", [], ["images"])])),
        "model.unreadable",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD_FILES)
def test_bad_files(refused, tmp_path, name):
    make, code = BAD_FILES[name]
    path = tmp_path / "x.onnx"
    make(path)
    own_words = [r"(?<=cannot be run by onnxruntime: )[^\n]*"] if name == "unknown operator" else []
    with refused(code, hiding=own_words):
        gansmith.load(path)


@pytest.mark.parametrize("name", ["latents", "images"])
def test_names_of_a_graph_that_are_not_utf8(refused, tmp_path, capsys, name):
    path = written(tmp_path / "x.onnx", latent_graph())
    path.write_bytes(path.read_bytes().replace(name.encode(), b"\xe3" + name[1:].encode()))
    with refused("model.unreadable", hiding=["byte 0x.*"]):
        gansmith.load(path)
    assert capsys.readouterr() == ("", "")


def test_a_file_of_many_entries_is_not_read_to_its_end(refused, tmp_path, monkeypatch):
    monkeypatch.setattr(onnx_file, "MOST_FIELDS", 10)
    with refused("model.unreadable"):
        gansmith.load(written(tmp_path / "x.onnx", latent_graph()))


def test_a_huge_file_is_not_read(refused, tmp_path):
    path = tmp_path / "x.onnx"
    with path.open("wb") as file:
        file.truncate(2**31)  # a hole: no bytes on disk
    with refused("model.file_too_large"):
        gansmith.load(path)


def test_a_graph_that_declares_one_size_and_makes_another(refused, tmp_path):
    made = latent_graph(2)
    del made.output[:]
    made.output.append(helper.make_tensor_value_info("images", TensorProto.UINT8, ["batch", 4, 4, 1]))
    path = written(tmp_path / "x.onnx", made)
    with refused("model.graph_unfit"):
        gansmith.load(path).sample(2)


def test_onnxruntime_is_an_extra(refused, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with refused("model.onnxruntime_missing"):
        gansmith.load(written(tmp_path / "x.onnx", latent_graph()))


@pytest.mark.parametrize(("value", "threads"), [("3", 3), ("2,4", 2), ("", 5), ("many", 5)])
def test_threads_are_those_of_omp_or_of_the_container(monkeypatch, tmp_path, value, threads):
    monkeypatch.setenv("OMP_NUM_THREADS", value)
    monkeypatch.setattr(onnx_file, "available_cpus", lambda: 5)
    model = gansmith.load(written(tmp_path / "x.onnx", latent_graph()))
    assert model._session.get_session_options().intra_op_num_threads == threads
