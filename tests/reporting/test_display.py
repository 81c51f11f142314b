"""What Python shows while a verb works, and how results look in notebooks; no text of a user becomes HTML."""

import re
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import numpy as np
import pandas
import PIL.Image
import pytest

import gansmith
from gansmith import api
from gansmith.core.events import (
    Event,
    HealthEvent,
    MessageEvent,
    PreviewEvent,
    Progress,
    ProgressEvent,
    RowEvent,
    SnapshotEvent,
)
from gansmith.core.html import ShownAsLines, facts
from gansmith.evaluation.compare import Comparison, Row
from gansmith.evaluation.result import Evaluation, Protocol
from gansmith.imaging.images import save_png
from gansmith.inference.samples import Samples
from gansmith.parts.metrics.base import Number
from gansmith.reporting import display
from gansmith.reporting.display import NotebookDisplay, in_notebook, picture_of, showing
from gansmith.runs.folder import RunFolder
from small_runs import MONITORED, train

HOSTILE = "<script>alert('x')</script>&"
SPEED = {"kimg": 3.0, "img_per_sec": 200.0, "eta_sec": 75.0, "wall_sec": 1.0, "memory_mb": 512.0}
TRAINING = Progress("training", 3.0, 12.0)


@pytest.fixture
def notebook(monkeypatch) -> list[dict]:
    """A notebook: the outputs that its cell has been given."""
    shown: list[dict] = []

    def publish_display_data(data, *, transient=None, update=False):
        shown.append({**data, "id": (transient or {}).get("display_id"), "update": update})

    ipython = ModuleType("IPython")
    ipython.version_info = (9, 0)  # matplotlib asks for it
    ipython.get_ipython = lambda: SimpleNamespace(kernel=object())
    ipython.display = ModuleType("IPython.display")
    ipython.display.publish_display_data = publish_display_data
    monkeypatch.setitem(sys.modules, "IPython", ipython)
    monkeypatch.setitem(sys.modules, "IPython.display", ipython.display)
    monkeypatch.setattr(display, "UPDATE_EVERY_SEC", 0.0)
    return shown


@pytest.fixture(scope="module")
def run(tiny_file, tmp_path_factory) -> api.Run:
    folder = tmp_path_factory.mktemp("runs") / "run"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(api, "write_results", lambda *_: None)
        return train(tiny_file, folder, "mlp-small", *MONITORED, progress=False)


def assert_is_plain(html: str) -> None:
    """Fail if HTML holds a script, a handler, something from elsewhere, or open elements."""
    assert not re.search(r"<script|\bon\w+=|https?:|javascript:", html.replace("&lt;script", ""))
    tags = re.findall(r"<(/?)(\w+)", html)
    opened = [name for slash, name in tags if not slash and name != "img"]
    assert sorted(opened) == sorted(name for slash, name in tags if slash)


def test_a_notebook_has_one_live_display(notebook, tmp_path):
    grid = tmp_path / "000000003-ema.png"
    save_png(np.zeros((18, 66, 1), np.uint8), grid)
    events: list[Event] = []
    with showing(events.append) as listen:
        for event in (
            MessageEvent("note", f"run folder: {HOSTILE}"),
            ProgressEvent(TRAINING, SPEED),
            RowEvent({**SPEED, "loss_generator": 1.5, "loss_discriminator": None}, TRAINING),
            PreviewEvent({"iteration": 3, "grid": str(grid)}),
            SnapshotEvent("D wins", {**SPEED, "fd2k_own_train": 12.345, "verdict": "discriminator_wins"}, TRAINING),
            HealthEvent("D wins since 2.0 kimg: it is right", {}),
            SnapshotEvent("D wins", {**SPEED, "fd2k_own_train": 12.345, "verdict": "discriminator_wins"}, TRAINING),
            MessageEvent("warning", "skipped <b>"),
        ):
            listen(event)
            assert events[-1] is event
    assert len({each["id"] for each in notebook}) == 1
    assert [each["update"] for each in notebook] == [False] + [True] * (len(notebook) - 1)
    html, text = notebook[-1]["text/html"], notebook[-1]["text/plain"]
    assert_is_plain(html)
    assert "<strong>training</strong> 25%" in html
    assert "width:25.0%" in html
    assert "3.0 kimg · 200 img/s · 1:15 left · loss D nan · loss G 1.500 · fd2k 12.35 · 512 MB" in html
    assert "<strong>verdict</strong>: D wins since 2.0 kimg: it is right" in html
    assert html.count("<img ") == 1
    assert "image-rendering:pixelated" in html
    assert "&lt;script&gt;" in html
    assert "&#9888; skipped &lt;b&gt;" in html
    assert "<summary>1 message</summary>" in html
    assert text.endswith("D wins since 2.0 kimg: it is right")


