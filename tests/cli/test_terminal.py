"""Verbs at a real terminal: of two widths, dumb, without colours, resized, closed; on a cold cache and a warm one."""

import contextlib
import gc
import io
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

import gansmith
from gansmith import api
from gansmith.__main__ import COLLECTIONS, main
from gansmith.core.events import MessageEvent, PlainLines, Progress, RowEvent, say, say_result
from gansmith.core.progress import ProgressPrinter
from gansmith.core.signals import outliving_terminal
from gansmith.reporting.verify import verify
from gansmith.training import trainer
from small_images import write_photos
from small_models import CLASSES, make_model, make_translator

pytest.importorskip("pty", reason="no pseudo-terminals here")
from terminals import Terminals, last_lines, pieces

BAR = re.compile(r"[━─]{20} \d+%")
SMALL = ("size=8", "hidden=[8]", "batch_size=8", "latent_dim=4", "previews=2", "log_rows=4", "monitor.snapshot_kimg=0")
TRAIN = ("train", "data.npz", "--recipe", "mlp-small", "--seed", 3, "--device", "cpu", *SMALL)
SMALL_PLAN = ("base_channels=4", "latent_dim=4", "batch_size=8")
RESULTS = ("model/generator.safetensors", "curves.png", "report.html")
SPEED = {"img_per_sec": 200.0, "eta_sec": 75.0, "wall_sec": 1.0, "memory_mb": 512.0}
ROW = RowEvent({"kimg": 3.0, "loss_generator": 1.5, **SPEED}, Progress("training", 3.0, 18.0))


@pytest.fixture(scope="module")
def terminals() -> Iterator[Terminals]:
    started = Terminals()
    yield started
    started.close()


@pytest.fixture(scope="module")
def home(tmp_path_factory) -> Path:
    """A folder with data, photos, models and a finished run."""
    folder = tmp_path_factory.mktemp("home")
    images, labels = np.random.default_rng(0).integers(0, 256, (120, 8, 8, 1), np.uint8), np.arange(120) % 3
    np.savez(folder / "data.npz", images=images, labels=labels, class_names=np.array(CLASSES))
    write_photos(folder / "photos")
    make_model("hidden=[8]", "conditional=true", classes=CLASSES).save(folder / "classes")
    make_translator().save(folder / "translator")
    settings = {"recipe": "mlp-small", "overrides": SMALL, "device": "cpu", "progress": False}
    api.train(folder / "data.npz", steps=4, out=folder / "run", **settings)
    return folder


@pytest.fixture
def run(terminals, home, tmp_path):
    """Run a verb in a terminal in ``home`` with a cache of this test alone, cold at first."""

    def in_terminal(*words, environ: dict[str, str | None] | None = None, **how) -> tuple[int, str]:
        settings = {"GANSMITH_CACHE": str(tmp_path / "cache"), "NO_COLOR": None, **(environ or {})}
        return terminals.run(*words, folder=str(home), environ=settings, **how)

    return in_terminal


def is_whole(folder: Path) -> bool:
    return all((folder / name).is_file() for name in RESULTS)


def ends_of_train(folder: Path) -> list[str]:
    return [str(folder), f"report: {folder}/report.html; new images: gansmith sample {folder}"]


@pytest.mark.slow
@pytest.mark.parametrize("columns", [80, 20])
def test_training_shows_bars_on_a_cold_cache_and_on_a_warm_one(run, tmp_path, columns):
    for cache in ("cold", "warm"):
        out = tmp_path / cache
        code, shown = run(*TRAIN, "--steps", 6, "--out", out, columns=columns)
        assert code == 0, shown
        assert "".join(last_lines(shown, 2)) == "".join(ends_of_train(out))
        bars = [piece for piece in pieces(shown) if piece.startswith(("reading images ", "training "))]
        assert {each.split()[0] for each in bars} == ({"reading", "training"} if cache == "cold" else {"training"})
        assert max(len(each) for each in bars) < columns
        assert all(bool(BAR.search(each)) == (columns == 80) for each in bars)
        assert "\x1b" not in shown
        assert is_whole(out)


