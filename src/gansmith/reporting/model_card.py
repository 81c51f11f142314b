"""The model card of a run as Markdown, for a model hub and for readers."""

import html
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import yaml

from gansmith.core.errors import some_of
from gansmith.core.plain_files import parse_yaml
from gansmith.data.base import DataSpec
from gansmith.evaluation.result import Evaluation, Protocol
from gansmith.parts.metrics.base import Number

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
PREVIEWS = {  # of translation methods: contents of preview.png
    "paired": "source, result and target of fixed images",
    "unpaired": "fixed images, their translations, and those translated back",
    "super_resolution": "source, result and target of fixed images",
}
PLACEHOLDER = (
    "The license `other` above is a placeholder. Replace it by a license that the rights in the training images allow."
)
NO_DATASET_ID = re.compile(r"[^A-Za-z0-9_./-]+")  # the Hub refuses a card with other characters in its data sets
FOLDER_NOTE = "`FOLDER` is the folder of this file."
PLACEHOLDER_NOTE = "# 'other' is a placeholder: choose a license that the rights in the training images allow.\n"
NOT_EVALUATED = (
    "**Not evaluated yet.** This card has no metric of image quality or diversity. Before you rely on the model, "
    "compare its samples with the training images, and run `gansmith evaluate`."
)


@dataclass(frozen=True)
class CardFacts:
    """The facts in a model card, as plain values."""

    name: str
    spec: DataSpec
    recipe_yaml: str
    parameters: Mapping[str, int]  # per network
    kimg: float
    seconds: float
    last_row: Mapping[str, Any]  # of log.jsonl; {} when there is none
    versions: Mapping[str, str]


def model_card(facts: CardFacts, *, metrics: Mapping[str, float] | None = None) -> str:
    """Return the model card as Markdown with YAML front matter; ``metrics`` maps full metric names to values."""
    recipe = parse_yaml(facts.recipe_yaml) or {}
    kind = str(_lookup(recipe, "method.kind"))
    sections = [
        _front_matter(recipe),
        _introduction(facts, kind),
        _usage(kind),
        _training_data(facts.spec),
        _training(facts, recipe),
        _numbers(facts.last_row),
        _evaluation(metrics),
        _limits(facts.spec),
        "## Versions\n\n" + _table(("package", "version"), list(facts.versions.items())),
    ]
    return "\n\n".join(sections) + "\n"


def published(card: str, *, license: str, repo: str, dataset: str, evaluation: Evaluation | None) -> str:
    """Return a model card with the front matter of the Hub: license ("" keeps it open), data set and scores.

    ``repo`` is the NAME/REPO that its commands name, "" for FOLDER. The scores are a model-index; each has its
    deviation and the protocol that it depends on.
    """
    head, text = card.removeprefix("---\n").split("\n---", 1)
    values = parse_yaml(head)
    if license:
        values.pop("license_name", None)
        values["license"], text = license, text.replace(PLACEHOLDER, f"License: `{plain(license)}`.")
    if repo:
        text = text.replace(f"{FOLDER_NOTE} ", "").replace("FOLDER", f"hf:{repo}")
    values["datasets"] = [NO_DATASET_ID.sub("-", dataset).strip("-.") or "images"]
    if evaluation is not None:
        protocol, task = evaluation.protocol, values.get("pipeline_tag", "unconditional-image-generation")
        scores = [
            {"type": name, "name": name, "value": number.value, "args": _conditions(protocol, number)}
            for name, number in evaluation.numbers.items()
            if math.isfinite(number.value)
        ]
        results = {"task": {"type": task}, "dataset": {"type": dataset, "name": protocol.reference}, "metrics": scores}
        values["model-index"] = [{"name": evaluation.model, "results": [results]}]
    note = "" if license else PLACEHOLDER_NOTE
    return f"---\n{note}{yaml.safe_dump(values, sort_keys=False, allow_unicode=True)}---{text}"


def _conditions(protocol: Protocol, number: Number) -> dict[str, str]:
    """Return the conditions that a score depends on, in words."""
    spread = {} if number.deviation is None else {"standard deviation": f"{number.deviation:.3g} ({number.over})"}
    return {**spread, "protocol": "; ".join(protocol.lines()), "gansmith": protocol.gansmith}


def plain(text: object) -> str:
    """Return text as one line, escaped so that Markdown and HTML show it unchanged."""
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
    if _lookup(recipe, "method.kind") in PREVIEWS:
        values["pipeline_tag"] = "image-to-image"
    elif not conditional:
        values["pipeline_tag"] = "unconditional-image-generation"
    return f"---\n{PLACEHOLDER_NOTE}{yaml.safe_dump(values, sort_keys=False)}---"


