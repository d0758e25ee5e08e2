"""Tokens per second of greedy generation: `python bench/generate_speed.py [prompts] [max_tokens]`.

strop's engine against transformers `generate` (left padding, bfloat16 weights), on the same prompts in one process,
taking turns; the same allocator setting for both. Only tokens up to and including the stop token count.
"""

import statistics
import sys
import time

import torch

from strop.chat import ChatEncoder
from strop.evals.tasks import code_basics_task
from strop.model.memory import keep_freed_memory
from strop.model.names import load_model, load_tokenizer
from strop.model.policy import Policy
from strop.model.precision import best_compute
from strop.rollout.engine import SamplingParams
from strop.rollout.torch_engine import TorchEngine


def main() -> None:
    count, max_tokens = (int(a) for a in (sys.argv[1:3] + ["64", "128"][len(sys.argv) - 1 :]))
    keep_freed_memory()
    compute = best_compute()
    tokenizer = load_tokenizer("smollm2-135m")
    encoder = ChatEncoder(tokenizer)
    prompts = [encoder.prompt(item.messages) for item in code_basics_task(count, 1).items]
    engine = TorchEngine(Policy(load_model("smollm2-135m"), compute), frozenset(encoder.stop_ids))
    peer = load_model("smollm2-135m", dtype=compute.dtype)
    width = max(map(len, prompts))
    padded = torch.tensor([[0] * (width - len(p)) + p for p in prompts])
    mask = torch.tensor([[0] * (width - len(p)) + [1] * len(p) for p in prompts])

    def ours() -> int:
        return sum(len(r.tokens) for r in engine.generate(prompts, SamplingParams(max_tokens=max_tokens)))

    def theirs() -> int:
        out = peer.generate(padded, attention_mask=mask, max_new_tokens=max_tokens, do_sample=False)[:, width:]
        ended = (out == tokenizer.eos_token_id).cumsum(1)
        return int((ended - (out == tokenizer.eos_token_id).long() == 0).sum())

    speeds: dict[str, list[float]] = {"strop": [], "transformers": []}
    for _ in range(3):
        for name, run in (("strop", ours), ("transformers", theirs)):
            started = time.perf_counter()
            tokens = run()
            speeds[name].append(tokens / (time.perf_counter() - started))
    medians = {name: statistics.median(values) for name, values in speeds.items()}
    for name, median in medians.items():
        print(f"{name:14} {median:6.0f} tokens/s, prefill included   {[round(v) for v in speeds[name]]}")
    print(f"strop is {medians['strop'] / medians['transformers']:.2f} times as fast")


if __name__ == "__main__":
    main()
