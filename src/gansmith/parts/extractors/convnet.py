"""The small network of ``fashion`` and ``own``, trained on labels or on views."""

import copy
import hashlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.fusion import fuse_conv_bn_eval

from gansmith.core.tensor_files import load_tensors
from gansmith.imaging.tensors import to_float

WIDTHS = (32, 64, 96, 128, 128)
WIDTH = WIDTHS[-1]
BATCH = 128
LARGEST_INPUT_PX = 64
LAST_SIDE, SIDE_OF_SAME = 4, 16  # px: the last side; below the second, stride-1 layers too
TEMPERATURE = 0.2
Vary = Callable[[Tensor, torch.Generator], Tensor]


class ConvNet(nn.Module):
    """(images (N, C, H, W) in [-1, 1]) -> (features (N, 128), logits (N, K)).

    Convolutions of stride 2 halve the sides to about 4 px; from 16 px on, convolutions of stride 1 alternate with them.
    Batch norm and ReLU follow each. Features are the mean over pixels; a linear layer gives the logits.
    """

    def __init__(self, side: int, channels: int, num_classes: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        before, step = channels, 0

        def add(stride: int) -> None:
            nonlocal before, step
            after = WIDTHS[min(step, len(WIDTHS) - 1)]
            layers.append(nn.Conv2d(before, after, 3, stride, 1, bias=False))
            layers.extend([nn.BatchNorm2d(after), nn.ReLU(inplace=True)])
            before, step = after, step + 1

        while side > LAST_SIDE:
            add(2)
            side = (side + 1) // 2
            if LAST_SIDE < side <= SIDE_OF_SAME:
                add(1)
        while step < len(WIDTHS):
            add(1)
        self.layers = nn.Sequential(*layers)
        self.head = nn.Linear(WIDTH, num_classes) if num_classes else None

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Return features and logits."""
        features = self.layers(images).mean((2, 3))
        return features, features.new_empty(len(features), 0) if self.head is None else self.head(features)


def input_side(height: int, width: int) -> int:
    """Return the side that images are resized to: their longer side, at most 64 px."""
    return min(LARGEST_INPUT_PX, max(height, width))


def resized(images: np.ndarray, side: int) -> Tensor:
    """Return uint8 (N, H, W, C) images as (N, C, side, side) in [-1, 1], bicubic with antialiasing."""
    values = to_float(images)
    if values.shape[2:] == (side, side):
        return values
    return F.interpolate(values, (side, side), mode="bicubic", antialias=True).clamp(-1, 1)


def weights_digest(network: nn.Module) -> str:
    """Return the SHA-256 of the weights in safetensors format."""
    return hashlib.sha256(save({name: value.contiguous() for name, value in network.state_dict().items()})).hexdigest()


def train_on_labels(
    images: np.ndarray,
    labels: np.ndarray,
    num_classes: int,
    kimg: int,
    on_step: Callable[[int], None],
    *,
    seed: int = 0,
    vary: Vary | None = None,
) -> ConvNet:
    """Return a network trained to classify for ``kimg`` thousand images; equal images and seeds give equal weights.

    ``vary`` augments each batch (N, C, H, W) with a random generator; None: random shifts.
    """
    side = input_side(*images.shape[1:3])
    network, vary = _fresh(side, images.shape[3], num_classes, seed), vary or shifted
    targets = torch.from_numpy(labels).long()

    def loss(batch: Tensor, indices: Tensor, draws: torch.Generator) -> Tensor:
        _, logits = network(vary(batch, draws))
        return F.cross_entropy(logits, targets[indices], label_smoothing=0.05)

    return _train(network, list(network.parameters()), images, side, kimg, loss, on_step, seed)


def train_on_views(images: np.ndarray, kimg: int, on_step: Callable[[int], None]) -> ConvNet:
    """Return a network trained to find the second view of each image in a batch, for ``kimg`` thousand images.

    Source: Chen et al. 2020, arXiv:2002.05709 (SimCLR), equation 1.
    Differs: mild colour changes, because metrics must see colours; temperature 0.2; AdamW.
    """
    side = input_side(*images.shape[1:3])
    network = _fresh(side, images.shape[3], 0)
    with torch.random.fork_rng([]):
        torch.manual_seed(1)
        project = nn.Sequential(nn.Linear(WIDTH, WIDTH), nn.ReLU(inplace=True), nn.Linear(WIDTH, 64))

    def loss(batch: Tensor, indices: Tensor, draws: torch.Generator) -> Tensor:
        views = torch.cat([_view(batch, draws), _view(batch, draws)])
        codes = F.normalize(project(network(views)[0]))
        likeness = (codes @ codes.T / TEMPERATURE).fill_diagonal_(-torch.inf)
        return F.cross_entropy(likeness, torch.arange(len(views)).roll(len(batch)))

    return _train(network, [*network.parameters(), *project.parameters()], images, side, kimg, loss, on_step)


def _fresh(side: int, channels: int, num_classes: int, seed: int = 0) -> ConvNet:
    with torch.random.fork_rng([]):
        torch.manual_seed(seed)
        return ConvNet(side, channels, num_classes).to(memory_format=torch.channels_last)


def _train(
    network: ConvNet,
    parameters: list[nn.Parameter],
    images: np.ndarray,
    side: int,
    kimg: int,
    loss: Callable[[Tensor, Tensor, torch.Generator], Tensor],
    on_step: Callable[[int], None],
    seed: int = 0,
) -> ConvNet:
    steps = kimg * 1000 // BATCH
    optimizer = torch.optim.AdamW(parameters, lr=2e-3, weight_decay=0.02)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 2e-3, total_steps=steps)
    draws = torch.Generator().manual_seed(seed)
    network.train()
    for step in range(steps):
        indices = torch.randint(len(images), (BATCH,), generator=draws)
        batch = resized(images[indices.numpy()], side).contiguous(memory_format=torch.channels_last)
        value = loss(batch, indices, draws)
        optimizer.zero_grad()
        value.backward()
        optimizer.step()
        schedule.step()
        on_step((step + 1) * BATCH)
    return network.eval().requires_grad_(False)


def shifted(images: Tensor, draws: torch.Generator) -> Tensor:
    """Return images shifted by up to a tenth of their side, with reflected borders."""
    count, _, height, width = images.shape
    most = max(1, height // 10)
    padded = F.pad(images, (most,) * 4, mode="reflect")
    rows, columns = (torch.randint(2 * most + 1, (count, 1), generator=draws) for _ in range(2))
    rows, columns = rows + torch.arange(height), columns + torch.arange(width)
    picked = padded.permute(0, 2, 3, 1)[torch.arange(count)[:, None, None], rows[:, :, None], columns[:, None, :]]
    return picked.permute(0, 3, 1, 2)


def _view(images: Tensor, draws: torch.Generator) -> Tensor:
    """Return a random crop of each image, resized back, with random mirroring, brightness, contrast and noise."""
    count = len(images)

    def uniform(low: float, high: float, *shape: int) -> Tensor:
        return torch.rand(count, *shape, generator=draws) * (high - low) + low

    scale = uniform(0.55, 1.0)
    mirror = torch.where(uniform(0, 1) < 0.5, -1.0, 1.0)
    room = 1 - scale
    theta = torch.zeros(count, 2, 3)
    theta[:, 0, 0], theta[:, 1, 1] = scale * mirror, scale
    theta[:, 0, 2], theta[:, 1, 2] = room * uniform(-1, 1), room * uniform(-1, 1)
    grid = F.affine_grid(theta, list(images.shape), align_corners=False)
    views = F.grid_sample(images, grid, mode="bilinear", padding_mode="reflection", align_corners=False)
    views = views * uniform(0.8, 1.2, 1, 1, 1) + uniform(-0.15, 0.15, 1, 1, 1)
    return views + 0.03 * torch.randn(views.shape, generator=draws)


def folded(network: ConvNet) -> ConvNet:
    """Return the network with each batch norm folded into its convolution, which is 25 % faster."""
    out, layers = copy.deepcopy(network), []
    for index in range(0, len(out.layers), 3):
        convolution, norm, activation = out.layers[index : index + 3]
        assert isinstance(convolution, nn.Conv2d)
        assert isinstance(norm, nn.BatchNorm2d)
        layers += [fuse_conv_bn_eval(convolution, norm), activation]
    out.layers = nn.Sequential(*layers)
    return out


def open_convnet(path: Path, side: int, channels: int, num_classes: int) -> ConvNet:
    """Return a network with the weights of a safetensors file."""
    network = _fresh(side, channels, num_classes)
    network.load_state_dict(load_tensors(path))
    return network.eval().requires_grad_(False)


def extract(network: ConvNet, side: int, images: np.ndarray) -> tuple[Tensor, Tensor | None]:
    """Return features (N, 128), and class probabilities (N, K) or None, of uint8 images (N, H, W, C)."""
    features, logits = network(resized(images, side))
    return features, logits.softmax(1) if logits.shape[1] else None