# words; the last line; what is shown in the middle; what is left behind
VERBS = {
    "evaluate": (
        ("evaluate", "run", "data.npz", "--features", "untrained", "-n", 100, "--sets", 4, "--metrics", "frechet",
         "--on-training", "--out", "OUT"),
        r"OUT/\S+\.json", "samples", "",
    ),
    "augment": (
        ("augment", "classes", "data.npz", "--per-class", 2, "--filters", "discriminator", "--out", "OUT.npz"),
        r"OUT\.npz", "samples", ".npz",
    ),
    "plan": (("plan", "photos", "--kimg", 0.016, "--device", "cpu", "--out", "OUT.yaml", *SMALL_PLAN),
             r"OUT\.yaml", "reading images", ".yaml"),
    "data check": (("data", "check", "photos"), r".*have colour\)", "reading images", None),
    "probe": (("probe", "classes", "data.npz", "--per-class", 2, "--seeds", 2), r"with 2 .*", "learning", None),
    "features": (("features", "classes", "data.npz", "--out", "OUT.npz"), r"OUT\.npz", "the discriminator", ".npz"),
    "diagnose": (("diagnose", "run"), r".*", "reading images", None),
    "invert": (("invert", "classes", "photos/00.png", "--steps", 30, "--out", "OUT.png"), r"OUT\.png", "step 3",
               ".png"),
    "translate": (("translate", "translator", "photos/00.png", "--out", "OUT"), "OUT", "", "/00.png"),
    "score": (("score", "classes", "photos/00.png", "--label", "dark"), r" *-?[\d.]+  photos/00.png", "", None),
}  # fmt: skip


def named(words: tuple, out: Path) -> list[str]:
    return [str(word).replace("OUT", str(out)) for word in words]


@pytest.mark.slow
@pytest.mark.parametrize("verb", VERBS)
def test_other_verbs_end_whole_on_a_cold_cache_and_on_a_warm_one(run, tmp_path, verb):
    words, last, _, left = VERBS[verb]
    for columns, out in ((80, tmp_path / "a"), (20, tmp_path / "b")):
        code, shown = run(*named(words, out), columns=columns)
        assert code == 0, shown
        assert re.fullmatch(last.replace("OUT", str(out)), last_lines(shown, 1)[0]), shown
        bars = [piece for piece in pieces(shown) if re.search(r" \d+% ", piece) and "━" in piece]
        assert max((len(each) for each in bars), default=0) < columns
        assert "\x1b" not in shown
        assert left is None or Path(f"{out}{left}").exists()


@pytest.mark.slow
def test_resume_shows_a_bar(run, home, tmp_path):
    shutil.copytree(home / "run", tmp_path / "run")
    code, shown = run("resume", tmp_path / "run", "--kimg", 0.064)
    assert code == 0, shown
    assert last_lines(shown, 2) == ends_of_train(tmp_path / "run")
    assert "training ━" in shown


@pytest.mark.slow
@pytest.mark.parametrize("environ", [{"TERM": "dumb"}, {"TERM": None}, {"NO_COLOR": "1"}, {"TERM": "xterm"}], ids=str)
def test_terminals_of_other_kinds(run, tmp_path, environ):
    code, shown = run(*TRAIN, "--steps", 6, "--out", tmp_path / "run", environ=environ)
    assert code == 0, shown
    assert last_lines(shown, 2) == ends_of_train(tmp_path / "run")
    assert "\x1b" not in shown
    plain = "TERM" in environ and environ["TERM"] != "xterm"
    assert bool(BAR.search(shown)) != plain
    assert ("\nreading images: 120 of 120\r\n" in shown) == plain
    assert ("\r" in shown.replace("\r\n", "")) != plain


@pytest.mark.slow
def test_a_terminal_that_is_made_narrow(run, tmp_path):
    code, shown = run(*TRAIN, "--steps", 40, "--out", tmp_path / "run", narrow_at="training ")
    assert code == 0, shown
    assert last_lines(shown, 1) == ends_of_train(tmp_path / "run")[1:]
    wide, narrow = shown.split("⏎")
    assert BAR.search(wide)
    bars = [piece for piece in pieces(narrow)[2:] if piece.startswith("training")]  # one may have been on its way
    assert bars
    assert max(len(each) for each in bars) < 20


