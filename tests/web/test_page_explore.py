"""The studio's page in a browser: Explore with every action, Judge, keys, themes, phone and desktop."""

import json
import shutil
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import numpy as np
import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from browsers import DESKTOP, PHONE, drag, sideways, until, violations
from gansmith.core.randomness import sample_latents, truncate
from gansmith.imaging.images import save_png
from gansmith.inference.interpolate import slerp
from gansmith.web.places import LONGEST_ID
from run_files import write_run

pytestmark = pytest.mark.slow
WALL = "#/explore/cond?wall=5"
DRAWN = "document.querySelectorAll('.wall canvas[data-drawn]').length === 40"
TABS = ("Wall", "Plane", "Walk", "Mix", "Photo")
PICTURE = Path(__file__).parents[2] / "docs" / "pictures" / "fashion.png"


@pytest.fixture(scope="session")
def studio(start_studio, served_all) -> str:
    return start_studio(served_all)


def test_the_browser_draws_the_random_numbers_of_python(studio, open_page):
    page = open_page(studio)
    pairs = [(0, 0), (0, 3), (7, 12), (2**40 + 1, 999), (2**63 - 1, 999_999)]
    script = """async ([names, cut]) => {
      const { latentOf, truncate, slerp } = await import('./static/latents.js');
      const all = names.map((name) => latentOf(name, 300));
      const far = [0, 0.3, 1].map((share) => slerp(all[0], all[1], share));
      return [all, all.map((each) => truncate(each, cut)), far].map((part) => part.map((each) => [...each])); }"""
    drawn, cut, between = page.evaluate(script, [[f"{seed}:{number}" for seed, number in pairs], 0.7])
    wanted = np.concatenate([sample_latents(seed, number, 1, 300) for seed, number in pairs])
    assert np.array_equal(np.array(drawn, np.float32), wanted)
    assert np.allclose(cut, truncate(wanted, 0.7), rtol=0, atol=1e-6)
    assert np.allclose(between, slerp(wanted[0], wanted[1], np.array([0, 0.3, 1])), rtol=0, atol=1e-6)


def test_every_action_of_explore(studio, open_page, tmp_path):
    page = open_page(studio + WALL)
    until(page, DRAWN)

    # The wall: choose, pin, new images
    for number in (1, 4, 9):
        page.locator(".wall button").nth(number).click()
        page.keyboard.press("p")
    assert page.locator(".pins li").count() == 3
    page.get_by_role("button", name="New images").click()
    until(page, "!location.hash.includes('wall=5&')")
    until(page, DRAWN)

    # Steering: truncation, labels, directions, single numbers; then undo and redo
    page.locator(".steer").get_by_label("Truncation", exact=True).fill("0.6")
    page.get_by_text("Blend classes").click()
    page.get_by_label("light", exact=True).fill("0.5")
    page.get_by_label("Direction 1", exact=True).fill("2")
    page.get_by_role("button", name="Name them").click()
    page.get_by_label("Name of direction 2", exact=True).fill("sleeves")
    truncation = page.locator(".steer").get_by_label("Truncation", exact=True)
    truncation.evaluate("(each) => { each.value = 0.5; each.dispatchEvent(new Event('input')); }")
    until(page, "location.hash.includes('truncation=0.5')")  # the page was drawn anew, and the text stays
    page.get_by_label("Name of direction 2", exact=True).press("Enter")
    page.get_by_role("button", name="Name them").click()
    page.get_by_label("sleeves", exact=True).wait_for()
    page.get_by_role("button", name="Add slider").click()
    page.get_by_label("Number 0", exact=True).fill("-1")
    until(page, "location.hash.includes('moves=dir0%3A2%2Cz0%3A-1')")
    assert "truncation=0.5" in page.url
    assert "light%3A0.5" in page.url
    page.keyboard.press("Control+z")
    until(page, "!location.hash.includes('z0')")
    page.keyboard.press("Control+Shift+z")
    until(page, "location.hash.includes('z0%3A-1')")

    # The permalink gives the picture that is shown
    link = page.get_by_role("link", name="Permalink").get_attribute("href")
    answer = page.request.get(link)
    assert "immutable" in answer.headers["cache-control"]
    assert answer.body()[:4] == b"\x89PNG"

    # The plane
    page.get_by_role("tab", name="Plane").click()
    page.locator(".plane-surface").focus()
    page.keyboard.press("ArrowRight")
    drag(page, page.locator(".plane-surface"), (100, 100), (60, 70), steps=3)
    page.get_by_role("button", name="Choose this image").click()
    until(page, "location.hash.includes('weights=')")

    # The walk
    page.get_by_role("tab", name="Walk").click()
    page.locator(".walk canvas[data-drawn]").wait_for()
    page.get_by_role("button", name="Play").click()
    page.get_by_role("button", name="Pause").click()
    for name in ("GIF", "MP4", "Strip"):
        with page.expect_download() as download:
            page.get_by_role("link", name=name).click()
        ending = {"Strip": "png"}.get(name, name.lower())
        assert download.value.suggested_filename == f"cond-walk.{ending}"
        assert Path(download.value.path()).stat().st_size > 100

    # Sums of pins
    page.get_by_role("button", name="Put pin 1 into the + tray").click()
    page.get_by_role("button", name="Put pin 2 into the + tray").click()
    page.get_by_role("button", name="Put pin 3 into the \u2212 tray").click()
    page.get_by_role("button", name="Choose the result").click()
    until(page, "location.hash.includes('weights=0.5%2C0.5%2C-1')")

    # The address holds everything; a file brings its image back
    with page.expect_download() as download:
        page.get_by_role("button", name="Download PNG").click()
    file = tmp_path / "image.png"
    download.value.save_as(file)
    again = open_page(page.url)
    again.locator(".chosen canvas[data-drawn]").wait_for()
    assert again.locator(".pins li").count() == 3
    other = open_page(studio + WALL)
    until(other, DRAWN)
    other.set_input_files("input[type=file]", file)
    until(other, "location.hash.includes('weights=0.5%2C0.5%2C-1')")


