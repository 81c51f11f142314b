"""Copies among images: groups of near duplicates, and how many distinct images there are."""

from collections.abc import Iterable, Sequence

import numpy as np

from gansmith.data.base import ImageData
from gansmith.data.signatures import HASH_BITS, PLAIN, Signature, thumbnail
from gansmith.imaging.images import to_pil

# Two images are near duplicates when few bits of their perceptual hashes and their colours differ. The limits were
# measured on Fashion-MNIST (28 px) and on 5,000 drawn faces (64 px).
# Hash: images that are framed alike need many bits. 64 bits find thousands of false pairs; 256 bits with at most 10
# different find 29 pairs in 60,000 clothes, all alike to the eye.
# Copies that are found (clothes, faces): in double size or as JPEG of quality 90: 96 to 100 %; as JPEG of quality 75:
# 66 and 100 %; in half size: none and all. Copies that are shifted by a pixel are not found.
# Colours: such copies differ by at most 4, drawings with another colour by 9 and more.
MOST_BITS_APART = 10
MOST_COLOUR_APART = 8.0  # root mean square difference of the thumbnails, of 255
SAME_COLOUR = 3.0  # root mean square difference below which thumbnails count as one image
MOST_PAIRS = 10**6  # enough to show that thousands of frames are alike; the search stops there
MOST_COMPARED, AT_ONCE = 10_000, 500  # thumbnails


def near_duplicates(signatures: Sequence[Signature]) -> list[list[int]]:
    """Return groups of positions whose images show the same shapes in the same colours."""
    positions = [at for at, signature in enumerate(signatures) if signature.perceptual_hash]
    if not positions:
        return []
    hashes = np.stack([np.frombuffer(signatures[at].perceptual_hash, np.uint8) for at in positions])
    thumbnails = np.stack([np.frombuffer(signatures[at].thumbnail, np.uint8) for at in positions]).astype(np.float32)
    leader = list(range(len(positions)))

    def lead(at: int) -> int:
        while leader[at] != at:
            at = leader[at]
        return at

    for left, right in _close_pairs(hashes):
        if np.sqrt(np.square(thumbnails[left] - thumbnails[right]).mean()) <= MOST_COLOUR_APART:
            low, high = sorted((lead(left), lead(right)))
            leader[high] = low
    groups: dict[int, list[int]] = {}
    for at, position in enumerate(positions):
        groups.setdefault(lead(at), []).append(position)
    return [group for group in groups.values() if len(group) > 1]


def num_distinct(data: ImageData) -> int:
    """Return the number of distinct images: copies count once.

    Exact copies are found among all images. Near duplicates are found among at most 10,000 of them, and their share is
    taken for the whole data set.
    """
    _, first = np.unique(data.digests[data.rows, 1], axis=0, return_index=True)
    rows = np.sort(first)[np.linspace(0, len(first) - 1, min(len(first), MOST_COMPARED)).astype(int)]
    parts = (data.spec.picture(data.read(rows[at : at + AT_ONCE])) for at in range(0, len(rows), AT_ONCE))
    images = (image for part in parts for image in part)
    return max(1, round(len(first) * distinct_share(images)))


def distinct_share(images: Iterable[np.ndarray]) -> float:
    """Return the share of uint8 (H, W, C) images that remain if images with the same thumbnail count once.

    Plain images show no shape to compare; each of them counts.
    """
    small = [np.frombuffer(thumbnail(to_pil(image)), np.uint8) for image in images]
    pictures = np.stack(small).astype(np.float32)
    squares, has_shape = np.square(pictures).sum(1), pictures.std(1) >= PLAIN
    shares = []
    for at in range(0, len(pictures), AT_ONCE):
        block = slice(at, at + AT_ONCE)
        distances = squares[block, None] + squares - 2 * pictures[block] @ pictures.T  # squared
        alike = (distances <= SAME_COLOUR**2 * pictures.shape[1]) & has_shape & has_shape[block, None]
        shares.append(1 / np.maximum(alike.sum(1), 1))
    return float(np.concatenate(shares).mean())


def _close_pairs(hashes: np.ndarray) -> set[tuple[int, int]]:
    """Return the pairs of rows of uint8 (N, 32) that differ in at most 10 of their 256 bits.

    Of 16 pieces of 16 bits, such a pair has at least 6 in common, so only rows that share a piece are compared. The
    bits are shuffled first: neighbouring bits describe coarse shapes, which too many images share.
    """
    shuffled = np.random.Generator(np.random.Philox(0)).permutation(HASH_BITS)
    hashes = np.packbits(np.unpackbits(hashes, axis=1).take(shuffled, axis=1), axis=1)
    pieces, words = np.ascontiguousarray(hashes).view(np.uint16), np.ascontiguousarray(hashes).view(np.uint64)
    pairs: set[tuple[int, int]] = set()
    for piece in pieces.T:
        order = np.argsort(piece, kind="stable")
        ordered = piece[order]
        for step in range(1, len(order)):
            same = np.flatnonzero(ordered[step:] == ordered[:-step])
            if not len(same):
                break
            left, right = order[same], order[same + step]
            near = np.bitwise_count(words[left] ^ words[right]).sum(axis=1) <= MOST_BITS_APART
            pairs.update(zip(left[near].tolist(), right[near].tolist(), strict=True))
            if len(pairs) > MOST_PAIRS:
                return pairs
    return pairs
