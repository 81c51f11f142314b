"""A linear classifier of features: multinomial logistic regression, its regularisation chosen on a part kept back."""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

STRENGTHS = tuple(10.0**power for power in range(-1, -7, -1))  # of the L2 penalty, the strongest first
KEPT_BACK = 0.2  # of each class, to choose the strength
ROUNDS = 100
LEAST_SCALE = 1e-3  # of the largest: features that hardly vary are not blown up


@dataclass(frozen=True)
class Linear:
    """Logits of features x (N, F): x @ weight + bias."""

    weight: Tensor  # float64 (F, K)
    bias: Tensor  # float64 (K,)
    strength: float  # that was chosen

    def accuracy(self, features: Tensor, labels: Tensor) -> float:
        """Return the share of features (N, F) whose largest logit is that of their label (N,)."""
        return float((self(features).argmax(1) == labels).double().mean())

    def __call__(self, features: Tensor) -> Tensor:
        """Return logits (N, K)."""
        return features.double() @ self.weight + self.bias


def fit_linear(features: Tensor, labels: Tensor, num_classes: int, *, one_scale: bool = False) -> Linear:
    """Return the classifier of features (N, F) with labels (N,), in an order that says nothing.

    It minimises mean cross entropy + strength / 2 |W|^2 on features with mean 0 and deviation 1, divided by the root
    of their number, so that a strength means much the same for any F. Taken is the strength with the least cross
    entropy on a fifth of each class that is kept back; then all images are learnt from. ``one_scale`` divides all
    features by one deviation, the root of the mean square of theirs, for those whose sizes mean something.
    Source: Radford et al. 2016, arXiv:1511.06434, section 5.1, for a linear classifier on features of D.
    Differs: logistic regression in place of a linear SVM.
    """
    mean, scale = features.double().mean(0), _scale(features, one_scale)
    centred = (features.double() - mean) * scale
    # The best weights are sums of the images: where these are fewer than features, they are looked for there.
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
    """Return which images (N,) are kept back: the last fifth of each class, one at least, but not all."""
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
    """Return weight (F, K) and bias (K,), from 0 or from a start."""
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