def test_actions_that_come_before_the_next_drawing_all_count(studio, open_page):
    page = open_page(studio + WALL)
    until(page, DRAWN)
    for number in range(3):
        page.locator(".wall button").nth(number).click()
        page.keyboard.press("p")
    page.locator(".pins li").nth(2).wait_for()
    page.get_by_role("tab", name="Plane").click()
    page.locator(".plane-surface").wait_for()

    def at_once(*names: str) -> None:
        click = "document.querySelector(`[aria-label='${name}']`).click()"
        page.evaluate(f"(names) => names.forEach((name) => {click})", names)

    at_once("Move pin 1 back", "Move pin 1 back")
    until(page, "[...document.querySelectorAll('.pins li b')].map((each) => each.textContent).join() === '2,3,1'")
    press = "new KeyboardEvent('keydown', { key: 'ArrowRight', shiftKey: true, bubbles: true })"
    page.evaluate(f"() => [1, 2, 3].forEach(() => document.querySelector('.plane-surface').dispatchEvent({press}))")
    until(page, "location.hash.includes('at=3%2C0')")
    at_once("Put pin 1 into the + tray", "Put pin 2 into the + tray", "Put pin 3 into the + tray")
    until(page, "location.hash.includes('plus=1%2C2%2C3')")
    at_once("Take pin 1 out", "Take pin 3 out")
    until(page, "location.hash.includes('plus=2&') || location.hash.endsWith('plus=2')")


def test_the_sum_of_other_pins_is_not_chosen(studio, open_page):
    """The button waits for the sum of the pins that are in the trays now: who is quick had the sum of before."""
    page = open_page(f"{studio}{WALL}&pin=~~seeds%3D1&pin=~~seeds%3D2&tab=mix&plus=1")
    choose = page.get_by_role("button", name="Choose the result")
    page.get_by_role("region", name="The sum").locator("canvas[data-drawn]").wait_for()
    assert choose.is_enabled()
    button = "[...document.querySelectorAll('button')].find((each) => each.innerText === 'Choose the result')"
    watch = f"const button = {button}; new MutationObserver(() => {{ window.waited ||= button.disabled; }})"
    page.evaluate(f"() => {{ {watch}.observe(button, {{ attributes: true }}); }}")
    page.get_by_role("button", name="Put pin 2 into the + tray").click()
    choose.click()
    until(page, "location.hash.includes('weights=0.5%2C0.5')")
    assert page.evaluate("window.waited")


