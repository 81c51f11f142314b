"""The site builds without warnings and reads offline; notebook, lessons and pictures of runs can be made anew."""

import importlib
import json
import re
import runpy
import subprocess
import sys
from html import escape
from pathlib import Path
from urllib.error import URLError

import numpy as np
import pytest

import gansmith.cli
from gansmith.core.events import HealthEvent, HealthValues, MessageEvent
from gansmith.recipes.load import recipe_names
from small_runs import train

REPOSITORY = Path(gansmith.__file__).parent.parent.parent
DOCS = REPOSITORY / "docs"
LESSONS = ["one_step", "leaky", "saturation", "beta1", "losses", "collapse", "walks"]
PICTURE_BYTES = 200_000


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> Path:
    pytest.importorskip("sphinx")
    folder = tmp_path_factory.mktemp("site")
    command = [
        sys.executable,
        "-m",
        "sphinx",
        "-W",
        "--keep-going",
        "-q",
        "-d",
        folder / "trees",
        DOCS,
        folder / "html",
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder / "html"


def test_the_page_of_the_command_line_is_up_to_date():
    script = runpy.run_path(str(REPOSITORY / "scripts" / "write_cli_docs.py"))
    assert (DOCS / "cli.md").read_text(encoding="utf-8") == script["page"](), "run make snapshots"


@pytest.mark.slow
def test_the_site_reads_offline(site):
    pages = list(site.rglob("*.html"))
    assert len(pages) > 25
    for page in pages:
        loads = re.findall(r"<(?:script|link|img|iframe)\b[^>]*(?:src|href)=\"(https?:[^\"]+)", page.read_text())
        assert not loads, f"{page} loads {loads}"


@pytest.mark.slow
def test_tables_of_layers_come_from_the_recipes(site):
    for name in recipe_names():
        page = (site / "learn" / f"{name}.html").read_text()
        assert f"<strong>{'a_to_b' if name == 'unpaired' else 'generator'}: " in page
        assert "<math" in page
    assert "3,576,707 parameters" in (site / "learn" / "dcgan.html").read_text()
    assert "32 x 46 x 46" not in (site / "learn" / "dcgan-cifar10.html").read_text()
    assert "3 x 46 x 46" in (site / "learn" / "dcgan-cifar10.html").read_text()


@pytest.fixture
def site_parts(monkeypatch):
    pytest.importorskip("sphinx")
    monkeypatch.syspath_prepend(str(DOCS))
    return importlib.import_module("site_parts")


@pytest.fixture
def layers(site_parts) -> list[list[str]]:
    """Rows of the layers contract, top row first."""
    return site_parts.layer_rows(REPOSITORY / "pyproject.toml")


@pytest.mark.slow
def test_the_architecture_page_lists_the_packages_of_the_import_contract(layers):
    page = (DOCS / "architecture.md").read_text(encoding="utf-8")
    listed = page.partition("```text\n")[2].partition("```")[0].splitlines()
    names = [re.split(r"\s{2,}", line)[0].removesuffix(".py") for line in listed if "to come" not in line]
    assert sorted(names) == sorted({name for row in layers for name in row} - {"__main__"})


@pytest.mark.slow
def test_the_picture_shows_every_package_once(site_parts, layers):
    picture = site_parts.draw_packages(layers)
    names = re.findall(r"<text class=\"name\"[^>]*>([^<]+)</text>", picture)
    assert names == [name for row in layers for name in row]
    assert "cli" in names
    assert f"<title>{escape(gansmith.cli.__doc__.replace('``', ''))}</title>" in picture


def test_every_recipe_has_a_page_and_every_page_a_recipe():
    pages = {page.stem for page in (DOCS / "learn").glob("*.md")} - {"index"}
    assert pages == set(recipe_names())
    runs = {page.stem for page in (DOCS / "learn" / "runs").glob("*.md")}
    assert runs <= pages


@pytest.mark.slow
def test_the_tutorial_runs(monkeypatch, tmp_path):
    nbclient, nbformat = pytest.importorskip("nbclient"), pytest.importorskip("nbformat")
    monkeypatch.setenv("GANSMITH_TUTORIAL_KIMG", "0.5")
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    notebook = nbformat.read(DOCS / "tutorial.ipynb", 4)
    nbclient.NotebookClient(notebook, timeout=120, resources={"metadata": {"path": str(tmp_path)}}).execute()
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    assert sum("image/png" in output.get("data", {}) for output in outputs) == 2
    live, report = (output["data"]["text/html"] for output in outputs if "text/html" in output.get("data", {}))
    assert "<strong>training</strong> 100%" in live
    assert "0.5 kimg" in live
    assert live.count("<img ") == 1
    assert re.match(r"<iframe [^>]*srcdoc=\"&lt;!doctype html&gt;", report)
    assert not [output for output in outputs if output.get("name") == "stderr"]


def test_the_callback_of_the_page_posts_changed_verdicts(monkeypatch, capsys):
    page = (DOCS / "python.md").read_text(encoding="utf-8")
    (example,) = re.findall(r"```python\n(import json.*?)```", page, re.DOTALL)
    change = HealthValues(event="health", iteration=9, kimg=3.0, began_kimg=2.0, verdict="stalled", message="told")
    events = [MessageEvent("note", "another"), HealthEvent("stalled since 2.0 kimg", change)]
    monkeypatch.setattr(gansmith, "train", lambda _, *, on_event: [on_event(event) for event in events])
    posted = []
    monkeypatch.setattr("urllib.request.urlopen", lambda request, timeout: posted.append(json.loads(request.data)))
    exec(example, {})
    assert posted == [{"text": "3 kimg, stalled: stalled since 2.0 kimg"}]

    def fail(*_, **__):
        raise URLError("no network")

    monkeypatch.setattr("urllib.request.urlopen", fail)
    exec(example, {})
    assert capsys.readouterr().out == "not sent: <urlopen error no network>\n"


@pytest.mark.slow
def test_the_tutorial_is_small_and_was_run_in_order():
    nbformat = pytest.importorskip("nbformat")
    path = DOCS / "tutorial.ipynb"
    notebook = nbformat.read(path, 4)
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert path.stat().st_size < PICTURE_BYTES
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))


