"""The child process that finds an image's latent with torch: image on stdin, JSON lines out."""

import json
import sys
from typing import Any

from gansmith.core.errors import GansmithError
from gansmith.inference.inversion.invert import invert
from gansmith.inference.load import load_model
from gansmith.web.drawing import packed


def main(place: str, steps: str, seed: str, label: str | None = None) -> None:
    """Print the latent and the class of the image on stdin, for the model at ``place``."""
    try:
        model = load_model(place)
        image = sys.stdin.buffer.read()
        found = invert(model, image, label=label, steps=int(steps), seed=int(seed), on_progress=_tell)
        _print({
            "latent": packed(found.latents.values[0]), "labels": {found.label: 1.0} if found.label else None,
            "psnr_db": found.psnr_db, "random_best_db": found.random_db[0],
        })  # fmt: skip
    except GansmithError as problem:
        _print({"error": {"code": problem.code, "message": str(problem)}})


def _tell(text: str) -> None:
    """Pass on "step 20 of 200: distance 0.123"."""
    words = text.replace(":", " ").split()
    _print({"progress": {"done": int(words[1]), "total": int(words[3])}})


def _print(values: dict[str, Any]) -> None:
    print(json.dumps(values), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
