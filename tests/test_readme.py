"""What the pages say works: commands parse, snippets are Python, links lead somewhere, pictures are small."""

import ast
import re
import shlex
from collections.abc import Iterator
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pytest
import typer.main
from click import ClickException
from PIL import Image

import gansmith
from gansmith import api
from gansmith.cli.app import app, main
from gansmith.cli.train import data_and_overrides, translation_recipe, unpaired_data_and_overrides
from gansmith.core.errors import GansmithError
from gansmith.evaluation.downstream import synthetic_set as augment
from gansmith.recipes import AUTO
from gansmith.recipes.load import load_recipe, recipe_names
from gansmith.training import prepare
from gansmith.training.planning import machine
from gansmith.training.planning.heuristics import COMPACT
from small_runs import small, train

REPOSITORY = Path(gansmith.__file__).parent.parent.parent
PAGES = [*sorted(REPOSITORY.glob("*.md")), *sorted((REPOSITORY / "docs").rglob("*.md"))]
FENCE = re.compile(r"^```([^`\n]*)\n(.*?)^```", re.MULTILINE | re.DOTALL)
INLINE = re.compile(r"(?<!`)`([^`\n]+)`(?!`)")
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")


def name_of(page: Path) -> str:
    return page.relative_to(REPOSITORY).as_posix()


@cache
def text_of(page: Path) -> str:
    return page.read_text(encoding="utf-8")


def prose(page: Path) -> str:
    """Return the text of a page without its fenced blocks."""
    return FENCE.sub("", text_of(page))


def blocks(page: Path, *languages: str) -> list[str]:
    return [text for language, text in FENCE.findall(text_of(page)) if language in languages]


def commands(page: Path) -> list[list[str]]:
    """Return the words of every command of a page, in fenced blocks and within lines."""
    lines = [
        line for block in blocks(page, "sh", "bash", "console") for line in block.replace("\\\n", " ").splitlines()
    ]
    lines += INLINE.findall(prose(page))
    found = []
    for line in lines:
        if re.match(r"\s*(\$ )?(gansmith|make|torchrun|[A-Z_]+=\S+ )", line):
            for part in re.split(r"&&|\||;(?= )", line.removeprefix("$ ")):
                words = shlex.split(part, comments=True)
                while words and re.fullmatch(r"[A-Z_]+=.*", words[0]):
                    words = words[1:]
                found.append(words)
    return [words for words in found if words]


def gansmith_words(words: list[str]) -> list[str] | None:
    """Return what follows ``gansmith``, also after torchrun; None for other programs."""
    if words[0] == "torchrun" and "gansmith" in words:
        return words[words.index("gansmith") + 1 :]
    return words[1:] if words[0] == "gansmith" else None


ALL = [(page, words) for page in PAGES for words in commands(page)]
OWN = [(page, own) for page, words in ALL if (own := gansmith_words(words))]


def test_the_pages_have_commands():
    assert [own for page, own in OWN if page.name == "README.md"]
    assert [words for page, words in ALL if words[0] == "make"]


@cache
def command_line() -> Any:
    return typer.main.get_command(app)


def parse(words: list[str]) -> tuple[str, dict]:
    """Return the verb and its parameters as the command line would, without running it."""
    command = command_line()
    if words[0].startswith("-"):
        assert words[0] in ("--help", "-h", "--version")
        return words[0], {}
    context = command.make_context("gansmith", list(words))
    name, rest = "", [*context._protected_args, *context.args]
    while hasattr(command, "resolve_command"):
        name, command, rest = command.resolve_command(context, rest)
        if not rest and hasattr(command, "resolve_command"):
            return name, {}  # a group on its own shows its help
        context = command.make_context(name, rest, parent=context)
        rest = [*getattr(context, "_protected_args", []), *context.args]
    return name, context.params


