"""The model card: what a person needs to know before using a model, as Markdown for a model hub or a reader."""

import html
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import yaml

from gansmith.data.base import DataSpec

CHANNELS = {1: "gray", 3: "colour", 4: "colour with alpha"}
KEY_NUMBERS = (  # label in the table, path in the recipe
    ("method", "method.kind"),
    ("generator", "method.generator.kind"),
    ("discriminator", "method.discriminator.kind"),
    ("loss", "method.loss.kind"),
    ("penalties", "method.penalties"),
    ("conditional", "method.conditional"),
    ("latent dimensions", "method.latent_dim"),
    ("batch size", "batch_size"),
    ("EMA half-life (kimg)", "ema_half_life_kimg"),
)
SHOWN = {  # by each method that translates: what its pictures show
    "paired": "source, result and target of fixed images",
    "unpaired": "fixed images, their translations, and those translated back",
    "super_resolution": "source, result and target of fixed images",
}
JUDGED_NOT = (
    "**Not judged yet.** No metric of image quality or variety was measured for this card; look at samples, and "
    "compare them with the training images, before relying on the model."
)


@dataclass(frozen=True)
class CardFacts:
    """What a model card is written from, as plain values."""

    name: str
    spec: DataSpec
    recipe_yaml: str
    parameters: Mapping[str, int]  # per network
    kimg: float
    seconds: float
    last_row: Mapping[str, Any]  # of log.jsonl; {} when there is none
    versions: Mapping[str, str]


def model_card(facts: CardFacts, *, metrics: Mapping[str, float] | None = None) -> str:
    """Return the model card as Markdown with YAML front matter; ``metrics`` are judgements by their protocol's name."""
    recipe = yaml.safe_load(facts.recipe_yaml) or {}
    kind = str(_lookup(recipe, "method.kind"))
    sections = [
        _front_matter(recipe),
        _introduction(facts, kind),
        _usage(kind),
        _training_data(facts.spec),
        _training(facts, recipe),
        _numbers(facts.last_row),
        _judgement(metrics),
        _limits(facts.spec),
        "## Versions\n\n" + _table(("package", "version"), list(facts.versions.items())),
    ]
    return "\n\n".join(sections) + "\n"


def plain(text: object) -> str:
    """Return text that Markdown and HTML show as it is, on one line."""
    line = html.escape(" ".join(str(text).split()), quote=False)
    return re.sub(r"([\\`*_\[\]|~#])", r"\\\1", line)