def test_the_other_actions_of_explore(studio, open_page, tmp_path):
    page = open_page(studio + WALL)
    until(page, DRAWN)

    # One class on the wall, all of them truncated
    page.get_by_label("Class", exact=True).select_option("gray")
    page.get_by_label("Truncation", exact=True).fill("0.5")
    until(page, "location.hash.includes('class=gray&cut=0.5')")
    until(page, "[...document.querySelectorAll('.wall button')].every((tile) => tile.ariaLabel.endsWith(', gray'))")
    page.get_by_label("Class", exact=True).select_option("")
    page.get_by_label("Truncation", exact=True).fill("2.5")

    # Random images, a class, a random number, and back
    page.keyboard.press("r")
    chosen = page.get_by_role("complementary", name="The chosen image")
    chosen.get_by_label("Class", exact=True).select_option("light")
    until(page, "location.hash.includes('labels=light')")
    page.get_by_role("button", name="Random one").click()
    chosen.get_by_role("slider", name="Number", exact=False).first.fill("3")
    until(page, "/moves=z\\d%3A3/.test(location.hash)")
    page.get_by_role("button", name="Reset all").click()
    until(page, "!location.hash.includes('moves=') && !location.hash.includes('labels=')")

    # Pins: where they come from, their order, and their end
    page.keyboard.press("p")
    page.get_by_label("Direction 1", exact=True).fill("3")
    page.keyboard.press("p")
    page.keyboard.press("r")
    page.keyboard.press("p")
    pins = page.locator(".pins li")
    assert "from pin 1 · steered" in pins.nth(1).inner_text()
    page.get_by_role("button", name="Move pin 3 forward").click()
    assert [text[0] for text in page.locator(".pins li b").all_inner_texts()] == ["1", "3", "2"]

    # A walk: loop, speed, frames, keys
    page.keyboard.press("k")
    page.get_by_label("Loop").uncheck()
    page.get_by_label("Frames", exact=True).fill("8")
    page.get_by_label("Speed", exact=True).fill("50")
    until(page, "location.hash.includes('frames=8&open=1')")
    place = "document.querySelector('.walk output').textContent"
    page.locator(".walk canvas[data-drawn]").wait_for()
    page.keyboard.press(".")
    page.keyboard.press(".")
    page.keyboard.press(",")
    until(page, f"{place} === '2 of 8'")
    page.keyboard.press("Space")
    until(page, f"{place} === '8 of 8'")  # without a loop it stops at the end
    page.get_by_role("button", name="Play").wait_for()

    # Pins are dragged into the trays
    page.keyboard.press("m")
    pins.nth(0).drag_to(page.get_by_label("Tray +"))
    page.get_by_role("region", name="The sum").locator("canvas[data-drawn]").wait_for()  # which moves the pins
    pins.nth(2).drag_to(page.get_by_label("Tray \u2212"))
    until(page, "location.hash.includes('plus=1&minus=2')")
    page.get_by_role("button", name="Take pin 2 out").click()
    page.get_by_role("button", name="Empty the trays").click()
    until(page, "!location.hash.includes('plus=')")
    page.get_by_role("button", name="Remove pin 2").click()
    assert pins.count() == 2

    # The plane by keys; a file that is dropped on the page
    page.keyboard.press("l")
    page.locator(".plane-surface").focus()
    page.keyboard.press("Shift+ArrowDown")
    until(page, "location.hash.includes('at=0%2C1')")
    page.keyboard.press("Enter")
    until(page, "location.hash.includes('seeds=5%3A1000')")
    file = tmp_path / "image.png"
    with page.expect_download() as download:
        page.keyboard.press("d")
    download.value.save_as(file)
    page.keyboard.press("r")
    until(page, "!location.hash.includes('seeds=5%3A1000')")
    drop(page, file)
    until(page, "location.hash.includes('seeds=5%3A1000')")
    page.get_by_text("image.png: its image is shown.").wait_for()


def drop(page, file: Path) -> None:
    """Drop a file on the page."""
    script = """([name, bytes]) => {
      const dataTransfer = new DataTransfer();
      dataTransfer.items.add(new File([Uint8Array.from(bytes)], name));
      document.body.dispatchEvent(new DragEvent("drop", { dataTransfer, bubbles: true, cancelable: true })); }"""
    page.evaluate(script, [file.name, list(file.read_bytes())])


