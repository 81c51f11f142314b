"""Numbers for Prometheus, in its text format: requests, times, queue, memory."""

import os
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from gansmith.web.drawing import DrawingQueue, SlowQueue

BUCKETS_SEC = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
STATUS = Path("/proc/self/statm")


@dataclass
class Metrics:
    """Counts since the start of this process; each worker of ``serve`` has its own."""

    requests: Counter[tuple[str, int]] = field(default_factory=Counter)  # by route and status
    buckets: Counter[float] = field(default_factory=Counter)
    seconds: float = 0.0

    def observe(self, route: str, status: int, seconds: float) -> None:
        """Count an answer."""
        self.requests[route, status] += 1
        self.buckets[next((each for each in BUCKETS_SEC if seconds <= each), float("inf"))] += 1
        self.seconds += seconds

    def text(self, drawing: DrawingQueue, slow: SlowQueue) -> str:
        """Return all numbers."""
        lines = [
            "# HELP gansmith_requests_total Answers by route and status.",
            "# TYPE gansmith_requests_total counter",
        ]
        for (route, status), count in sorted(self.requests.items()):
            lines.append(f'gansmith_requests_total{{route="{route}",status="{status}"}} {count}')
        name, total = "gansmith_request_seconds", 0
        lines += [f"# HELP {name} Time from a request to the end of its answer.", f"# TYPE {name} histogram"]
        for edge in (*BUCKETS_SEC, float("inf")):
            total += self.buckets[edge]
            lines.append(f'{name}_bucket{{le="{edge if edge < float("inf") else "+Inf"}"}} {total}')
        lines += [f"{name}_sum {self.seconds:.6f}", f"{name}_count {total}"]
        for name, kind, text, value in (
            ("gansmith_images_drawn_total", "counter", "Images drawn.", drawing.drawn),
            ("gansmith_batches_drawn_total", "counter", "Batches in which they were drawn.", drawing.batches),
            ("gansmith_images_waiting", "gauge", "Images in the queue.", drawing.images_waiting),
            (
                "gansmith_slow_waiting",
                "gauge",
                "Films and uploads in the slow queue, running ones included.",
                slow.waiting,
            ),
            ("process_resident_memory_bytes", "gauge", "Memory of this process.", _memory_bytes()),
        ):
            lines += [f"# HELP {name} {text}", f"# TYPE {name} {kind}", f"{name} {value}"]
        return "\n".join(lines) + "\n"


def _memory_bytes() -> int:
    """Return the resident memory; 0 where the system does not say."""
    try:
        return int(STATUS.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, AttributeError):
        return 0
