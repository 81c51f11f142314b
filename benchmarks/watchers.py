"""Two live runs, watched by ten pages or by nobody, in turns: how much slower is training?

python benchmarks/watchers.py --rounds 30 --seconds 10 [--warm 600] [--browsers [--freeze]]

The runs train for ``--warm`` seconds before the first block: their first minutes do less with a second of CPU time. The
runs and the server stay up; a round is four blocks, the pages there in the second and third or in the first and
last, so that a drift of the machine counts for neither side. On a machine with other work short blocks say more. The
iterations a second are the product of the two other ratios: of the CPU time that training gets, and of what it does
with a second of it. The first hardly depends on what other machines do on the same processor.
Without ``--browsers`` a page is what it asks of the server: the event streams of both runs, rows, snapshots, each new
picture. With it pages are windows of Chromium on this machine, which compute and draw on the same cores; the ratio by
CPU time tells what is left of the difference if browsers run elsewhere.
With ``--freeze`` the windows stay open, and in the blocks of nobody their processes are stopped (SIGSTOP): so blocks of
a minute can be compared with their neighbours, without the opening of ten windows between them. What the server does
for them is in both sides then; its share of a core is printed.
"""

import argparse
import asyncio
import json
import os
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import AsyncExitStack, ExitStack, contextmanager, suppress
from multiprocessing import get_context
from multiprocessing.synchronize import Event
from pathlib import Path
from typing import NamedTuple

import httpx

SETTLE = {False: 3.0, True: 60.0}  # seconds in which pages, or browsers, load what they show first, and others go
THAWED = 5.0  # seconds in which windows draw what they missed
ARGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"]


@contextmanager
def process(*words: str) -> Iterator["subprocess.Popen[bytes]"]:
    """Run ``python -m gansmith WORDS`` inside, and end it."""
    command = [sys.executable, "-m", "gansmith", *words]
    one_thread = {**os.environ, "OMP_NUM_THREADS": "1"}  # two runs of two threads each on two cores crawl
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=one_thread) as child:
        try:
            yield child
        finally:
            child.kill()


def cpu_seconds(pid: int) -> float:
    """Return the CPU time of a process so far, from /proc; 0.0 if it has ended."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def descendants(pid: int) -> list[int]:
    """Return all processes below one, from /proc."""
    below: dict[int, list[int]] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):  # it has ended
            below.setdefault(int(stat.read_text().rpartition(")")[2].split()[1]), []).append(int(stat.parent.name))
    found = below.get(pid, [])
    return found + [each for child in found for each in descendants(child)]


def send(number: signal.Signals, windows: list[int]) -> None:
    """Stop the processes of windows, or let them go on."""
    for pid in windows:
        with suppress(ProcessLookupError):
            os.kill(pid, number)


def iterations(run: Path) -> int:
    """Return the iteration of the last whole row of a log."""
    lines = (run / "log.jsonl").read_bytes().splitlines() if (run / "log.jsonl").exists() else []
    rows = [json.loads(line) for line in lines if line.endswith(b"}")]
    return max((row["iteration"] for row in rows), default=0)


async def page(base: str) -> None:
    """Ask what a page with both runs asks, until it is ended."""
    async with httpx.AsyncClient(base_url=base, timeout=None) as client:

        async def follow(name: str) -> None:
            await asyncio.gather(
                *(client.get(f"/v1/runs/{name}{part}") for part in ("", "/snapshots", "/rows?points=800"))
            )
            async with client.stream("GET", f"/v1/runs/{name}/events") as stream:
                shown = None
                async for line in stream.aiter_lines():
                    if line.startswith('data: {"previews"'):
                        newest = json.loads(line[6:])["previews"][-1]
                        if newest != shown:
                            shown = newest
                            await client.get(f"/v1/runs/{name}/snapshots/{newest}.png")

        await asyncio.gather(follow("a"), follow("b"))


async def tabs(base: str, count: int, opened: Event) -> None:
    """Open the page in Chromium, in as many contexts, until it is ended."""
    from playwright.async_api import async_playwright  # here: only with --browsers

    async with AsyncExitStack() as stack:
        driver = await stack.enter_async_context(async_playwright())
        browser = await driver.chromium.launch(executable_path=shutil.which("chromium"), args=ARGS)
        for _ in range(count):
            tab = await (await browser.new_context()).new_page()
            await tab.goto(f"{base}/#/watch/a,b")
        opened.set()
        await asyncio.Event().wait()


def watch(base: str, count: int, wanted: Event, opened: Event, *, browsers: bool) -> None:
    """Be so many pages whenever that is wanted; a process of its own, whose CPU time is not the server's."""

    async def pages() -> None:
        opened.set()
        await asyncio.gather(*(page(base) for _ in range(count)))

    async def main() -> None:
        while True:
            while not wanted.is_set():
                await asyncio.sleep(0.1)
            watching = asyncio.create_task(tabs(base, count, opened) if browsers else pages())
            while wanted.is_set() and not watching.done():
                await asyncio.sleep(0.1)
            if watching.done():
                await watching  # raises what ended it: a window that is gone must not count as one that watches
            opened.clear()
            watching.cancel()
            await asyncio.wait([watching])

    asyncio.run(main())


class Mark(NamedTuple):
    """A run at the moment of a new row of its log."""

    at: float
    iteration: int
    cpu: float


