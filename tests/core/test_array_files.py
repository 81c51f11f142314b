"""Reading .npy files where CPython's parser fails by chance."""

import ast
import io
from pathlib import Path

import numpy as np
import pytest

from gansmith.core.array_files import TRIES, load_array, parsed_again
from gansmith.data.sources.array_files import images_in


class Moody:
    """The parser of CPython 3.11.7 under threads: it fails two times of three."""

    def __init__(self) -> None:
        self._parse = ast.literal_eval
        self.calls = 0

    def __call__(self, text: str) -> object:
        self.calls += 1
        if self.calls % 3:
            raise SystemError("AST constructor recursion depth mismatch (before=102, after=106)")
        return self._parse(text)


@pytest.fixture
def moody(monkeypatch: pytest.MonkeyPatch) -> Moody:
    parser = Moody()
    monkeypatch.setattr("ast.literal_eval", parser)
    return parser


def npy(array: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


def test_headers_are_parsed_again_where_the_parser_fails_by_chance(moody: Moody, tmp_path: Path) -> None:
    image = np.arange(64, dtype=np.float32).reshape(8, 8)
    assert np.array_equal(images_in(npy(image), "a.npy")[0, ..., 0], image)
    packed = io.BytesIO()
    np.savez_compressed(packed, images=image[None].repeat(40, 0))
    assert images_in(packed.getvalue(), "a.npz").shape == (40, 8, 8, 1)
    np.save(tmp_path / "x.npy", image)
    assert np.array_equal(load_array(tmp_path / "x.npy", mmap_mode="r"), image)
    stream = io.BytesIO(npy(image) + npy(image * 2))
    assert np.array_equal(load_array(stream), image)
    assert np.array_equal(load_array(stream), image * 2)
    assert moody.calls > 9


def test_a_parser_that_always_fails_is_told() -> None:
    calls = []

    def broken() -> None:
        calls.append(1)
        raise SystemError("never")

    with pytest.raises(SystemError, match="never"):
        parsed_again(broken)
    assert len(calls) == TRIES
