"""The place Learn in Chromium: training, one step, an experiment and its remedy, settings, the end of the child."""

import subprocess

import pytest

from browsers import DESKTOP, PHONE, sideways, until, violations

pytestmark = pytest.mark.slow
HELD = "document.querySelector('main')?.innerText.includes('paused')"


def children() -> int:
    out = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True).stdout
    return sum("gansmith.web.learn_worker" in line for line in out.splitlines())


@pytest.mark.parametrize(("size", "scheme"), [(PHONE, "light"), (DESKTOP, "dark")], ids=["phone", "desktop"])
def test_a_gan_is_trained_in_front_of_a_person(tmp_path, start_studio, open_page, size, scheme) -> None:
    page = open_page(f"{start_studio(tmp_path)}#/learn/mode-collapse", size, scheme)
    page.set_default_timeout(180_000)
    mend = page.get_by_role("button", name="Mend it")
    mend.wait_for()
    until(page, "/round [1-9]\\d/.test(document.querySelector('main')?.innerText)")
    mend.click()
    page.get_by_role("button", name="Mended: watch what happens").wait_for()
    assert page.get_by_label("Penalty on D", exact=True).input_value() == "r1"
    until(page, "document.querySelectorAll('.uplot').length >= 4")
    assert violations(page) == []
    assert sideways(page) <= 0

    page.get_by_role("button", name="Step of D").click()
    page.get_by_text("D has learned").wait_for()
    until(page, HELD)
    page.get_by_label("Loss", exact=True).select_option("hinge")
    page.get_by_text("D stops caring about those", exact=False).wait_for()
    page.get_by_label("G's net").check()
    page.get_by_role("button", name="Read more").click()
    page.get_by_role("dialog").get_by_role("heading", name="What is mode collapse?").wait_for()
    assert violations(page) == []
    page.keyboard.press("Escape")

    # Other data begin anew; a drawing has no modes to count.
    page.get_by_role("button", name="Draw your own").click()
    page.get_by_role("button", name="A circle").click()
    page.get_by_role("button", name="Train on these 320 points").click()
    until(page, "document.querySelector('main') && !document.querySelector('main').innerText.includes('spots found')")

    page.get_by_role("link", name="Watch").click()
    until(page, "document.querySelector('h1')?.innerText === 'Runs'")
    for _ in range(100):
        if not children():
            break
        page.wait_for_timeout(200)
    assert children() == 0


SOURCES = """
window.sources = [];
window.EventSource = class extends EventSource {
  constructor(...given) { super(...given); window.sources.push(this); }
};
"""


def test_a_lost_stream_is_found_again_and_the_page_says_so(tmp_path, start_studio, open_page) -> None:
    page = open_page(f"{start_studio(tmp_path)}#/learn/healthy", script=SOURCES)
    until(page, "document.querySelectorAll('.uplot').length >= 4")
    lost = page.get_by_text("The connection to the training is lost.", exact=False)
    assert not lost.is_visible()
    page.evaluate("() => { const last = sources.at(-1); last.close(); last.dispatchEvent(new Event('error')); }")
    lost.wait_for()
    lost.wait_for(state="hidden")
    assert page.evaluate("sources.length") == 2
    assert page.locator(".uplot").count() >= 4  # the same training: its curves are still there
    page.get_by_role("button", name="Begin trained").click()
    until(page, "/round [5-9]\\d\\d/.test(document.querySelector('main')?.innerText)")
    page.get_by_role("button", name="Pause").click()
    until(page, HELD)
