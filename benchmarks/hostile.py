"""Send thousands of hostile requests to `gansmith studio`, as bytes on a socket; check that it still serves."""

# Run: python benchmarks/hostile.py MODELS [--count 10000]. MODELS: a folder with models named plain, cond, up and
# colorize, as tests/web/conftest.py makes them. The requests are those of tests/hostile.py. Some are cut off in the
# middle. Every 500 requests, and at the end, an image must have the bytes that it had at the start.

import argparse
import asyncio
import random
import re
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))
from hostile import Hostile, hostile_request

AT_ONCE, CUT = 8, 0.05
GOOD = Hostile("GET", "/v1/models/plain/image.png?seeds=3", {"host": b"localhost"}, b"")


async def send(port: int, request: Hostile, cut: float = 1.0) -> tuple[str, bytes]:
    """Return status and body of an answer; "closed" if the server only closed the connection."""
    headers = {"content-length": str(len(request.body)).encode(), **request.headers, "connection": b"close"}
    lines = [f"{request.method} {request.path} HTTP/1.1".encode()]
    lines += [name.encode() + b": " + value for name, value in headers.items()]
    content = b"\r\n".join(lines) + b"\r\n\r\n" + request.body
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(content[: int(len(content) * cut)])
        if cut < 1:
            writer.write_eof()
        answer = await asyncio.wait_for(reader.read(), 120)
        writer.close()
    except ConnectionError:
        return "closed", b""
    except TimeoutError:
        return "no answer", b""
    head, _, body = answer.partition(b"\r\n\r\n")
    return head[9:12].decode() or "closed", body


async def memory_mib(port: int) -> float:
    """Return the server's memory, as it says itself."""
    _, metrics = await send(port, Hostile("GET", "/metrics", {"host": b"localhost"}, b""))
    return int(re.search(rb"process_resident_memory_bytes (\d+)", metrics)[1]) / 2**20


async def main_loop(port: int, count: int) -> None:
    _, wanted = await send(port, GOOD)
    assert wanted.startswith(b"\x89PNG")
    before = await memory_mib(port)
    statuses, numbers = Counter[str](), iter(range(count))

    async def one() -> None:
        for seed in numbers:
            chosen = random.Random(-seed - 1)
            status, body = await send(port, hostile_request(seed), chosen.random() if chosen.random() < CUT else 1.0)
            statuses[status] += 1
            if status.startswith("5") and status not in ("501", "503"):
                print(f"{status} for the request of seed {seed}: {body[:200]!r}", flush=True)
            if seed % 500 == 0:
                assert (await send(port, GOOD))[1] == wanted, f"another image after request {seed}"
                print(f"{seed} requests: {await memory_mib(port):.0f} MiB", flush=True)

    await asyncio.gather(*(one() for _ in range(AT_ONCE)))
    assert (await send(port, GOOD))[1] == wanted
    after = await memory_mib(port)
    print(f"{sum(statuses.values())} requests: {dict(sorted(statuses.items()))}")
    print(f"still serving, with the same image; {before:.0f} MiB before, {after:.0f} MiB after")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("models", type=Path)
    parser.add_argument("--count", type=int, default=10_000)
    given = parser.parse_args()
    command = [sys.executable, "-m", "gansmith", "studio", str(given.models), "--port", "0"]
    with tempfile.NamedTemporaryFile() as said:  # a pipe that nobody reads would stop the server
        server = subprocess.Popen(command, stderr=said)
        try:
            while not (address := re.search(rb":(\d+)/", Path(said.name).read_bytes())):
                time.sleep(0.1)
            asyncio.run(main_loop(int(address[1]), given.count))
        finally:
            server.terminate()
            server.wait()
        lines = Counter(Path(said.name).read_text(errors="replace").splitlines()[2:])
        print(f"its stderr: {lines.most_common(5)}")


if __name__ == "__main__":
    main()
