"""The split into training and held-out images: a function of their contents, share and seed."""

import hashlib
from collections import Counter
from dataclasses import replace

import numpy as np

from gansmith.core.errors import DataError, counted
from gansmith.data.base import DataSpec, ImageData, Split

LARGEST_SHARE = 0.9


def split_data(whole: ImageData, share: float, seed: int) -> ImageData:
    """Return the training split of a data set, with the other split as its ``held_out``.

    A share of 0 returns the data set itself. In each class the images with the smallest hash of (seed, file content)
    are held out. So adding images moves few others to the other side, and another image size gives the same split.
    Images with the same pixels all go to one side; more copies than the share has room for stay in training. Raises
    DataError for a share outside 0 to 0.9 and for one that leaves a side empty.
    """
    if not 0 <= share <= LARGEST_SHARE:
        raise DataError(
            "data.holdout_out_of_range",
            f"holdout {share:g} is outside 0 to {LARGEST_SHARE}\n  pass a share of the images, for example 0.1",
        )
    if share == 0:
        return whole
    held = _held_out(whole, share, seed)
    if not 0 < held.sum() < len(held):
        side = "nothing is held out" if not held.any() else "nothing is left for training"
        raise DataError(
            "data.holdout_leaves_none",
            f"holdout {share:g} of {counted(len(held), 'image')} in '{whole.spec.name}': {side}"
            "\n  pass another share or more images (exact copies stay together on one side)",
        )
    spec = replace(whole.spec, held_out=int(held.sum()))
    kept_out = _part(whole, held, replace(spec, split=Split("holdout", share, seed), held_out=0))
    return replace(_part(whole, ~held, replace(spec, split=Split("train", share, seed))), held_out=kept_out)


def _held_out(whole: ImageData, share: float, seed: int) -> np.ndarray:
    """Return for each image whether it is held out, bool (N,)."""
    files, pixels = ([row.tobytes() for row in whole.digests[:, part]] for part in (0, 1))
    salt = f"gansmith holdout {seed}".encode()
    hashes = [hashlib.blake2b(file, digest_size=8, key=salt).digest() for file in files]
    ranks = np.argsort([int.from_bytes(hashed) for hashed in hashes], kind="stable")
    labels = np.zeros(len(files), np.int64) if whole.labels is None else whole.labels
    copies = Counter(pixels)
    held: set[bytes] = set()
    for label in np.unique(labels):
        in_class = ranks[labels[ranks] == label].tolist()
        room = int(share * len(in_class) + 0.5)
        for index in in_class:
            if room and pixels[index] not in held and copies[pixels[index]] <= room:
                held.add(pixels[index])
                room -= copies[pixels[index]]
    return np.array([key in held for key in pixels])


def _part(whole: ImageData, chosen: np.ndarray, spec: DataSpec) -> ImageData:
    """Return the chosen images (bool (N,)) as a data set with this spec and its own count."""
    rows = np.flatnonzero(chosen)
    labels = None if whole.labels is None else whole.labels[rows]
    spec = replace(spec, count=len(rows))
    counts = () if labels is None else tuple(np.bincount(labels, minlength=len(spec.classes)).tolist())
    summary = replace(whole.summary, spec=spec, class_counts=counts)
    return replace(whole, spec=spec, summary=summary, labels=labels, rows=rows)