def test_a_snapshot_of_another_verdict_replaces_its_reasons(notebook):
    with NotebookDisplay() as shown:
        shown(HealthEvent("D wins since 2.0 kimg: it is right", {}))
        shown(SnapshotEvent("healthy", {**SPEED, "fd2k_own_train": 1.0}, TRAINING))
    assert "<strong>verdict</strong>: healthy</div>" in notebook[-1]["text/html"]


def test_updates_are_few(notebook, monkeypatch):
    monkeypatch.setattr(display, "UPDATE_EVERY_SEC", 1e9)
    with NotebookDisplay() as shown:
        for done in range(100):
            shown.show(Progress("reading images", done, 100))
        assert len(notebook) == 1
        assert "0 of 100" in notebook[0]["text/html"]
    assert [each["text/html"] for each in notebook[1:]] == [""]  # that work is done


def test_the_last_state_of_a_run_stays(notebook, monkeypatch):
    monkeypatch.setattr(display, "UPDATE_EVERY_SEC", 1e9)
    with NotebookDisplay() as shown:
        for done in range(3):
            shown(ProgressEvent(Progress("training", done, 3), {**SPEED, "kimg": done}))
    assert len(notebook) == 2
    assert "2.0 kimg" in notebook[-1]["text/html"]


def test_a_display_that_fails_costs_nothing(notebook, monkeypatch, capsys):
    monkeypatch.setattr(display, "publish", lambda *_, **__: 1 / 0)
    with NotebookDisplay() as shown:
        for _ in range(2):
            shown(MessageEvent("note", "told"))
    assert capsys.readouterr().err.count("progress cannot be shown") == 1


def test_a_script_prints_on_stderr(capsys):
    assert not in_notebook()
    with showing() as listen:
        listen(MessageEvent("note", "told"))
    assert capsys.readouterr().err == "told\n"


def test_progress_can_be_turned_off(notebook, capsys):
    events: list[Event] = []
    with showing(events.append, progress=False) as listen:
        listen(MessageEvent("note", "told"))
    assert (notebook, capsys.readouterr().err, len(events)) == ([], "", 1)


def test_an_exception_of_a_listener_reaches_the_caller():
    with pytest.raises(ZeroDivisionError), showing(lambda _: 1 / 0, progress=False) as listen:
        listen(MessageEvent("note", "told"))


def test_pictures_that_cannot_be_read(tmp_path):
    assert picture_of(tmp_path / "none.png") == ""


@pytest.mark.slow
def test_a_run(run):
    html = run._repr_html_()
    assert_is_plain(html)
    assert "finished at 0.1 kimg" in html
    assert "best snapshot" in html
    assert html.count("<img ") == 1
    paused = api.Run(run.folder, False, 2)
    assert f"gansmith.resume(&#x27;{run.folder}&#x27;)" in paused._repr_html_()


@pytest.mark.slow
def test_records_of_a_run_are_tables(run):
    table = pandas.DataFrame(run.log)
    assert list(table["iteration"]) == [4, 8, 12]
    assert table["loss_generator"].dtype == float
    assert list(pandas.DataFrame(run.snapshots)["iteration"]) == [row["iteration"] for row in run.snapshots]
    assert run.events == [row for row in run.events if "event" in row]