def mark(run: Path, pid: int) -> Mark:
    """Wait for the next row of a run."""
    log = run / "log.jsonl"
    size = log.stat().st_size
    while log.stat().st_size == size:
        time.sleep(0.02)
    return Mark(time.monotonic(), iterations(run), cpu_seconds(pid))


class Block(NamedTuple):
    """What a block measured: of both runs together, of the server, of the pages."""

    per_second: float
    per_cpu_second: float
    cpu_share: float
    server: float
    pages: float


def measure(runs: dict[Path, int], server: int, pages: list[int], settle: float, seconds: float) -> Block:
    """Follow two runs for a time."""
    time.sleep(settle)
    began = time.monotonic()
    before_cpu = cpu_seconds(server), sum(map(cpu_seconds, pages))
    before = [mark(run, pid) for run, pid in runs.items()]
    time.sleep(seconds)
    after = [mark(run, pid) for run, pid in runs.items()]
    passed = time.monotonic() - began
    pairs = list(zip(before, after, strict=True))
    done = [end.iteration - start.iteration for start, end in pairs]
    used = [end.cpu - start.cpu for start, end in pairs]
    took = [end.at - start.at for start, end in pairs]
    return Block(
        sum(count / seconds for count, seconds in zip(done, took, strict=True)),
        sum(done) / sum(used),
        sum(cpu / seconds for cpu, seconds in zip(used, took, strict=True)),
        (cpu_seconds(server) - before_cpu[0]) / passed,
        (sum(map(cpu_seconds, pages)) - before_cpu[1]) / passed,
    )


def spread(ratios: list[float]) -> str:
    """Say the mean of some ratios, its standard error and their range."""
    error = statistics.stdev(ratios) / len(ratios) ** 0.5 if len(ratios) > 1 else float("nan")
    return (
        f"mean {statistics.mean(ratios):.4f} +- {error:.4f}, median {statistics.median(ratios):.4f} "
        f"({min(ratios):.4f} to {max(ratios):.4f})"
    )


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=30, help="of four blocks")
    parser.add_argument("--seconds", type=float, default=10.0, help="of each block")
    parser.add_argument("--watchers", type=int, default=10)
    parser.add_argument("--warm", type=float, default=0.0, help="seconds of training before the first block")
    parser.add_argument("--browsers", action="store_true")
    parser.add_argument("--freeze", action="store_true", help="stop windows instead of closing them")
    parser.add_argument("--toys", action="store_true", help="runs of points in the plane, 50 times as many pictures")
    given = parser.parse_args()
    words = ("train", "fashion-sample", "--recipe", "compact", "--kimg", "4000", "log_rows=2000", "previews=100")
    if given.toys:
        words = ("train", "ring-8", "--recipe", "toy", "--kimg", "100000", "log_rows=20000", "previews=2000")
    ratios: list[list[float]] = []
    with tempfile.TemporaryDirectory() as place, ExitStack() as stack, socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
        free.close()
        folder = Path(place)
        server = stack.enter_context(process("studio", str(folder), "--port", str(port)))
        runs = {
            folder / name: stack.enter_context(process(*words, "--out", str(folder / name), "--seed", seed)).pid
            for name, seed in (("a", "0"), ("b", "1"))
        }
        context = get_context("spawn")
        wanted, opened = context.Event(), context.Event()
        address, asked = f"http://127.0.0.1:{port}", {"browsers": given.browsers}
        pages = context.Process(target=watch, args=(address, given.watchers, wanted, opened), kwargs=asked)
        pages.start()
        stack.callback(pages.kill)
        while min(map(iterations, runs)) < 20:
            time.sleep(0.2)
        windows: list[int] = []
        if given.freeze:
            wanted.set()
            opened.wait()
            time.sleep(SETTLE[True])
            windows = descendants(pages.pid or 0)
            stack.callback(send, signal.SIGCONT, windows)
        time.sleep(given.warm)
        for number in range(given.rounds):
            order = (False, True, True, False) if number % 2 else (True, False, False, True)
            found: list[tuple[bool, Block]] = []
            for watched in order:
                if given.freeze:
                    send(signal.SIGCONT if watched else signal.SIGSTOP, windows)
                else:
                    (wanted.set if watched else wanted.clear)()
                    while opened.is_set() != watched and pages.is_alive():
                        time.sleep(0.1)
                if not pages.is_alive():
                    sys.exit("the pages have ended")
                settle = THAWED if given.freeze else SETTLE[given.browsers]
                block = measure(runs, server.pid, windows or [pages.pid or 0], settle, given.seconds)
                found.append((watched, block))
                print(
                    f"{given.watchers if watched else 0:2} pages: {block.per_second:.1f} iterations/s, "
                    f"{block.per_cpu_second:.1f} a CPU second, {block.cpu_share:.3f} CPU seconds a second; "
                    f"server {block.server:.2%} of a core, pages {block.pages:.1%}; load {os.getloadavg()[0]:.1f}",
                    flush=True,
                )
            for pair in (found[:2], found[2:]):
                those, alone = dict(pair)[True], dict(pair)[False]
                ratios.append([watched / unwatched for watched, unwatched in zip(those[:3], alone[:3], strict=True)])
    names = ("iterations a second", "iterations a CPU second of training", "CPU seconds of training a second")
    print(f"watched / alone, {len(ratios)} pairs")
    for name, found_ratios in zip(names, zip(*ratios, strict=True), strict=True):
        print(f"{name}: {spread(list(found_ratios))}")


if __name__ == "__main__":
    main()
