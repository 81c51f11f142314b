"""Film the studio: ``python scripts/film_studio.py http://127.0.0.1:8000 docs/pictures/studio/film.webp``.

Needs a studio with a trained model, Chromium, and playwright. Frames of Learn are taken by rounds of training, not by
the clock, so a busy machine makes the same film: it shows the speed of a quiet machine with 2 cores.
"""

import io
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from PIL import Image
from playwright.sync_api import sync_playwright

SIZE, SHOWN = (960, 672), (480, 336)  # px of the window and of the film
FRAME_MS, PATIENCE_MS = 200, 600_000
ROUNDS = 25  # of Learn in a frame: 125 a second
MOST_BYTES = 200_000
QUALITIES = (60, 45, 35, 25, 18, 12, 8, 5)
ARGUMENTS = ["--no-sandbox", "--disable-gpu"]


class Camera:
    """Takes a frame of a page after each action."""

    def __init__(self, page: Any) -> None:
        self.page = page
        self.frames: list[Image.Image] = []

    def take(self, count: int = 1) -> None:
        """Take a frame that is shown ``count`` times."""
        self.page.wait_for_timeout(FRAME_MS)
        picture = Image.open(io.BytesIO(self.page.screenshot())).convert("RGB")
        self.frames += [picture.resize(SHOWN, Image.Resampling.LANCZOS)] * count

    def each(self, values: range, act: Callable[[int], None]) -> None:
        """Take a frame after each of several actions."""
        for value in values:
            act(value)
            self.take()

    def save(self, target: Path) -> None:
        """Write an animated WebP, as good as the limit of its size allows."""
        for quality in QUALITIES:
            self.frames[0].save(
                target,
                save_all=True,
                append_images=self.frames[1:],
                duration=FRAME_MS,
                loop=0,
                quality=quality,
                method=4,
            )
            if target.stat().st_size < MOST_BYTES:
                break
        seconds = len(self.frames) * FRAME_MS / 1000
        print(f"{target}: {seconds:.1f} s, {target.stat().st_size / 1e3:.0f} kB, quality {quality}")


def explore(camera: Camera, studio: str) -> None:
    """Film the wall, a slider, the plane and a walk."""
    page = camera.page
    page.goto(f"{studio}/#/explore?wall=5")
    page.wait_for_function("() => document.querySelectorAll('.wall canvas[data-drawn]').length === 40")
    camera.take(5)
    for number in (3, 16, 28):
        page.locator(".wall button").nth(number).click()
        camera.take(2)
        page.keyboard.press("p")
        camera.take()
    slider = page.get_by_label("Direction 1", exact=True)
    slider.scroll_into_view_if_needed()
    camera.each(range(6), lambda at: slider.fill(str(0.8 * at)))
    page.get_by_role("tab", name="Plane").click()
    page.evaluate("scrollTo(0, 0)")
    camera.take(2)
    box = page.locator(".plane-surface").bounding_box()
    page.mouse.move(box["x"] + 250, box["y"] + 200)
    page.mouse.down()
    camera.each(range(9), lambda at: page.mouse.move(box["x"] + 250 - 26 * at, box["y"] + 200 - 12 * at))
    page.mouse.up()
    page.get_by_role("tab", name="Walk").click()
    page.locator(".walk canvas[data-drawn]").wait_for()
    page.evaluate("scrollTo(0, 0)")
    camera.each(range(15), lambda _: [page.keyboard.press(".") for _ in range(4)])


def learn(camera: Camera, studio: str) -> None:
    """Film mode collapse, and what mends it."""
    page = camera.page
    page.goto(f"{studio}/#/learn/mode-collapse")
    page.locator("canvas.plane").wait_for()
    camera.take(7)  # time to read
    page.get_by_role("button", name="Begin anew").click()
    page.get_by_role("region", name="Training").evaluate("(panel) => scrollTo(0, panel.offsetTop - 60)")
    round_now = "Number(/round ([\\d,]+)/.exec(document.querySelector('main').innerText)[1].replace(',', ''))"
    begun = f"(least) => {round_now} >= least"
    camera.each(range(0, 18 * ROUNDS, ROUNDS), lambda at: page.wait_for_function(begun, arg=at))
    page.keyboard.press("m")
    camera.each(range(18 * ROUNDS, 46 * ROUNDS, ROUNDS), lambda at: page.wait_for_function(begun, arg=at))
    camera.take(4)


def main(studio: str, target: Path) -> None:
    """Write the film."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=ARGUMENTS)
        page = browser.new_page(viewport={"width": SIZE[0], "height": SIZE[1]}, color_scheme="dark")
        page.set_default_timeout(PATIENCE_MS)
        camera = Camera(page)
        for part in (explore, learn):
            part(camera, studio.rstrip("/"))
        browser.close()
    camera.save(target)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
