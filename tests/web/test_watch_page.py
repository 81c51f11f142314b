"""The place Watch in Chromium: one run, two side by side, the time slider, rows that come, a run that goes."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from browsers import DESKTOP, PHONE, drag, sideways, until, violations
from gansmith.web.run_control import can_see_locks
from run_files import add_rows, write_run

pytestmark = pytest.mark.slow
needs_locks = pytest.mark.skipif(not can_see_locks(), reason="only Linux tells who holds a lock")
# ends with 3 at a SIGTERM, and with 4 if a SIGINT follows, as training saves at the first and leaves at the second
TRAINING = """
import signal, sys, time
from filelock import FileLock
asked = []
for number in (signal.SIGTERM, signal.SIGINT):
    signal.signal(number, lambda number, _: asked.append(number))
with FileLock(sys.argv[1]).acquire():
    while not asked:
        time.sleep(0.05)
    time.sleep(0.5)
sys.exit(2 + len(asked))
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_run(tmp_path / "runs" / "one")
    write_run(tmp_path / "runs" / "two", "wasserstein", ended="")
    return tmp_path / "runs"


@pytest.mark.parametrize(("size", "scheme"), [(PHONE, "light"), (DESKTOP, "dark")], ids=["phone", "desktop"])
def test_runs_are_watched(folder, start_studio, open_page, size, scheme) -> None:
    address = start_studio(folder)
    page = open_page(f"{address}#/watch", size, scheme)
    page.get_by_label("Compare one", exact=True).check()
    page.get_by_label("Compare two", exact=True).check()
    assert violations(page) == []
    assert sideways(page) <= 0
    page.get_by_role("button", name="Compare 2 side by side").click()

    # Two runs: what differs, and one slider for both.
    page.get_by_role("region", name="Differences of the recipes").wait_for()
    row = page.get_by_role("row").filter(has_text="method.loss.kind")
    assert row.inner_text().split() == ["method.loss.kind", "hinge", "wasserstein"]
    pictures = [page.get_by_alt_text(f"Images that {name} makes", exact=False) for name in ("one", "two")]
    assert ["/6.png" in each.get_attribute("src") for each in pictures] == [True, True]
    page.get_by_role("slider", name="Time of all pictures and curves").fill("0.45")
    until(page, "[...document.querySelectorAll('img.sharp')].every((each) => each.src.includes('/4.png'))")
    assert "kimg=0.45" in page.url
    page.get_by_role("slider", name="Time of all pictures and curves").fill("0.1")
    page.get_by_text("No verdict here: the first snapshot is at 0.4 kimg.").first.wait_for()
    page.keyboard.press("End")
    page.get_by_role("slider", name="Smoothing").fill("0")
    page.get_by_label("Log axis").check()
    page.locator(".uplot").first.wait_for()
    assert violations(page) == []
    assert sideways(page) <= 0

    # One run: new rows and events appear by themselves; then it is deleted.
    page.goto(f"{address}#/watch/one")
    page.get_by_role("heading", name="About one").wait_for()
    assert page.get_by_role("button", name="Pause and save").count() == 0
    add_rows(folder / "one", 6, 3)
    with open(folder / "one" / "log.jsonl", "a") as file:
        file.write('{"event": "rollback", "iteration": 8, "kimg": 0.8, "message": "not finite"}\n')
    page.get_by_role("listitem").filter(has_text="not finite").wait_for()
    assert violations(page) == []
    shutil.rmtree(folder / "one")
    page.get_by_text("the folder of this run is gone").wait_for()


def test_a_page_that_nobody_sees_holds_no_connection(folder, start_studio, open_page) -> None:
    """A browser keeps six to a server, for all of its tabs: with six streams no other request would pass."""
    page = open_page(
        f"{start_studio(folder)}#/watch/one,two",
        script="""const Source = EventSource; window.streams = [];
        window.EventSource = class extends Source { constructor(...all) { super(...all); streams.push(this); } };
        window.look = (hidden) => {
          Object.defineProperty(document, "hidden", { configurable: true, get: () => hidden });
          document.dispatchEvent(new Event("visibilitychange")); };""",
    )
    alive = "streams.filter((each) => each.readyState === EventSource.OPEN).length"
    until(page, f"{alive} === 1")
    page.evaluate("look(true)")
    until(page, f"{alive} === 0")
    add_rows(folder / "one", 11, 4)
    page.evaluate("look(false)")
    until(page, f"{alive} === 1")
    page.get_by_text("one: generator 12.9").wait_for()  # smoothed: what came meanwhile is not lost
    assert not page.get_by_text("The connection is lost").is_visible()


def test_two_windows_with_four_runs_each_leave_room_for_a_third(folder, start_studio, open_page) -> None:
    for name in ("three", "four"):
        write_run(folder / name)
    address = start_studio(folder)
    first = open_page(f"{address}#/watch/one,two,three,four")
    pages = [first, first.context.new_page(), first.context.new_page()]  # of one browser, which shares its connections
    pages[1].goto(f"{address}#/watch/one,two,three,four")
    for page in pages[:2]:
        until(page, "document.querySelectorAll('img.sharp').length === 4 && document.querySelectorAll('.uplot').length")
    pages[2].goto(f"{address}#/watch")
    pages[2].get_by_label("Compare four", exact=True).wait_for()
    for name in ("one", "four"):
        with open(folder / name / "log.jsonl", "a") as file:
            event = {"event": "rollback", "iteration": 8, "kimg": 0.8, "message": f"{name} was not finite"}
            file.write(json.dumps(event) + "\n")
    for page in pages[:2]:
        page.get_by_role("listitem").filter(has_text="one was not finite").wait_for()
        page.get_by_role("listitem").filter(has_text="four was not finite").wait_for()


