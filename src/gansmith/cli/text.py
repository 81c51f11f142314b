"""Texts that verbs print: JSON, tables, and wrapped lines of at most 80 columns."""

import json
import math
import textwrap
from collections.abc import Iterable
from typing import Any

from gansmith.core.events import naming_stdout, print_result

WIDTH = 80


def tell(*results: object) -> None:
    """Write results to stdout, each on a line; control characters of names are escaped.

    A path that another program reads is written as it is.
    """
    with naming_stdout():
        for each in results:
            print_result(each)


def json_text(value: Any) -> str:
    """Return a JSON value in one line; NaN and infinity, which JSON does not have, become null."""
    return json.dumps(_finite(value), allow_nan=False)


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def wrap_lines(lines: Iterable[str]) -> list[str]:
    """Wrap lines at 80 columns; continuation lines are indented by two more. Paths and words stay whole."""
    out = []
    for line in lines:
        indent = " " * (len(line) - len(line.lstrip()) + 2)
        out += textwrap.wrap(line, WIDTH, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False) or [
            ""
        ]
    return out


def number_text(number: Any) -> str:
    """Return a metric with its standard deviation."""
    return f"{number.value:.4g}" + ("" if number.deviation is None else f"+-{number.deviation:.2g}")


def columns(cells: list[list[str]], most: int = WIDTH) -> list[str]:
    """Return rows as aligned lines; cells after the first are cut to ``most`` characters."""
    cut = [[row[0], *(cell if len(cell) <= most else cell[: most - 3] + "..." for cell in row[1:])] for row in cells]
    widths = [max(len(row[index]) for row in cut) for index in range(len(cut[0]))]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in cut]
