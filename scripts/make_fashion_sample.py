"""Make the built-in images: the first 1,000 of each class of Fashion-MNIST's train split."""

# FOLDER of USAGE holds the files train-images-idx3-ubyte.gz and train-labels-idx1-ubyte.gz, for example of the Debian
# package dataset-fashion-mnist.

import gzip
import hashlib
import sys
from pathlib import Path

import numpy as np

USAGE = "usage: python scripts/make_fashion_sample.py FOLDER [OUT]"
PER_CLASS = 1000
CLASSES = ["T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"]
OUT = Path(__file__).parents[1] / "src" / "gansmith" / "data" / "fashion_sample.npz"


def read_idx(path: Path) -> np.ndarray:
    """Return the array of unsigned bytes in an idx file."""
    data = gzip.decompress(path.read_bytes())
    sides = data[3]
    if data[:3] != b"\0\0\x08":
        raise SystemExit(f"{path} is not an idx file of bytes")
    shape = np.frombuffer(data, ">u4", sides, 4)
    return np.frombuffer(data, np.uint8, offset=4 + 4 * sides).reshape(shape)


def main() -> None:
    """Write the file; the same input gives the same bytes."""
    if len(sys.argv) not in (2, 3):
        raise SystemExit(USAGE)
    folder = Path(sys.argv[1])
    images = read_idx(folder / "train-images-idx3-ubyte.gz")
    labels = read_idx(folder / "train-labels-idx1-ubyte.gz")
    rows = np.sort(np.concatenate([np.flatnonzero(labels == label)[:PER_CLASS] for label in range(len(CLASSES))]))
    out = Path(sys.argv[2]) if len(sys.argv) == 3 else OUT
    np.savez_compressed(out, images=images[rows], labels=labels[rows], class_names=np.array(CLASSES))
    print(f"{out}: {len(rows)} images, {out.stat().st_size} bytes, {hashlib.sha256(out.read_bytes()).hexdigest()}")


if __name__ == "__main__":
    main()
