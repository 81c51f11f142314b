"""Pictures that tests draw: scenes, noise, and characters that are placed and slanted like handwriting."""

import numpy as np
from PIL import Image, ImageDraw, ImageFont


def scene(seed: int, side: int = 64) -> Image.Image:
    """Coloured ellipses."""
    random = np.random.default_rng(seed)
    image = Image.new("RGB", (side, side), tuple(random.integers(0, 256, 3).tolist()))
    for _ in range(12):
        x, y, across, down = (random.uniform(0.05, [1, 1, 0.4, 0.4]) * side).tolist()
        colour = tuple(random.integers(0, 256, 3).tolist())
        ImageDraw.Draw(image).ellipse((x - across, y - down, x + across, y + down), fill=colour)
    return image


def noise(seed: int) -> Image.Image:
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (32, 32, 3), np.uint8))


def glyphs(character: str, count: int) -> list[Image.Image]:
    """A character that stands a little elsewhere and leans a little otherwise each time, like a written one."""
    random = np.random.default_rng(ord(character))
    out = []
    for _ in range(count):
        image = Image.new("L", (64, 64))
        place = (20 + int(random.integers(-3, 4)), 8 + int(random.integers(-3, 4)))
        ImageDraw.Draw(image).text(place, character, fill=255, font=ImageFont.load_default(size=44))
        out.append(image.rotate(float(random.normal(0, 12))).resize((28, 28), Image.Resampling.BOX))
    return out
