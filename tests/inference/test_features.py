"""Features of a discriminator's hidden layers: pooled, by name, in batches of one size."""

import numpy as np
import pytest
import torch

from gansmith import api
from gansmith.core.events import Progress
from gansmith.imaging.tensors import to_float
from gansmith.inference.discriminator import pool_activation
from small_models import CLASSES, make_model

IMAGES = np.random.default_rng(0).integers(0, 256, (5, 8, 8, 1)).astype(np.uint8)


def test_maps_are_max_pooled_to_four_by_four():
    maps = torch.rand(2, 3, 8, 12)
    wanted = maps.reshape(2, 3, 4, 2, 4, 3).amax((3, 5)).flatten(1)
    assert torch.equal(pool_activation(maps), wanted)
    assert pool_activation(torch.rand(2, 3, 7, 7)).shape == (2, 3 * 16)
    small, rows = torch.rand(2, 3, 3, 2), torch.rand(2, 9)
    assert torch.equal(pool_activation(small), small.flatten(1))
    assert torch.equal(pool_activation(rows), rows)


@pytest.mark.parametrize("settings", [
    {"recipe": "dcgan", "width": "base_channels=4"}, {"recipe": "mlp-small", "width": "hidden=[8,6]"},
])  # fmt: skip
def test_features_are_the_activations_of_the_layers(settings):
    model = make_model(settings["width"], recipe=settings["recipe"])
    layers = model.networks["discriminator"].layers
    seen, wanted, names = to_float(IMAGES), [], []
    if settings["recipe"] == "mlp-small":
        seen = (seen.flatten(1) + 1) / 2 if model.method.config.discriminator.value_range == "unit" else seen.flatten(1)
    for place, layer in enumerate(layers[:-1]):
        if isinstance(layer, torch.nn.Conv2d | torch.nn.Linear):
            names.append(f"layers.{place}")
        seen = layer(seen.clone())
        if isinstance(layer, torch.nn.LeakyReLU):
            wanted.append(pool_activation(seen))
    found = model.discriminator_features(IMAGES)
    widths = model.discriminator("extract features").layer_widths
    assert list(widths) == names
    assert list(widths.values()) == [each.shape[1] for each in wanted]
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, torch.cat(wanted, 1).numpy(), rtol=1e-5, atol=1e-6)
    last = model.discriminator_features(IMAGES, [names[-1]])
    assert np.array_equal(last, found[:, -wanted[-1].shape[1] :])


def test_an_image_has_the_same_features_in_any_company(convolutional):
    many = np.concatenate([IMAGES] * 60)
    assert np.array_equal(
        convolutional.discriminator_features(many)[298], convolutional.discriminator_features(IMAGES)[3]
    )


def test_a_conditional_discriminator_is_asked_with_every_label(conditional):
    each = [conditional.discriminator_features(IMAGES, label=name) for name in CLASSES]
    assert not np.allclose(each[0], each[1])
    np.testing.assert_allclose(conditional.discriminator_features(IMAGES), np.mean(each, 0), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(("images", "layers", "label", "code"), [
    (IMAGES, ["layers.2"], None, "model.unknown_layer"),
    (IMAGES, [], "dark", "model.no_labels"),
    (IMAGES[:, :4], [], None, "model.images_shape"),
    (IMAGES / 255, [], None, "model.images_shape"),
    (IMAGES[:0], [], None, "model.images_shape"),
])  # fmt: skip
def test_what_cannot_be_looked_at(refused, model, images, layers, label, code):
    with refused(code):
        model.discriminator_features(images, layers, label)


def test_a_discriminator_of_one_layer_has_no_features(refused):
    with refused("model.no_hidden_layers"):
        make_model("hidden=[]").discriminator_features(IMAGES)


def test_weights_without_a_discriminator_see_nothing(refused, model, tmp_path):
    alone = api.load(model.save(tmp_path / "model") / "generator.safetensors")
    with refused("model.no_discriminator"):
        alone.discriminator_features(IMAGES)


def test_features_of_a_data_set_become_arrays(model, tiny_file, tmp_path):
    path = model.save(tmp_path / "model")
    reports = []
    data = api.open_fitted(model, path, tiny_file)
    found = api.features(model, data, on_progress=reports.append)
    assert reports == [Progress("discriminator features", 96, 96)]
    with np.load(found.save(tmp_path / "new" / "x.npz")) as arrays:
        assert np.array_equal(arrays["features"], model.discriminator_features(data.read(range(96))))
        assert np.array_equal(arrays["labels"], data.labels)
        assert arrays["class_names"].tolist() == ["dark", "gray", "light"]
        assert (arrays["layers"].tolist(), arrays["layer_widths"].tolist()) == (["layers.0"], [8])


def test_features_are_written_as_npz_alone(refused):
    with refused("output.unknown_ending"):
        api.check_features_path("x.csv")
