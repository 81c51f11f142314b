"""--init-from: which layers of a model a new run takes, and what it says of the others."""

from dataclasses import replace

import pytest
import torch

from gansmith.core.events import silent
from gansmith.core.runtime import Runtime
from gansmith.data.base import DataSpec
from gansmith.inference.model import Model
from gansmith.inference.model_record import make_record
from gansmith.methods.unpaired import DOMAINS
from gansmith.recipes.load import load_recipe
from gansmith.training.first_weights import take_weights
from gansmith.training.state import RunState
from small_models import make_model

CPU = Runtime(torch.device("cpu"))
DATA = DataSpec("other", 8, 8, 1, 96, ("light", "new", "dark"), "4567")
CONDITIONAL = ("conditional=true",)
SMALL = ("channels=1", "latent_dim=4")
LABELLED = [  # how networks take labels: one-hot beside latents and pixels, planes, gains, embeddings
    ("mlp-small", ("hidden=[8]",)),
    ("dcgan", ("base_channels=4",)),
    ("compact", ("base_channels=4",)),
    ("sngan", ("base_channels=4",)),
]


def fresh(recipe: str, *words: str, data: DataSpec = DATA) -> RunState:
    words = (f"size={data.height}", *SMALL, *words)
    return RunState.fresh(load_recipe(recipe, words), data, 5, CPU)


def model_of(recipe: str, *words: str, data: DataSpec) -> Model:
    """Return a model of random weights for images of other data."""
    latent = SMALL if recipe != "unpaired" else ()
    chosen = load_recipe(recipe, (f"size={data.height}", *latent, *words))
    networks = RunState.fresh(chosen, data, 6, CPU).method.networks
    tensors = {name: dict(network.state_dict()) for name, network in networks.items()}
    return Model(make_record("other", chosen.method, data, 0, 1.0), tensors, "cpu")


def outputs(networks, labels) -> list[torch.Tensor]:
    """Return G's images of fixed latents, and D's logits of fixed images."""
    draws = torch.Generator().manual_seed(0)
    latents, images = torch.randn(2, 4, generator=draws), torch.randn(2, 1, 8, 8, generator=draws)
    labels = torch.tensor(labels)
    with torch.no_grad():
        return [networks["generator"].eval()(latents, labels), networks["discriminator"].eval()(images, labels)]


@pytest.mark.slow
@pytest.mark.parametrize(("recipe", "words"), LABELLED, ids=[recipe for recipe, _ in LABELLED])
def test_classes_are_matched_by_name(recipe, words):
    """The networks know "dark" and "light" as before, although these have other numbers and neighbours."""
    model = model_of(recipe, *words, *CONDITIONAL, data=replace(DATA, classes=("dark", "gray", "light", "pale")))
    state = fresh(recipe, *words, *CONDITIONAL)
    taken = take_weights(state, DATA, model, "old", silent)
    for each in taken.values():
        assert (each.taken, each.new, each.classes) == (each.of, (), ("light", "dark"))
    before, after = outputs(model.networks, [2, 0]), outputs(state.method.networks, [0, 2])
    same = [torch.allclose(old, new, rtol=1e-4, atol=1e-4) for old, new in zip(before, after, strict=True)]
    assert same == [True, recipe != "sngan"]  # its embeddings are divided by a norm, to which all classes contribute
    known = state.averages["generator"].network.state_dict()
    assert all(torch.equal(value, known[key]) for key, value in state.method.networks["generator"].state_dict().items())
    assert not any(optimizer.state for optimizer in state.optimizers.values())


@pytest.mark.slow
def test_a_new_class_starts_new():
    model = model_of("compact", "base_channels=4", *CONDITIONAL, data=replace(DATA, classes=("dark", "light")))
    state = fresh("compact", "base_channels=4", *CONDITIONAL)
    before = state.method.networks["discriminator"].embed.weight.detach().clone()
    take_weights(state, DATA, model, "old", silent)
    after = state.method.networks["discriminator"].embed.weight
    assert [torch.equal(old, new) for old, new in zip(before, after, strict=True)] == [False, True, False]


@pytest.mark.parametrize("conditional", [True, False])
def test_labels_come_and_go(conditional):
    """Without classes in common, latents and pixels keep their weights."""
    model = model_of("dcgan", "base_channels=4", f"conditional={not conditional}".lower(), data=DATA)
    state = fresh("dcgan", "base_channels=4", f"conditional={conditional}".lower())
    taken = take_weights(state, DATA, model, "old", silent)
    assert all((each.taken, each.new, each.classes) == (each.of, (), ()) for each in taken.values())
    mine, its = (net["generator"].project.weight[:, :4] for net in (state.method.networks, model.networks))
    assert torch.equal(mine, its)


@pytest.mark.slow
@pytest.mark.parametrize("sides", [(8, 16), (16, 8)], ids=["larger", "smaller"])
@pytest.mark.parametrize("recipe", ["dcgan", "compact"])
def test_another_size_keeps_the_layers_that_fit(recipe, sides, prose):
    old, new = (replace(DATA, height=side, width=side) for side in sides)
    model, state = model_of(recipe, "base_channels=4", data=old), fresh(recipe, "base_channels=4", data=new)
    events = []
    taken = take_weights(state, new, model, "old", events.append)
    for each in taken.values():
        assert 0 < each.taken < each.of
        assert each.taken + len(each.new) == each.of
    assert [event.kind for event in events] == ["note", "note"]
    prose(f"taken from another size, {recipe}", "\n".join(event.message for event in events))


def test_another_number_of_channels_keeps_the_layers_that_fit():
    colour = replace(DATA, channels=3)
    model = model_of("dcgan", "base_channels=4", "channels=3", data=colour)
    taken = take_weights(fresh("dcgan", "base_channels=4"), DATA, model, "old", silent)
    assert [len(each.new) for each in taken.values()] == [1, 1]  # the layers beside the image


def test_another_recipe_of_the_same_networks():
    state = fresh("lsgan", "base_channels=4")
    taken = take_weights(state, DATA, model_of("dcgan", "base_channels=4", data=DATA), "old", silent)
    assert all(each.taken for each in taken.values())


def test_networks_of_another_kind_are_left_alone(refused):
    with refused("model.initial_weights_unfit"):
        take_weights(fresh("compact"), DATA, model_of("dcgan", data=DATA), "old", silent)


def test_only_the_discriminator_is_of_another_kind():
    state = fresh("mlp-small", "hidden=[8]", "discriminator={kind: dcgan, base_channels: 4}")
    taken = take_weights(state, DATA, make_model("hidden=[8]"), "old", silent)
    assert list(taken) == ["generator"]


@pytest.mark.slow
def test_a_model_of_two_domains():
    """Its classes are the domains, and no network has entries for them."""
    words = ("base_channels=4", "method.generator.blocks=1")
    data = DataSpec("a-to-b", 16, 16, 1, 96, DOMAINS, "4567")
    model = model_of("unpaired", *words, data=data)
    state = RunState.fresh(load_recipe("unpaired", ("size=16", "channels=1", *words)), data, 5, CPU)
    taken = take_weights(state, data, model, "old", silent)
    assert set(taken) == set(state.method.networks)
    assert all(each.taken == each.of for each in taken.values())
