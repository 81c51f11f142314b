"""Readers of images and models under atheris, which changes files where the code branches."""

# By hand: pip install atheris; python benchmarks/fuzz_atheris.py image|onnx|weights [-max_total_time=600]. Options
# are those of libFuzzer; a failing file is written beside as crash-SHA1. The readers and the errors that they may raise
# are those of fuzz.py.

import contextlib
import os
import sys
import tempfile
import warnings
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

import atheris
import numpy as np

with atheris.instrument_imports(include=["gansmith.imaging", "gansmith.inference", "gansmith.core", "PIL"]):
    from attacks import make_bases
    from fuzz import pictures, readers


def main() -> None:
    name, *options = sys.argv[1:]
    warnings.simplefilter("ignore")
    with tempfile.TemporaryDirectory() as folder:
        os.environ["GANSMITH_CACHE"] = f"{folder}/cache"
        bases, corpus = Path(folder) / "bases", Path(folder) / "corpus"
        bases.mkdir()
        corpus.mkdir()
        np.savez(bases / "images.npz", images=np.random.default_rng(0).integers(0, 256, (96, 8, 8, 1), np.uint8))
        make_bases(bases, bases / "images.npz")
        models = [bases / "model.onnx", bases / "model" / "generator.safetensors"]
        for number, content in enumerate(pictures() if name == "image" else [each.read_bytes() for each in models]):
            (corpus / str(number)).write_bytes(content)
        _, read, allowed = readers(bases)[name]

        def one(data: bytes) -> None:
            with contextlib.suppress(*allowed):
                read(data, Path(folder))

        atheris.Setup([sys.argv[0], str(corpus), *options], one)
        atheris.Fuzz()


if __name__ == "__main__":
    main()
