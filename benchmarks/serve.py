"""Load `gansmith serve` with many clients; check every answer; compare with one client and with a Gradio page."""

# Run: python benchmarks/serve.py [MODEL.onnx] [--clients 64] [--seconds 60] [--rounds 1] [--gradio]
#      python benchmarks/serve.py [MODEL.onnx] --ray [--clients 8] [--seconds 20] [--rounds 2]
#      python benchmarks/serve.py [FOLDER] --mixed MINUTES [--pause SECONDS]
# Server and clients share the machine. Permalinks are first fetched one by one; every later answer must have the same
# bytes. Without MODEL: networks of random weights, which cost what trained ones cost. --gradio: a Gradio page draws
# with the same model; a click is a POST, a stream of events, and the image a file to fetch. GRADIO_PATH: a folder that
# `pip install --target` put it into.
# --ray: `gansmith serve` and the lines of docs/deploy.md on Ray Serve in turns, one at a time; Ray's answers must have
# the bytes of `gansmith serve`. Needs `pip install 'ray[serve]'`.
# --mixed: `gansmith studio` on a folder gets images, grids, strips, films, latents, runs and hostile requests
# for some minutes, from 8 clients that each wait --pause seconds in between; prints the server's memory once a minute.

import argparse
import asyncio
import hashlib
import json
import os
import random
import re
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.parse import urlsplit

import torch

from gansmith.data.base import DataSpec
from gansmith.exporting.base import choose_format
from gansmith.inference.model import Model
from gansmith.inference.model_record import make_record
from gansmith.recipes.load import load_recipe

RECIPES = {"compact, 28 px": ("compact", 28, 1), "dcgan, 64 px": ("dcgan", 64, 3)}
PERMALINKS = 500
GRADIO = """
import sys, fastapi, gradio, uvicorn, gansmith
model = gansmith.load(sys.argv[1])
def draw(seed):
    return gansmith.pick(model, str(int(seed))).to_pil()[0]
page = gradio.Interface(draw, gradio.Number(3), gradio.Image(format="png"), api_name="draw")
page.queue(max_size=None)
uvicorn.run(gradio.mount_gradio_app(fastapi.FastAPI(), page, "/"), port=int(sys.argv[2]), log_level="error")
"""

RAY = """
import sys
from pathlib import Path
from ray import serve
from gansmith.web.app import create_app
file, port, replicas = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
@serve.deployment(num_replicas=replicas)
@serve.ingress(lambda: create_app([file], page=False))
class Gansmith:
    pass
serve.start(http_options={"port": port})
serve.run(Gansmith.bind(), blocking=True)
"""
RAY_PORT = 7866


def random_model(folder: Path, recipe_name: str, size: int, channels: int) -> Path:
    recipe = load_recipe(recipe_name, (f"size={size}", f"channels={channels}"))
    spec = DataSpec("random", size, size, channels, 1, (), "0")
    networks = recipe.method.build(spec).networks
    tensors = {name: dict(network.state_dict()) for name, network in networks.items()}
    model = Model(make_record(recipe_name, recipe.method, spec, 0, 1.0), tensors, "cpu")
    path = folder / f"{recipe_name}-{size}.onnx"
    choose_format("onnx", {}).export(model, path, raw=False, run=None)
    return path


@contextmanager
def served(*words: str) -> Iterator[tuple[str, int]]:
    """Run `gansmith serve` or `studio` in a process; yield its address and process id."""
    command = [sys.executable, "-m", "gansmith", *words, "--port", "0"]
    server = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    try:
        assert server.stderr is not None
        yield re.search(r"at (http\S+)", server.stderr.readline())[1].rstrip("/"), server.pid
    finally:
        server.terminate()
        server.wait()


