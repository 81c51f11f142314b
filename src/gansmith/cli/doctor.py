"""``gansmith doctor``: this machine's hardware, speed and installed packages."""

from gansmith.cli.options import AsJson
from gansmith.cli.text import json_text, tell


def doctor(as_json: AsJson = False) -> None:
    """Show this machine's hardware, its speed, and missing packages."""
    from gansmith import api  # here: it imports torch, which takes seconds

    facts = api.examine_machine()
    if as_json:
        tell(json_text(facts))
    else:
        width = max(len(name) for name in facts)
        for name, value in facts.items():
            tell(f"{name:<{width}}  {value}")
