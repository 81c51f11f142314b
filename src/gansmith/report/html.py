"""The report of a run: one HTML file that needs no network."""

from pathlib import Path

from gansmith.run_folder import RunFolder


def write_report(run: RunFolder, *, title: str, facts: dict[str, str]) -> Path:
    """Write report.html into the run folder and return its path."""
    raise NotImplementedError
