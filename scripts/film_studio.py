"""Film the studio: ``python scripts/film_studio.py http://127.0.0.1:8000 docs/pictures/studio/film.mp4``.

Needs a studio with a trained model and a quiet machine, Chromium, and playwright.
"""

import io
import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from playwright.sync_api import sync_playwright

from gansmith.imaging.video import write_mp4

SIZE, SHOWN = (1120, 784), (800, 560)  # px of the window and of the film
FRAME_MS, PATIENCE_MS = 125, 180_000
ARGUMENTS = ["--no-sandbox", "--disable-gpu"]


class Camera:
    """Takes a frame of a page after each action."""

    def __init__(self, page: Any) -> None:
        self.page = page
        self.frames: list[Image.Image] = []

    def take(self, count: int = 1, wait_ms: int = FRAME_MS) -> None:
        """Take ``count`` frames, each ``wait_ms`` after the one before."""
        for _ in range(count):
            self.page.wait_for_timeout(wait_ms)
            picture = Image.open(io.BytesIO(self.page.screenshot())).convert("RGB").resize(SHOWN)
            self.frames.append(picture)

    def slide(self, label: str, values: list[float]) -> None:
        """Move a slider through values."""
        slider = self.page.get_by_label(label, exact=True).last
        slider.scroll_into_view_if_needed()
        for value in values:
            slider.fill(str(value))
            self.take()


def explore(camera: Camera, studio: str) -> None:
    """Film the wall, a slider, the plane and a walk."""
    page = camera.page
    page.goto(f"{studio}/#/explore?wall=5")
    page.locator(".wall canvas[data-drawn]").nth(39).wait_for()
    camera.take(6)
    for number in (3, 16, 27):
        page.locator(".wall button").nth(number).click()
        camera.take(2)
        page.keyboard.press("p")
        camera.take(2)
    camera.slide("Truncation", [2.3, 2.0, 1.7, 1.4, 1.1, 0.8, 0.5])
    page.get_by_role("tab", name="Plane").click()
    page.evaluate("scrollTo(0, 0)")
    camera.take(3)
    box = page.locator(".plane-surface").bounding_box()
    page.mouse.move(box["x"] + 250, box["y"] + 200)
    page.mouse.down()
    for step in range(20):
        page.mouse.move(box["x"] + 250 - 14 * step, box["y"] + 200 - 6 * step)
        camera.take()
    page.mouse.up()
    page.get_by_role("tab", name="Walk").click()
    page.locator(".walk canvas[data-drawn]").wait_for()
    camera.slide("Frame", list(range(1, 59, 3)))


def learn(camera: Camera, studio: str) -> None:
    """Film mode collapse, and what mends it."""
    page = camera.page
    page.goto(f"{studio}/#/learn")
    page.locator("nav.presets button", has_text="Mode collapse").first.click()
    camera.take(40, 2 * FRAME_MS)
    page.locator("button[aria-keyshortcuts=m]").click()
    camera.take(40, 2 * FRAME_MS)


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
    frames = [np.asarray(frame) for frame in camera.frames]
    write_mp4(frames, [FRAME_MS / 1000] * len(frames), SHOWN, target)
    print(f"{target}: {len(frames)} frames, {target.stat().st_size / 1e6:.1f} MB")


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
