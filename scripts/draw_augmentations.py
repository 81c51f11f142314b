"""Draw the effect of each augmentation on one image."""

# Run: python scripts/draw_augmentations.py IMAGE OUT.png
# docs/pictures/augmentations.png shows avatars64/00003.png, 64 x 64 px, by Lisa Wischofsky (CC BY 4.0).

import sys
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw

from gansmith.core.randomness import derive_seed, per_image
from gansmith.imaging.tensors import to_float, to_uint8
from gansmith.parts.augmentations.base import Augmentation, augmentations

COLUMNS, GUTTER = 8, 150
OPERATIONS = {  # name: index of the random draw that switches it on
    "x-flip": 0, "quarter turns": 2, "whole pixels": 4, "scale": 7, "turn": 9, "stretch": 11, "turn again": 13,
    "shift": 15, "brightness": 18, "contrast": 20, "luma flip": 22, "hue": 24, "saturation": 26,
}  # fmt: skip


def row(images: torch.Tensor, name: str, augmentation: Augmentation, p: float, only: int | None = None):
    """Return augmented images with draws named after the row; ``only`` leaves one operation of ADA."""

    def draws(role: str, *shape: int) -> torch.Tensor:
        out = torch.from_numpy(
            per_image(shape, [derive_seed(name, role, column) for column in range(COLUMNS)], uniform=True)
        )
        if only is not None:
            out[:, list(OPERATIONS.values())] = 1
            out[:, only] = 0
        return out

    return augmentation(images, draws, p)


def main(source: str, target: str) -> None:
    """Write the picture, one row an augmentation."""
    image = np.array(Image.open(source).convert("RGB"))
    images = to_float(image[None]).expand(COLUMNS, -1, -1, -1)
    ada = augmentations.parse("ada")
    rows = {name: row(images, name, ada, 0.99, only) for name, only in OPERATIONS.items() if name != "turn again"}
    rows |= {f"ada at p = {p}": row(images, "ada", ada, p) for p in (0.2, 0.5, 0.8)}
    rows["diffaugment"] = row(images, "diffaugment", augmentations.parse("diffaugment"), 1.0)
    height, width = image.shape[:2]
    sheet = Image.new("RGB", (GUTTER + COLUMNS * width, len(rows) * height), "white")
    for place, (name, made) in enumerate(rows.items()):
        ImageDraw.Draw(sheet).text((4, place * height + height // 2 - 7), name, fill="black", font_size=14)
        for column, each in enumerate(to_uint8(made)):
            sheet.paste(Image.fromarray(each), (GUTTER + column * width, place * height))
    sheet.quantize(160).save(Path(target), optimize=True)


if __name__ == "__main__":
    if len(sys.argv) != 3:
        raise SystemExit("usage: python scripts/draw_augmentations.py IMAGE OUT.png")
    main(*sys.argv[1:])