@cache
def check_parses(words: tuple[str, ...]) -> None:
    """Raise unless the command line takes a command, and a recipe its overrides."""
    name, parameters = parse(list(words))
    if name == "train":
        names, overrides = data_and_overrides(parameters["words"] or [], pairs=parameters["pairs"])
        recipe, chosen = translation_recipe(parameters["recipe"], parameters["task"], parameters["pairs"])
        assert not any(name.startswith("-") for name in names)
        if parameters["plugin"] or "KEY=VALUE" in overrides:
            return
        base = COMPACT if recipe == AUTO else recipe
        assert recipe.endswith(".yaml") or load_recipe(base, (*chosen, *overrides))


@pytest.mark.parametrize("page", sorted({page for page, _ in OWN}), ids=name_of)
def test_commands_parse(page):
    wrong = []
    for words in [words for each, words in OWN if each == page]:
        try:
            check_parses(tuple(words))
        except (GansmithError, ClickException, AssertionError) as problem:
            wrong.append(f"gansmith {' '.join(words)}: {problem!r}")
    assert wrong == []


@pytest.mark.parametrize("words", [
    ["trian"], ["train", "--recip", "x"], ["sample"], ["data", "chekc", "x"], ["sample", "run", "-n", "many"],
])  # fmt: skip
def test_commands_that_do_not_parse_are_noticed(words):
    with pytest.raises(Exception, match=r"No such|Missing|valid integer"):
        parse(words)


def overrides_within_lines(page: Path) -> Iterator[tuple[str, ...]]:
    """Yield every piece of code that is nothing but KEY=VALUE words."""
    for code in INLINE.findall(prose(page)):
        with suppress(ValueError):
            words = tuple(shlex.split(code))
            if words and all(re.fullmatch(r"[a-z_.]+=.+", word) for word in words) and "my_" not in code:
                yield words


@pytest.mark.slow
def test_overrides_within_lines_are_valid():
    """A recipe must take them: the page's own, or the one that ``auto`` starts from."""
    found = {
        (page.stem if page.parent.name == "learn" and page.stem in recipe_names() else COMPACT, words): page
        for page in PAGES
        for words in overrides_within_lines(page)
    }
    assert len(found) > 20
    wrong = []
    for (recipe, words), page in found.items():
        try:
            load_recipe(recipe, words)
        except GansmithError as problem:
            wrong.append(f"{name_of(page)}: {' '.join(words)}: {problem}")
    assert wrong == []


def test_make_targets_exist():
    makefile = (REPOSITORY / "Makefile").read_text()
    targets = set(re.findall(r"^([\w-]+):(?!=)", makefile, re.MULTILINE))
    variables = set(re.findall(r"^(\w+) \?=", makefile, re.MULTILINE))
    for page, words in ALL:
        if words[0] == "make":
            named = [word for word in words[1:] if "=" not in word and not word.startswith("-")]
            assert set(named) <= targets | {"TARGET"}, name_of(page)
            assert {word.partition("=")[0] for word in words[1:] if "=" in word} <= variables, name_of(page)


def test_python_is_python():
    for page in PAGES:
        for block in blocks(page, "python", "py"):
            ast.parse(block, name_of(page))
            for name in re.findall(r"\bgansmith\.(\w+)\(", block):
                assert name in gansmith.__all__, name_of(page)


