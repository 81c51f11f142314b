import pytest
import torch
from torch import nn

from gansmith.training.ema import Ema


def one_weight(value: float) -> nn.Linear:
    network = nn.Linear(1, 1, bias=False)
    nn.init.constant_(network.weight, value)
    return network


def weight_of(ema: Ema) -> float:
    return ema.network.weight.item()


@pytest.mark.parametrize("images", [10, 100, 1000])
def test_after_a_half_life_half_of_the_start_is_left(images):
    network = one_weight(1.0)
    ema = Ema(network)
    nn.init.zeros_(network.weight)
    for step in range(2000 // images):
        ema.update(network, images, seen_kimg=(step + 1) * images / 1000, half_life_kimg=2.0, warmup=0)
    assert weight_of(ema) == pytest.approx(0.5, rel=1e-4)
    for _ in range(4000 // images):
        ema.update(network, images, seen_kimg=2.0, half_life_kimg=2.0, warmup=0)
    assert weight_of(ema) == pytest.approx(0.125, rel=1e-4)


def test_one_update_is_the_formula():
    network = one_weight(3.0)
    ema = Ema(network)
    nn.init.constant_(network.weight, 7.0)
    ema.update(network, 64, 0.064, half_life_kimg=10.0, warmup=0)
    decay = 0.5 ** (0.064 / 10)
    assert weight_of(ema) == pytest.approx(3 * decay + 7 * (1 - decay), rel=1e-6)


def test_warm_up_shortens_the_half_life_to_a_share_of_the_images_seen():
    network = one_weight(1.0)
    ema = Ema(network)
    nn.init.zeros_(network.weight)
    ema.update(network, 100, seen_kimg=2.0, half_life_kimg=10.0, warmup=0.05)  # half-life 0.1 kimg, 0.1 kimg passed
    assert weight_of(ema) == pytest.approx(0.5, rel=1e-6)
    ema.update(network, 100, seen_kimg=1e6, half_life_kimg=0.1, warmup=0.05)  # never longer than asked for
    assert weight_of(ema) == pytest.approx(0.25, rel=1e-6)


def test_half_life_0_copies():
    network = one_weight(1.0)
    ema = Ema(network)
    nn.init.constant_(network.weight, 0.1)
    ema.update(network, 64, 0.064, half_life_kimg=0, warmup=0.05)
    assert torch.equal(ema.network.weight, network.weight)


def test_batch_statistics_are_averaged_and_whole_numbers_copied():
    network = nn.BatchNorm1d(2)
    ema = Ema(network)
    network(torch.tensor([[1.0, 2.0], [3.0, 6.0]]))
    assert network.running_mean.tolist() == pytest.approx([0.2, 0.4])
    ema.update(network, 1000, 1.0, half_life_kimg=1.0, warmup=0)
    assert ema.network.running_mean.tolist() == pytest.approx([0.1, 0.2])
    expected = (1 + network.running_var) / 2
    torch.testing.assert_close(ema.network.running_var, expected)
    assert ema.network.num_batches_tracked.item() == 1


def test_the_average_is_a_network_of_its_own_for_evaluation():
    network = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2), nn.Dropout(0.5)).train()
    ema = Ema(network)
    assert network.training
    assert all(parameter.requires_grad for parameter in network.parameters())
    assert not any(module.training for module in ema.network.modules())
    assert not any(parameter.requires_grad for parameter in ema.network.parameters())
    with torch.no_grad():
        network[0].weight.add_(1)
    assert not torch.equal(ema.network[0].weight, network[0].weight)
    assert list(ema.network.state_dict()) == list(network.state_dict())


def test_the_first_update_does_not_overwrite_a_restored_average():
    network = one_weight(5.0)
    ema = Ema(one_weight(0.0))
    ema.network.load_state_dict({"weight": torch.tensor([[1.0]])})
    ema.update(network, 1000, 1.0, half_life_kimg=1.0, warmup=0)
    assert weight_of(ema) == pytest.approx(3.0, rel=1e-6)
