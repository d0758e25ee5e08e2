"""Tokens per second of one training step, part by part: `python bench/train_speed.py [rounds]`.

Three variants take turns in fresh processes: strop as it is, strop with torch's fused CPU attention per sequence in
place of its own, and strop without the allocator setting. Prints medians and ratios.
"""

import json
import statistics
import subprocess
import sys
import time

VARIANTS = ("strop", "fused attention", "default allocator")


def measure(variant: str) -> float:
    """Median tokens per second of four steps after one warm-up step."""
    import torch

    from strop.chat import ChatEncoder, parse_conversation
    from strop.data.batch import make_batch
    from strop.model.attention import FlatLayout
    from strop.model.memory import keep_freed_memory
    from strop.model.names import load_model, load_tokenizer
    from strop.model.policy import Policy
    from strop.model.precision import best_compute
    from strop.objectives.sft import CrossEntropy
    from strop.tasks.code_basics import generate
    from strop.train.loop import optimizer_step
    from strop.train.optim import make_optimizer
    from strop.train.settings import TrainSettings

    if variant != "default allocator":
        keep_freed_memory()
    if variant == "fused attention":
        FlatLayout.attend = lambda self, layer, q, k, v, scale: self._per_sequence(q, k, v, scale)
    encoder = ChatEncoder(load_tokenizer("smollm2-135m"))
    rows = [{"messages": r.messages()} for r in generate("train", 10, 0)]
    batch = make_batch([encoder.encode(parse_conversation(row, "bench")) for row in rows])
    policy = Policy(load_model("smollm2-135m"), best_compute())
    policy.train()
    optimizer = make_optimizer(policy, TrainSettings(learning_rate=1e-6))
    times = []
    for _ in range(5):
        started = time.perf_counter()
        optimizer_step(policy, CrossEntropy(), optimizer, [batch], 1.0)
        times.append(time.perf_counter() - started)
    torch.set_num_threads(1)
    return len(batch.tokens) / statistics.median(times[1:])


def main() -> None:
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 3
    results: dict[str, list[float]] = {v: [] for v in VARIANTS}
    for _ in range(rounds):
        for variant in VARIANTS:
            out = subprocess.run(
                [sys.executable, __file__, "--one", variant], capture_output=True, text=True, check=True
            )
            results[variant].append(json.loads(out.stdout.splitlines()[-1]))
    base = statistics.median(results["strop"])
    for variant, values in results.items():
        median = statistics.median(values)
        speeds = [round(v) for v in values]
        print(f"{variant:20} {median:6.0f} tokens/s   strop is {base / median:.2f} times as fast   {speeds}")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--one"]:
        print(json.dumps(measure(sys.argv[2])))
    else:
        main()