@pytest.mark.slow
def test_the_report_of_a_run(run, notebook, monkeypatch):
    folder = RunFolder(run.folder)
    assert not folder.report.exists()
    assert run.report() == folder.report  # made now
    frame = notebook[-1]
    assert frame["text/plain"] == str(folder.report)
    assert re.match(r'<iframe title="report.html" sandbox="allow-scripts" style="[^"]+" srcdoc="[^"]+"></iframe>$',
                    frame["text/html"])  # fmt: skip
    shown = len(notebook)
    monkeypatch.delitem(sys.modules, "IPython")
    assert run.report() == folder.report
    assert len(notebook) == shown


def test_samples(model, tmp_path):
    samples = model.sample(70)
    assert repr(samples) == "Samples(70 images, uint8 (70, 8, 8, 1); a notebook shows the first 64)"
    assert samples._repr_png_() == model.sample(64).grid()._repr_png_()
    images = samples.to_pil()
    assert len(images) == 70
    assert all(isinstance(image, PIL.Image.Image) and image.size == (8, 8) for image in images)
    assert np.array_equal(np.asarray(images[3]), samples.images[3, ..., 0])
    assert samples.grid().to_pil().mode == "L"
    large = Samples(np.zeros((70, 256, 256, 3), np.uint8), None, ())
    assert "the first 4" in repr(large)


def test_a_model(model, conditional):
    assert repr(model).startswith("Model(toy on toy, 1.0 kimg")
    assert_is_plain(model._repr_html_())
    assert "generator 616, discriminator" in model._repr_html_()
    assert "dark, gray, light" in conditional._repr_html_()


def numbers(*values: float) -> Evaluation:
    protocol = Protocol(
        features=HOSTILE, features_sha256="12", resize="", num_fake=1, num_sets=4, num_real=1, reference="x",
        reference_fingerprint="", reference_split="",
    )  # fmt: skip
    found = {f"fd{index}k_own": Number(value, 0.5, "sets", 4) for index, value in enumerate(values)}
    return Evaluation(HOSTILE, 3.0, protocol, found, (HOSTILE,), {"kid": HOSTILE}, 1.0)


def test_an_evaluation():
    evaluation = numbers(1.25)
    html = evaluation._repr_html_()
    assert_is_plain(html)
    assert html.count("&lt;script&gt;") == 4
    assert "<td>1.25</td><td>0.5 (sets)</td>" in html
    (record,) = pandas.DataFrame(evaluation.records).to_dict("records")
    assert (record["metric"], record["value"], record["deviation"]) == ("fd0k_own", 1.25, 0.5)


def test_a_comparison():
    runs = tuple(SimpleNamespace(letter=letter, folder=Path(HOSTILE)) for letter in "AB")
    rows = (
        Row("fd_a", "low", (Number(1.0, None, "", 1), Number(9.0, None, "", 1)), (0,)),
        Row("fd_b", "low", (Number(1.0, None, "", 1), None), (0,)),
    )
    comparison = Comparison(runs, {}, (HOSTILE,), rows)
    html = comparison._repr_html_()
    assert_is_plain(html)
    assert "<strong>1</strong></td><td>9</td><td></td>" in html
    assert "<td>1</td><td></td><td>noise</td>" in html
    assert [(each["metric"], each["leads"]) for each in comparison.records] == [
        ("fd_a", True), ("fd_a", False), ("fd_b", True),
    ]  # fmt: skip


@pytest.mark.slow
def test_plans(tiny_file, cache_folder):
    found = api.dry_run(tiny_file, recipe="mlp-small", overrides=["size=8"], steps=2, device="cpu")
    assert_is_plain(found._repr_html_())
    assert "dry run: mlp-small" in found._repr_html_()
    report = gansmith.check(tiny_file, on_progress=gansmith.silent)
    assert isinstance(report, ShownAsLines)
    assert "96 usable images" in report._repr_html_()
    assert_is_plain(report._repr_html_())


def test_facts_are_escaped():
    assert HOSTILE not in facts(HOSTILE, {HOSTILE: HOSTILE})
