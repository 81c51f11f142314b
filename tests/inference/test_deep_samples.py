"""Samples, translations and exports of models of deep data: the units come back in every form."""

import numpy as np
import pytest
from PIL import Image

from gansmith.core.errors import GansmithError
from gansmith.data.base import DataOptions, DataSpec
from gansmith.data.image_info import as_values
from gansmith.data.open import open_data
from gansmith.imaging.tensors import to_float, to_stored
from gansmith.imaging.values import PixelValues
from gansmith.inference.interpolate import interpolate
from gansmith.inference.inversion.invert import invert
from gansmith.inference.load import load_model
from gansmith.inference.model import Model
from gansmith.inference.samples import Samples, check_samples_path
from gansmith.inference.translate import translate
from gansmith.inference.upscale import upscale
from small_models import make_enlarger, make_model, make_translator

COUNTS = PixelValues("16", (100.0,), (4095.0,), "uint16")
DECIBELS = PixelValues("float", (-80.0,), (0.0,), "float32")


def of_values(model: Model, values: PixelValues, channels: int = 1) -> Model:
    """Return a model as if it had been trained on images of these values."""
    assert model.data.channels == channels
    data = DataSpec(**{**vars(model.data), "values": values})
    model.record = model.record.model_copy(update={"data": data})
    model.data = data
    return model


@pytest.mark.parametrize("values", [COUNTS, DECIBELS, PixelValues("8", (0.0,), (12.0,), "uint8")])
def test_stored_pixels_and_tensors_are_each_others_inverse(values):
    units = np.linspace(values.low[0], values.high[0], 4 * 8).reshape(1, 4, 8, 1)
    pixels = values.stored(units)
    tensor = to_float(pixels)
    assert (tensor.min(), tensor.max()) == (-1, 1)
    assert (to_stored(tensor, pixels.dtype) == pixels).all()
    assert np.abs(values.in_units(pixels).astype(float) - units).max() <= 0.5
    assert values.picture(pixels).ravel()[[0, -1]].tolist() == [0, 255]


@pytest.mark.slow
def test_every_form_of_samples_holds_the_units(tmp_path, cache_folder):
    pytest.importorskip("tifffile", reason="the extra science is not installed")
    model = of_values(make_model(), DECIBELS)
    samples = model.sample(6)
    wanted = samples.in_units()
    assert wanted.dtype == np.float32
    assert -80 <= wanted.min() < wanted.max() <= 0
    for name in ("x.npy", "x.npz", "stack/x.tif", "x.zip", "folder"):
        path = model.draw_samples(6).save(tmp_path / name)
        if name == "x.npy":
            assert (np.load(path) == wanted).all()
        is_stack = path.suffix == ".tif"
        data = open_data(path.parent if is_stack else path, DataOptions(frames="all" if is_stack else "first"))
        back = data.spec.values.in_units(data.read(range(6)))
        assert np.abs(back - wanted).max() < 0.001, name
    assert samples.to_pil()[0].mode == "L"
    assert Image.open(samples.save(tmp_path / "grid.png")).mode == "L"  # PNG holds no floats: it is the picture


@pytest.mark.slow
def test_a_grid_of_counts_is_png_of_16_bits(tmp_path, refused):
    samples = of_values(make_model(), COUNTS).sample(4)
    path = samples.save(tmp_path / "new" / "grid.png")
    grid = as_values(path.read_bytes())
    assert grid.dtype == np.uint16
    assert (grid[2:10, 2:10] == samples.in_units()[0]).all()
    first = of_values(make_model(), COUNTS).draw_samples(3)
    folder = first.save(tmp_path / "folder")
    (folder / "000001.png").unlink()
    first.save(folder, resume=True)
    assert (as_values((folder / "000001.png").read_bytes()) == samples.in_units()[1]).all()
    with refused("output.other_samples"):
        of_values(make_model(), COUNTS).draw_samples(3, seed=5).save(folder / ".." / "folder", resume=True)
    with pytest.raises(GansmithError):
        check_samples_path(tmp_path / "x.jpg")


@pytest.mark.slow
def test_bands_are_kept_in_files_and_chosen_for_pictures(tmp_path):
    pytest.importorskip("tifffile", reason="the extra science is not installed")
    values = PixelValues("16", (0.0,), (9000.0,), "int16", ("red", "nir", "swir"), (3, 2, 1))
    pixels = np.random.default_rng(0).integers(0, 65536, (2, 16, 16, 3)).astype(np.uint16)
    samples = Samples(pixels, None, (), values=values)
    samples.save(tmp_path / "stack" / "x.tif")
    data = open_data(tmp_path / "stack", DataOptions(frames="all", range="0:9000"))
    assert data.spec.values.bands == values.bands
    assert (data.spec.values.in_units(data.read(range(2))) == samples.in_units()).all()
    assert (samples.pictures()[..., 0] == (pixels[..., 2] / 257).round()).all()


def test_a_model_folder_and_an_onnx_file_keep_the_values(tmp_path):
    model = of_values(make_model(), DECIBELS)
    model.save(tmp_path / "model")
    again = load_model(tmp_path / "model")
    assert again.data.values == DECIBELS
    assert (again.sample(3).images == model.sample(3).images).all()


@pytest.mark.slow
def test_walks_and_inversions_of_deep_models(tmp_path):
    model = of_values(make_model(), COUNTS)
    walk = interpolate(model, [1, 2], frames=4)
    assert walk.images.dtype == np.uint16
    assert walk.strip().array.dtype == np.uint8
    target = model.sample(1, seed=3).images[0]
    found = invert(model, target, steps=2, on_progress=lambda _: None)
    assert found.image.dtype == np.uint16
    assert found.sheet().array.dtype == np.uint8


@pytest.mark.slow
def test_translate_and_upscale_return_values(tmp_path):
    pytest.importorskip("tifffile", reason="the extra science is not installed")
    translator = of_values(make_translator("denoise", channels=1), DECIBELS)
    given = np.random.default_rng(0).uniform(-80, 0, (16, 16)).astype(np.float32)
    made = translate(translator, given)
    assert made.values.shape == (16, 16, 1)
    assert made.values.dtype == np.float32
    assert -80 <= made.values.min() < made.values.max() <= 0
    assert (np.load(made.save(tmp_path / "x.npy")) == made.values).all()
    assert (as_values(made.save(tmp_path / "x.tif").read_bytes()) == made.values).all()
    assert made.array.dtype == np.uint8
    enlarger = of_values(make_enlarger(channels=1), COUNTS)
    np.save(tmp_path / "in.npy", (given + 90).astype(np.uint16))
    large = upscale(enlarger, tmp_path / "in.npy")
    assert large.values.shape == (32, 32, 1)
    assert large.values.dtype == np.uint16


@pytest.mark.slow
@pytest.mark.parametrize("values", [COUNTS, DECIBELS])
def test_an_onnx_file_makes_floats_in_units(tmp_path, values):
    pytest.importorskip("onnxruntime", reason="the extra export is not installed")
    from gansmith.api import export
    from gansmith.inference.open import load

    model = of_values(make_model(), values)
    model.save(tmp_path / "model")
    (exported,) = export(tmp_path / "model", out=tmp_path / "x.onnx")
    opened = load(exported.path)
    step = (values.high[0] - values.low[0]) / 255
    assert opened.data.values == values
    difference = opened.sample(4).in_units().astype(float) - model.sample(4).in_units()
    assert np.abs(difference).max() < step / 10 + 1
