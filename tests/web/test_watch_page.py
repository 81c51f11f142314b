"""The place Watch in Chromium: one run, two side by side, the time slider, rows that come, a run that goes."""

import shutil
from pathlib import Path

import pytest

from browsers import DESKTOP, PHONE, sideways, until, violations
from run_files import add_rows, write_run

pytestmark = pytest.mark.slow


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


def test_control_is_offered_where_it_is_allowed(folder, start_studio, open_page) -> None:
    page = open_page(f"{start_studio(folder, '--allow-control')}#/watch/two")
    page.set_default_timeout(180_000)  # the child imports torch
    resume = page.get_by_role("button", name="Resume")
    resume.wait_for()
    assert page.get_by_role("button", name="Pause and save").is_disabled()
    resume.click()
    page.get_by_text("could not be resumed").wait_for()  # these files are no run that trained
