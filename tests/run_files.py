"""The files of runs and evaluations, written by hand: nothing is trained."""

import json
from pathlib import Path

import numpy as np

from gansmith.imaging.images import save_png, to_pil

RECIPE = "name: {name}\nmethod:\n  kind: latent\n  loss: {{kind: {loss}}}\n  penalties: []\nbatch_size: 64\n"

NUMBERS = {
    "fd2k_fashion_train": {"value": 3.7, "deviation": 0.1, "over": "4 independent fake sets", "count": 2000},
    "coverage2k_fashion_train": {"value": 0.8, "deviation": 0.01, "over": "jackknife of 10 blocks", "count": 2000},
}
CLASS_SHARES = {
    "classes": ["dark", "light"], "real_shares": [0.5, 0.5], "fake_shares": [1.0, 0.0], "missing": ["light"],
    "over_fed": [],
}  # fmt: skip


def write_run(path: Path, loss: str = "hinge", rows: int = 6, ended: str = "finished") -> Path:
    """Write the files of a run by hand: nothing is trained."""
    (path / "samples").mkdir(parents=True)
    spec = {"name": "toys", "height": 8, "width": 8, "channels": 1}
    length = {"schedule_kimg": 1.0, "iterations": 10}
    record = {"format": 3, "created": "2026-01-02T03:04:05+00:00", "seed": 3, "data": {"spec": spec}, "length": length}
    (path / "run.json").write_text(json.dumps(record))
    (path / "recipe.yaml").write_text(RECIPE.format(name=f"by-{loss}", loss=loss))
    add_rows(path, 0, rows)
    event = {"event": "health", "iteration": 4, "kimg": 0.4, "began_kimg": 0.2, "verdict": "stalled", "message": "no"}
    snapshot = {
        "iteration": 4, "kimg": 0.4, "fd2k_own_train": 3.5, "coverage2k_own_train": 0.25, "fd_of_one": 9.0,
        "modes": {"a": [0.5, 0.7], "b": [0.5, 0.3]}, "verdict": "stalled",
    }  # fmt: skip
    timing = [
        {"event": "started", "iteration": 0, "kimg": 0.0, "utc": "2026-01-02T03:04:05+00:00"},
        {"iteration": 5, "kimg": 0.5, "wall_sec": 1.0, "img_per_sec": 500.0, "eta_sec": 1.0, "memory_mb": 100.0},
        {"event": ended, "iteration": 6, "kimg": 0.6, "utc": "2026-01-02T03:05:05+00:00"},
    ]
    for name, lines in (("log", [event]), ("snapshots", [snapshot]), ("timing", timing if ended else timing[:2])):
        with open(path / f"{name}.jsonl", "a") as file:
            file.writelines(json.dumps(line) + "\n" for line in lines)
    for number in (0, 4, 6):
        to_pil(np.full((8, 8, 1), number, np.uint8)).save(path / "samples" / f"{number:09d}-ema.png", "PNG")
    return path


def add_rows(path: Path, first: int, count: int) -> None:
    with open(path / "log.jsonl", "a") as file:
        for number in range(first, first + count):
            row = {"iteration": number, "kimg": number / 10, "loss_generator": 1.0 + number}
            file.write(json.dumps(row) + "\n")


def write_evaluation(model: Path, kimg: float = 1.0, **values: float) -> None:
    """Write an evaluation as ``gansmith evaluate`` does; ``values`` replace those of NUMBERS."""
    folder = model / "evaluation"
    folder.mkdir(exist_ok=True)
    protocol = {"features_sha256": "12", "reference_fingerprint": "34", "reference": "training images",
                "num_fake": 2000, "num_real": 96, "resize": "none", "fit": "", "features": "fashion"}  # fmt: skip
    numbers = {name: {**number, "value": values.get(name, number["value"])} for name, number in NUMBERS.items()}
    found = {
        "model": "toy", "kimg": kimg, "protocol": protocol, "numbers": numbers, "words": ["1 of 2 classes is made"],
        "skipped": {"memorization": "no training images"}, "seconds": 1.0, "facts": {"class_coverage": CLASS_SHARES},
    }  # fmt: skip
    (folder / "evaluation.json").write_text(json.dumps(found))
    for name in ("real", "samples"):
        save_png(np.zeros((16, 16, 1), np.uint8), folder / f"{name}.png")
