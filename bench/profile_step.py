"""Where the time of one training step goes: `make profile-step`.

    python bench/profile_step.py [--data FILE.jsonl] [--model M] [--trace FILE.json] [--smoke]

One step of strop's SFT after the warm-up, under torch's profiler. Each operation is booked once, with its own time,
under the first of these that it is a part of: attention, head, optimiser; else by what it does itself. On a GPU that is
the time of the kernels that it has started. The profiler slows small operations down a little, so shares are to be read
and not times.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from common.runs import parse, parser

INSIDE = {  # words in the name of an operation or of one that it is a part of
    "attention": ("attention", "attn"),
    "head": ("headstatistics", "head_statistics", "log_softmax", "logsumexp", "nll_loss"),
    "optimiser": ("optimizer.step", "adam", "muon", "adafactor", "clip_grad", "_foreach", "linalg_vector_norm"),
}
ITSELF = {
    "matrix products": ("mm", "linear", "gemm", "cublas", "nvjet"),
    "copies": ("copy", "cat", "index", "contiguous", "memcpy", "embedding", "gather", "zero_", "fill_"),
}


def main() -> None:
    made = parser(__doc__)
    made.add_argument("--trace", type=Path, help="write a trace for chrome://tracing or ui.perfetto.dev")
    given = parse(made)
    from common.data import examples
    from common.strop_side import Clocked, packed, run
    from torch.profiler import ProfilerActivity, profile

    class Profiled(Clocked):
        """Starts the profiler where the first timed step starts, and stops it where that ends."""

        def next_step(self):
            if len(self.times) == self.warmup + 1:
                profiler.stop()
            step = super().next_step()
            if len(self.times) == self.warmup + 1:
                profiler.start()
            return step

    given.steps = 1
    profiler = profile(activities=list({ProfilerActivity.CPU, *_cuda(ProfilerActivity)}))
    run(given, packed(given, examples(given)), {}, clock=Profiled)
    if given.trace:
        profiler.export_chrome_trace(str(given.trace))
    show(profiler)


def _cuda(activity) -> list:
    import torch

    return [activity.CUDA] if torch.cuda.is_available() else []


def show(profiler) -> None:
    """Print the groups, and the ten operations that took longest."""
    from rich.console import Console
    from rich.table import Table
    from torch.autograd import DeviceType

    groups: Counter[str] = Counter()
    operations: Counter[tuple[str, str]] = Counter()
    events = [event for event in profiler.events() if event.device_type == DeviceType.CPU]
    on_device = any(event.self_device_time_total for event in events)  # of the kernels that an operation has started
    for event in events:
        took = event.self_device_time_total if on_device else event.self_cpu_time_total  # microseconds
        group = group_of(event)
        groups[group] += took
        operations[group, event.name] += took
    whole = sum(groups.values()) or 1
    for title, rows in (
        ("share of the step", groups.most_common()),
        ("the ten largest operations", [(f"{n} ({g})", t) for (g, n), t in operations.most_common(10)]),
    ):
        table = Table("", title, "ms")
        for name, took in rows:
            table.add_row(name, f"{took / whole:.1%}", f"{took / 1000:,.1f}")
        Console(width=110).print(table)


def group_of(event) -> str:
    names = []
    above = event
    while above is not None:
        names.append(above.name.lower())
        above = above.cpu_parent
    for group, words in INSIDE.items():
        if any(word in name for name in names for word in words):
            return group
    for group, words in ITSELF.items():
        if any(word in names[0] for word in words):
            return group
    return "elementwise and the rest"


if __name__ == "__main__":
    main()
