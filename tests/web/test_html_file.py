"""Pages in one file: they open from the disk in both browsers and draw what onnxruntime draws."""

import base64
import gzip
import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from PIL.PngImagePlugin import PngInfo

import gansmith
from browsers import DESKTOP, PHONE, sideways, until, violations
from gansmith.core import one_file
from gansmith.exporting.base import choose_format
from gansmith.inference.interpolate import interpolate
from gansmith.inference.latents import find_latents, label_input
from gansmith.inference.model import Model
from gansmith.inference.model_record import make_record
from gansmith.inference.onnx_model import OnnxModel
from gansmith.recipes.layer_table import example_spec
from gansmith.recipes.load import load_recipe, recipe_names
from gansmith.web.models import Models
from gansmith.web.places import Places
from small_models import CLASSES, make_enlarger, make_model, make_translator
from small_runs import small, train

pytest.importorskip("onnxruntime", reason="needs the extra export")

WALL = 5  # the wall's seed in the address
SHOWN = 6  # images that are compared
PIXELS = """[...document.querySelectorAll('.wall canvas')].slice(0, %d).map((canvas) =>
  [...canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data])"""
NAMES = "[...document.querySelectorAll('.wall button')].map((tile) => tile.title.replace('Image ', ''))"
DRAWN = "document.querySelectorAll('.wall canvas[data-drawn]').length === 40"


def small_model(name: str) -> Model:
    """Return a model of a recipe, tiny and never trained."""
    recipe = load_recipe(name, tuple(small(name)))
    spec = example_spec(recipe)
    with torch.random.fork_rng([]):
        torch.manual_seed(0)
        networks = recipe.method.build(spec).networks
    tensors = {each: dict(network.state_dict()) for each, network in networks.items()}
    return Model(make_record(name, recipe.method, spec, 0, 1.0), tensors, "cpu")


def latent_recipes() -> list[str]:
    """Return the recipes of images from latents of which no two have the same generator."""
    found: dict[str, str] = {}
    for name in recipe_names():
        if name == "toy":
            continue
        method, spec = (recipe := load_recipe(name, tuple(small(name)))).method, example_spec(recipe)
        if method.kind == "latent":
            fields = method.model_dump(include={"generator", "conditional", "latent_dim"})
            found.setdefault(repr((fields, spec.height, spec.width, spec.channels)), name)
    return list(found.values())


def export(model: Model, folder: Path) -> Path:
    (made,) = choose_format("html", {}).export(model, folder / "page.html", raw=False, run=None)
    return made.path


def expected(page_file: Path, names: list[str]) -> np.ndarray:
    """Return what onnxruntime in Python draws of these images with a page's model, as the RGBA of a canvas."""
    packed = re.search(r'<script type="text/plain" id="weights">(.*?)</script>', page_file.read_text())[1]
    file = page_file.with_suffix(".onnx")
    file.write_bytes(gzip.decompress(base64.b64decode(packed)))
    model = OnnxModel(file)
    latents = find_latents(model, names)
    images = model.draw(latents.values, label_input(model, latents.classes))
    rgb = images[..., :3] if images.shape[-1] >= 3 else images.repeat(3, -1)
    alpha = images[..., 3:] if images.shape[-1] == 4 else np.full_like(images[..., :1], 255)
    return np.concatenate([rgb, alpha], -1)


@pytest.mark.slow
@pytest.mark.parametrize("name", latent_recipes())
def test_the_page_of_every_recipe_shows_the_images_of_its_seeds_in_both_browsers(name, tmp_path, open_page, firefox):
    model = small_model(name)
    page_file = export(model, tmp_path)
    url = f"{page_file.as_uri()}#wall={WALL}"
    page = open_page(url)
    until(page, DRAWN)
    names = page.evaluate(NAMES)[:SHOWN]
    assert all(name.startswith(f"{WALL}:") for name in names)
    wanted = expected(page_file, names)
    firefox.open(url)
    for found in (page.evaluate(PIXELS % SHOWN), firefox.wait(f"return {DRAWN} && {PIXELS % SHOWN}")):
        assert np.array_equal(np.array(found, np.uint8).reshape(wanted.shape), wanted)


@pytest.fixture(scope="session")
def conditional_page(tmp_path_factory) -> Path:
    return export(make_model("hidden=[8]", "conditional=true", classes=CLASSES), tmp_path_factory.mktemp("html"))


