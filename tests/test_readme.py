"""What the pages say works: commands parse, snippets are Python, links lead somewhere, pictures are small."""

import ast
import re
import shlex
from pathlib import Path
from unittest import mock

import numpy as np
import pytest
import typer.main
from PIL import Image

import gansmith
from gansmith import machine, planner, runs
from gansmith.cli.app import app, main
from gansmith.cli.train import data_and_overrides, translation_recipe, unpaired_data_and_overrides
from gansmith.recipe import load_recipe, recipe_names
from gansmith.recipes import AUTO
from gansmith.rules import PLAIN
from gansmith.uses import augment
from small_runs import small, train

REPOSITORY = Path(gansmith.__file__).parent.parent.parent
PAGES = [*sorted(REPOSITORY.glob("*.md")), *sorted((REPOSITORY / "docs").rglob("*.md"))]
FENCE = re.compile(r"^```([^`\n]*)\n(.*?)^```", re.MULTILINE | re.DOTALL)
INLINE = re.compile(r"(?<!`)`([^`\n]+)`(?!`)")
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")


def name_of(page: Path) -> str:
    return page.relative_to(REPOSITORY).as_posix()


def blocks(page: Path, *languages: str) -> list[str]:
    return [text for language, text in FENCE.findall(page.read_text(encoding="utf-8")) if language in languages]


def commands(page: Path) -> list[list[str]]:
    """Return the words of every command of a page, in fenced blocks and within lines."""
    lines = [
        line for block in blocks(page, "sh", "bash", "console") for line in block.replace("\\\n", " ").splitlines()
    ]
    lines += INLINE.findall(FENCE.sub("", page.read_text(encoding="utf-8")))
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


def parse(words: list[str]) -> tuple[str, dict]:
    """Return the verb and its parameters as the command line would, without running it."""
    command = typer.main.get_command(app)
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


@pytest.mark.parametrize(
    ("page", "words"), OWN, ids=[f"{name_of(page)}: {' '.join(words)[:60]}" for page, words in OWN]
)
def test_commands_parse(page, words):
    name, parameters = parse(words)
    if name == "train":
        source, overrides = data_and_overrides(parameters["words"] or [], pairs=parameters["pairs"])
        recipe, chosen = translation_recipe(parameters["recipe"], parameters["task"], parameters["pairs"])
        assert not source.startswith("-")
        if parameters["plugin"] or "KEY=VALUE" in overrides:
            return
        base = PLAIN if recipe == AUTO else recipe
        assert recipe.endswith(".yaml") or load_recipe(base, (*chosen, *overrides))


