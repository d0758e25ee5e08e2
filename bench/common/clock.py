"""Time and memory of this process, on the CPU and on a GPU."""

from __future__ import annotations

import resource
import sys
import time
from pathlib import Path
from typing import NamedTuple

import torch


class Moment(NamedTuple):
    """Seconds of the clock, and of all cores together that this process was given."""

    wall: float
    cpu: float


def now() -> Moment:
    """The time once all that was asked of the device is done."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return Moment(time.perf_counter(), time.process_time())


def peak_memory_gb() -> float:
    """Peak in GB (1e9 bytes): of the GPU's allocator where there is one, else resident memory of this process.

    Not ``ru_maxrss`` on Linux: that of a started process begins at its parent's.
    """
    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated() / 1e9
    status = Path("/proc/self/status")
    if status.exists():
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) * 1024 / 1e9
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024) / 1e9


def rates(tokens: int, trained: int, start: Moment, end: Moment, steps: int) -> dict[str, float]:
    """What every variant reports. ``cores_busy`` well below the number of cores: others were using the machine."""
    seconds = end.wall - start.wall
    return {
        "tokens_per_second": tokens / seconds,
        "trained_tokens_per_second": trained / seconds,
        "tokens_per_step": tokens / steps,
        "seconds_per_step": seconds / steps,
        "cores_busy": (end.cpu - start.cpu) / seconds,
        "peak_memory_gb": peak_memory_gb(),
    }