def test_every_tool_of_a_run(folder, start_studio, open_page) -> None:
    page = open_page(f"{start_studio(folder)}#/watch/one")
    picture = page.get_by_alt_text("Images that one makes", exact=False)
    picture.wait_for()

    # The film, single snapshots, the newest one
    page.keyboard.press("Home")
    until(page, "document.querySelector('img.sharp').src.includes('/0.png')")
    page.get_by_role("button", name="One snapshot on").click()
    until(page, "document.querySelector('img.sharp').src.includes('/4.png')")
    page.get_by_text("Verdict: stalled").wait_for()
    page.get_by_role("button", name="Play the film").click()
    until(page, "document.querySelector('img.sharp').src.includes('/6.png') && !location.hash.includes('kimg')")
    page.get_by_role("button", name="Play the film").wait_for()  # it has ended
    with page.expect_console_message(lambda each: "404" in each.text):  # this run has no picture of real images
        page.get_by_role("button", name="Real", exact=True).click()
    page.get_by_role("heading", name="Real images").wait_for()
    page.problems.clear()

    # Curves: a drag zooms, a click moves the time, a double click shows everything
    curve = page.get_by_role("img", name="Losses", exact=False).locator(".u-over")
    curve.scroll_into_view_if_needed()
    width = curve.bounding_box()["width"]
    drag(page, curve, (0.2 * width, 50), (0.6 * width, 50), steps=4)
    page.get_by_role("button", name="Whole run").wait_for()
    curve.dblclick(position={"x": 100, "y": 50})
    page.get_by_role("button", name="Whole run").wait_for(state="hidden")
    curve.click(position={"x": 0.5 * width, "y": 50})
    until(page, "/kimg=0[.]\\d/.test(location.hash)")

    # Metrics with their intervals; an event leads to its time; what the run is
    page.get_by_role("button", name="Go to 0.4 kimg").click()
    until(page, "location.hash.includes('kimg=0.4')")
    row = page.get_by_role("row").filter(has_text="coverage2k_own_train")
    assert row.inner_text().split("\t")[1].split() == ["0.25", "[0.232,", "0.269]"]  # Wilson, of 2,000
    page.get_by_text("Modes of one").click()
    assert page.get_by_label("real 50.0 %, generated 70.0 %").is_visible()
    page.get_by_text("The whole recipe").click()
    page.get_by_text("method.loss.kind").wait_for()


@pytest.mark.parametrize(
    ("name", "told"), [("nobody", "unknown run"), ("..%2F..%2Fhealthz", "there is nothing at this address")]
)
def test_a_run_that_is_not_there_is_told_in_words(folder, start_studio, open_page, name, told) -> None:
    page = open_page(f"{start_studio(folder)}#/watch/{name}")
    page.get_by_role("alert").get_by_text(told, exact=False).wait_for()
    page.get_by_role("button", name="All runs").click()
    page.get_by_label("Compare one", exact=True).wait_for()
    page.problems.clear()  # the browser tells of each 404


@needs_locks
def test_a_run_is_paused_and_stopped_from_the_page(folder, start_studio, open_page) -> None:
    page = open_page(f"{start_studio(folder, '--allow-control')}#/watch/two")
    for asks, told in (("Pause and save", "pause"), ("Stop now", "stop")):
        with subprocess.Popen([sys.executable, "-c", TRAINING, str(folder / "two" / ".lock")]) as process:
            page.get_by_role("button", name=asks).click()  # it waits until the page knows that the run trains
            if told == "stop":
                page.get_by_role("button", name="Stop without saving").click()
            assert process.wait(60) == {"pause": 3, "stop": 4}[told]
        until(
            page,
            "[...document.querySelectorAll('button')].find((each) => each.innerText === 'Resume').disabled === false",
        )


def test_runs_are_watched_in_firefox(folder, start_studio, firefox) -> None:
    firefox.open(f"{start_studio(folder)}#/watch/one,two")
    firefox.wait("return document.querySelectorAll('img.sharp').length === 2")
    firefox.wait("return document.querySelectorAll('.uplot').length > 0")
    move = """const slider = document.querySelector('input[type=range]'); slider.value = 0.45;
      slider.dispatchEvent(new Event('input', { bubbles: true }));"""
    firefox.run(move)
    firefox.wait("return [...document.querySelectorAll('img.sharp')].every((each) => each.src.includes('/4.png'))")
    assert "wasserstein" in firefox.run("return document.body.innerText")
    add_rows(folder / "one", 6, 3)
    firefox.wait("return document.body.innerText.includes('one: generator 7.59')")  # smoothed


def test_control_is_offered_where_it_is_allowed(folder, start_studio, open_page) -> None:
    page = open_page(f"{start_studio(folder, '--allow-control')}#/watch/two")
    page.set_default_timeout(180_000)  # the child imports torch
    resume = page.get_by_role("button", name="Resume")
    resume.wait_for()
    assert page.get_by_role("button", name="Pause and save").is_disabled()
    resume.click()
    page.get_by_text("could not be resumed").wait_for()  # these files are no run that trained
