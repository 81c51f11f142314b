"""What a look at all images together shows: near duplicates, and whether mirror images would belong to the data."""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image

from gansmith.data.base import ImageData
from gansmith.imaging.images import fit_image, to_pil

SKETCH_SIDE, HASH_SIDE = 8, 16
HASH_BITS = HASH_SIDE * HASH_SIDE
PLAIN = 4.0  # deviation of gray values below which there is no shape to compare
# Measured on Fashion-MNIST (28 px) and on 5,000 drawn faces (64 px). Among images that are framed alike a hash of 64
# bits finds thousands of pairs; 256 bits with at most 10 apart find 29 in 60,000 clothes, all alike to the eye. Found
# are copies in double size or as JPEG of quality 90 (96 to 100 %), as JPEG of quality 75 (66 and 100 %), in half size
# (none and all); none that are shifted by a pixel. The colours of such copies are at most 4 apart, those of drawings
# that differ in a colour 9 and more.
MOST_BITS_APART = 10
MOST_COLOUR_APART = 8.0  # root mean square of the sketches
SAME_COLOUR = 3.0  # root mean square of small pictures that are taken for the same image
MOST_PAIRS = 10**6  # of thousands of frames that are all alike, for example: enough to show it
MOST_COMPARED, AT_ONCE = 10_000, 500  # small pictures
FEWEST_FOR_MIRROR, MOST_FOR_MIRROR = 40, 1500
UNLIKE = 0.9


@dataclass(frozen=True, slots=True)
class Sketch:
    """What is kept of an image to compare it with others."""

    pixels: bytes = b""  # SHA-256 of all
    colours: bytes = b""  # a small picture, uint8 (8, 8, 3)
    shapes: bytes = b""  # a perceptual hash; empty: too plain, or no library


def can_hash() -> bool:
    """Say whether the library for near duplicates is installed."""
    try:
        import imagehash  # noqa: F401
    except ModuleNotFoundError:
        return False
    return True


def draw(image: Image.Image) -> Sketch:
    """Return the sketch of an image in mode L, RGB or RGBA."""
    pixels = hashlib.sha256(f"{image.mode} {image.size} ".encode() + image.tobytes()).digest()
    colours = fit_image(image, SKETCH_SIDE, SKETCH_SIDE, 3, "stretch").tobytes()
    gray = fit_image(image, 4 * HASH_SIDE, 4 * HASH_SIDE, 1, "stretch")[..., 0]
    if gray.std() < PLAIN or not can_hash():
        return Sketch(pixels, colours)
    import imagehash

    return Sketch(pixels, colours, np.packbits(imagehash.phash(Image.fromarray(gray), HASH_SIDE).hash).tobytes())


def near_duplicates(sketches: Sequence[Sketch]) -> list[list[int]]:
    """Return groups of positions whose images show the same shapes in the same colours."""
    positions = [at for at, sketch in enumerate(sketches) if sketch.shapes]
    if not positions:
        return []
    hashes = np.stack([np.frombuffer(sketches[at].shapes, np.uint8) for at in positions])
    colours = np.stack([np.frombuffer(sketches[at].colours, np.uint8) for at in positions]).astype(np.float32)
    leader = list(range(len(positions)))

    def lead(at: int) -> int:
        while leader[at] != at:
            at = leader[at]
        return at

    for left, right in _close_pairs(hashes):
        if np.sqrt(np.square(colours[left] - colours[right]).mean()) <= MOST_COLOUR_APART:
            low, high = sorted((lead(left), lead(right)))
            leader[high] = low
    groups: dict[int, list[int]] = {}
    for at, position in enumerate(positions):
        groups.setdefault(lead(at), []).append(position)
    return [group for group in groups.values() if len(group) > 1]