class Client:
    """One connection that is kept: HTTP/1.1 with as little work as possible beside the server's."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self.host, self.port = parts.hostname, parts.port
        self.writer: asyncio.StreamWriter | None = None

    async def ask(self, path: str, body: bytes | None = None) -> tuple[int, bytes]:
        if self.writer is None:
            self.reader, self.writer = await asyncio.open_connection(self.host, self.port)
        kind = "GET" if body is None else "POST"
        head = f"{kind} {path} HTTP/1.1\r\nHost: {self.host}:{self.port}\r\nContent-Type: application/json\r\n"
        self.writer.write(f"{head}Content-Length: {len(body or b'')}\r\n\r\n".encode() + (body or b""))
        lines = (await self.reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
        status = int(lines.split()[1])
        length = re.search(r"content-length: (\d+)", lines)
        content = await self.reader.readexactly(int(length[1])) if length else b""
        if "connection: close" in lines:
            self.close()
        return status, content

    def close(self) -> None:
        if self.writer is not None:
            self.writer.close()
        self.writer = None


async def digests(url: str, paths: list[str]) -> dict[str, str]:
    """Return the SHA-256 of each answer, asked for one by one."""
    client, out = Client(url), {}
    while (await client.ask(paths[0]))[0] == 503:
        await asyncio.sleep(0.5)
    for path in paths:
        status, content = await client.ask(path)
        assert status == 200, (path, status, content[:200])
        out[path] = hashlib.sha256(content).hexdigest()
    client.close()
    return out


def stat_of(process: int) -> list[str]:
    """Return the fields of a process from its state on; none if it has ended."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []


def family(process: int) -> list[int]:
    """Return a process and all that it started."""
    parents = {int(each.name): stat_of(int(each.name)) for each in Path("/proc").iterdir() if each.name.isdigit()}
    found = [process]
    for parent in found:
        found += [each for each, fields in parents.items() if fields and int(fields[1]) == parent]
    return found


def cpu_sec(process: int) -> float:
    """Return the CPU time of a process and of all that it started and that still run."""
    each = [stat_of(member) for member in family(process)]
    return sum(int(fields[11]) + int(fields[12]) for fields in each if fields) / os.sysconf("SC_CLK_TCK")


def memory_words(process: int) -> str:
    """Return how many processes there are, and their memory, where pages that they share count once."""
    members = family(process)
    kib = 0
    for member in members:
        with suppress(OSError, TypeError):
            kib += int(re.search(r"^Pss: +(\d+)", Path(f"/proc/{member}/smaps_rollup").read_text(), re.M)[1])
    return f"{len(members)} processes, {kib / 1024:.0f} MiB"


async def load(url: str, process: int, wanted: dict[str, str], clients: int, seconds: float) -> str:
    times, statuses, wrong = list[float](), Counter[int](), 0
    until = time.perf_counter() + seconds

    async def one(number: int) -> None:
        nonlocal wrong
        client, chosen, paths = Client(url), random.Random(number), list(wanted)
        while time.perf_counter() < until:
            path, began = chosen.choice(paths), time.perf_counter()
            status, content = await client.ask(path)
            times.append(time.perf_counter() - began)
            statuses[status] += 1
            wrong += status == 200 and hashlib.sha256(content).hexdigest() != wanted[path]
            if status == 429:
                await asyncio.sleep(1)
        client.close()

    began, before = time.perf_counter(), cpu_sec(process)
    await asyncio.gather(*(one(number) for number in range(clients)))
    cpu_ms = 1000 * (cpu_sec(process) - before) / max(1, statuses[200])
    return told(times, statuses, time.perf_counter() - began, f"{cpu_ms:.2f} CPU ms an image, {wrong} other bytes")


def told(times: list[float], statuses: Counter[int], seconds: float, more: str = "") -> str:
    times.sort()
    middle, late = statistics.median(times), times[int(0.99 * (len(times) - 1))]
    counts = ", ".join(f"{count:,} x {status}" for status, count in sorted(statuses.items()))
    rate = statuses[200] / seconds
    return f"{rate:8.1f} images/s  p50 {1000 * middle:7.1f} ms  p99 {1000 * late:7.1f} ms  {counts}  {more}"