@pytest.mark.slow
@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
def test_a_terminal_of_another_encoding(run, tmp_path, encoding):
    code, shown = run(*TRAIN, "--steps", 6, "--out", tmp_path / "run", encoding=encoding)
    assert code == 0, shown
    assert last_lines(shown, 2) == ends_of_train(tmp_path / "run")
    assert "training ##" in shown
    assert is_whole(tmp_path / "run")


@pytest.mark.slow
@pytest.mark.parametrize(("term", "close_at"), [("xterm", "reading images "), ("xterm", "training "), ("dumb", "iter")])
def test_a_run_outlives_its_terminal(run, tmp_path, term, close_at):
    out = tmp_path / "run"
    more = {"close_at": close_at, "environ": {"TERM": term}, "real_results": close_at == "training "}
    code, shown = run(*TRAIN, "--steps", 12, "--out", out, **more)
    assert code == 0, shown
    assert "report.html" not in shown
    assert is_whole(out)
    assert api.RunFolder(out).record.length.iterations == 12
    assert gansmith.load(out / "checkpoints", "cpu").record.kimg == 12 * 8 / 1000


@pytest.mark.slow
def test_a_resumed_run_outlives_its_terminal(run, home, tmp_path):
    shutil.copytree(home / "run", tmp_path / "run")
    code, shown = run("resume", tmp_path / "run", "--kimg", 0.2, close_at="resumed")
    assert code == 0, shown
    assert is_whole(tmp_path / "run")
    assert gansmith.load(tmp_path / "run" / "checkpoints", "cpu").record.kimg == pytest.approx(0.2)


CLOSED = [verb for verb, (_, _, text, _) in VERBS.items() if text]


@pytest.mark.slow
@pytest.mark.parametrize("verb", CLOSED)
def test_other_verbs_without_their_terminal(run, tmp_path, verb):
    """A closed terminal ends them as it ends other programs, and where SIGHUP is ignored they end whole."""
    words, _, text, left = VERBS[verb]
    code, shown = run(*named(words, tmp_path / "a"), close_at=text, hears_hangup=False)
    assert code == 0, shown
    assert left is None or (tmp_path / f"a{left}").exists()


@pytest.mark.slow
def test_a_closed_terminal_ends_an_evaluation(run, tmp_path):
    assert run(*named(VERBS["evaluate"][0], tmp_path / "a"), close_at="reading images")[0] == 128 + signal.SIGHUP


@pytest.mark.slow
def test_the_command_itself(tmp_path, tiny_file):
    """From the start of Python to the end of its process: nothing is left to fail when streams are closed."""
    import pty

    command = [sys.executable, "-m", "gansmith", *map(str, TRAIN), "--steps", "6", "--out", str(tmp_path / "run")]
    command[4] = str(tiny_file)
    main, side = pty.openpty()
    environ = {**os.environ, "GANSMITH_CACHE": str(tmp_path / "cache"), "TERM": "xterm-256color"}
    process = subprocess.Popen(
        command, stdin=side, stdout=side, stderr=side, env=environ, start_new_session=True
    )  # no terminal of its own: it hears no SIGHUP, and writes fail
    os.close(side)
    shown = b""
    while b"training " not in shown:
        shown += os.read(main, 4096)
    os.close(main)
    assert process.wait() == 0
    assert is_whole(tmp_path / "run")


def test_a_command_looks_seldom_through_all_objects_and_not_at_its_end(monkeypatch):
    """Torch makes half a million that stay: to look for those that may be freed took a quarter of a short command."""
    frozen = []
    monkeypatch.setattr("gc.freeze", lambda: frozen.append(gc.get_threshold()))
    monkeypatch.setattr("sys.argv", ["gansmith", "--version"])
    with pytest.raises(SystemExit):
        main()
    assert frozen == [COLLECTIONS]


@pytest.fixture
def open_terminal(monkeypatch) -> Iterator[Callable[[], int]]:
    """Put a terminal at stderr and return the number of the end that reads it."""
    import pty

    main, side = pty.openpty()
    monkeypatch.setenv("TERM", "xterm")
    with open(side, "w", encoding="utf-8") as stream:

        def put() -> int:
            monkeypatch.setattr("sys.stderr", stream)
            return main

        yield put
        with contextlib.suppress(OSError):
            os.close(main)


