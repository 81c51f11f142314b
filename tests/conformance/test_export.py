"""Every generator can become an ONNX file that computes the same; slow, because exporting is.

Those of our recipes are exported with their methods in exporting/test_formats.py.
"""

import numpy as np
import onnxruntime
import pytest
import torch

from conformance.test_parts import SIDES, built, drawn, small
from gansmith.parts.networks.base import ImageSpec
from gansmith.recipes.load import load_recipe, recipe_names

pytestmark = pytest.mark.slow

IN_RECIPES = {
    network.kind
    for recipe in map(load_recipe, recipe_names())
    for network in [getattr(recipe.method, "generator", None)]
    if network is not None
}
GENERATORS = [kind for kind, side in SIDES if side == "generator" and kind not in IN_RECIPES]
NEAR = 1e-4  # other kernels round differently


@pytest.mark.filterwarnings("ignore")  # of the exporter
@pytest.mark.parametrize("kind", GENERATORS)
def test_a_generator_is_the_same_in_onnx(kind, tmp_path):
    config = small(kind)
    scale = 2 if config.enlarges else 1
    sources = 3 if config.translates else 0
    spec = ImageSpec(16, 16, 3, latent_dim=0 if sources else 6, source_channels=sources, scale=scale)
    network, path = built(config, "generator", spec).eval(), tmp_path / "generator.onnx"
    inputs = drawn(2, 3, 16 // scale, 16 // scale).tanh() if sources else drawn(2, 6)
    torch.onnx.export(network, (inputs,), path, dynamo=True, verbose=False)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(path, options)
    (made,) = session.run(None, {session.get_inputs()[0].name: inputs.numpy()})
    with torch.no_grad():
        wanted = network(inputs).numpy()
    assert wanted.std() > 0
    assert np.abs(made - wanted).max() < NEAR
