from dataclasses import replace

import numpy as np
import pytest
import torch

from gansmith.core.randomness import derive_seed, epoch_order, per_image, sample_latents
from small_runs import NOISE


def test_golden_values():
    """A change of the scheme changes every run and every sample: it must be seen."""
    assert derive_seed("sample", 0, 0) == 7725015491013140671
    assert derive_seed(1, "a") == 4610687093479912873
    assert NOISE.seeds("latents") == [3201823068684336330, 1196990017047132644, 5395755372602623424]
    expected = [
        [-0.000296013, -0.474193901, -0.040670767, -0.249951884],
        [-0.851976275, 0.583317757, -2.421132088, -0.093247898],
    ]
    np.testing.assert_allclose(sample_latents(0, 0, 2, 4), expected, atol=1e-6, rtol=0)
    torch.testing.assert_close(NOISE.normal("latents", 3)[0], torch.tensor([-0.209437013, 0.869110942, -0.206360951]))
    torch.testing.assert_close(NOISE.uniform("labels"), torch.tensor([0.456554472, 0.88256955, 0.449565768]))
    assert epoch_order(0, 0, 10).tolist() == [5, 4, 2, 9, 8, 7, 3, 1, 0, 6]
    assert epoch_order(7, 3, 10).tolist() == [4, 8, 5, 0, 6, 9, 2, 3, 1, 7]
    with NOISE.inside_networks():
        torch.testing.assert_close(torch.rand(2), torch.tensor([0.618722618, 0.47687]))


def test_every_bit_of_a_seed_counts():
    """torch's CPU generator uses 32 bits of a seed, which would repeat images in large samples."""
    seeds = [5, 5 + 2**32, 5 + 2**40, 5 + 2**62]
    assert len({tuple(row.tolist()) for row in per_image((4,), seeds)}) == len(seeds)


def test_seeds_depend_on_every_part_its_type_and_their_order():
    seeds = [
        derive_seed(*parts)
        for parts in [(1, 2), (2, 1), (12,), ("12",), (1, "2"), ("1", 2), (1, 2, 0), ("1\x1f2",), ()]
    ]
    assert len(set(seeds)) == len(seeds)
    assert all(0 <= seed < 2**63 for seed in seeds)


def test_the_same_draw_is_the_same_whatever_was_drawn_before():
    before = NOISE.normal("latents", 5)
    torch.manual_seed(99)
    torch.randn(7)
    NOISE.uniform("other", 2)
    assert torch.equal(NOISE.normal("latents", 5), before)


def test_drawing_leaves_the_global_generator_alone():
    torch.manual_seed(3)
    expected = torch.rand(2)
    torch.manual_seed(3)
    NOISE.normal("latents", 5)
    sample_latents(0, 0, 2, 3)
    epoch_order(0, 0, 5)
    with NOISE.inside_networks():
        torch.rand(5)
    assert torch.equal(torch.rand(2), expected)


@pytest.mark.parametrize("slices", [[(0, 6)], [(0, 3), (3, 6)], [(0, 1), (1, 3), (3, 6)]])
def test_processes_draw_what_one_would(slices):
    whole = replace(NOISE, positions=range(6))
    parts = [replace(NOISE, positions=range(*each)) for each in slices]
    assert torch.equal(torch.cat([part.normal("latents", 20) for part in parts]), whole.normal("latents", 20))
    assert torch.equal(torch.cat([part.uniform("labels") for part in parts]), whole.uniform("labels"))


@pytest.mark.parametrize("change", [
    {"seed": 2}, {"salt": 1}, {"iteration": 3}, {"phase": "generator"}, {"repeat": 1}, {"positions": range(3, 6)},
])  # fmt: skip
def test_every_field_gives_other_draws(change):
    other = replace(NOISE, **change)
    assert not (other.normal("latents", 8) == NOISE.normal("latents", 8)).any()
    with NOISE.inside_networks():
        inside = torch.rand(8)
    with other.inside_networks():
        assert not (torch.rand(8) == inside).any()


def test_every_role_and_image_has_draws_of_its_own():
    latents = NOISE.normal("latents", 8)
    assert not (NOISE.normal("latent", 8) == latents).any()
    assert not (latents[0] == latents[1]).any()


def test_draws_inside_networks_are_repeated_and_the_state_given_back_after_an_error():
    torch.manual_seed(4)
    expected = torch.rand(1)
    torch.manual_seed(4)
    first = torch.empty(50)

    def fail_inside() -> None:
        with NOISE.inside_networks():
            first.copy_(torch.nn.functional.dropout(torch.ones(50)))
            raise KeyError

    with pytest.raises(KeyError):
        fail_inside()
    assert torch.equal(torch.rand(1), expected)
    with NOISE.inside_networks():
        assert torch.equal(torch.nn.functional.dropout(torch.ones(50)), first)


def test_a_sample_is_the_same_whatever_else_is_asked():
    many = sample_latents(5, 0, 20, 100)
    assert np.array_equal(sample_latents(5, 0, 3, 100), many[:3])
    assert np.array_equal(sample_latents(5, 7, 6, 100), many[7:13])
    assert not (sample_latents(6, 0, 1, 100) == many[:1]).any()
    assert many.dtype == np.float32


def test_draws_depend_on_every_bit_of_a_seed():
    seeds = [5] + [5 + (1 << bit) for bit in range(3, 63)]
    assert len({tuple(row.tolist()) for row in per_image((4,), seeds)}) == len(seeds)


def test_moments():
    normal = sample_latents(0, 0, 200, 100)
    assert abs(normal.mean().item()) < 4 / np.sqrt(20_000)
    assert abs(normal.std().item() - 1) < 4 / np.sqrt(40_000)
    assert abs((np.abs(normal) < 1).mean() - 0.6827) < 0.015
    assert abs(normal.mean(1).std().item() - 0.1) < 0.02  # images are independent of each other
    uniform = per_image((100,), list(range(200)), uniform=True)
    assert uniform.min() >= 0
    assert uniform.max() < 1
    assert abs(uniform.mean().item() - 0.5) < 4 * 0.2887 / np.sqrt(20_000)
    assert abs(uniform.std().item() - 0.2887) < 0.01


@pytest.mark.parametrize("count", [1, 2, 1000])
def test_an_epoch_shows_every_image_once(count):
    order = epoch_order(0, 5, count)
    assert sorted(order.tolist()) == list(range(count))


def test_epochs_and_seeds_have_orders_of_their_own():
    orders = [tuple(epoch_order(seed, epoch, 50)) for seed in range(3) for epoch in range(3)]
    assert len(set(orders)) == 9
    assert epoch_order(1, 2, 50).tolist() == epoch_order(1, 2, 50).tolist()
