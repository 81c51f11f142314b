"""Files of images and labels in the idx format of MNIST: one file, or those of a folder."""

import gzip
import math
import re
import struct
import zlib
from pathlib import Path

import numpy as np

from gansmith.core.errors import DataError, reason_of
from gansmith.core.plain_files import open_plain

MAX_IDX_BYTES = 10**9
IMAGES = re.compile(r"(.*)(images)([-.]?)(idx)3([-.]ubyte)(\.gz)?", re.IGNORECASE)  # train-images-idx3-ubyte.gz


def is_idx(name: str) -> bool:
    """Say whether a file's name is one of images in the idx format."""
    return bool(IMAGES.fullmatch(name))


def labels_beside(images: Path) -> Path | None:
    """Return the file of labels beside a file of images, plain or .gz; None without one."""
    found = IMAGES.fullmatch(images.name)
    assert found is not None
    start, dash, end = found[1], found[3], found[5]
    names = [f"{start}labels{dash}{found[4]}1{end}{packed}" for packed in ("", ".gz")]
    return next((path for name in names if (path := images.with_name(name)).is_file()), None)


def read_idx(path: Path) -> np.ndarray:
    """Return the uint8 array of an idx file, plain or .gz; DataError unless header and length agree."""
    try:
        with open_plain(path) as packed, gzip.open(packed) if path.suffix == ".gz" else packed as file:
            zeros, kind, num_sides = struct.unpack(">HBB", file.read(4))
            if zeros or kind != 8 or num_sides not in (1, 3):
                raise ValueError("its header does not describe images or labels in bytes")
            shape = struct.unpack(f">{num_sides}I", file.read(4 * num_sides))
            size = math.prod(shape)
            if size > MAX_IDX_BYTES:
                raise ValueError(f"its header claims {size:,} bytes, more than the limit of {MAX_IDX_BYTES:,}")
            values = file.read(size + 1)
            if len(values) != size:
                raise ValueError(
                    f"its header claims {size:,} bytes, {'more' if len(values) > size else 'fewer'} follow"
                )
    except (OSError, EOFError, ValueError, struct.error, zlib.error) as problem:
        raise DataError(
            "data.damaged_idx", f"idx file '{path}' is damaged: {reason_of(problem)}\n  download it again"
        ) from problem
    return np.frombuffer(values, np.uint8).reshape(shape)
