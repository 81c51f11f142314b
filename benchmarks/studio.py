"""Start `gansmith studio` and measure it in Chromium: time to the first image, memory, key to image."""

# Run: python benchmarks/studio.py FOLDER... [--rounds 5] [--keys 60]. Models need ONNX files, as after `make demo`.
# The browser runs already, and opens the page as soon as the server has printed its address. From key to image: from
# the event keydown of R to the pixels on the canvas; the page has drawn the next random image ahead. From slider to
# image: a slider jumps to a place that nobody can foresee. The floor is a fetch of 15 bytes that need no work.

import argparse
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from playwright.sync_api import sync_playwright

ARGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"]
WATCH = """
window.times = [];
let pressed = 0;
addEventListener("keydown", (event) => { pressed = event.timeStamp; }, true);
window.jump = (at) => {
  const sliders = [...document.querySelectorAll(".steer input[type=range]")].filter((each) => each.max === "6");
  const slider = sliders[at % sliders.length];
  slider.value = 5.9 - 0.37 * Math.floor(at / sliders.length) - 0.1 * (at % 3);
  pressed = performance.now();
  slider.dispatchEvent(new Event("input", { bubbles: true }));
};
window.floor = async (count) => {
  const times = [];
  for (let at = 0; at < count; at += 1) {
    await new Promise((done) => setTimeout(done, 50));
    const began = performance.now();
    await (await fetch("healthz", { cache: "no-store" })).arrayBuffer();
    times.push(performance.now() - began);
  }
  return times;
};
const draw = CanvasRenderingContext2D.prototype.drawImage;
CanvasRenderingContext2D.prototype.drawImage = function (...given) {
  draw.apply(this, given);
  if (pressed && this.canvas.closest(".chosen")) { window.times.push(performance.now() - pressed); pressed = 0; }
};
"""
DRAWN = "() => document.querySelector('.wall canvas[data-drawn]') !== null"
ALL_DRAWN = "() => document.querySelectorAll('.wall canvas[data-drawn]').length === 40"


def memory_mib(process: int) -> float:
    """Return the memory of a process."""
    return int(re.search(r"VmRSS:\s+(\d+)", Path(f"/proc/{process}/status").read_text())[1]) / 1024


def cpu_sec(process: int) -> float:
    """Return the CPU time of a process so far."""
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def measure(browser: Any, place: Path, model: str, keys: int) -> str:
    """Return what was measured, in words."""
    began = time.perf_counter()
    with subprocess.Popen(
        [sys.executable, "-m", "gansmith", "studio", str(place), "--port", "0"], stderr=subprocess.PIPE, text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    ) as server:  # fmt: skip
        try:
            url = re.search(r"at (http\S+)", server.stderr.readline())[1]
            page = browser.new_context(viewport={"width": 1280, "height": 900}).new_page()
            page.add_init_script(WATCH)
            page.goto(f"{url}#/explore/{model}" if model else url, wait_until="commit")
            page.wait_for_function(DRAWN, polling=10)
            first = time.perf_counter() - began
            page.wait_for_function(ALL_DRAWN, polling=10)
            wall, used = time.perf_counter() - began, cpu_sec(server.pid)
            times = dict[str, list[float]]()
            for name, act in (
                ("key", lambda _: page.keyboard.press("r")),
                ("slider", lambda at: page.evaluate("jump", at)),
            ):
                page.evaluate("() => { times = []; }")
                for number in range(keys):
                    act(number)
                    page.wait_for_function(f"() => times.length > {number}", polling=5)
                    page.wait_for_timeout(100)
                times[name] = page.evaluate("times")
            times["floor"] = page.evaluate("floor", keys)
            page.context.close()
            memory = memory_mib(server.pid)
            torch = "libtorch" in Path(f"/proc/{server.pid}/maps").read_text()
        finally:
            server.terminate()
    shown = "; ".join(f"{name} {_spread(each)}" for name, each in times.items())
    return (
        f"first image {first:.2f} s, all 40 {wall:.2f} s, {used:.2f} s of the server's CPU; {shown}; "
        f"{memory:.0f} MiB, {'torch is loaded' if torch else 'no torch'}"
    )


def _spread(times: list[float]) -> str:
    late = sorted(times)[int(0.95 * len(times))]
    return f"fastest {min(times):.0f}, p50 {statistics.median(times):.0f}, p95 {late:.0f} ms"


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("places", nargs="+", type=Path, help="folders of runs and models")
    parser.add_argument("--model", default="", help="id of the model on the page; the newest if left out")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--keys", type=int, default=60)
    given = parser.parse_args()
    with sync_playwright() as playwright, tempfile.TemporaryDirectory() as cache:
        os.environ.setdefault("GANSMITH_CACHE", cache)
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=ARGS)
        for place in given.places:
            for number in range(given.rounds):
                load = os.getloadavg()[0]
                told = measure(browser, place, given.model, given.keys)
                print(f"{place} round {number + 1} (load {load:.1f}): {told}", flush=True)
        browser.close()


if __name__ == "__main__":
    main()
