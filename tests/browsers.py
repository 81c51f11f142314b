"""Chromium, driven by Playwright, and Firefox ESR, driven by its own protocol; the studio that they look at."""

import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

CHROMIUM_ARGS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
]  # fmt: skip
FIREFOX_PREFS = {
    "marionette.port": 0, "datareporting.policy.dataSubmissionEnabled": False, "app.update.enabled": False,
    "browser.shell.checkDefaultBrowser": False, "browser.startup.homepage_override.mstone": "ignore",
    "toolkit.telemetry.reportingpolicy.firstRun": False, "network.captive-portal-service.enabled": False,
    "network.connectivity-service.enabled": False, "browser.aboutwelcome.enabled": False,
}  # fmt: skip
OWN = ("http://127.0.0.1:", "blob:", "data:", "file:")
PATIENCE_MS = 180_000  # machines that run tests are busy
PHONE, DESKTOP = (390, 844), (1280, 900)


def _program(*names: str) -> str:
    found = next((path for path in map(shutil.which, names) if path), None)
    if found is None:
        pytest.skip(f"needs the browser {names[0]}")
    return found


@pytest.fixture(scope="module")  # while Playwright stands, its thread runs an event loop, and no other may be run there
def chromium() -> Iterator[Any]:
    """A Chromium of Playwright."""
    api = pytest.importorskip("playwright.sync_api", reason="needs playwright")
    program = _program("chromium", "chromium-browser", "google-chrome")
    with api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=CHROMIUM_ARGS)
        yield browser
        browser.close()


@pytest.fixture
def open_page(chromium) -> Iterator[Callable[..., Any]]:
    """Return a function that opens an address; at the end the console must be clean and no request went elsewhere.

    ``page.problems`` are these; a test that provokes some clears the list.
    """
    contexts, pages = [], []

    def opened(url: str, size: tuple[int, int] = DESKTOP, scheme: str = "dark", script: str = "") -> Any:
        context = chromium.new_context(
            viewport={"width": size[0], "height": size[1]}, color_scheme=scheme, accept_downloads=True
        )
        page = context.new_page()
        page.set_default_timeout(PATIENCE_MS)
        page.problems = []
        page.on("console", lambda each: page.problems.append(each.text) if each.type in ("error", "warning") else None)
        page.on("pageerror", lambda problem: page.problems.append(str(problem)))
        page.on("request", lambda each: None if each.url.startswith(OWN) else page.problems.append(each.url))
        if script:
            page.add_init_script(script)
        page.goto(url)
        contexts.append(context)
        pages.append(page)
        return page

    yield opened
    problems = [problem for page in pages for problem in page.problems]
    for context in contexts:
        context.close()
    assert problems == []


def until(page: Any, expression: str) -> None:
    """Wait until a JavaScript expression is true; only a function works under a strict policy.

    It is asked every 50 ms, also while a busy machine draws no frame.
    """
    page.wait_for_function(f"() => {expression}", polling=50)


def drag(page: Any, place: Any, begin: tuple[float, float], end: tuple[float, float], steps: int) -> None:
    """Drag the mouse over a locator, between two points counted in px from its upper left corner."""
    box = place.bounding_box()
    page.mouse.move(box["x"] + begin[0], box["y"] + begin[1])
    page.mouse.down()
    page.mouse.move(box["x"] + end[0], box["y"] + end[1], steps=steps)
    page.mouse.up()


def violations(page: Any) -> list[str]:
    """Return what axe finds on a page."""
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="needs axe-playwright-python").Axe
    found = axe().run(page).response["violations"]
    return [f"{each['id']}: {node['target']} {node['failureSummary']}" for each in found for node in each["nodes"]]


def sideways(page: Any) -> int:
    """Return by how many px a page is wider than its window."""
    return page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")


class Firefox:
    """A headless Firefox, driven by Marionette, which needs no library."""

    def __init__(self, program: str, profile: Path) -> None:
        profile.mkdir()
        lines = [f"user_pref({json.dumps(name)}, {json.dumps(value)});" for name, value in FIREFOX_PREFS.items()]
        (profile / "user.js").write_text("\n".join(lines))
        words = [program, "--marionette", "--headless", "--no-remote", "--profile", str(profile)]
        env = {**os.environ, "HOME": str(profile), "MOZ_HEADLESS": "1"}
        self.process = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=env)
        port_file, until = profile / "MarionetteActivePort", time.monotonic() + PATIENCE_MS / 1000
        while not port_file.is_file() or not port_file.read_text().strip():
            assert time.monotonic() < until, "Firefox did not start"
            assert self.process.poll() is None, "Firefox ended"
            time.sleep(0.1)
        self._socket = socket.create_connection(("127.0.0.1", int(port_file.read_text())), PATIENCE_MS / 1000)
        self._file = self._socket.makefile("rb")
        self._read()
        self._number = 0
        self.ask("WebDriver:NewSession", capabilities={})
        self.ask("WebDriver:SetTimeouts", script=PATIENCE_MS, pageLoad=PATIENCE_MS)

    def _read(self) -> Any:
        length = b""
        while (byte := self._file.read(1)) != b":":
            length += byte
        return json.loads(self._file.read(int(length)))

    def ask(self, command: str, **parameters: Any) -> Any:
        """Send a command; return its value."""
        self._number += 1
        text = json.dumps([0, self._number, command, parameters]).encode()
        self._socket.sendall(f"{len(text)}:".encode() + text)
        _, _, problem, result = self._read()
        assert problem is None, problem
        return result.get("value", result) if isinstance(result, dict) else result

    def open(self, url: str) -> None:
        self.ask("WebDriver:Navigate", url=url)
        page = json.dumps(url.partition("#")[0])
        self.wait(f"return location.href.startsWith({page}) && document.readyState === 'complete'")

    def run(self, script: str, *arguments: Any) -> Any:
        """Return what the body of a function returns; ``arguments`` are its arguments."""
        return self.ask("WebDriver:ExecuteScript", script=script, args=list(arguments))

    def wait(self, script: str, seconds: float = PATIENCE_MS / 1000) -> Any:
        """Return what the body of a function returns, as soon as that is true."""
        until = time.monotonic() + seconds
        while not (found := self.run(script)):
            assert time.monotonic() < until, self.run("return document.body.innerText")
            time.sleep(0.1)
        return found

    def close(self) -> None:
        self._socket.close()
        self.process.terminate()
        self.process.wait(30)


@pytest.fixture(scope="session")
def firefox(tmp_path_factory) -> Iterator[Firefox]:
    browser = Firefox(_program("firefox-esr", "firefox"), tmp_path_factory.mktemp("firefox") / "profile")
    yield browser
    browser.close()


@pytest.fixture(scope="session")
def start_studio(tmp_path_factory) -> Iterator[Callable[..., str]]:
    """Return a function that starts ``gansmith studio`` on folders and returns its address."""
    pytest.importorskip("fastapi", reason="needs the extra studio")
    processes = []

    def start(*words: object) -> str:
        env = {**os.environ, "GANSMITH_CACHE": str(tmp_path_factory.mktemp("studio-cache")), "PYTHONUNBUFFERED": "1"}
        command = [sys.executable, "-m", "gansmith", "studio", *map(str, words), "--port", "0"]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=env)
        processes.append(process)
        assert process.stdout is not None
        for line in process.stdout:
            address = next((word for word in line.split() if word.startswith("http://")), None)
            if address:
                return address.rstrip("/") + "/"
        raise AssertionError("the studio did not start")

    yield start
    for process in processes:
        process.terminate()
        process.wait(30)