@pytest.mark.slow
@pytest.mark.parametrize("name", LESSONS)
def test_lessons_run_and_their_tables_are_those_of_the_pages(name, monkeypatch, tmp_path):
    monkeypatch.syspath_prepend(str(DOCS / "lessons"))
    shared = importlib.import_module("lesson")
    monkeypatch.setattr(shared.ClothesClassifier.__init__, "__defaults__", (0,))  # epochs
    importlib.import_module(name).lesson(shared.Page(tmp_path, 2))
    tables, pictures = list(tmp_path.rglob("*.md")), list(tmp_path.rglob("*.png"))
    assert tables
    for table in tables:
        kept = DOCS / table.relative_to(tmp_path)
        head, kept_head = (file.read_text().splitlines()[0].count("|") for file in (table, kept))
        assert head == kept_head
        assert len(kept.read_text().splitlines()) == len(table.read_text().splitlines())
    for picture in pictures:
        assert (DOCS / picture.relative_to(tmp_path)).stat().st_size < PICTURE_BYTES


def test_every_lesson_is_tested_and_on_a_page():
    scripts = {path.stem for path in (DOCS / "lessons").glob("*.py")} - {"lesson"}
    assert scripts == set(LESSONS)
    index = (DOCS / "questions" / "index.md").read_text()
    assert [name for name in LESSONS if f"docs/lessons/{name}.py" not in index] == []


@pytest.fixture
def no_results(monkeypatch):
    monkeypatch.setattr("gansmith.api.write_results", lambda *_: None)


def run_for_docs(monkeypatch, *words: object) -> None:
    monkeypatch.setattr("sys.argv", ["run_for_docs.py", *map(str, words)])
    runpy.run_path(str(REPOSITORY / "scripts" / "run_for_docs.py"), run_name="__main__")


@pytest.mark.slow
def test_pictures_of_a_run(tiny_file, tmp_path, monkeypatch, no_results):
    run = train(tiny_file, tmp_path / "run", "mlp-small").folder
    docs = tmp_path / "docs"
    page = docs / "learn" / "mlp-small.md"
    page.parent.mkdir(parents=True)
    page.write_text("written by hand")
    for _ in range(2):
        run_for_docs(monkeypatch, run, "mlp-small", docs)
    names = [f"mlp-small-{name}.png" for name in ("curves", "film", "grid")]
    pictures = sorted((docs / "pictures" / "runs").iterdir())
    assert [path.name for path in pictures] == names
    assert all(path.stat().st_size < PICTURE_BYTES for path in pictures)
    text = (docs / "learn" / "runs" / "mlp-small.md").read_text()
    assert "| data | tiny: 96 images, 8 x 8 px, gray |" in text
    assert "0.1 kimg in 12 iterations" in text
    assert "after 0, 0, 0, 0.1, 0.1 kimg" in text
    assert all((docs / "learn" / "runs" / link).exists() for link in re.findall(r"\]\(([^)]+)\)", text))
    assert page.read_text() == "written by hand"


@pytest.mark.slow
def test_large_pictures_become_small(tmp_path):
    script = runpy.run_path(str(REPOSITORY / "scripts" / "run_for_docs.py"))
    noise = np.random.default_rng(0).integers(0, 256, (900, 900, 3)).astype(np.uint8)
    name = script["write_picture"](noise, tmp_path / "grid")
    assert name == "grid.jpg"
    assert 0 < (tmp_path / name).stat().st_size < PICTURE_BYTES
