"""The Fréchet distance of ``fashion`` orders images as a person would; benchmarks/fd_order.py does it at full size."""

import runpy
from dataclasses import replace
from pathlib import Path

import pytest

from gansmith.data.open import open_data
from gansmith.data.split import split_data
from gansmith.parts.extractors.fashion import Fashion
from gansmith.parts.metrics.base import Number

pytestmark = pytest.mark.slow

SCRIPT = runpy.run_path(str(Path(__file__).parents[2] / "benchmarks" / "fd_order.py"))


def test_real_before_noise_before_blur_and_more_classes_before_fewer():
    pool = split_data(open_data("fashion-sample"), 0.2, 0)
    found = SCRIPT["measure"](pool.held_out, pool, Fashion().load(), 700, 2)
    assert list(found) == [
        "real images",
        "with noise",
        "blurred",
        "9 of 10 classes",
        "5 of 10 classes",
        "1 of 10 classes",
    ]
    assert SCRIPT["is_in_order"](found)
    swapped = {**found, "with noise": found["blurred"], "blurred": found["with noise"]}
    assert not SCRIPT["is_in_order"](swapped)
    unsure = {**found, "real images": replace(found["real images"], deviation=100.0)}
    assert not SCRIPT["is_in_order"](unsure)
    assert isinstance(found["blurred"], Number)
