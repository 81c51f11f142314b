"""Format ``html-film``: the film of a run as an album, one HTML file with a slider for time."""

from pathlib import Path

from gansmith.core.atomic_files import commit_file
from gansmith.core.errors import GansmithError
from gansmith.core.output_paths import output_file
from gansmith.core.plain_files import read_bytes
from gansmith.exporting.base import Exported, ExportFormat, formats, refuse_used_file
from gansmith.imaging.album import album_page
from gansmith.imaging.images import open_image
from gansmith.imaging.video import spread
from gansmith.inference.model import Model
from gansmith.runs.folder import RunFolder
from gansmith.runs.log import read_rows

MOST_FRAMES = 120
SECONDS = 8.0


@formats.register("html-film")
class HtmlFilm(ExportFormat):
    """The preview pictures of a run over time, of the averaged weights or with ``raw`` of the last ones."""

    def export(self, model: Model, out: Path | None, *, raw: bool, run: RunFolder | None) -> list[Exported]:
        """Write the page; GansmithError for a model without a run, and for a run without preview pictures."""
        target = Path("film.html") if out is None else output_file(out, "an album", ".html")
        refuse_used_file(target)
        frames = [] if run is None else sorted(run.samples.glob("*-raw.png" if raw else "*-ema.png"))
        if run is None or not frames:
            raise GansmithError(
                "output.film_without_pictures",
                "format 'html-film' shows the preview pictures of a run, and there are none"
                "\n  pass a run folder; training writes the pictures into its folder samples",
            )
        shown = [frames[index] for index in spread(len(frames), MOST_FRAMES)]
        last = (read_rows(run.log) or [{}])[-1]
        per_iteration = last.get("kimg", 0) / max(1, last.get("iteration", 1))
        captions = [f"{int(frame.stem[:9]) * per_iteration:,.1f} kimg" for frame in shown]
        contents = [read_bytes(frame) for frame in shown]
        side = max(open_image(contents[-1]).size)
        page = album_page(f"Film of {run.path.name}", contents, captions, side_px=side, seconds=SECONDS)
        commit_file(target, lambda at: at.write_bytes(page))
        facts = {"bytes": len(page), "frames": len(shown)}
        return [Exported(target, "", facts, f"{len(page) / 1e6:.1f} MB, {len(shown)} frames of {model.record.name}")]
