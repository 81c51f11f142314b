"""D's logits for all labels: networks that have them, and the loss that trains them."""

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from gansmith.core.noise import Noise
from gansmith.core.schedules import Moment
from gansmith.data.base import DataSpec
from gansmith.data.batches import Batch
from gansmith.methods.base import Terms
from gansmith.methods.latent import LatentConfig, LatentMethod
from gansmith.parts.networks.base import ImageSpec, networks

CLASSES, BATCH, SIDE = 4, 12, 32
LABELS = torch.arange(BATCH) % CLASSES
DATA = DataSpec("made", SIDE, SIDE, 3, 100, tuple("abcd"), "")
SMALL = {
    "compact": {"base_channels": 4, "norm": "none"},
    "sngan_resnet": {"base_channels": 4, "norm": "none"},
    "r3gan": {"base_channels": 4, "max_channels": 8, "group_width": None, "blocks": 1},
}
COMPACT = {"kind": "compact", **SMALL["compact"]}


def images() -> Tensor:
    return torch.rand(BATCH, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(0)) * 2 - 1


def method_of(**fields) -> LatentMethod:
    torch.manual_seed(0)
    generator = {"kind": "mlp", "hidden": [4]}
    config = {"generator": generator, "discriminator": COMPACT, "latent_dim": 2, "conditional": True, **fields}
    method = LatentMethod(LatentConfig.model_validate(config), DATA)
    embed = method.networks["discriminator"].embed
    if embed is not None:
        torch.nn.init.normal_(embed.weight)  # far from the equal logits of a start
    return method


def terms_of(method: LatentMethod, phase: int, progress: float = 0.0) -> Terms:
    side = method.phases[phase].name
    noise = Noise(0, 0, 0, side, 0, range(BATCH), BATCH, torch.device("cpu"))
    return method.loss(method.phases[phase], Batch(images(), LABELS), noise, Moment(0, 0.0, progress))


def likelihood(logits: Tensor) -> Tensor:
    """Return -log of the softmax of each image's own label, the mean."""
    exponents = logits.detach().double().exp()
    return -(exponents[range(BATCH), LABELS] / exponents.sum(1)).log().mean().float()


def test_three_networks_score_labels():
    assert [name for name in networks.names() if networks.get(name).scores_labels] == sorted(SMALL)


@pytest.mark.parametrize("name", sorted(SMALL))
def test_without_labels_there_is_a_logit_for_each(name):
    network = networks.get(name)(**SMALL[name]).discriminator(ImageSpec(SIDE, SIDE, 3, CLASSES))
    torch.nn.init.normal_(network.embed.weight)
    every = network(images(), None)
    assert every.shape == (BATCH, CLASSES)
    assert every.std(1).min() > 0.001
    for label in range(CLASSES):
        assert_close(every[:, label], network(images(), torch.full((BATCH,), label)), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("loss", ["relativistic", "hinge"])
@pytest.mark.parametrize("norm", ["none", "batch"])
def test_d_learns_classes_only_from_real_images(loss, norm):
    fields = {"loss": loss, "discriminator": {**COMPACT, "norm": norm}}
    with_it, without = method_of(class_weight=0.5, **fields), method_of(**fields)
    found, plain = terms_of(with_it, 0), terms_of(without, 0)
    for name, value in plain.log.items():
        assert_close(found.log[name], value, rtol=1e-4, atol=1e-5)
    paid = 0.5 * likelihood(with_it.networks["discriminator"](images(), None))
    assert paid > 0.1
    assert_close(found.log["penalty_class"], paid, rtol=1e-4, atol=1e-5)
    assert_close(found.total, plain.total + paid, rtol=1e-4, atol=1e-5)
    faded = terms_of(method_of(class_weight={"start": 0.5, "end": 0.1}, **fields), 0, progress=1.0)
    assert_close(faded.log["penalty_class"], paid / 5, rtol=1e-4, atol=1e-5)
    assert "penalty_class" not in {**plain.log, **terms_of(with_it, 1).log}


def test_nothing_changes_without_labels():
    method = method_of(class_weight=0.5, conditional=False)
    for phase in (0, 1):
        assert not [name for name in terms_of(method, phase).log if "class" in name]


def test_class_weight_needs_a_discriminator_that_scores_every_label(refused):
    with refused("recipe.class_weight_without_scores"):
        method_of(class_weight=0.5, discriminator="dcgan")
