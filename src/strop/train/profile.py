"""Where the time of a training step goes: one step traced by torch's profiler."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from torch.autograd import DeviceType
from torch.profiler import ProfilerActivity, profile

STEP = 3
"""The step of a process that is traced: the first ones compile, fill caches and touch fresh memory."""

# Kind of work, by parts of operators' and kernels' names; the first that fits takes an operation.
KINDS = {
    "attention": ("attention", "flash", "softmax", "varlen"),
    "head": ("headstatistics", "strop::head", "nll_loss", "logsumexp"),
    "communication": ("nccl", "c10d", "gloo", "all_reduce", "all_gather"),
    "optimiser": ("adam", "_foreach_", "foreach", "multi_tensor_apply", "lerp", "clip_grad"),
    "matrix products": ("mm", "linear", "matmul", "gemm", "mkldnn", "cutlass", "nvjet"),
    "copies and casts": ("copy", "_to_copy", "memcpy", "memset", "contiguous", "clone", "cat", "index", "gather"),
    "compiled code": ("triton", "compiled"),
    "element by element": ("mul", "add", "sub", "div", "pow", "sqrt", "silu", "gelu", "mean", "sum", "exp", "neg"),
}
OTHER = "other"


@contextmanager
def traced(active: bool, folder: Path, device: torch.device) -> Iterator[None]:
    """Trace what runs inside into ``folder/trace.json`` (for chrome://tracing or Perfetto) and print a summary.

    Does nothing unless ``active``. Tracing makes a step slower, the more so the smaller its operations.
    """
    if not active:
        yield
        return
    activities = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if device.type == "cuda" else [])]
    with profile(activities=activities, acc_events=True) as profiler:
        started = time.perf_counter()
        yield
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        seconds = time.perf_counter() - started
    file = folder / "trace.json"
    profiler.export_chrome_trace(str(file))
    print(summary(times(profiler, device), seconds, file), flush=True)


def times(profiler: profile, device: torch.device) -> dict[str, tuple[float, int]]:
    """Own seconds (without what an operation calls) and calls, by name: on CUDA of kernels, else on the CPU.

    On CUDA an operation is told the time of the kernels that it has started, and so is a range that somebody named:
    with the kernels' own, all would count twice or more.
    """
    found = {}
    for event in profiler.key_averages():
        if device.type != "cuda":
            own = event.self_cpu_time_total
        elif event.device_type == DeviceType.CUDA and not event.is_user_annotation:
            own = event.self_device_time_total
        else:
            continue
        if own > 0:
            found[event.key] = (own / 1e6, event.count)
    return found


def kind_of(name: str) -> str:
    """The kind of work (a key of ``KINDS``, or ``OTHER``) that an operation's name tells of."""
    low = name.lower()
    return next((kind for kind, parts in KINDS.items() if any(part in low for part in parts)), OTHER)


def summary(found: dict[str, tuple[float, int]], seconds: float, file: Path, top: int = 3) -> str:
    """Kinds of work with their share of all own time, and under each its ``top`` operations; longest first."""
    kinds: dict[str, list[tuple[float, int, str]]] = {}
    for name, (own, calls) in found.items():
        kinds.setdefault(kind_of(name), []).append((own, calls, name))
    whole = sum(own for own, _ in found.values()) or 1.0
    lines = [f"profile: a step of {seconds:.2f} s, {whole:.2f} s of it in operations; trace: {file}"]
    for kind, rows in sorted(kinds.items(), key=lambda item: -sum(own for own, _, _ in item[1])):
        own = sum(own for own, _, _ in rows)
        lines.append(f"  {100 * own / whole:5.1f} %  {own:7.3f} s  {kind}")
        lines += [f"{'':11}{own:7.3f} s    {name} × {calls}" for own, calls, name in sorted(rows, reverse=True)[:top]]
    return "\n".join(lines)
