import math

import pytest
import torch
from pydantic import ValidationError
from torch.nn.functional import binary_cross_entropy_with_logits
from torch.testing import assert_close

from gansmith.parts.losses.base import losses

REAL = torch.tensor([0.0, 2.0])
FAKE = torch.tensor([-1.0, 3.0])
# softplus at the logits that the tables below need
SP = {-5: 0.0067153485, -3: 0.0485873516, -2: 0.126928011, -1: 0.3132616875, 0: 0.6931471806}
SP |= {1: 1.3132616875, 3: 3.0485873516}


def loss(name: str, **fields: float):
    return losses.parse({"kind": name, **fields})


def cross_entropy(logits: torch.Tensor, target: float) -> torch.Tensor:
    return binary_cross_entropy_with_logits(logits, torch.full_like(logits, target))


# name, D's loss, G's loss at REAL and FAKE, worked out by hand
TABLE = [
    ("minimax", (SP[0] + SP[-2]) / 2 + (SP[-1] + SP[3]) / 2, -(SP[-1] + SP[3]) / 2),
    ("non_saturating", (SP[0] + SP[-2]) / 2 + (SP[-1] + SP[3]) / 2, (SP[1] + SP[-3]) / 2),
    # 1/2 mean(1, 1) + 1/2 mean(1, 9) ; 1/2 mean(4, 4)
    ("least_squares", 0.5 + 2.5, 2.0),
    # mean(1, 0) + mean(0, 4) ; -mean(-1, 3)
    ("hinge", 2.5, -1.0),
    # mean(-1, 3) - mean(0, 2) ; -mean(-1, 3)
    ("wasserstein", 0.0, -1.0),
    # softplus(-1), softplus(1) ; softplus(1), softplus(-1)
    ("relativistic", (SP[-1] + SP[1]) / 2, (SP[1] + SP[-1]) / 2),
]


def test_the_table_has_every_loss():
    assert sorted(name for name, *_ in TABLE) == losses.names()


@pytest.mark.parametrize(("name", "discriminator", "generator"), TABLE)
def test_values_at_known_logits(name, discriminator, generator):
    got = loss(name).discriminator(REAL, FAKE)
    assert got.shape == ()
    assert_close(got, torch.tensor(discriminator), atol=1e-6, rtol=0)
    got = loss(name).generator(REAL, FAKE)
    assert got.shape == ()
    assert_close(got, torch.tensor(generator), atol=1e-6, rtol=0)


@pytest.mark.parametrize("name", ["minimax", "non_saturating"])
@pytest.mark.parametrize(("real_label", "fake_label"), [(1.0, 0.0), (0.9, 0.0), (0.9, 0.1), (1.0, 0.2)])
def test_label_smoothing_is_cross_entropy_with_those_targets(name, real_label, fake_label):
    real, fake = torch.randn(2, 50, generator=torch.Generator().manual_seed(0)) * 3
    expected = cross_entropy(real, real_label) + cross_entropy(fake, fake_label)
    assert_close(loss(name, real_label=real_label, fake_label=fake_label).discriminator(real, fake), expected)


def test_generator_is_not_smoothed():
    smooth, plain = loss("non_saturating", real_label=0.9, fake_label=0.1), loss("non_saturating")
    assert_close(smooth.generator(None, FAKE), plain.generator(None, FAKE), rtol=0, atol=0)
    assert_close(plain.generator(None, FAKE), cross_entropy(FAKE, 1.0))
    assert_close(loss("minimax").generator(None, FAKE), -cross_entropy(FAKE, 0.0))


def test_smoothed_optimum_is_the_label():
    real = torch.tensor([math.log(0.9 / 0.1)], requires_grad=True)
    loss("non_saturating", real_label=0.9).discriminator(real, torch.zeros(1)).backward()
    assert_close(real.grad, torch.zeros(1), atol=1e-7, rtol=0)


@pytest.mark.parametrize(("name", "field", "value"), [
    ("non_saturating", "real_label", 0.4), ("non_saturating", "real_label", 1.1),
    ("minimax", "fake_label", 0.5), ("minimax", "fake_label", -0.1),
])  # fmt: skip
def test_labels_out_of_range(name, field, value):
    with pytest.raises(ValidationError, match=field):
        loss(name, **{field: value})


