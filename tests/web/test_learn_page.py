"""The place Learn in Chromium: training, one step, an experiment and its remedy, settings, the end of the child."""

import subprocess

import pytest

from browsers import DESKTOP, PHONE, drag, sideways, until, violations

pytestmark = pytest.mark.slow
HELD = "document.querySelector('main')?.innerText.includes('paused')"
PAINTED = "(each) => each.getContext('2d').getImageData(0, 0, each.width, each.height).data.some(Boolean)"


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
    if size == DESKTOP:  # who follows the text sees nearly all of the picture beside it
        text, picture = (page.locator(each).bounding_box() for each in (".lesson", "canvas.plane"))
        assert text["x"] + text["width"] <= picture["x"]
        assert picture["y"] + 0.9 * picture["height"] <= size[1]
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


def test_every_tool_of_learn(tmp_path, start_studio, open_page) -> None:
    page = open_page(f"{start_studio(tmp_path)}#/learn")
    until(page, "document.querySelectorAll('.uplot').length >= 4")

    # Slow motion: the networks take turns; then single steps, a new start, the layers of the picture
    page.get_by_role("button", name="Slow motion").click()
    page.get_by_text("G has learned").wait_for()
    page.get_by_text("D has learned").wait_for()
    page.locator(".part.active", has_text="loss of D").wait_for()
    page.get_by_role("button", name="Slow motion").click()
    page.keyboard.press("g")
    page.get_by_text("G has learned").wait_for()
    until(page, HELD)
    page.get_by_role("button", name="Begin anew").click()
    until(page, "/round [1-9]\\d/.test(document.querySelector('main').innerText)")
    shown = "document.querySelector('canvas.plane').toDataURL()"
    page.get_by_role("button", name="Pause").click()
    until(page, HELD)
    for name in ("D's opinion", "real points", "generated points", "gradients", "G's net"):
        before = page.evaluate(shown)
        page.get_by_label(name, exact=True).click()
        until(page, f"{shown} !== {before!r}")

    # Settings: those of the same networks, and one that begins anew; curves begin with the second picture of a training
    page.get_by_role("button", name="Train", exact=True).click()
    page.get_by_label("Learning rate of G", exact=True).fill("-2")
    page.get_by_label("D steps in a round", exact=True).fill("3")
    page.locator("li", has_text="learning rate of G 0.01").wait_for()
    page.get_by_text("Changed by you: Learning rate of G, D steps in a round", exact=False).wait_for()
    page.get_by_label("Width of G", exact=True).fill("16")
    page.get_by_text("Changed by you:", exact=False).filter(has_text="Width of G").wait_for()
    page.get_by_role("button", name="Back to the experiment").click()
    page.get_by_text("Changed by you:", exact=False).wait_for(state="hidden")

    # Every experiment can be begun, and be mended where something is wrong
    for title in ("Vanishing gradients", "Oscillation", "Mode collapse"):
        page.get_by_role("button", name=title, exact=True).click()
        until(page, f"document.querySelector('.split h2').innerText === {title!r}")
        page.get_by_role("button", name="Mend it", exact=False).click()
        page.get_by_role("listitem").filter(has_text="mended:").first.wait_for()
        page.get_by_role("button", name="Show the problem again").click()

    # Other data; a drawing by mouse
    page.get_by_role("combobox", name="Data").select_option("swiss-roll")
    page.get_by_text("Changed by you:", exact=False).filter(has_text="Data").wait_for()
    page.get_by_role("button", name="Draw your own").click()
    drag(page, page.locator("canvas.drawing"), (60, 60), (200, 120), steps=10)
    page.get_by_role("button", name="Train on these").click()
    until(page, "/round [1-9]\\d/.test(document.querySelector('main').innerText)")


@pytest.mark.parametrize(("size", "scheme"), [(PHONE, "dark"), (DESKTOP, "light")], ids=["phone", "desktop"])
def test_garments_are_trained(tmp_path, start_studio, open_page, size, scheme) -> None:
    page = open_page(f"{start_studio(tmp_path)}#/learn/garments", size, scheme)
    until(page, "/round [1-9]/.test(document.querySelector('main')?.innerText)")
    until(page, f"[...document.querySelectorAll('.garments canvas')].filter({PAINTED}).length === 3")
    page.get_by_text("Trouser", exact=True).wait_for()
    assert violations(page) == []
    assert sideways(page) <= 0


def test_a_collapse_is_mended_in_firefox(tmp_path, start_studio, firefox) -> None:
    firefox.open(f"{start_studio(tmp_path)}#/learn/mode-collapse")
    firefox.wait("return /round [1-9]\\d/.test(document.querySelector('main')?.innerText)")
    firefox.run("[...document.querySelectorAll('button')].find((each) => each.innerText.startsWith('Mend it')).click()")
    firefox.wait("return document.body.innerText.includes('mended: penalty on D')")
    before = firefox.run("return document.querySelector('canvas.plane').toDataURL()")
    firefox.wait(f"return document.querySelector('canvas.plane').toDataURL() !== {before!r}")
    firefox.open("about:blank")  # the training ends with its page


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