def test_pins_keep_their_numbers_in_the_address(studio, open_page):
    """Trays and lineage name pins by number, also after one was removed and another moved."""
    page = open_page(studio + WALL)
    until(page, DRAWN)
    for number in range(4):
        page.locator(".wall button").nth(number).click()
        page.keyboard.press("p")
    page.get_by_role("button", name="Remove pin 1").click()
    page.get_by_role("button", name="Move pin 4 forward").click()
    page.get_by_role("button", name="Put pin 2 into the + tray").click()
    page.get_by_role("button", name="Put pin 4 into the \u2212 tray").click()
    until(page, "location.hash.includes('minus=4')")
    pins = "[...document.querySelectorAll('.pins button.tile')].map((each) => each.getAttribute('aria-label'))"
    before = page.evaluate(pins)
    page.reload()
    page.get_by_role("button", name="Take pin 4 out").wait_for()
    assert page.evaluate(pins) == before
    assert [each.split(",")[0] for each in before] == ["Pin 2", "Pin 4", "Pin 3"]
    assert page.get_by_role("region", name="Tray +").inner_text().split() == ["+", "2", "\u00d7"]
    assert page.get_by_role("region", name="Tray \u2212").inner_text().split() == ["\u2212", "4", "\u00d7"]
    other = open_page(page.evaluate("location.href.replace(/ids=[^&]*/, 'ids=2,2,-1')"))  # no numbers of pins
    until(other, f"{pins}.map((each) => each.slice(0, 5)).join() === 'Pin 1,Pin 2,Pin 3'")


def test_a_png_of_another_model_opens_that_model(studio, open_page, tmp_path):
    page = open_page(studio + "#/explore/plain?seeds=7:2&moves=z1:0.5&wall=5")
    until(page, DRAWN)
    with page.expect_download() as download:
        page.get_by_role("button", name="Download PNG").click()
    file = tmp_path / "image.png"
    download.value.save_as(file)
    page.goto(studio + WALL)
    until(page, "document.querySelector('main select')?.value === 'cond'")
    until(page, DRAWN)
    drop(page, file)
    until(page, "document.querySelector('main select')?.value === 'plain'")
    page.get_by_text("from a PNG").wait_for()
    page.get_by_role("heading", name="Image 7:2, moved").wait_for()

    # Weights that are not here: said in words
    content = file.read_bytes()
    with Image.open(file) as image:
        told = json.loads(image.text["gansmith"])
        text = PngInfo()
        text.add_itxt("gansmith", json.dumps({**told, "version": "0" * 16}))
        image.save(file, pnginfo=text)
    assert file.read_bytes() != content
    drop(page, file)
    page.get_by_text("image.png was made with other weights (model plain), which are not here").wait_for()


def test_a_photo_is_searched_in_the_model_and_steered_on(studio, open_page):
    page = open_page(studio + "#/explore/plain?wall=5")
    until(page, DRAWN)
    drop(page, PICTURE)
    page.get_by_text("Searching", exact=False).wait_for()
    page.get_by_text("Found: it is the chosen image now.", exact=False).wait_for()
    until(page, "location.hash.includes('latent=')")
    page.get_by_label("Direction 1", exact=True).fill("2")
    until(page, "location.hash.includes('moves=dir0%3A2') && location.hash.includes('latent=')")
    page.get_by_text("found for a photo, steered").wait_for()


def test_a_reload_of_an_untouched_page_shows_other_images(studio, open_page):
    page = open_page(studio + "#/explore/cond")
    until(page, DRAWN)
    first = page.locator(".wall button").first.get_attribute("title")
    page.reload()
    until(page, DRAWN)
    assert page.locator(".wall button").first.get_attribute("title") != first


