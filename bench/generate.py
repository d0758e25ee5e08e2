"""Greedy generation: strop's engine against transformers' `generate`, `make bench-generate`.

    python bench/generate.py [--data FILE.jsonl] [--prompts N] [--max-tokens N] [--json] [--smoke]

The same prompts, weights in the machine's fastest number format, the allocator settings given to both; prefill is
included. Only tokens up to and including the stop token count. transformers pads on the left, in one batch of all
prompts.
"""

from __future__ import annotations

import argparse

from common.results import ratios, show
from common.runs import ALLOCATOR, Variant, compare, parse, parser

VARIANTS = {"strop": Variant("strop"), "transformers": Variant("transformers", {}, ALLOCATOR)}
COLUMNS = {
    "tokens_per_second": "tokens/s",
    "tokens_per_step": "new tokens",
    "peak_memory_gb": "peak GB",
    "cores_busy": "cores",
}


def prompts_and_stop(given: argparse.Namespace) -> tuple[list[list[int]], frozenset[int]]:
    from common.models import RANDOM

    if given.model in RANDOM:
        from common.data import random_examples

        made = random_examples(given.prompts, 64, RANDOM[given.model]["vocab_size"])
        return [e.tokens for e in made], frozenset({2})
    from common.data import conversations

    from strop.chat import ChatEncoder, ChatSettings, parse_conversation
    from strop.model.names import load_tokenizer

    encoder = ChatEncoder(load_tokenizer(given.model), ChatSettings())
    rows = conversations(given.data, given.prompts)
    messages = [parse_conversation(row, f"row {i}").messages for i, row in enumerate(rows)]
    return [encoder.prompt(m[:-1]) for m in messages], frozenset(encoder.stop_ids)


def measure(given: argparse.Namespace, variant: Variant) -> dict:
    from common.clock import now, rates
    from common.models import make_model

    from strop.model.precision import best_compute

    prompts, stop = prompts_and_stop(given)
    generate = (_ours if variant.side == "strop" else _theirs)(given, prompts, stop, best_compute(), make_model)
    generate(8)  # warm-up: a few tokens for all
    started = now()
    tokens = generate(given.max_tokens)
    return rates(tokens, 0, started, now(), 1)


def _ours(given, prompts, stop, compute, make_model):
    from strop.model.memory import keep_freed_memory
    from strop.model.policy import Policy
    from strop.rollout.engine import SamplingParams
    from strop.rollout.torch_engine import TorchEngine

    keep_freed_memory()
    engine = TorchEngine(Policy(make_model(given.model, compute.dtype), compute), stop)

    def generate(count: int) -> int:
        return sum(len(r.tokens) for r in engine.generate(prompts, SamplingParams(max_tokens=count)))

    return generate


def _theirs(given, prompts, stop, compute, make_model):
    import torch

    model = make_model(given.model, compute.dtype)
    width = max(map(len, prompts))
    ids = torch.tensor([[0] * (width - len(p)) + p for p in prompts], device=compute.device)
    mask = torch.tensor([[0] * (width - len(p)) + [1] * len(p) for p in prompts], device=compute.device)
    stops = torch.tensor(sorted(stop), device=compute.device)

    def generate(count: int) -> int:
        settings = {"do_sample": False, "eos_token_id": sorted(stop), "pad_token_id": 0}
        new = model.generate(ids, attention_mask=mask, max_new_tokens=count, **settings)[:, width:]
        ended = torch.isin(new, stops)
        return int((ended.cumsum(1) - ended.long() == 0).sum())

    return generate


def main() -> None:
    made = parser(__doc__)
    made.add_argument("--prompts", type=int, default=64)
    made.add_argument("--max-tokens", type=int, default=128)
    given = parse(made)
    if given.smoke:
        given.prompts, given.max_tokens = 4, 8
    results = compare(given, VARIANTS, measure)
    extra = {"ratios": ratios(results, "strop")}
    show("generate", given, results, VARIANTS, COLUMNS, extra)


if __name__ == "__main__":
    main()
