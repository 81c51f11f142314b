"""Write the results of a run for its page in docs/learn: three pictures and a table."""

# The script replaces docs/pictures/runs/RECIPE-{grid,film,curves}.* and docs/learn/runs/RECIPE.md, which the page
# docs/learn/RECIPE.md includes. The page itself, written by hand, is left alone.

import io
import sys
from pathlib import Path
from typing import Any

import numpy as np

from gansmith.data.base import DataSpec
from gansmith.imaging.images import decode_image, enlarge, on_white, to_pil
from gansmith.recipes.load import load_recipe
from gansmith.reporting.curves import draw_curves
from gansmith.reporting.film import spread
from gansmith.reporting.run_results import total_seconds
from gansmith.runs.folder import RunFolder
from gansmith.runs.log import read_rows

USAGE = "usage: python scripts/run_for_docs.py RUN RECIPE [DOCS]"
LIMIT_BYTES, FRAMES = 195_000, 5
GAP_PX = 2  # between the images of a grid
KINDS = {1: "gray", 3: "colour", 4: "colour with alpha"}
DOCS = Path(__file__).parents[1] / "docs"
COLUMNS = {  # for methods whose previews start from images
    "paired": " (source, result, target)",
    "super_resolution": " (source, result, target)",
    "unpaired": " (image, translation, and back)",
}
NAMES = {
    "loss_discriminator": "loss of D",
    "loss_generator": "loss of G",
    "d_real": "D(x)",
    "d_fake": "D(G(z))",
    "score_real": "score of real images",
    "score_fake": "score of fakes",
}


def main() -> None:
    """Read the command line and write the files."""
    if len(sys.argv) not in (3, 4):
        raise SystemExit(USAGE)
    run, recipe = RunFolder.open(Path(sys.argv[1])), sys.argv[2]
    docs = Path(sys.argv[3]) if len(sys.argv) == 4 else DOCS
    pictures, page = docs / "pictures" / "runs", docs / "learn" / "runs" / f"{recipe}.md"
    pictures.mkdir(parents=True, exist_ok=True)
    page.parent.mkdir(parents=True, exist_ok=True)
    for old in (f"{recipe}-{name}.{kind}" for name in ("grid", "film") for kind in ("png", "jpg")):
        (pictures / old).unlink(missing_ok=True)
    rows = [row for row in read_rows(run.log) if "event" not in row]
    shots = sorted(run.samples.glob("*-ema.png"))
    times = [round(int(shot.stem[:9]) * rows[-1]["kimg"] / rows[-1]["iteration"], 1) for shot in shots]
    chosen = spread(len(shots), FRAMES)
    grid = write_picture(picture_of(shots[-1]), pictures / f"{recipe}-grid")
    spec = run.record.data.spec
    film = write_picture(strip([shots[index] for index in chosen], spec), pictures / f"{recipe}-film")
    draw_curves(read_rows(run.log), pictures / f"{recipe}-curves.png")
    columns = COLUMNS.get(load_recipe(str(run.path / "recipe.yaml")).method.kind, "")
    text = PAGE.format(
        what="images" if columns else "latents",
        columns=columns,
        facts="\n".join(f"| {name} | {value} |" for name, value in facts(run, spec, rows).items()),
        grid=grid,
        film=film,
        curves=f"{recipe}-curves.png",
        kimg=f"{rows[-1]['kimg']:,.1f}",
        times=", ".join(f"{times[index]:,g}" for index in chosen),
    )
    page.write_text(text, encoding="utf-8")
    print(page)


PAGE = """![The fixed {what} at the end, {kimg} kimg](../../pictures/runs/{grid})

The fixed {what} at the end{columns}, drawn by the averaged generator after {kimg} kimg.

![The first of these {what} through the training](../../pictures/runs/{film})

The first of these {what} after {times} kimg.

![Curves of the run](../../pictures/runs/{curves})

| | |
|---|---|
{facts}
"""


def facts(run: RunFolder, spec: DataSpec, rows: list[dict[str, Any]]) -> dict[str, str]:
    """Return the facts of a run by name, read from its files."""
    numerics = run.record.numerics
    seconds = total_seconds([row for row in read_rows(run.timing) if "wall_sec" in row])
    last = rows[-1]
    late = [row for row in rows if row["kimg"] > 0.9 * last["kimg"]]
    ends = {name: np.mean([row[key] for row in late if row.get(key) is not None]) for key, name in NAMES.items()
            if last.get(key) is not None}  # fmt: skip
    return {
        "data": f"{spec.name}: {spec.count:,} images, {spec.height} x {spec.width} px, {KINDS[spec.channels]}",
        "shown to D": f"{last['kimg']:,.1f} kimg in {last['iteration']:,} iterations, {last['epoch']:,.1f} epochs",
        "time": f"{seconds / 60:,.1f} minutes, {1000 * last['kimg'] / seconds:,.0f} images a second",
        "machine": f"{numerics.device}, threads: {numerics.threads}, torch {numerics.torch}",
        "mean of the last tenth": ", ".join(f"{name} {value:.3g}" for name, value in ends.items()),
    }


def picture_of(path: Path) -> np.ndarray:
    """Return a grid as uint8 (H, W, 3)."""
    array = np.asarray(decode_image(path.read_bytes()))
    return on_white(array if array.ndim == 3 else array[..., None])


def strip(paths: list[Path], spec: DataSpec) -> np.ndarray:
    """Return the first 4 x 4 images of each grid (fewer rows if it has fewer), side by side."""
    height, width = (4 * (side + GAP_PX) + GAP_PX for side in (spec.height, spec.width))
    parts = [picture_of(path)[:height, :width] for path in paths]
    between = np.full((parts[0].shape[0], 4 * GAP_PX, 3), 255, np.uint8)
    return np.concatenate([each for part in parts for each in (part, between)][:-1], axis=1)


def write_picture(array: np.ndarray, stem: Path) -> str:
    """Write a file of at most 195 kB: PNG, or JPEG of decreasing quality and size; return its name."""
    image = to_pil(enlarge(array, 240))
    for kind, options in (("png", {"optimize": True}), *(("jpg", {"quality": quality}) for quality in (90, 80, 70))):
        buffer = io.BytesIO()
        image.save(buffer, "PNG" if kind == "png" else "JPEG", **options)
        if buffer.tell() <= LIMIT_BYTES:
            break
    else:
        return write_picture(np.asarray(image.resize((image.width * 3 // 4, image.height * 3 // 4))), stem)
    path = stem.with_name(f"{stem.name}.{kind}")
    path.write_bytes(buffer.getvalue())
    return path.name


if __name__ == "__main__":
    main()