def test_the_images_of_the_next_keys_are_drawn_ahead(studio, open_page):
    page = open_page(studio + "#/explore/cond")
    until(page, DRAWN)
    asked = []
    page.on("request", lambda each: asked.append(parse_qs(urlsplit(each.url).query)))

    def shown(key: str) -> bool:
        """Say whether the image that a key brings was asked for before."""
        page.wait_for_timeout(300)
        before, title = list(asked), page.locator(".chosen h2").inner_text()
        page.keyboard.press(key)
        until(
            page, f"document.querySelector('.chosen h2').innerText !== {title!r} || location.hash.includes('z0%3A0.15')"
        )
        page.wait_for_timeout(300)
        query = parse_qs(urlsplit(page.url).fragment.partition("?")[2])
        wanted = {name: query[name] for name in ("seeds", "moves") if name in query}
        return any(wanted.items() <= each.items() for each in before)

    page.keyboard.press("r")
    page.locator(".chosen canvas[data-drawn]").wait_for()
    assert shown("r")
    page.get_by_role("button", name="Add slider").click()
    slider = page.get_by_label("Number 0", exact=True)
    slider.press("ArrowRight")
    slider.press("ArrowRight")
    until(page, "location.hash.includes('z0%3A0.1')")
    assert shown("ArrowRight"), "after two equal steps the third is drawn ahead"


def test_the_page_works_by_keyboard_alone(studio, open_page):
    page = open_page(studio + WALL)
    until(page, DRAWN)
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    page.locator(".wall button").first.focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Enter")
    until(page, "location.hash.includes('seeds=5%3A8')")
    page.keyboard.press("?")
    page.get_by_role("dialog").wait_for()
    page.keyboard.press("Escape")
    page.keyboard.press("3")
    until(page, "location.hash.startsWith('#/judge')")


@pytest.mark.parametrize("height", [600, 900])
def test_what_gets_the_focus_is_in_sight(studio, open_page, height):
    page = open_page(studio + WALL + "&seeds=3&pin=~~seeds%3D3", (1280, height))
    until(page, DRAWN)
    seen = """() => {
      const focused = document.activeElement;
      const { x, y, width, height } = focused.getBoundingClientRect();
      const over = document.elementFromPoint(x + width / 2, y + Math.min(height / 2, 20));
      return focused === document.body || over && (focused.contains(over) || over.contains(focused)); }"""
    words = "document.activeElement.labels?.[0]?.innerText || document.activeElement.outerHTML.slice(0, 200)"
    page.get_by_label("Direction 1", exact=True).focus()
    for key, times in (("Tab", 12), ("Shift+Tab", 90)):
        for _ in range(times):
            page.keyboard.press(key)
            assert page.evaluate(seen), page.evaluate(words)
    page.get_by_role("button", name="Put pin 1 into the + tray").press("Enter")
    until(page, "document.getElementById('live').innerText === 'Pin 1 is in the + tray of Mix'")


@pytest.mark.parametrize("size", [PHONE, DESKTOP])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_page_is_accessible_and_fits(studio, open_page, size, scheme):
    page = open_page(studio + WALL + "&seeds=3&pin=~~seeds%3D3&pin=~~seeds%3D9&plus=1&minus=2", size, scheme)
    until(page, DRAWN)
    for tab in TABS:
        page.get_by_role("tab", name=tab).click()
        assert violations(page) == []
        assert sideways(page) == 0
    page.goto(f"{studio}#/judge/plain")
    page.get_by_role("button", name="Evaluate").wait_for()
    assert violations(page) == []
    assert sideways(page) == 0


@pytest.mark.parametrize("status", [429, 504])
def test_a_busy_server_is_told_and_asked_again(studio, open_page, status):
    page = open_page(studio)
    told = {"error": {"code": "web.busy", "message": "too much is waiting"}}
    page.route("**/image.png?**", lambda route: route.fulfill(status=status, json=told))
    page.goto(studio + WALL)
    page.get_by_role("alert").get_by_text("Trying again").wait_for()
    page.unroute("**/image.png?**")
    until(page, DRAWN)
    page.get_by_role("alert").wait_for(state="hidden")
    page.problems.clear()  # the browser tells of each refusal


def test_a_long_name_does_not_widen_the_page(start_studio, served, tmp_path, open_page):
    name = "a-very-long-name-" * 14  # 238 letters
    shutil.copytree(served / "plain", tmp_path / name)
    write_run(tmp_path / f"run-{name}")
    address, model, run = start_studio(tmp_path), name[:LONGEST_ID], f"run-{name}"[:LONGEST_ID]
    page = open_page(f"{address}#/explore/{model}", PHONE)
    until(page, DRAWN)
    assert sideways(page) == 0
    page.goto(f"{address}#/judge/{model}")
    page.get_by_role("button", name="Evaluate").wait_for()
    assert sideways(page) == 0
    page.goto(f"{address}#/watch")
    page.get_by_text(run).first.wait_for()
    assert sideways(page) == 0
    page.goto(f"{address}#/watch/{run}")
    page.get_by_role("heading", name="About").wait_for()
    assert sideways(page) == 0


