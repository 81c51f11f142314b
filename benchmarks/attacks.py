"""Read every hostile file of tests/attacks.py at every door, and measure memory and CPU time of each refusal."""

# Run: python benchmarks/attacks.py [DOOR ...] [--table benchmarks/attacks.md]. An attack fails if the reader ends with
# an error that the command line would not print as a message, by a signal, with more than 1 GB above the file's own
# size, or after more than 60 s of CPU.

import argparse
import os
import sys
import tempfile
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

import numpy as np

from attacks import DOORS, attack, attacks_on, make_bases

MOST_MB, MOST_SEC = 1000, 60


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("doors", nargs="*", default=[])
    parser.add_argument("--only", default="", help="attacks whose name has these words")
    parser.add_argument("--table", type=Path)
    args = parser.parse_args()
    rows, failed = [], 0
    with tempfile.TemporaryDirectory() as folder:
        bases = Path(folder) / "bases"
        bases.mkdir()
        os.environ["GANSMITH_CACHE"] = str(Path(folder) / "cache")
        np.savez(bases / "images.npz", images=np.random.default_rng(0).integers(0, 256, (96, 8, 8, 1), np.uint8))
        make_bases(bases, bases / "images.npz")
        for door in DOORS:
            if args.doors and door.name not in args.doors:
                continue
            outcomes = {}
            for name in attacks_on(door):
                if args.only in name:
                    with tempfile.TemporaryDirectory() as place:
                        outcomes[name] = attack(door, name, bases, Path(place))
                    one = outcomes[name]
                    good = one.is_refused and one.memory_mb <= MOST_MB and one.cpu_sec <= MOST_SEC
                    failed += not good
                    told = one.told if not good else (one.told.splitlines() or ["read"])[0][:150]
                    mark = "" if good else "FAILED "
                    print(f"{mark}{door.name}: {name}: {one.memory_mb:.0f} MB, {one.cpu_sec:.1f} s: {told}", flush=True)
            if outcomes:
                memory = max(outcomes, key=lambda name: outcomes[name].memory_mb)
                slow = max(outcomes, key=lambda name: outcomes[name].cpu_sec)
                most, longest = outcomes[memory].memory_mb, outcomes[slow].cpu_sec
                rows.append(f"| {door.name} | {len(outcomes)} | {most:.0f} ({memory}) | {longest:.1f} ({slow}) |")
    if args.table:
        head = [
            "# Attacks",
            "",
            "`python benchmarks/attacks.py` read these hostile files; each was refused or read.",
            "",
        ]
        head += ["| door | files | most memory, MB above the file's size | most CPU, s |", "|---|---|---|---|"]
        args.table.write_text("\n".join([*head, *rows]) + "\n")
    sys.exit(f"{failed} attacks failed" if failed else 0)


if __name__ == "__main__":
    main()