def test_least_squares_labels():
    # a = -1, b = 1, c = 0: Mao et al. 2017, eq. 8
    pearson = loss("least_squares", fake_label=-1, real_label=1, generator_label=0)
    assert_close(pearson.discriminator(REAL, FAKE), torch.tensor((1 + 1) / 4 + (0 + 16) / 4))
    assert_close(pearson.generator(None, FAKE), torch.tensor((1 + 9) / 4.0))


@pytest.mark.parametrize("name", losses.names())
@pytest.mark.parametrize(("real", "fake"), [(1e4, -1e4), (-1e4, 1e4), (1e4, 1e4), (-1e4, -1e4)])
def test_extreme_logits_stay_finite(name, real, fake):
    for side in ("discriminator", "generator"):
        logits = [torch.full((3,), value, requires_grad=True) for value in (real, fake)]
        value = getattr(loss(name), side)(*logits)
        value.backward()
        assert value.isfinite()
        assert all(each.grad is None or each.grad.isfinite().all() for each in logits)


def test_extreme_values_are_exact():
    far = torch.tensor([1e4])
    assert loss("non_saturating").discriminator(far, -far).item() == 0
    assert loss("non_saturating").discriminator(-far, far).item() == 2e4
    assert loss("minimax").generator(None, far).item() == -1e4
    assert loss("relativistic").discriminator(-far, far).item() == 2e4


def gradient_of_generator(name: str, logit: float) -> float:
    fake = torch.tensor([logit], requires_grad=True)
    loss(name).generator(None, fake).backward()
    return fake.grad.item()


def test_minimax_vanishes_where_non_saturating_does_not():
    # D(G(z)) = sigmoid(-10) = 4.54e-5: the gradient is -D for minimax and -(1 - D) for non-saturating
    assert gradient_of_generator("minimax", -10.0) == pytest.approx(-4.5397868e-5, rel=1e-4)
    assert gradient_of_generator("non_saturating", -10.0) == pytest.approx(-0.9999546, rel=1e-6)
    # and where G wins it is the other way round
    assert gradient_of_generator("minimax", 10.0) == pytest.approx(-0.9999546, rel=1e-6)
    assert gradient_of_generator("non_saturating", 10.0) == pytest.approx(-4.5397868e-5, rel=1e-4)


def test_hinge_stops_at_its_margins():
    real, fake = torch.tensor([1.5, 0.5], requires_grad=True), torch.tensor([-1.5, -0.5], requires_grad=True)
    loss("hinge").discriminator(real, fake).backward()
    assert real.grad.tolist() == [0, -0.5]
    assert fake.grad.tolist() == [0, 0.5]


def test_relativistic_pairs_in_order():
    real, fake = torch.tensor([0.0, 4.0]), torch.tensor([-1.0, 3.0])
    crossed = fake.flip(0)
    # pairs (-1), (-1) against (3), (-5)
    assert_close(loss("relativistic").discriminator(real, fake), torch.tensor(SP[-1]), atol=1e-6, rtol=0)
    assert_close(
        loss("relativistic").discriminator(real, crossed), torch.tensor((SP[3] + SP[-5]) / 2), atol=1e-6, rtol=0
    )
    # G's side is D's with the sides exchanged
    assert_close(loss("relativistic").generator(real, crossed), loss("relativistic").discriminator(crossed, real))


def test_losses_declare_probabilities_and_real_logits():
    assert [name for name in losses.names() if losses.get(name).generator_needs_real] == ["relativistic"]
    assert [name for name in losses.names() if losses.get(name).logits_are_probabilities] == [
        "minimax",
        "non_saturating",
    ]


def test_the_boundary_lies_between_the_targets_of_d():
    assert [loss(name).boundary for name in ("minimax", "non_saturating", "hinge")] == [0, 0, 0]
    assert loss("least_squares").boundary == 0.5
    assert loss("least_squares", real_label=0.9, fake_label=-1.0).boundary == pytest.approx(-0.05)
    assert loss("wasserstein").boundary is loss("relativistic").boundary is None