def read(terminal: int) -> str:
    """Return all that was written to stderr up to now; a terminal hands it on in its own time."""
    sys.stderr.write("\x1e")
    sys.stderr.flush()
    shown = b""
    while not shown.endswith(b"\x1e"):
        shown += os.read(terminal, 65536)
    return shown[:-1].decode()


@pytest.mark.parametrize("term", ["dumb", "unknown", ""])
def test_plain_lines_come_at_once(open_terminal, monkeypatch, term):
    terminal = open_terminal()
    monkeypatch.setenv("TERM", term)
    with ProgressPrinter() as printer:
        for kind in ("note", "warning"):
            printer(MessageEvent(kind, "told"))
            assert read(terminal) == ("told\r\n" if kind == "note" else "warning: told\r\n")
        printer(ROW)
        assert read(terminal).startswith("training: 3.0 kimg  200 img/s")


def test_messages_stand_above_the_bar(open_terminal):
    terminal = open_terminal()
    with ProgressPrinter() as printer:
        printer.show(Progress("reading images", 1, 2))
        assert pieces(read(terminal)) == ["reading images ━━━━━━━━━━────────── 50% 1 of 2"]
        printer(MessageEvent("note", "told"))
        assert last_lines(read(terminal), 2) == ["told"]
        printer.show(Progress("metric fd", 2, 2))
        shown = read(terminal)
        assert pieces(shown) == ["metric fd ━━━━━━━━━━━━━━━━━━━━ 100% 2 of 2"]
    assert read(terminal).strip(" \r") == ""  # it is wiped out


def test_a_bar_that_fails_becomes_lines_and_says_so_once(open_terminal, monkeypatch):
    terminal = open_terminal()

    def fail(*_):
        raise RuntimeError("no width")

    with ProgressPrinter() as printer:
        printer.show(Progress("reading images", 1, 2))
        assert "━" in read(terminal)
        monkeypatch.setattr("gansmith.core.progress._line", fail)
        for done in (1, 2, 2):
            printer.show(Progress("metric", done, 2))
    assert last_lines(read(terminal), 9) == [
        "warning: the live bar failed (RuntimeError: no width); plain lines from here on", "metric: 1 of 2",
        "metric: 2 of 2", "metric: 2 of 2",
    ]  # fmt: skip


@pytest.mark.parametrize("kind", [PlainLines, ProgressPrinter])
def test_an_event_that_cannot_be_shown_is_told_once(capsys, kind):
    printer = kind()
    for _ in range(2):
        printer(RowEvent({"kimg": 1.0}, progress=Progress("training", 1, 2)))
    printer(MessageEvent("note", "told"))
    assert capsys.readouterr().err == (
        "warning: progress cannot be shown (KeyError: 'img_per_sec'); the work goes on\ntold\n"
    )


def test_a_terminal_that_is_gone_costs_nothing(open_terminal):
    terminal = open_terminal()
    printer = ProgressPrinter()
    printer.show(Progress("reading images", 1, 2))
    os.close(terminal)
    printer.show(Progress("reading images", 2, 2))
    printer(MessageEvent("note", "told"))
    print("by another", file=sys.stderr, flush=True)  # goes nowhere by now, and raises nothing


@pytest.mark.parametrize("kind", [PlainLines, ProgressPrinter])
@pytest.mark.parametrize("stream", [None, "closed", "failing", "reader gone"])
def test_without_stderr_it_is_silent(monkeypatch, capsys, kind, stream):
    file = io.StringIO()
    if stream == "closed":
        file.close()
    elif stream == "failing":
        file = type("Failing", (io.StringIO,), {"write": lambda *_: 1 / 0})()
    elif stream == "reader gone":
        reader, writer = os.pipe()
        os.close(reader)
        file = open(writer, "w")  # noqa: SIM115
    monkeypatch.setattr("sys.stderr", None if stream is None else file)
    printer = kind()
    for event in (ROW, MessageEvent("note", "told"), MessageEvent("warning", "told")):
        printer(event)
    if stream == "reader gone":
        file.close()
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("handler", [signal.SIG_IGN, signal.SIG_DFL, lambda *_: None])
def test_sighup_is_ignored_inside_unless_the_program_hears_it(handler):
    before = signal.signal(signal.SIGHUP, handler)
    try:
        with outliving_terminal():
            now = signal.getsignal(signal.SIGHUP)
        assert now is (signal.SIG_IGN if handler is signal.SIG_DFL else handler)
        assert signal.getsignal(signal.SIGHUP) is handler
    finally:
        signal.signal(signal.SIGHUP, before)


