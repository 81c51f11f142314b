"""Two live runs, watched by ten pages or by nobody, in turns: how much slower is training?

python benchmarks/watchers.py --rounds 3 --seconds 60 [--browsers]

Without ``--browsers`` a page is what it asks of the server: the event streams of both runs, rows, snapshots, each new
picture. With it pages are tabs of Chromium on this machine, which compute and draw on the same cores.
"""

import argparse
import asyncio
import json
import os
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import AsyncExitStack, contextmanager
from pathlib import Path

import httpx

ARGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"]


@contextmanager
def process(*words: str) -> Iterator["subprocess.Popen[bytes]"]:
    """Run ``python -m gansmith WORDS`` inside, and end it."""
    command = [sys.executable, "-m", "gansmith", *words]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as child:
        try:
            yield child
        finally:
            child.kill()


def cpu_seconds(pid: int) -> float:
    """Return the CPU time of a process so far, from /proc."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def iterations(run: Path) -> int:
    """Return the iteration of the last whole row of a log."""
    lines = (run / "log.jsonl").read_bytes().splitlines() if (run / "log.jsonl").exists() else []
    rows = [json.loads(line) for line in lines if line.endswith(b"}")]
    return max((row["iteration"] for row in rows), default=0)


async def page(base: str, until: float) -> None:
    """Ask what a page with both runs asks."""
    async with httpx.AsyncClient(base_url=base, timeout=None) as client:

        async def follow(name: str) -> None:
            await asyncio.gather(
                *(client.get(f"/v1/runs/{name}{part}") for part in ("", "/snapshots", "/rows?points=800"))
            )
            async with client.stream("GET", f"/v1/runs/{name}/events") as stream:
                shown = None
                async for line in stream.aiter_lines():
                    if time.monotonic() > until:
                        return
                    if line.startswith('data: {"previews"'):
                        newest = json.loads(line[6:])["previews"][-1]
                        if newest != shown:
                            shown = newest
                            await client.get(f"/v1/runs/{name}/snapshots/{newest}.png")

        await asyncio.gather(follow("a"), follow("b"))


async def tabs(base: str, count: int, until: float) -> None:
    """Open the page in Chromium, in as many contexts."""
    from playwright.async_api import async_playwright  # here: only with --browsers

    async with AsyncExitStack() as stack:
        driver = await stack.enter_async_context(async_playwright())
        browser = await driver.chromium.launch(executable_path=shutil.which("chromium"), args=ARGS)
        for _ in range(count):
            tab = await (await browser.new_context()).new_page()
            await tab.goto(f"{base}/#/watch/a,b")
        await asyncio.sleep(max(0.0, until - time.monotonic()))
        await browser.close()


def measure(folder: Path, seconds: float, watchers: int, *, browsers: bool) -> tuple[float, float]:
    """Train two runs for a time; return their iterations a second, and the server's CPU seconds a second."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    words = ("train", "ring-8", "--recipe", "toy", "--kimg", "100000", "log_rows=20000", "previews=2000")
    with (
        process("studio", str(folder), "--port", str(port)) as server,
        process(*words, "--out", str(folder / "a")),
        process(*words, "--out", str(folder / "b"), "--seed", "1"),
    ):
        while min(iterations(folder / name) for name in "ab") < 20:
            time.sleep(0.2)
        before = {name: iterations(folder / name) for name in "ab"}
        began, used = time.monotonic(), cpu_seconds(server.pid)
        until = began + seconds
        if watchers and browsers:
            asyncio.run(tabs(f"http://127.0.0.1:{port}", watchers, until))
        elif watchers:

            async def watch() -> None:
                await asyncio.gather(*(page(f"http://127.0.0.1:{port}", until) for _ in range(watchers)))

            asyncio.run(watch())
        time.sleep(max(0.0, until - time.monotonic()))
        passed = time.monotonic() - began
        done = sum(iterations(folder / name) - before[name] for name in "ab")
        return done / passed, (cpu_seconds(server.pid) - used) / passed


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=60.0, help="of each measurement")
    parser.add_argument("--watchers", type=int, default=10)
    parser.add_argument("--browsers", action="store_true")
    given = parser.parse_args()
    ratios = []
    with tempfile.TemporaryDirectory() as place:
        for number in range(given.rounds):
            sides = (0, given.watchers) if number % 2 else (given.watchers, 0)
            found = {
                side: measure(Path(place) / "runs", given.seconds, side, browsers=given.browsers) for side in sides
            }
            (alone, idle), (watched, busy) = found[0], found[given.watchers]
            ratios.append(watched / alone)
            print(
                f"round {number + 1}: {alone:.1f} iterations/s alone, {watched:.1f} watched, ratio {ratios[-1]:.3f}; "
                f"server {idle:.1%} and {busy:.1%} of a core",
                flush=True,
            )
    print(f"median ratio {statistics.median(ratios):.3f}")


if __name__ == "__main__":
    main()
