"""Write docs/cli.md, the reference of the command line: ``python scripts/write_cli_docs.py``."""

from pathlib import Path
from typing import Any

import typer.main

from gansmith.cli.app import app

PAGE = Path(__file__).parent.parent / "docs" / "cli.md"
INTRODUCTION = """# Command line

Every verb and its options, as `--help` shows them. This page is generated: change the help texts in
`src/gansmith/cli/`, then run `make snapshots`.

- Results go to stdout, progress to stderr. With `--json`, stdout holds one JSON object.
- Exit codes: 0 done, 1 a fault of gansmith, 2 an error that you can correct, 3 a run that a signal paused, 4 a run that
  a verdict ended: see [Scripts and schedulers](automation.md).
- `--debug` before or after the verb shows the traceback of an error.
"""


def page() -> str:
    """Return the text of docs/cli.md."""
    root: Any = typer.main.get_command(app)
    panels: dict[str, list[str]] = {}
    for name in root.list_commands(None):
        command = root.commands[name]
        verbs = {f"{name} {each}": verb for each, verb in getattr(command, "commands", {}).items()} or {name: command}
        panels.setdefault(command.rich_help_panel, []).extend(
            part for each in verbs.items() for part in verb_parts(*each)
        )
    return "\n".join([INTRODUCTION, *(line for panel, parts in panels.items() for line in (f"## {panel}\n", *parts))])


def verb_parts(name: str, command: Any) -> list[str]:
    """Return heading, description, usage and tables of a verb."""
    arguments = [param for param in command.params if param.param_type_name == "argument"]
    options = [param for param in command.params if param.param_type_name == "option"]
    description, *more = command.help.split("\n\n")
    examples = [text.removeprefix("Example: ") for text in more if text.startswith("Example: ")]
    out = [f"### {name}\n", f"{description}\n"]
    out += [f"{text}\n" for text in more if not text.startswith("Example: ")]
    out += ["```text", " ".join(["gansmith", name, *map(usage, arguments), "[OPTIONS]"]), "```\n"]
    out += ["```sh", *examples, "```\n"] if examples else []
    out += table("argument", [(f"`{param.metavar}`", param.help) for param in arguments])
    for panel in dict.fromkeys(param.rich_help_panel or "Options" for param in options):
        shown = [param for param in options if (param.rich_help_panel or "Options") == panel]
        out += table(panel.lower(), [(option_name(param), option_help(param)) for param in shown])
    return out


def usage(argument: Any) -> str:
    """Return how an argument stands in the usage line."""
    name = argument.metavar if argument.required else f"[{argument.metavar}]"
    return name if argument.nargs == 1 else f"{name}..."


def option_name(option: Any) -> str:
    """Return the names of an option and its metavar."""
    return ", ".join(f"`{name}`" for name in option.opts) + (f" {option.metavar}" if option.metavar else "")


def option_help(option: Any) -> str:
    """Return the help of an option with its default."""
    default = option.show_default if isinstance(option.show_default, str) else option.default
    has_default = option.show_default and option.metavar and default not in (None, "")
    return f"{option.help}{' Required.' if option.required else f' Default: `{default}`.' if has_default else ''}"


def table(title: str, rows: list[tuple[str, str]]) -> list[str]:
    """Return a Markdown table of two columns."""
    return [f"| {title} | |", "|---|---|", *(f"| {name} | {text} |" for name, text in rows), ""] if rows else []


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
    print(PAGE)