def gradio_load(file: Path, clients: int, seconds: float) -> str:
    """Load a Gradio page that draws with the same model; its own HTTP API, as its page uses it."""
    port = 7865
    path = os.pathsep.join(each for each in (os.environ.get("GRADIO_PATH"), os.environ.get("PYTHONPATH")) if each)
    environment = {**os.environ, "GRADIO_ANALYTICS_ENABLED": "False", "PYTHONPATH": path}
    page = subprocess.Popen(
        [sys.executable, "-c", GRADIO, str(file), str(port)], env=environment, stdout=subprocess.DEVNULL
    )
    try:
        return asyncio.run(_gradio_clients(f"http://127.0.0.1:{port}", page.pid, clients, seconds))
    finally:
        page.terminate()
        page.wait()


async def _gradio_clients(url: str, process: int, clients: int, seconds: float) -> str:
    import httpx  # here: for this comparison alone

    times, statuses = list[float](), Counter[int]()
    async with httpx.AsyncClient(base_url=url, timeout=120, limits=httpx.Limits(max_connections=2 * clients)) as http:
        for _ in range(600):
            try:
                if (await http.get("/config")).status_code == 200:
                    break
            except httpx.HTTPError:
                await asyncio.sleep(0.5)
        until = time.perf_counter() + seconds

        async def click(seed: int) -> int:
            call = await http.post("/gradio_api/call/draw", json={"data": [seed]})
            answer = await http.get(f"/gradio_api/call/draw/{call.json()['event_id']}")
            data = re.search(r"^event: complete\ndata: (.*)$", answer.text, re.M)
            return 0 if data is None else (await http.get(json.loads(data[1])[0]["url"])).status_code

        async def one(number: int) -> None:
            chosen = random.Random(number)
            while time.perf_counter() < until:
                began = time.perf_counter()
                try:
                    status = await click(chosen.randrange(PERMALINKS))
                except httpx.TransportError:  # the page closed the connection
                    status = -1
                times.append(time.perf_counter() - began)
                statuses[status] += 1

        began, before = time.perf_counter(), cpu_sec(process)
        await asyncio.gather(*(one(number) for number in range(clients)))
        cpu_ms = 1000 * (cpu_sec(process) - before) / max(1, statuses[200])
        return told(times, statuses, time.perf_counter() - began, f"{cpu_ms:.2f} CPU ms an image")


@contextmanager
def on_ray(file: Path, replicas: int) -> Iterator[tuple[str, int]]:
    """Run the lines of docs/deploy.md in a process; yield their address and process id."""
    url = f"http://127.0.0.1:{RAY_PORT}"
    words = [sys.executable, "-c", RAY, str(file), str(RAY_PORT), str(replicas)]
    process = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        for _ in range(240):
            with suppress(OSError), urllib.request.urlopen(f"{url}/readyz") as answer:
                if answer.status == 200:
                    break
            assert process.poll() is None, "Ray Serve ended"
            time.sleep(0.5)
        yield url, process.pid
    finally:
        process.send_signal(signal.SIGINT)  # so that Ray ends its own processes
        process.wait(60)


def beside_ray(file: Path, clients: int, seconds: float, rounds: int) -> None:
    """Load `gansmith serve` and Ray Serve in turns."""
    paths = [f"/v1/models/{file.stem}/image.png?seeds={number}" for number in range(PERMALINKS)]
    wanted = dict[str, str]()
    sides = {
        "serve": lambda: served("serve", str(file)),
        "Ray, 1 replica": lambda: on_ray(file, 1),
        "Ray, 2 replicas": lambda: on_ray(file, 2),
    }
    for _ in range(rounds):
        for name, start in sides.items():
            with start() as (url, process):
                wanted = wanted or asyncio.run(digests(url, paths))
                for count in (1, clients):
                    said = asyncio.run(load(url, process, wanted, count, seconds))
                    load_average = f"load {os.getloadavg()[0]:.1f}"
                    print(f"  {name:16}{count:3} clients {said}, {memory_words(process)}, {load_average}", flush=True)