@pytest.mark.slow
def test_a_page_steers_walks_and_mixes_without_a_request(conditional_page, open_page):
    page = open_page(conditional_page.as_uri())
    until(page, DRAWN)
    assert "wall=" not in page.url  # a reload of an untouched page shows other images
    for number in (1, 4):
        page.locator(".wall button").nth(number).click()
        page.keyboard.press("p")
    page.get_by_role("tab", name="Walk").click()
    page.get_by_label("Frame", exact=True).focus()
    page.keyboard.press("ArrowRight")
    until(page, "document.querySelector('.walk output').textContent === '2 of 60'")
    page.get_by_role("button", name="Put pin 1 into the + tray").click()
    page.get_by_role("button", name="Put pin 2 into the \u2212 tray").click()
    page.get_by_role("button", name="Choose the result").click()
    until(page, "location.hash.includes('weights=1%2C-1')")
    page.get_by_role("button", name="Add slider").click()
    page.get_by_label("Number 0", exact=True).fill("1.5")
    until(page, "location.hash.includes('moves=z0%3A1.5')")


@pytest.mark.slow
def test_a_png_brings_its_state_back(conditional_page, open_page, tmp_path):
    page = open_page(f"{conditional_page.as_uri()}#seeds=3&labels=gray:0.5,light:0.5&truncation=0.7&moves=z1:1.5")
    with page.expect_download() as download:
        page.get_by_role("button", name="Download PNG").click()
    file = tmp_path / download.value.suggested_filename
    download.value.save_as(file)
    other = open_page(conditional_page.as_uri())
    other.set_input_files("input[type=file]", file)
    until(other, "location.hash.startsWith('#seeds=3&truncation=0.7&labels=gray%3A0.5%2Clight%3A0.5&moves=z1%3A1.5')")


@pytest.mark.slow
def test_a_png_of_another_model_is_told_in_words(conditional_page, open_page, tmp_path):
    """The studio and the page name the weights in the same way: of a model folder, and of an ONNX file alone."""
    same = make_model("hidden=[8]", "conditional=true", classes=CLASSES)
    (onnx,) = choose_format("onnx", {}).export(same, tmp_path / "same.onnx", raw=False, run=None)
    same.save(tmp_path / "folder")
    text = re.search(r'<script type="text/plain" id="model">(.*?)</script>', conditional_page.read_text())[1]
    models = Models(Places([tmp_path]))
    versions = {entry.id: entry.version for entry in models.list()}
    assert [versions["folder"], versions[onnx.path.stem]] == json.loads(text)["versions"]

    page = open_page(conditional_page.as_uri())
    until(page, DRAWN)
    state, words = {"seeds": ["5"], "labels": {"light": 1.0}}, page.locator(".notice")
    for version, more, told in [
        (versions["same"], {}, "image.png: its image is shown."),
        (
            "0" * 16,
            {},
            "image.png was made with other weights (model moons), which are not here: this model draws another",
        ),
        (
            "0" * 16,
            {"labels": {"cat": 1.0}},
            "image.png holds an image of another model (model moons), which this model",
        ),
    ]:
        entry = PngInfo()
        entry.add_text("gansmith", json.dumps({"model": "moons", "version": version, "states": [{**state, **more}]}))
        Image.new("L", (8, 8)).save(tmp_path / "image.png", pnginfo=entry)
        page.set_input_files("input[type=file]", tmp_path / "image.png")
        words.get_by_text(told).wait_for()


@pytest.mark.slow
def test_a_browser_that_cannot_unpack_is_told_so(conditional_page, open_page):
    page = open_page(conditional_page.as_uri(), script="delete globalThis.DecompressionStream;")
    assert "This browser is too old" in page.locator(".notice.bad").inner_text()


@pytest.mark.slow
def test_an_address_that_cannot_be_is_left_out_in_words(conditional_page, open_page):
    page = open_page(f"{conditional_page.as_uri()}#seeds=nonsense")
    until(page, DRAWN)
    assert '"nonsense" names no image' in page.locator(".notice").inner_text()