@pytest.mark.slow
def test_python_prints_lines_and_can_be_told_not_to(tiny_file, tmp_path, capsys):
    gansmith.train(tiny_file, recipe="mlp-small", overrides=SMALL, steps=2, out=tmp_path / "a", device="cpu")
    told = capsys.readouterr()
    assert told.out == ""
    assert "training: 0.0 kimg" in told.err
    assert told.err.endswith("writing model, film, curves and report\n")
    gansmith.check(tiny_file)
    assert capsys.readouterr().err == "reading images: 1 of 96\nreading images: 96 of 96\n"
    gansmith.check(tiny_file, on_progress=gansmith.silent)
    gansmith.resume(tmp_path / "a", kimg=0.032, progress=False)
    assert capsys.readouterr().err == ""


def test_characters_that_stderr_lacks_are_escaped(monkeypatch):
    raw = io.BytesIO()
    monkeypatch.setattr("sys.stderr", io.TextIOWrapper(raw, "ascii"))
    say("größe 数")
    assert raw.getvalue() == b"gr\\xf6\\xdfe \\u6570\n"


def test_a_result_where_stdout_was_closed_or_its_disk_is_full(monkeypatch):
    monkeypatch.setattr("sys.stdout", None)
    say_result(Path("runs/mlp-small-001"))
    with contextlib.suppress(OSError), open("/dev/full", "w") as stdout:
        monkeypatch.setattr("sys.stdout", stdout)
        with pytest.raises(OSError, match="standard output"):
            say_result(Path("runs/mlp-small-001"))


@pytest.mark.slow
@pytest.mark.parametrize(("shut", "code", "told"), [
    (">&-", 0, ""), (">&- 2>&-", 0, ""), ("<&- >&- 2>&-", 0, ""),
    (">/dev/full", 2, "gansmith: 'standard output' cannot be read or written: No space left on device\n"),
    ("--json >/dev/full", 2, "gansmith: 'standard output' cannot be read or written: No space left on device\n"),
    ("2>/dev/full", 0, ""),
])  # fmt: skip
def test_standard_streams_that_are_closed_or_full(shut, code, told):
    done = subprocess.run(
        ["sh", "-c", f'exec "$0" -m gansmith recipes {shut}', sys.executable], stderr=subprocess.PIPE, text=True,
        stdout=subprocess.DEVNULL, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (code, told)


@pytest.mark.slow
def test_a_closed_stream_has_no_file_in_its_place(tmp_path, tiny_file):
    """A file of the run that took the number of stdout would get what others print there."""
    step = trainer.train_step

    def printing(*arguments) -> None:
        os.write(1, b"as a library prints")
        step(*arguments)

    child = os.fork()
    if child == 0:
        trainer.train_step = printing
        os.closerange(1, 3)
        sys.stdout = sys.stderr = None  # as Python says that they are closed
        sys.argv = ["gansmith", *map(str, TRAIN), "--steps", "2", "--out", str(tmp_path / "run")]
        sys.argv[2] = str(tiny_file)
        code = 1
        try:
            main()
        except SystemExit as ended:
            code = int(ended.code or 0)
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert verify(tmp_path / "run").is_whole
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert [path.name for path in files if b"as a library prints" in path.read_bytes()] == []


@pytest.mark.slow
def test_a_result_that_nobody_reads_is_no_error(monkeypatch):
    """As in ``gansmith train ... | head -3``: the run is done, whoever reads of it."""
    end, begin = os.pipe()
    os.close(end)
    with open(begin, "w") as stdout:
        monkeypatch.setattr("sys.stdout", stdout)
        say_result("runs/mlp-small-001")
        say_result("runs/mlp-small-001")  # and later prints do not fail either
