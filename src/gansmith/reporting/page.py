"""The frame of every page that gansmith writes: one HTML file without external files."""

import base64
import hashlib
from collections.abc import Sequence
from html import escape
from importlib import resources


def page(title: str, kicker: str, status: str, sections: Sequence[str], *, with_script: bool = False) -> str:
    """Return a page as HTML; ``status`` and ``sections`` are HTML, ``title`` and ``kicker`` plain text."""
    style, script = asset("report.css"), asset("report.js")
    policy = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
    if with_script:
        digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
        policy += f"; script-src 'sha256-{digest}'"
    return "\n".join(
        [
            '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">',
            f'<meta http-equiv="Content-Security-Policy" content="{policy}">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            f"<title>{escape(title)}</title>\n<style>\n{style}</style>\n</head>\n<body>\n<main>",
            f'<header>\n<p class="kicker">{escape(kicker)}</p>\n<h1>{escape(title)}</h1>',
            f"{status}\n</header>",
            *sections,
            "<footer>Made by gansmith. This page is one file and works offline.</footer>\n</main>",
            f"<script>{script}</script>" if with_script else "",
            "</body>\n</html>\n",
        ]
    )


def section(title: str, body: str) -> str:
    """Return a section with a heading; ``body`` is HTML."""
    return f"<section>\n<h2>{escape(title)}</h2>\n{body}\n</section>"


def asset(name: str) -> str:
    """Return the text of a file in this package."""
    return (resources.files("gansmith.reporting") / name).read_text(encoding="utf-8")
