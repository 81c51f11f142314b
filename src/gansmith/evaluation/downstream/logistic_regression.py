"""Multinomial logistic regression on features, with a validated L2 penalty."""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

STRENGTHS = tuple(10.0**power for power in range(-1, -7, -1))  # of the L2 penalty, the strongest first
KEPT_BACK = 0.2  # share of each class that validates the strength
ROUNDS = 100
LEAST_SCALE = 1e-3  # of the largest deviation; features that hardly vary are not scaled up further


@dataclass(frozen=True)
class Linear:
    """Logits of features x (N, F): x @ weight + bias."""

    weight: Tensor  # float64 (F, K)
    bias: Tensor  # float64 (K,)
    strength: float  # of the L2 penalty, as chosen

    def accuracy(self, features: Tensor, labels: Tensor) -> float:
        """Return the share of features (N, F) that are classified as their labels (N,)."""
        return float((self(features).argmax(1) == labels).double().mean())

    def __call__(self, features: Tensor) -> Tensor:
        """Return logits (N, K)."""
        return features.double() @ self.weight + self.bias


def fit_linear(features: Tensor, labels: Tensor, num_classes: int, *, one_scale: bool = False) -> Linear:
    """Return a classifier trained on features (N, F) and labels (N,), which must be in random order.

    It minimises mean cross entropy + strength / 2 |W|^2. Features are scaled to mean 0 and deviation 1 / sqrt(F), so
    that a strength has about the same effect for any F. The strength is the one with the lowest cross entropy on a
    held-out fifth of each class; the final classifier is then trained on all images. ``one_scale`` divides all
    features by one deviation, the root mean square, which keeps their relative sizes.
    Source: Radford et al. 2016, arXiv:1511.06434, section 5.1, for a linear classifier on features of D.
    Differs: logistic regression in place of a linear SVM.
    """
    mean, scale = features.double().mean(0), _scale(features, one_scale)
    centred = (features.double() - mean) * scale
    # The best weights are sums of images: with fewer images than features the search is limited to such sums.
    basis = torch.linalg.qr(centred.T).Q if len(centred) < centred.shape[1] else None
    inputs = centred if basis is None else centred @ basis
    held = _kept_back(labels, num_classes)
    strength = _choose(inputs[~held], labels[~held], inputs[held], labels[held], num_classes)
    weight, bias = _minimise(inputs, labels, num_classes, strength)
    weight = scale[:, None] * (weight if basis is None else basis @ weight)
    return Linear(weight, bias - mean @ weight, strength)


def _scale(features: Tensor, one_scale: bool) -> Tensor:
    deviation = features.double().std(0, correction=0)
    if one_scale:
        deviation = deviation.square().mean().sqrt().expand_as(deviation)
    least = max(float(deviation.max()) * LEAST_SCALE, 1e-12)
    return 1 / (deviation.clamp(min=least) * features.shape[1] ** 0.5)


def _kept_back(labels: Tensor, num_classes: int) -> Tensor:
    """Return a mask (N,) of held-out images: the last fifth of each class, at least one, but not all."""
    held = torch.zeros(len(labels), dtype=torch.bool)
    for number in range(num_classes):
        members = torch.nonzero(labels == number).flatten()
        count = min(len(members) - 1, max(1, round(KEPT_BACK * len(members))))
        held[members[len(members) - count :]] = True
    return held


def _choose(inputs: Tensor, labels: Tensor, held: Tensor, held_labels: Tensor, num_classes: int) -> float:
    least, chosen = torch.inf, STRENGTHS[0]
    start = None
    for strength in STRENGTHS:
        start = _minimise(inputs, labels, num_classes, strength, start)
        entropy = float(F.cross_entropy(_logits(held, *start), held_labels))
        if entropy < least:
            least, chosen = entropy, strength
    return chosen


def _logits(inputs: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    return inputs @ weight + bias


def _minimise(
    inputs: Tensor, labels: Tensor, num_classes: int, strength: float, start: tuple[Tensor, Tensor] | None = None
) -> tuple[Tensor, Tensor]:
    """Return the best weight (F, K) and bias (K,), starting from 0 or ``start``."""
    weight = inputs.new_zeros(inputs.shape[1], num_classes) if start is None else start[0].clone()
    bias = inputs.new_zeros(num_classes) if start is None else start[1].clone()
    parameters = [weight.requires_grad_(), bias.requires_grad_()]
    optimizer = torch.optim.LBFGS(parameters, max_iter=ROUNDS, tolerance_grad=1e-6, line_search_fn="strong_wolfe")

    def loss() -> Tensor:
        optimizer.zero_grad()
        total = F.cross_entropy(_logits(inputs, weight, bias), labels) + strength / 2 * weight.square().sum()
        total.backward()
        return total

    optimizer.step(loss)
    return weight.detach(), bias.detach()
