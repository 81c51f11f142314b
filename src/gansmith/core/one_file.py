"""Make one HTML file of modules, styles and data, which runs from the disk without requests."""

# A browser loads no module from file://, so the modules become one script: each is a function that returns what it
# exports. This reads the few forms of import and export that web/static uses, not JavaScript in general.

import base64
import gzip
import hashlib
import re
from collections.abc import Mapping
from html import escape
from importlib.resources import files
from importlib.resources.abc import Traversable
from posixpath import dirname, join, normpath

MOST_BYTES = 64_000_000  # of a page: browsers open larger ones slowly
IMPORT = re.compile(r'^import (?:(\w+)|\{([^}]*)\}) from "([^"]+)";\n', re.MULTILINE)
EXPORTED = re.compile(r"^export (?=(?:async )?(?:function\*?|const|let|class) (\w+))", re.MULTILINE)
EXPORT_LIST = re.compile(r"export\s*\{([^}]*)\};?\s*$")
CSP = (
    "default-src 'none'; script-src '{script}' 'wasm-unsafe-eval'; style-src '{style}'; img-src blob: data:; "
    "worker-src blob:; base-uri 'none'; form-action 'none'"
)


def static_files() -> Traversable:
    """Return the folder with the files of the studio's page."""
    return files("gansmith") / "web" / "static"


def bundle(entry: str) -> str:
    """Return one script of a module of web/static and all that it imports."""
    done: dict[str, str] = {}
    _add(entry, done)
    modules = "\n".join(f"const {_variable(name)} = (() => {{\n{text}\n}})();" for name, text in done.items())
    return f'"use strict";\n(() => {{\n{modules}\n}})();\n'


def _add(name: str, done: dict[str, str]) -> None:
    """Put a module into ``done``, after the modules that it imports."""
    text = (static_files() / name).read_text(encoding="utf-8")
    lines, exported = [], {found[1]: found[1] for found in EXPORTED.finditer(text)}
    for default, names, address in IMPORT.findall(text):
        other = normpath(join(dirname(name), address))
        if other not in done:
            _add(other, done)
        wanted = f"{{ default: {default} }}" if default else "{" + re.sub(r"\s+as\s+", ": ", names) + "}"
        lines.append(f"const {wanted} = {_variable(other)};")
    listed = EXPORT_LIST.search(text)
    if listed:
        for pair in listed[1].split(","):
            own, _, shown = pair.strip().partition(" as ")
            exported[shown or own] = own
    body = EXPORTED.sub("", IMPORT.sub("", EXPORT_LIST.sub("", text)))
    names = ", ".join(shown if shown == own else f"{shown}: {own}" for shown, own in exported.items())
    done[name] = "\n".join([*lines, body, f"return {{ {names} }};"])


def _variable(name: str) -> str:
    return "module_" + re.sub(r"\W", "_", name)


def one_file(title: str, entry: str, data: Mapping[str, bytes | str]) -> bytes:
    """Return an HTML page that runs the module ``entry``; the script finds ``data`` in elements with these ids.

    Bytes become base64. Its content security policy forbids every request.
    """
    script = bundle(entry).replace("</script", "<\\/script").replace("<!--", "<\\!--")
    style = (static_files() / "theme.css").read_text(encoding="utf-8")
    policy = CSP.format(script=_sum(script), style=_sum(style))
    blocks = []
    for name, value in data.items():
        text = base64.b64encode(value).decode() if isinstance(value, bytes) else value.replace("<", "\\u003c")
        blocks.append(f'<script type="text/plain" id="{name}">{text}</script>')
    return "\n".join(
        [
            '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">',
            f'<meta http-equiv="Content-Security-Policy" content="{policy}">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            '<meta name="color-scheme" content="light dark"><meta name="referrer" content="no-referrer">',
            f"<title>{escape(title)}</title>\n<style>{style}</style>\n</head>\n<body>",
            '<div id="app"><p class="starting">This page needs JavaScript, in a browser of 2023 or newer.</p></div>',
            *blocks,
            f"<script>{script}</script>\n</body>\n</html>\n",
        ]
    ).encode()


def packed(content: bytes) -> bytes:
    """Return bytes compressed for a page, which unpacks them; equal bytes give equal results."""
    return gzip.compress(content, 9, mtime=0)


def _sum(text: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"