def duration(seconds: float) -> str:
    """Return seconds in words: 45 s, 12 min, 3 h 20 min."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60} min"


def _front_matter(recipe: Mapping[str, Any]) -> str:
    conditional = bool(_lookup(recipe, "method.conditional"))
    values = {
        "library_name": "gansmith",
        "license": "other",
        "license_name": "to-be-chosen",
        "tags": ["gan", "image-generation", "gansmith", "pytorch", *(["conditional"] if conditional else [])],
    }
    if _lookup(recipe, "method.kind") in SHOWN:
        values["pipeline_tag"] = "image-to-image"
    elif not conditional:
        values["pipeline_tag"] = "unconditional-image-generation"
    note = "# 'other' is a placeholder: choose a license that the rights in the training images allow."
    return f"---\n{note}\n{yaml.safe_dump(values, sort_keys=False)}---"


def _introduction(facts: CardFacts, kind: str) -> str:
    source, shown = " from other images" if kind in SHOWN else "", SHOWN.get(kind, "samples of fixed latents")
    images = f"{facts.spec.height} x {facts.spec.width} px {CHANNELS[facts.spec.channels]} images"
    made = "points in the plane" if facts.spec.is_points else images
    spec, networks = facts.spec, [f"{plain(name)} {count:,}" for name, count in facts.parameters.items()]
    return (
        f"# {plain(facts.name)}\n\n"
        f"A generative adversarial network (GAN) that makes {made}{source} in the manner of "
        f"*{plain(spec.name)}*, trained with gansmith for {facts.kimg:,.1f} kimg "
        f"({duration(facts.seconds)}). Parameters: {', '.join(networks) or 'not counted'}.\n\n"
        f"![{shown}](preview.png)\n\n"
        "The license is left to the author of this card: `other` above is a placeholder, to be replaced by one that "
        "the rights in the training images allow."
    )


def _usage(kind: str) -> str:
    verb, line = "sample FOLDER -n 64 --seed 0", 'model.sample(64, seed=0).grid().save("grid.png")'
    said = "Image *i* of a seed is the same whatever number is asked for. "
    if kind in SHOWN:
        verb, line = (
            "translate FOLDER photo.png --out translated",
            'gansmith.translate(model, "photo.png").save("new.png")',
        )
        said = ""
    if kind == "super_resolution":
        verb, line = "upscale FOLDER photo.png --out upscaled", 'gansmith.upscale(model, "photo.png").save("large.png")'
    name = "generator"
    if kind == "unpaired":
        name, said = "a_to_b", "`gansmith translate --reverse` goes back, with `b_to_a.safetensors`. "
    return (
        "## Use\n\n"
        "`FOLDER` is the folder of this file. It needs neither the training data nor the recipe.\n\n"
        f"```sh\ngansmith {verb}\n```\n\n"
        "```python\nimport gansmith\n\n"
        'model = gansmith.load("FOLDER")\n'
        f"{line}\n```\n\n"
        f"{said}`{name}.safetensors` holds the averaged "
        f"(EMA) weights, `{name}-raw.safetensors` the same network's unaveraged ones, of the last step (`--raw`)."
    )


def _training_data(spec: DataSpec) -> str:
    shown = ", ".join(plain(name) for name in spec.classes[:20])
    more = f" and {len(spec.classes) - 20} more" if len(spec.classes) > 20 else ""
    rows = [
        ("name", plain(spec.name)),
        ("images trained on", f"{spec.count:,}"),
        ("held out, never trained on", f"{spec.held_out:,}" if spec.held_out else "none"),
        ("size", f"{spec.height} x {spec.width} px (height x width{', source and target side by side' * spec.pairs})"),
        ("channels", f"{spec.channels} ({CHANNELS[spec.channels]})"),
        ("classes", f"{len(spec.classes)}: {shown}{more}" if spec.classes else "no labels"),
        ("fingerprint (SHA-256)", f"`{spec.fingerprint}`"),
    ]
    return "## Training data\n\n" + _table(("what", "value"), rows)


def _training(facts: CardFacts, recipe: Mapping[str, Any]) -> str:
    epochs = facts.kimg * 1000 / facts.spec.count if facts.spec.count else 0.0
    rows = [
        ("length", f"{facts.kimg:,.1f} kimg (thousands of real images shown to D), {epochs:,.1f} epochs"),
        ("time", duration(facts.seconds)),
        ("recipe", plain(recipe.get("name", "unnamed"))),
    ]
    for label, path in KEY_NUMBERS:
        value = _lookup(recipe, path)
        if isinstance(value, list):
            value = ", ".join(_brief(each) for each in value) or "none"
        if value is not None:
            rows.append((label, plain(_brief(value))))
    for network, optimizer in (_lookup(recipe, "optimizers") or {}).items():
        rows.append((plain(f"optimizer ({network})"), plain(_brief(optimizer))))
    text, fence = facts.recipe_yaml.strip(), "```"
    while fence in text:
        fence += "`"
    return (
        f"## Training\n\n{_table(('what', 'value'), rows)}\n\n"
        f"<details><summary>The whole recipe</summary>\n\n{fence}yaml\n{text}\n{fence}\n\n</details>"
    )


def _numbers(last_row: Mapping[str, Any]) -> str:
    rows = [(plain(name), _number(value)) for name, value in last_row.items() if name not in ("event", "message")]
    table = _table(("last row of the log", "value"), rows) if rows else "The log has no rows."
    return (
        f"## Final numbers\n\n{table}\n\n"
        "Losses, scores and D(x) show whether the two networks are in balance. **They do not say how good the images "
        "are**, and they cannot be compared between runs with different losses."
    )


def _judgement(metrics: Mapping[str, float] | None) -> str:
    rows = [(f"`{plain(name)}`", _number(value)) for name, value in (metrics or {}).items()]
    return "## Judgement\n\n" + (_table(("metric", "value"), rows) if rows else JUDGED_NOT)


def _limits(spec: DataSpec) -> str:
    held_out = (
        f"{spec.held_out:,} images were held out and can be used to test this."
        if spec.held_out
        else "No images were held out, so memorising cannot be told from generalising with this data set alone."
    )
    return (
        "## Limits\n\n"
        f"- It may reproduce training images or parts of them. {held_out}\n"
        "- It shows what its training images show, with their gaps and biases, and may leave out rare kinds.\n"
        f"- It makes {spec.height} x {spec.width} px images only.\n"
        "- Do not pass its images off as photographs or works of real people or things."
    )


def _lookup(recipe: Mapping[str, Any], path: str) -> Any:
    value: Any = recipe
    for key in path.split("."):
        if not isinstance(value, Mapping):
            return value if key == "kind" else None  # a part without options may be written as its name alone
        value = value.get(key)
    return value


def _brief(value: Any) -> str:
    """Return a part of a recipe on one line: its kind, then its other fields."""
    if isinstance(value, Mapping):
        fields = [f"{key} {each}" for key, each in value.items() if key != "kind"]
        return ", ".join([str(value["kind"]), *fields]) if "kind" in value else ", ".join(fields)
    if isinstance(value, bool):
        return "yes" if value else "no"
    return str(value)


def _number(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.4g}" if math.isfinite(value) else "not finite"
    return "not finite" if value is None else plain(f"{value:,}" if isinstance(value, int) else value)


def _table(head: tuple[str, str], rows: list[tuple[str, str]]) -> str:
    lines = [f"| {head[0]} | {head[1]} |", "|---|---|", *(f"| {name} | {value} |" for name, value in rows)]
    return "\n".join(lines)
