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

with atheris.instrument_imports(include=["gansmith.imaging", "gansmith.inference", "gansmith.core", "PIL"]):
    from fuzz import pictures, readers, whole_files


def main() -> None:
    name, *options = sys.argv[1:]
    warnings.simplefilter("ignore")
    with tempfile.TemporaryDirectory() as folder:
        bases, corpus = whole_files(Path(folder)), Path(folder) / "corpus"
        corpus.mkdir()
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
