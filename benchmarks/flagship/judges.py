"""The two classifiers of rules.md: `choose` for choices, `report` for the reported numbers."""

# Each is trained once and kept in a folder.

from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional as F

from gansmith.data.open import open_data
from gansmith.imaging.tensors import to_float
from gansmith.parts.extractors.convnet import open_convnet, shifted, train_on_labels
from gansmith.parts.metrics.frechet import frechet_distance, moments

TRAINING, TEST = "fashion-mnist", "fashion-mnist:test"
SIDE, KIMG, BATCH = 28, 240, 100


class Block(nn.Module):
    """x + conv(norm(relu(conv(norm(relu(x)))))), of the same height and width."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norms = nn.ModuleList([nn.GroupNorm(8, width) for _ in range(2)])
        self.convs = nn.ModuleList([nn.Conv2d(width, width, 3, 1, 1) for _ in range(2)])

    def forward(self, maps: Tensor) -> Tensor:
        """Return maps of the same shape."""
        change = maps
        for norm, conv in zip(self.norms, self.convs, strict=True):
            change = conv(F.relu(norm(change)))
        return maps + change


class Residual(nn.Module):
    """(images (N, 1, 28, 28) in [-1, 1]) -> (features (N, 192), logits (N, 10))."""

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = [nn.Conv2d(1, 32, 5, 1, 2), nn.MaxPool2d(2), Block(32)]
        layers += [nn.Conv2d(32, 96, 3, 1, 1), nn.MaxPool2d(2), Block(96)]
        layers += [nn.Conv2d(96, 192, 3, 1, 1), nn.MaxPool2d(2), nn.GroupNorm(8, 192), nn.GELU()]
        self.layers, self.head = nn.Sequential(*layers), nn.Linear(192, 10)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Return features and logits."""
        features = self.layers(images).mean((2, 3))
        return features, self.head(features)


def train_residual(images: np.ndarray, labels: np.ndarray, seed: int) -> Residual:
    """Return a trained classifier."""
    torch.manual_seed(seed)
    network, draws = Residual().to(memory_format=torch.channels_last), torch.Generator().manual_seed(seed)
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-3, weight_decay=0.05)
    steps = KIMG * 1000 // BATCH
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 2e-3, total_steps=steps)
    for _ in range(steps):
        chosen = torch.randint(len(images), (BATCH,), generator=draws)
        batch = shifted(to_float(images[chosen.numpy()]), draws).contiguous(memory_format=torch.channels_last)
        loss = F.cross_entropy(network(batch)[1], torch.from_numpy(labels[chosen.numpy()]).long())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    return network.eval().requires_grad_(False)


class TrainedDiscriminator:
    """A classifier, and the mean and covariance of the test split in its features."""

    def __init__(self, name: str, folder: Path, root: Path | None) -> None:
        self.network = self._open(name, folder / f"{name}.safetensors", root)
        test = open_data(TEST, root=root)
        images = test.read(np.arange(len(test)))
        features, found = self.look(images)
        self.accuracy = float((found == test.labels).mean())
        self.reference = moments(features)

    @staticmethod
    def _open(name: str, path: Path, root: Path | None) -> nn.Module:
        if not path.is_file():
            data = open_data(TRAINING, root=root)
            half = np.arange(len(data)).reshape(2, -1)[0 if name == "choose" else 1]
            images, labels = data.read(half), data.labels[half]
            if name == "choose":
                network = train_on_labels(images, labels, 10, KIMG, lambda _: None)
            else:
                network = train_residual(images, labels, seed=1)
            path.parent.mkdir(parents=True, exist_ok=True)
            save_file({key: value.contiguous() for key, value in network.state_dict().items()}, path)
        if name == "choose":
            return open_convnet(path, SIDE, 1, 10)
        network = Residual().to(memory_format=torch.channels_last)
        network.load_state_dict(load_file(path))
        return network.eval().requires_grad_(False)

    @torch.no_grad()
    def look(self, images: np.ndarray) -> tuple[Tensor, np.ndarray]:
        """Return features (N, F) and predicted classes (N,) of uint8 images (N, 28, 28, 1)."""
        parts = [self.network(to_float(images[at : at + BATCH])) for at in range(0, len(images), BATCH)]
        return torch.cat([part[0] for part in parts]), torch.cat([part[1].argmax(1) for part in parts]).numpy()

    def distance(self, images: np.ndarray) -> float:
        """Return the Fréchet distance between images and the test split."""
        return frechet_distance(self.reference, moments(self.look(images)[0]))
