"""One image as stored pixels: decoded, fitted and in the type of its set."""

import numpy as np

from gansmith.data.base import DataOptions, Payload
from gansmith.data.image_format import ImageFormat
from gansmith.data.image_info import as_image, as_values, halves_of
from gansmith.data.value_format import ValueFormat
from gansmith.imaging.images import fit_image


def fitted(payload: Payload, stored: ImageFormat, options: DataOptions) -> np.ndarray:
    """Return stored pixels (height, width, channels); each image of a pair is fitted by itself."""
    if stored.values is not None:
        return _fitted_values(payload, stored, stored.values, options)
    shape = (stored.height, stored.width, stored.channels)
    turned = options.pairs and options.direction == "target-source"
    if isinstance(payload, np.ndarray) and payload.shape == shape and shape[2] < 4 and not turned:
        return payload
    image = as_image(payload, options.max_pixels)
    if not options.pairs:
        return fit_image(image, *shape, stored.fit, stored.block)
    half, middle = (shape[0], shape[1] // 2, shape[2]), image.width // 2
    boxes = [(0, 0, middle, image.height), (image.width - middle, 0, image.width, image.height)]
    if turned:
        boxes.reverse()
    sides = [fit_image(image.crop(box), *half, stored.fit, stored.block) for box in boxes]
    return np.concatenate(sides, axis=1)


def _fitted_values(payload: Payload, stored: ImageFormat, form: ValueFormat, options: DataOptions) -> np.ndarray:
    """Return stored pixels of an image or pair in units of its own."""
    array = as_values(payload, options.max_pixels)
    boxes = halves_of((array.shape[1], array.shape[0]), options.pairs)
    if options.pairs and options.direction == "target-source":
        boxes.reverse()
    shape = (stored.height, stored.width // len(boxes), stored.channels)
    sides = zip(form.sides(), form.nearest, boxes, strict=True)
    out = [
        form.fitted(array[:, left:right], values, shape, stored.fit, nearest=nearest)
        for values, nearest, (left, _, right, _) in sides
    ]
    return np.concatenate(out, axis=1)
