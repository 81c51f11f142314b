"""Every generator can become an ONNX file that computes the same; slow, because exporting is."""

import numpy as np
import onnxruntime
import pytest
import torch

from conformance.test_parts import SIDES, built, drawn, small
from gansmith.parts.networks.base import ImageSpec

pytestmark = pytest.mark.slow

GENERATORS = [kind for kind, side in SIDES if side == "generator"]
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