@pytest.mark.slow
@pytest.mark.parametrize(("size", "scheme"), [(PHONE, "light"), (DESKTOP, "dark")])
def test_the_page_is_accessible(conditional_page, open_page, size, scheme):
    page = open_page(f"{conditional_page.as_uri()}#seeds=3", size, scheme)
    until(page, DRAWN)
    assert violations(page) == []
    assert sideways(page) == 0


@pytest.mark.slow
def test_the_policy_forbids_every_request(conditional_page):
    text = conditional_page.read_text()
    policy = re.search(r'Content-Security-Policy" content="([^"]+)"', text)[1]
    assert policy.startswith("default-src 'none'; script-src 'sha256-")
    assert "unsafe-inline" not in policy
    assert not re.search(r'(?:src|href)="(?!#|\$)', text.split("<script>")[0])


@pytest.mark.slow
def test_the_page_holds_the_card_and_the_classes(conditional_page):
    facts = json.loads(
        re.search(r'<script type="text/plain" id="model">(.*?)</script>', conditional_page.read_text())[1]
    )
    assert facts["classes"] == list(CLASSES)
    assert "# " in facts["card"]


@pytest.mark.slow
def test_the_size_is_said(tmp_path, model):
    (made,) = choose_format("html", {}).export(model, tmp_path / "page.html", raw=False, run=None)
    assert made.facts["bytes"] == made.path.stat().st_size
    assert made.words.startswith(f"{made.facts['bytes'] / 1e6:.1f} MB")


@pytest.mark.slow
def test_a_page_that_would_be_too_large_is_refused(refused, tmp_path, model, monkeypatch):
    monkeypatch.setattr("gansmith.exporting.html.MOST_BYTES", 1_000_000)
    with refused("export.too_large"):
        export(model, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_model_of_points_has_no_page(refused, tmp_path):
    recipe = load_recipe("toy", ())
    spec = example_spec(recipe)
    networks = recipe.method.build(spec).networks
    tensors = {each: dict(network.state_dict()) for each, network in networks.items()}
    with refused("model.points"):
        export(Model(make_record("toy", recipe.method, spec, 0, 1.0), tensors, "cpu"), tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("make", [make_translator, make_enlarger])
def test_the_page_of_a_translator_shows_before_and_after(make, tmp_path, open_page):
    page = open_page(export(make(), tmp_path).as_uri())
    page.set_input_files("input[type=file]", Path(__file__).parents[2] / "docs" / "pictures" / "fashion.png")
    page.get_by_label("Edge between before and after").fill("20")
    assert page.locator(".compare img").count() == 2


@pytest.mark.slow
def test_an_interpolation_is_an_album(model, tmp_path, open_page):
    walk = interpolate(model, "3,5", frames=6)
    page = open_page(walk.save(tmp_path / "walk.html").as_uri())
    page.get_by_label("Time").fill("5")
    assert page.locator(".album img").get_attribute("alt") == "Frame 6 of 6"
    assert violations(page) == []
    with page.expect_download() as download:
        page.get_by_role("button", name="Save this frame").click()
    assert download.value.suggested_filename == "frame-5.png"


def test_a_film_needs_the_pictures_of_a_run(refused, model, tmp_path):
    with refused("output.film_without_pictures"):
        choose_format("html-film", {}).export(model, tmp_path / "film.html", raw=False, run=None)


def test_modules_become_one_script_in_the_order_of_their_imports():
    script = one_file.bundle("one_file.js")
    assert not re.search(r"^(import|export) ", script, re.MULTILINE)
    order = re.findall(r"^const (module_\w+) = ", script, re.MULTILINE)
    assert order.index("module_vendor_preact_js") < order.index("module_ui_js") < order.index("module_one_file_js")
    assert len(order) == len(set(order))


@pytest.mark.slow
def test_the_film_of_a_run_is_an_album(tiny_file, tmp_path):
    run = train(tiny_file, tmp_path / "run", "mlp-small", steps=2).folder
    (made,) = gansmith.export(run, "html-film", out=tmp_path / "film.html")
    frames = sorted((run / "samples").glob("*-ema.png"))
    album = json.loads(re.search(r'<script type="text/plain" id="album">(.*?)</script>', made.path.read_text())[1])
    assert [base64.b64decode(frame) for frame in album["frames"]] == [frame.read_bytes() for frame in frames]
    assert len(album["captions"]) == len(frames) > 1