@pytest.mark.parametrize("goal", ["#/judge/plain", "#/explore/plain"])
def test_who_leaves_right_after_a_change_is_not_called_back(studio, open_page, goal):
    """The address is written 150 ms after a change: here that comes between the step and the event of the step."""
    page = open_page(studio + WALL)
    until(page, DRAWN)
    page.evaluate(
        "() => { const later = setTimeout; window.late = [];"
        " window.setTimeout = (does, ms, ...more) => ms === 150 ? window.late.push(does) : later(does, ms, ...more); }"
    )
    page.keyboard.press("r")
    until(page, "window.late.length > 0")
    page.evaluate("(goal) => { location.hash = goal; window.late.forEach((does) => does()); }", goal)
    assert page.evaluate("location.hash") == goal
    until(page, "document.querySelector('main select')?.value === 'plain'")
    assert page.evaluate("location.hash").startswith(goal)


def test_a_translator_shows_a_picture_before_and_after(studio, open_page):
    page = open_page(studio + "#/explore/colorize")
    page.get_by_role("button", name="Choose a picture").wait_for()
    page.set_input_files("input[type=file]", PICTURE)
    page.get_by_label("Edge between before and after").fill("20")
    assert page.locator(".compare img").count() == 2


def test_an_upscaler_shows_its_progress_tile_by_tile(studio, open_page, tmp_path):
    photo = tmp_path / "photo.png"
    save_png(np.random.default_rng(0).integers(0, 256, (700, 900, 3), np.uint8), photo)
    page = open_page(studio + "#/explore/up")
    page.get_by_role("heading", name="Enlarge a picture").wait_for()
    page.evaluate(
        """() => { window.shares = []; new MutationObserver(() => {
          const bar = document.querySelector("progress[value]"); if (bar) shares.push(bar.value);
        }).observe(document, { subtree: true, childList: true, attributes: true }); }"""
    )
    drop(page, photo)
    page.get_by_label("Edge between before and after").wait_for()
    assert max(page.evaluate("shares"), default=0) > 0.1
    until(page, "document.querySelector('.compare img').naturalWidth === 1800")
    with page.expect_download() as download:
        page.get_by_role("button", name="Download PNG").click()
    assert download.value.suggested_filename == "photo-up.png"


def test_unknown_models_and_addresses_are_told_in_words(studio, open_page):
    page = open_page(studio + "#/explore/nobody")
    page.get_by_text('There is no model "nobody"').wait_for()
    page = open_page(studio + "#/explore/cond?seeds=3&labels=nothing:1")
    page.get_by_text('This model has no class "nothing".').wait_for()
    page = open_page(studio + "#/explore/%ff")
    page.get_by_text('There is no model "%ff"').wait_for()


def test_explore_works_in_firefox(studio, firefox):
    firefox.open(studio + WALL)
    firefox.wait(f"return {DRAWN}")
    firefox.run("document.querySelectorAll('.wall button')[3].click()")
    firefox.wait("return document.querySelector('.chosen canvas[data-drawn]') !== null")
    firefox.run("[...document.querySelectorAll('[role=tab]')].find((tab) => tab.innerText === 'Plane').click()")
    firefox.wait("return document.querySelector('.plane-surface canvas[data-drawn]') !== null")


def test_the_glossary_opens_in_every_place(studio, open_page):
    page = open_page(studio + "#/judge/plain")
    page.get_by_role("button", name="Glossary").click()
    dialog = page.get_by_role("dialog", name="Glossary")
    dialog.locator("b", has_text="Mode collapse").wait_for()
    assert {"Generator (G)", "Latent", "Truncation", "Loss", "Penalty", "fd"} <= set(
        dialog.locator("b").all_inner_texts()
    )
    assert violations(page) == []
    page.keyboard.press("Escape")
    page.keyboard.press("4")
    until(page, "location.hash.startsWith('#/learn')")
    page.keyboard.press("h")
    dialog.wait_for()