def leads_somewhere(page: Path, link: str) -> bool:
    target, _, anchor = link.partition("#")
    file = (page.parent / target).resolve() if target else page
    if not file.is_relative_to(REPOSITORY) or not file.exists():
        return False
    if not anchor or file.suffix != ".md":
        return True
    titles = re.findall(r"^#+ (.+)$", text_of(file), re.MULTILINE)
    return anchor in {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def test_links_lead_somewhere():
    links = [(page, link) for page in PAGES for link in LINK.findall(prose(page)) if not re.match(r"[a-z]+:", link)]
    assert len(links) > 100
    assert [f"{name_of(page)}: {link}" for page, link in links if not leads_somewhere(page, link)] == []


def test_pictures_are_small():
    large = set()
    for page in PAGES:
        for link in re.findall(r"!\[[^\]]*\]\(([^)\s]+)\)|<img[^>]+src=\"([^\"]+)\"", text_of(page)):
            file = page.parent / (link[0] or link[1])
            if file.exists() and file.stat().st_size >= 200_000:
                large.add(file)
    assert large == set()


def at_small_size(words: list[str], world: Path) -> list[str]:
    """Return a command of a page with its paths replaced by small ones that exist, and a run by two steps."""
    name, parameters = parse(words)
    images, run = str(world / "images"), str(world / ("labelled" if "--label" in words else "run"))
    if name == "train" and parameters["start"]:
        _, overrides = unpaired_data_and_overrides(parameters["words"] or [], "a", "b")
        two = ("--from", f"{images}/dark", "--to", f"{images}/light")
        return ["train", *two, *overrides, *small("unpaired"), "--steps", "2", "--out", "new"]
    if name == "train":
        _, overrides = data_and_overrides(parameters["words"] or [], pairs=parameters["pairs"])
        recipe, _ = translation_recipe(parameters["recipe"], parameters["task"], parameters["pairs"])
        recipe = COMPACT if recipe.endswith(".yaml") else recipe
        kept = [
            word for word in small(COMPACT if recipe == AUTO else recipe) if not word.startswith("task=")
        ]  # the images are gray: no colorize
        if parameters["pairs"] and recipe == "srresnet":
            return ["train", str(world / "lr"), str(world / "hr"), "--pairs", *kept, "--recipe", recipe, "--steps", "2"]
        kept += ["--pairs"] if parameters["pairs"] else ["--task", "deblur"] if recipe == "translate" else []
        return ["train", images, *overrides, *kept, "--recipe", recipe, "--steps", "2", "--out", "new"]
    if name == "plan":
        _, overrides = data_and_overrides(parameters["words"] or [])
        return [name, images, *overrides, *small(COMPACT), "--kimg", "0.1", "--out", "new.yaml"]
    if name == "upscale":
        return [name, str(world / "enlarger"), images, *words[-2:]]
    if name == "translate":
        return ["translate", str(world / "translator"), images, *words[-2:]]
    if name == "sweep":
        kept = ["--recipe", "mlp-small", "--vary", "lr=1e-3,2e-3", "--seeds", "1", "--steps", "2", "--out", "new"]
        return [name, images, *small("mlp-small"), *kept]
    if name == "diagnose":
        return ["diagnose", run]
    if name == "resume":
        return ["resume", run]
    if name == "evaluate" and re.search("translate|unpaired", words[1]):
        return [name, str(world / "translator"), "--features", "untrained", "--on-training", "--out", "judged"]
    if name == "evaluate":
        return ["evaluate", run, "--num", "100", "--metrics", "sliced_wasserstein", "--on-training", "--out", "judged"]
    if name == "compare":
        return ["compare", run, str(world / "labelled"), "--out", "compare.html"]
    replaced = {"recipes": "dcgan", "-n": "4", "--label": "dark", "--to-label": "light"}
    replaced |= {"--mask": str(world / "hole.png"), "invert": run, "--num": "2", "--match-values": images}
    if name == "sample" and "--numbered" not in words:
        replaced["--out"] = "out.npz"
    words = [replaced.get(before, word) for before, word in zip(["", *words], words, strict=False)]
    words = [word.replace("found.latent.safetensors", "3") for word in words]
    if name == "invert":
        return [name, run, str(world / "images/dark/0.png"), *words[3:], "--steps", "2"]
    if name == "directions":
        return [name, run, *words[2:], *(() if "--num" in words else ("--num", "2"))]
    if name in ("interpolate", "arithmetic", "export"):
        return [name, run, *words[2:]]
    if name in ("features", "probe"):
        few = ("--per-class", "2,3", "--seeds", "2") if name == "probe" else ("--out", "x.npz")
        return [name, run, images, *few]
    if name == "augment":
        return [name, str(world / "labelled"), images, "--per-class", "2", "--out", "x.npz"]
    if name in ("verify", "repair"):
        return [name, run]
    if name in ("sample", "score"):
        return [name, run, *([images] if name == "score" else words[2:])]
    return [*words[:2], images] if words[:2] == ["data", "check"] else words


def shape(words: tuple[str, ...]) -> tuple[str, ...]:
    """Return what two commands have in common that run the same code: the verb, the options and a planned recipe."""
    small_words = at_small_size(list(words), Path("world"))
    verb = small_words[:2] if words[0] == "data" else small_words[:1]
    options = {word for word in small_words if word.startswith("-")}
    return (*verb, *sorted(options), *({AUTO} & set(small_words)))


RUNNABLE = {tuple(own) for _, own in OWN if "--plugin" not in own and "KEY=VALUE" not in own and own != ["train"]}
RUNNABLE = {words for words in RUNNABLE if words[0] != "import"}  # it needs a file of another program
RUNNABLE = {words for words in RUNNABLE if words[0] not in ("studio", "serve")}  # they do not end: tests/web
RUNNABLE |= {("--version",), ("recipes", "dcgan")}
# The longest command of each shape. Names of recipes and overrides are checked above; the golden test trains every
# recipe.
EACH_SHAPE = sorted({shape(words): words for words in sorted(RUNNABLE, key=lambda words: (len(words), words))}.values())


@pytest.fixture(scope="module")
def small_world(tmp_path_factory) -> Path:
    """A folder with images in two classes, a run on them, and a run that knows the labels."""
    root = tmp_path_factory.mktemp("world")
    for index in range(120):
        file = root / "images" / ("dark", "light")[index % 2] / f"{index}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        pixels = np.random.default_rng(index).integers(0, 128, (16, 16)) + 127 * (index % 2)
        Image.fromarray(pixels.astype(np.uint8)).save(file)
    for folder, side in (("lr", 8), ("hr", 32)):
        (root / folder).mkdir()
        for index in range(16):
            pixels = np.random.default_rng(index).integers(0, 256, (side, side)).astype(np.uint8)
            Image.fromarray(pixels).save(root / folder / f"{index}.png")
    hole = np.zeros((16, 16), np.uint8)
    hole[4:12, 4:12] = 255
    Image.fromarray(hole).save(root / "hole.png")
    with mock.patch.object(api, "write_results"), mock.patch.dict("os.environ", GANSMITH_CACHE=str(root / "cache")):
        train(root / "images", root / "run", "mlp-small", steps=2)
        train(root / "images", root / "labelled", "mlp-small", "conditional=true", steps=2)
        train(root / "images", root / "translator", "translate", "task=deblur", steps=2)
        train(root / "images", root / "enlarger", "srresnet", "scale=2", steps=2)
    return root


@pytest.mark.slow
@pytest.mark.parametrize("words", EACH_SHAPE, ids=" ".join)
def test_commands_run(words, small_world, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    cache_folder = tmp_path if words == ("data", "clean") else small_world / "cache"
    monkeypatch.setenv("GANSMITH_CACHE", str(cache_folder))
    for module, seconds in ((machine, "MEASURE_SEC"), (prepare, "STEADY_SEC")):
        monkeypatch.setattr(module, seconds, 0.01)
    monkeypatch.setattr(api, "write_results", lambda *_: None)
    monkeypatch.setattr(augment, "_classifier", lambda *_: lambda images, _: np.zeros(len(images), bool))
    monkeypatch.setattr("sys.argv", ["gansmith", *at_small_size(list(words), small_world)])
    with pytest.raises(SystemExit) as ended:
        main()
    assert not ended.value.code