def _introduction(facts: CardFacts, kind: str) -> str:
    source, preview = " from other images" if kind in PREVIEWS else "", PREVIEWS.get(kind, "samples of fixed latents")
    images = f"{facts.spec.height} x {facts.spec.width} px {facts.spec.kind_words} images"
    made = "points in the plane" if facts.spec.is_points else images
    spec, networks = facts.spec, [f"{plain(name)} {count:,}" for name, count in facts.parameters.items()]
    return (
        f"# {plain(facts.name)}\n\n"
        f"A generative adversarial network (GAN) that makes {made}{source} like those of "
        f"*{plain(spec.name)}*. gansmith trained it for {facts.kimg:,.1f} kimg "
        f"({duration(facts.seconds)}). Parameters: {', '.join(networks) or 'not counted'}.\n\n"
        f"![{preview}](preview.png)\n\n{PLACEHOLDER}"
    )


def _usage(kind: str) -> str:
    verb, line = "sample FOLDER -n 64 --seed 0", 'model.sample(64, seed=0).grid().save("grid.png")'
    said = "Image *i* of a seed is the same for any number of images. "
    if kind in PREVIEWS:
        verb, line = (
            "translate FOLDER photo.png --out translated",
            'gansmith.translate(model, "photo.png").save("new.png")',
        )
        said = ""
    if kind == "super_resolution":
        verb, line = "upscale FOLDER photo.png --out upscaled", 'gansmith.upscale(model, "photo.png").save("large.png")'
    name = "generator"
    if kind == "unpaired":
        name, said = (
            "a_to_b",
            "`gansmith translate --reverse` translates back, with the weights in `b_to_a.safetensors`. ",
        )
    return (
        "## Use\n\n"
        f"{FOLDER_NOTE} You need neither the training data nor the recipe.\n\n"
        f"```sh\ngansmith {verb}\n```\n\n"
        "```python\nimport gansmith\n\n"
        'model = gansmith.load("FOLDER")\n'
        f"{line}\n```\n\n"
        f"{said}`{name}.safetensors` holds the averaged "
        f"(EMA) weights of the generator, `{name}-raw.safetensors` its weights without averaging (option `--raw`)."
    )


def _training_data(spec: DataSpec) -> str:
    shown = some_of([plain(name) for name in spec.classes], 20)
    rows = [
        ("name", plain(spec.name)),
        ("training images", f"{spec.count:,}"),
        ("images held out of training", f"{spec.held_out:,}" if spec.held_out else "none"),
        ("size", f"{spec.height} x {spec.width} px (height x width{', source and target side by side' * spec.pairs})"),
        ("channels", f"{spec.channels} ({spec.kind_words})"),
        ("classes", f"{len(spec.classes)}: {shown}" if spec.classes else "no labels"),
        ("fingerprint (SHA-256)", f"`{spec.fingerprint}`"),
    ]
    return "## Training data\n\n" + _table(("", "value"), rows)


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
        f"## Training\n\n{_table(('', 'value'), rows)}\n\n"
        f"<details><summary>The whole recipe</summary>\n\n{fence}yaml\n{text}\n{fence}\n\n</details>"
    )


def _numbers(last_row: Mapping[str, Any]) -> str:
    rows = [(plain(name), _number(value)) for name, value in last_row.items() if name not in ("event", "message")]
    table = _table(("last row of the log", "value"), rows) if rows else "The log has no rows."
    return (
        f"## Final numbers\n\n{table}\n\n"
        "Losses, scores and D(x) show the balance between the two networks. **They do not measure image quality**, and "
        "runs with different losses cannot be compared by them."
    )


def _evaluation(metrics: Mapping[str, float] | None) -> str:
    rows = [(f"`{plain(name)}`", _number(value)) for name, value in (metrics or {}).items()]
    return "## Evaluation\n\n" + (_table(("metric", "value"), rows) if rows else NOT_EVALUATED)


def _limits(spec: DataSpec) -> str:
    held_out = (
        f"Test this with the {spec.held_out:,} images that were held out of training."
        if spec.held_out
        else "No images were held out of training, so this data set alone cannot show memorization."
    )
    return (
        "## Limits\n\n"
        f"- The model may reproduce training images or parts of them. {held_out}\n"
        "- Its images have the gaps and biases of the training images, and rare kinds of images may be missing.\n"
        f"- All its images have {spec.height} x {spec.width} px.\n"
        "- Do not present its images as photographs of real people or things, or as works of real people."
    )


def _lookup(recipe: Mapping[str, Any], path: str) -> Any:
    value: Any = recipe
    for key in path.split("."):
        if not isinstance(value, Mapping):
            return value if key == "kind" else None  # a part without options may be its name alone
        value = value.get(key)
    return value


def _brief(value: Any) -> str:
    """Return a part of a recipe as one line: its kind, then its other fields."""
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