def num_distinct(data: ImageData) -> int:
    """Return how many images there are if copies count once: the exact ones of all, near ones of ``MOST_COMPARED``."""
    _, first = np.unique(data.digests[data.rows, 1], axis=0, return_index=True)
    rows = np.sort(first)[np.linspace(0, len(first) - 1, min(len(first), MOST_COMPARED)).astype(int)]
    images = (image for at in range(0, len(rows), AT_ONCE) for image in data.read(rows[at : at + AT_ONCE]))
    return max(1, round(len(first) * distinct_share(images)))


def distinct_share(images: Iterable[np.ndarray]) -> float:
    """Return the share of uint8 (H, W, C) images that are left if one is kept of those with the same small picture.

    Plain ones, which show no shape, are left.
    """
    small = [fit_image(to_pil(image), SKETCH_SIDE, SKETCH_SIDE, 3, "stretch") for image in images]
    pictures = np.stack(small).reshape(len(small), -1).astype(np.float32)
    squares, has_shape = np.square(pictures).sum(1), pictures.std(1) >= PLAIN
    shares = []
    for at in range(0, len(pictures), AT_ONCE):
        some = slice(at, at + AT_ONCE)
        apart = squares[some, None] + squares - 2 * pictures[some] @ pictures.T  # summed over a small picture's values
        alike = (apart <= SAME_COLOUR**2 * pictures.shape[1]) & has_shape & has_shape[some, None]
        shares.append(1 / np.maximum(alike.sum(1), 1))
    return float(np.concatenate(shares).mean())


def _close_pairs(hashes: np.ndarray) -> set[tuple[int, int]]:
    """Return the pairs of rows of uint8 (N, 32) with few enough bits apart.

    At most 10 of 256 bits apart leaves at least 6 of 16 pieces of 16 bits the same: only rows that share a piece are
    compared. The bits are mixed, since those of coarse shapes agree too often.
    """
    mixed = np.random.Generator(np.random.Philox(0)).permutation(HASH_BITS)
    hashes = np.packbits(np.unpackbits(hashes, axis=1).take(mixed, axis=1), axis=1)
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


def mirror_shares(sketches: Sequence[Sketch], labels: Sequence[int]) -> dict[int, float]:
    """Return for each class the share of images whose mirror image lies farther from the class than they do.

    Half of the sketches are a reference; each of the others, and its mirror image, is measured to the nearest of them.
    Where mirroring changes nothing about the data the share is a half. It rests on the pixels of aligned images:
    Fashion-MNIST's shoes, which point to the left, come to 0.96 to 1.00 and its other classes to at most 0.86; digits
    of a font, each leaning and standing a little differently, to 0.96 and more, its 0 and 8 to 0.8; drawn faces that
    all look to one side to 0.99, and to 0.5 once half of them are mirrored. Writing within photos is not seen. Classes
    of fewer than 40 images are left out.
    """
    by_label: dict[int, list[bytes]] = {}
    for sketch, label in zip(sketches, labels, strict=True):
        by_label.setdefault(label, []).append(sketch.colours)
    shares = {}
    for label, all_of_it in sorted(by_label.items()):
        if len(all_of_it) < FEWEST_FOR_MIRROR:
            continue
        places = np.linspace(0, len(all_of_it) - 1, min(len(all_of_it), MOST_FOR_MIRROR)).astype(int)
        values = np.frombuffer(b"".join(all_of_it[place] for place in places), np.uint8)
        pictures = values.reshape(-1, SKETCH_SIDE, SKETCH_SIDE, 3).astype(np.float64)
        reference, asked = pictures[::2], pictures[1::2]
        own, mirrored = _to_nearest(asked, reference), _to_nearest(asked[:, :, ::-1], reference)
        shares[label] = float(np.mean((mirrored > own) + 0.5 * (mirrored == own)))
    return shares


def _to_nearest(asked: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """Return the squared distance of each picture to the nearest of a reference, (N,)."""
    left, right = asked.reshape(len(asked), -1), reference.reshape(len(reference), -1)
    squares = np.square(left).sum(1)[:, None] + np.square(right).sum(1) - 2 * left @ right.T
    return squares.min(axis=1)