@pytest.mark.parametrize("words", [
    ["trian"], ["train", "--recip", "x"], ["sample"], ["data", "chekc", "x"], ["sample", "run", "-n", "many"],
])  # fmt: skip
def test_commands_that_do_not_parse_are_noticed(words):
    with pytest.raises(Exception, match=r"No such|Missing|valid integer"):
        parse(words)


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_overrides_within_lines_are_valid(page):
    """A piece of code that is nothing but KEY=VALUE words must be what a recipe takes: the page's own or auto's."""
    recipe = page.stem if page.parent.name == "learn" and page.stem in recipe_names() else PLAIN
    for code in INLINE.findall(FENCE.sub("", page.read_text(encoding="utf-8"))):
        try:
            words = shlex.split(code)
        except ValueError:
            continue
        lower = [re.fullmatch(r"[a-z_.]+=.+", word) for word in words]
        if words and all(lower) and "my_" not in code:
            load_recipe(recipe, tuple(words))


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_make_targets_exist(page):
    makefile = (REPOSITORY / "Makefile").read_text()
    targets = set(re.findall(r"^([\w-]+):(?!=)", makefile, re.MULTILINE))
    variables = set(re.findall(r"^(\w+) \?=", makefile, re.MULTILINE))
    for words in commands(page):
        if words[0] == "make":
            named = [word for word in words[1:] if "=" not in word and not word.startswith("-")]
            assert set(named) <= targets | {"TARGET"}
            assert {word.partition("=")[0] for word in words[1:] if "=" in word} <= variables


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_python_is_python(page):
    for block in blocks(page, "python", "py"):
        ast.parse(block)
        for name in re.findall(r"\bgansmith\.(\w+)\(", block):
            assert name in gansmith.__all__


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_links_lead_somewhere(page):
    text = FENCE.sub("", page.read_text(encoding="utf-8"))
    missing = []
    for link in LINK.findall(text):
        if re.match(r"[a-z]+:", link):
            continue
        target, _, anchor = link.partition("#")
        file = (page.parent / target).resolve() if target else page
        assert file.is_relative_to(REPOSITORY)
        if not file.exists():
            missing.append(link)
        elif anchor and file.suffix == ".md":
            titles = re.findall(r"^#+ (.+)$", file.read_text(encoding="utf-8"), re.MULTILINE)
            assert anchor in {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}
    assert missing == []


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_pictures_are_small(page):
    for link in re.findall(r"!\[[^\]]*\]\(([^)\s]+)\)|<img[^>]+src=\"([^\"]+)\"", page.read_text(encoding="utf-8")):
        file = page.parent / (link[0] or link[1])
        assert not file.exists() or file.stat().st_size < 200_000, file


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_files_in_the_tree_exist(page):
    """A fenced tree that starts with a folder names files below it; a name without a folder belongs to the last one."""
    for block in blocks(page, ""):
        first = block.splitlines()[0].strip() if block.strip() else ""
        if first != "src/gansmith/":
            continue
        base = REPOSITORY
        for line in block.splitlines():
            if not line.startswith(" "):
                base = REPOSITORY / line.split()[0]
                assert base.is_dir(), line
                continue
            for name in line.split():
                if not re.fullmatch(r"[\w./*-]+(/|\.py)", name):
                    break
                assert (base / name).exists(), line


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
        recipe = PLAIN if recipe.endswith(".yaml") else recipe
        kept = [
            word for word in small(PLAIN if recipe == AUTO else recipe) if not word.startswith("task=")
        ]  # the images are gray: no colorize
        kept += ["--pairs"] if parameters["pairs"] else ["--task", "deblur"] if recipe == "translate" else []
        return ["train", images, *overrides, *kept, "--recipe", recipe, "--steps", "2", "--out", "new"]
    if name == "plan":
        _, overrides = data_and_overrides(parameters["words"] or [])
        return [name, images, *overrides, *small(PLAIN), "--kimg", "0.1", "--out", "new.yaml"]
    if name == "upscale":
        return [name, str(world / "enlarger"), images, *words[-2:]]
    if name == "translate":
        return ["translate", str(world / "translator"), images, *words[-2:]]
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
    replaced |= {"--mask": str(world / "hole.png"), "invert": run, "--num": "2"}
    if name == "sample" and "--numbered" not in words:
        replaced["--out"] = "out.npz"
    words = [replaced.get(before, word) for before, word in zip(["", *words], words, strict=False)]
    words = [word.replace("found.latent.safetensors", "3") for word in words]
    if name == "invert":
        image = next(iter(sorted((world / "images").rglob("*.png"))))
        return [name, run, str(image), *words[3:], "--steps", "2"]
    if name == "directions":
        return [name, run, *words[2:], *(() if "--num" in words else ("--num", "2"))]
    if name in ("interpolate", "arithmetic"):
        return [name, run, *words[2:]]
    if name in ("features", "probe"):
        few = ("--per-class", "2,3", "--seeds", "2") if name == "probe" else ("--out", "x.npz")
        return [name, run, images, *few]
    if name == "augment":
        return [name, str(world / "labelled"), images, "--per-class", "2", "--out", "x.npz"]
    if name in ("sample", "score"):
        return [name, run, *([images] if name == "score" else words[2:])]
    return [*words[:2], images] if words[:2] == ["data", "check"] else words


RUNNABLE = sorted({
    tuple(own) for _, own in OWN if "--plugin" not in own and "KEY=VALUE" not in own and own != ["train"]
} | {("--version",), ("recipes", "dcgan")})  # fmt: skip


@pytest.fixture(scope="module")
def small_world(tmp_path_factory) -> Path:
    """A folder with images in two classes, a run on them, and a run that knows the labels."""
    root = tmp_path_factory.mktemp("world")
    for index in range(120):
        file = root / "images" / ("dark", "light")[index % 2] / f"{index}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        pixels = np.random.default_rng(index).integers(0, 128, (16, 16)) + 127 * (index % 2)
        Image.fromarray(pixels.astype(np.uint8)).save(file)
    hole = np.zeros((16, 16), np.uint8)
    hole[4:12, 4:12] = 255
    Image.fromarray(hole).save(root / "hole.png")
    with mock.patch.object(runs, "write_results"), mock.patch.dict("os.environ", GANSMITH_CACHE=str(root / "cache")):
        train(root / "images", root / "run", "mlp-small", steps=2)
        train(root / "images", root / "labelled", "mlp-small", "conditional=true", steps=2)
        train(root / "images", root / "translator", "translate", "task=deblur", steps=2)
        train(root / "images", root / "enlarger", "srresnet", "scale=2", steps=2)
    return root


@pytest.mark.parametrize("words", RUNNABLE, ids=" ".join)
def test_commands_run(words, small_world, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GANSMITH_CACHE", str(tmp_path / "cache"))
    for module, seconds in ((machine, "MEASURE_SEC"), (planner, "MEASURE_SEC"), (planner, "PROBE_SEC")):
        monkeypatch.setattr(module, seconds, 0.01)
    monkeypatch.setattr(runs, "write_results", lambda *_: None)
    monkeypatch.setattr(augment, "_classifier", lambda *_: lambda images, _: np.zeros(len(images), bool))
    monkeypatch.setattr("sys.argv", ["gansmith", *at_small_size(list(words), small_world)])
    with pytest.raises(SystemExit) as ended:
        main()
    assert not ended.value.code
