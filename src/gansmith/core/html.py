"""Pieces of HTML: tables, facts and embedded pictures, for pages and for notebooks."""

import base64
from collections.abc import Mapping, Sequence
from html import escape

LEFT = ' style="text-align:left"'  # notebooks move the text of cells to the right


def table(head: Sequence[str], rows: Sequence[Sequence[str]], cell_style: str = "") -> str:
    """Return a table; cells are HTML, and the first cell of each row is its heading."""
    top = "".join(f'<th scope="col">{cell}</th>' for cell in head)
    lines = []
    for first, *rest in rows:
        lines.append(f'<tr><th scope="row">{first}</th>{"".join(f"<td{cell_style}>{cell}</td>" for cell in rest)}</tr>')
    return f'<div class="scroll"><table><thead><tr>{top}</tr></thead><tbody>{"".join(lines)}</tbody></table></div>'


def facts(title: str, values: Mapping[str, str]) -> str:
    """Return a title and a table of two columns; all arguments are plain text."""
    rows = "".join(
        f'<tr><th scope="row"{LEFT}>{escape(name)}</th><td{LEFT}>{escape(text)}</td></tr>'
        for name, text in values.items()
    )
    return f"<strong>{escape(title)}</strong><table><tbody>{rows}</tbody></table>"


class ShownAsLines:
    """A result that a notebook shows as its lines of text."""

    def lines(self) -> list[str]:
        """Return the result in words."""
        raise NotImplementedError

    def _repr_html_(self) -> str:
        return f'<div style="white-space:pre-wrap">{escape(chr(10).join(self.lines()))}</div>'


def embedded(png: bytes) -> str:
    """Return a PNG as a data URI."""
    return "data:image/png;base64," + base64.b64encode(png).decode()
