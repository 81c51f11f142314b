"""Train the weights of the extractor `fashion` on Fashion-MNIST's training images."""

# Run: python scripts/make_fashion_extractor.py FOLDER [--kimg 600] [--out FILE]
# FOLDER has the four idx files of Fashion-MNIST (.gz or not). The test split is used for the printed accuracy alone.

import argparse
import gzip
import sys
import time
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file

from gansmith.parts.extractors.convnet import resized, train_on_labels


def read_idx(folder: Path, name: str) -> np.ndarray:
    """Return the array of an idx file."""
    found = next(path for path in sorted(folder.rglob(f"{name}*")) if path.is_file())
    data = gzip.decompress(found.read_bytes()) if found.suffix == ".gz" else found.read_bytes()
    sides = [int.from_bytes(data[4 * i : 4 * i + 4], "big") for i in range(1, data[3] + 1)]
    return np.frombuffer(data, np.uint8, offset=4 + 4 * data[3]).reshape(sides)


def main() -> None:
    """Train, print the accuracy, write the weights."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--kimg", type=int, default=600)
    parser.add_argument("--out", type=Path, default=Path("src/gansmith/parts/extractors/fashion.safetensors"))
    args = parser.parse_args()
    images, labels = (read_idx(args.folder, f"train-{kind}") for kind in ("images", "labels"))
    start = time.monotonic()

    def tell(done: int) -> None:
        if done % 12800 == 0:
            print(f"\r{done / 1000:.0f} of {args.kimg} kimg, {time.monotonic() - start:.0f} s", end="", file=sys.stderr)

    network = train_on_labels(images[..., None], labels.astype(np.int64), 10, args.kimg, tell)
    images, labels = (read_idx(args.folder, f"t10k-{kind}") for kind in ("images", "labels"))
    with torch.no_grad():
        found = torch.cat([network(resized(part[..., None], 28))[1].argmax(1) for part in np.array_split(images, 40)])
    print(f"\naccuracy on the test split: {(found.numpy() == labels).mean():.4f}")
    save_file({name: value.contiguous() for name, value in network.state_dict().items()}, args.out)
    print(f"{args.out}: {args.out.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
