"""Generated files for each reader, for so many minutes: no crash, hang, over-use of memory."""

# Run: python benchmarks/fuzz.py [READER ...] [--minutes 10]. A failure is printed with its bytes, smallest first.
# Readers may raise GansmithError, OSError and ValueError; anything else is a failure.

import argparse
import contextlib
import json
import resource
import tempfile
import time
from pathlib import Path

import yaml
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from gansmith.core.plain_files import parse_json, parse_yaml, refuse_damaged_tensors
from gansmith.data.open import open_data
from gansmith.inference.load import load_model
from gansmith.recipes.load import parse_recipe
from gansmith.runs.log import read_rows

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(max_size=10), inner, max_size=5),
    max_leaves=30,
).map(lambda value: json.dumps(value).encode())
TEXT = st.text(alphabet="[]{}:,-?&*!|>'\"# a1\n\t\\\u202e\ufeff").map(lambda text: text.encode("utf-8"))
BYTES = st.binary(max_size=4096)
MOST_BYTES = 8 * 2**30


def in_file(name: str, read):
    def run(data: bytes, folder: Path) -> None:
        (folder / name).write_bytes(data)
        read(folder / name)

    return run


READERS = {
    "json": (JSON | BYTES | TEXT, lambda data, _: parse_json(data)),
    "yaml": (TEXT, lambda data, _: parse_yaml(data.decode())),
    "recipe": (JSON | TEXT, lambda data, _: parse_recipe(data.decode(), where="recipe")),
    "log": (JSON | BYTES | TEXT, in_file("log.jsonl", read_rows)),
    "weights": (BYTES, in_file("generator.safetensors", lambda path: (refuse_damaged_tensors(path), load_model(path)))),
    "model": (JSON | BYTES, in_file("model.json", lambda path: load_model(path.parent, "cpu"))),
    "npz": (BYTES.map(lambda data: b"PK\x03\x04" + data), in_file("x.npz", open_data)),
    "npy": (BYTES.map(lambda data: b"\x93NUMPY\x01\x00" + data), in_file("x.npy", open_data)),
    "zip": (BYTES.map(lambda data: b"PK\x03\x04" + data), in_file("x.zip", open_data)),
    "tar": (BYTES, in_file("x.tar", open_data)),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("readers", nargs="*", default=list(READERS))
    parser.add_argument("--minutes", type=float, default=10.0)
    args = parser.parse_args()
    resource.setrlimit(resource.RLIMIT_AS, (MOST_BYTES, MOST_BYTES))
    for name in args.readers:
        print(f"{name}: {fuzz(name, args.minutes):,} files, no failure", flush=True)


def fuzz(name: str, minutes: float) -> int:
    """Give a reader files for so long; return their number."""
    strategy, read = READERS[name]
    count, turn, end = 0, 0, time.monotonic() + 60 * minutes
    with tempfile.TemporaryDirectory() as folder:

        def one(data: bytes) -> None:
            nonlocal count
            count += 1
            if time.monotonic() < end:
                with contextlib.suppress(OSError, ValueError, yaml.YAMLError):  # GansmithError is a ValueError
                    read(data, Path(folder))

        while time.monotonic() < end:
            turn += 1
            checked = settings(
                max_examples=500, deadline=60_000, database=None, phases=(Phase.generate, Phase.shrink),
                suppress_health_check=list(HealthCheck),
            )  # fmt: skip
            seed(turn)(checked(given(strategy)(one)))()
    return count


if __name__ == "__main__":
    main()