async def mixed(url: str, minutes: float, pause: float) -> None:
    """Ask for all kinds of things, good and bad, and print the server's memory."""
    until, statuses = time.perf_counter() + 60 * minutes, Counter[int]()
    first = Client(url)
    while not (models := json.loads((await first.ask("/v1/models"))[1]))[0]["ready"]:
        await asyncio.sleep(0.5)
    at = f"/v1/models/{models[0]['id']}"
    runs = [each["id"] for each in json.loads((await first.ask("/v1/runs"))[1])["runs"]]
    first.close()

    async def one(number: int) -> None:
        chosen, client = random.Random(number), Client(url)
        while time.perf_counter() < until:
            n, m = chosen.randrange(10**6), chosen.randrange(10**6)
            path, body = chosen.choice([
                (f"{at}/image.png?seeds={n}", None),
                (f"{at}/image.png?seeds={n},{m}&weights=0.3,0.7&truncation=0.8", None),
                (f"{at}/grid.png?seeds={n % 999_000}-{n % 999_000 + 35}", None),
                (f"{at}/strip.png?at=seeds%3D{n}&at=seeds%3D{m}&frames=13", None),
                (f"{at}/walk.gif?at=seeds%3D{n}&at=seeds%3D{m}&frames=10", None),
                (f"{at}/latent", json.dumps({"seeds": [str(n)]}).encode()),
                (f"{at}/image.png?seeds=-1", None),
                (f"{at}/translate", b"no image"),
                ("/v1/models/%2e%2e/image.png", None),
                ("/v1/models", None),
                ("/static/app.js", None),
                *[(f"/v1/runs/{run}/{end}", None) for run in runs for end in ("rows?points=800", "snapshots")],
            ])  # fmt: skip
            try:
                statuses[(await client.ask(path, body))[0]] += 1
            except (OSError, asyncio.IncompleteReadError):
                statuses[0] += 1
                client = Client(url)
            await asyncio.sleep(pause)

    async def watch() -> None:
        while time.perf_counter() < until:
            client = Client(url)
            _, text = await client.ask("/metrics")
            client.close()
            memory = int(re.search(rb"^process_resident_memory_bytes (\d+)", text, re.M)[1])
            print(f"{(until - time.perf_counter()) / 60:5.1f} min left: {memory / 2**20:.0f} MiB", flush=True)
            await asyncio.sleep(min(60.0, 6 * minutes))

    await asyncio.gather(watch(), *(one(number) for number in range(8)))
    print(dict(sorted(statuses.items())))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", nargs="?", type=Path)
    parser.add_argument("--clients", type=int, default=64)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--gradio", action="store_true")
    parser.add_argument("--ray", action="store_true")
    parser.add_argument("--mixed", type=float, metavar="MINUTES")
    parser.add_argument("--pause", type=float, default=0.0, metavar="SECONDS")
    given = parser.parse_args()
    torch.manual_seed(0)
    with tempfile.TemporaryDirectory() as folder:
        files = {"": given.model} if given.model else {
            title: random_model(Path(folder), *recipe) for title, recipe in RECIPES.items()
        }  # fmt: skip
        for title, file in files.items():
            print(title or file, flush=True)
            if given.ray:
                beside_ray(file, given.clients, given.seconds, given.rounds)
                continue
            if given.mixed:
                with served("studio", str(file if file.is_dir() else file.parent)) as (url, _):
                    asyncio.run(mixed(url, given.mixed, given.pause))
                continue
            with served("serve", str(file), "--workers", str(given.workers)) as (url, process):
                wanted = asyncio.run(
                    digests(url, [f"/v1/models/{file.stem}/image.png?seeds={number}" for number in range(PERMALINKS)])
                )
                for _ in range(given.rounds):
                    for clients in (1, given.clients):
                        print(
                            f"  {clients:3} clients {asyncio.run(load(url, process, wanted, clients, given.seconds))}",
                            flush=True,
                        )
            if given.gradio:
                for clients in (1, given.clients):
                    print(f"  Gradio {clients:3} {gradio_load(file, clients, given.seconds)}", flush=True)


if __name__ == "__main__":
    main()
