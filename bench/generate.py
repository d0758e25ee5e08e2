"""Generation and scoring: strop's engine against transformers, vLLM and llama.cpp, `make bench-generate`.

    python bench/generate.py [--shape NAME] [--data FILE.jsonl] [--vllm PYTHON] [--llama PYTHON --gguf FILE] [--json]

Shapes: ``groups``, 8 prompts × 8 samples at temperature 1; ``rows``, 64 prompts, greedy; ``one``, one row, greedy;
``many``, 256 prompts, greedy; all of 128 new tokens, whatever ends an answer else. ``choice``: 200 questions with four
answers of one token after a common beginning of 1,000 tokens; the tokens per second are those of the prompts, whether
they are computed or known.

The same prompts for all, as ids; weights in the machine's fastest number format; the allocator settings given to all;
prefill is included. Greedy answers are compared: ``same`` is the share of tokens that agree with strop's before the
first that differs. transformers pads on the left and gets all rows at once, and 8 for ``choice``; ``--batches`` tries
others, and the fastest counts. A program that is not there, or cannot do what a shape asks, is skipped with a word.
"""

from __future__ import annotations

import argparse
from itertools import pairwise
from pathlib import Path

from common.generation import alike, in_common
from common.results import ratios, show
from common.runs import ALLOCATOR, PEAK, Variant, compare, parse, parser

SHAPES = {"groups": (8, 8), "rows": (64, 1), "one": (1, 1), "many": (256, 1), "choice": (200, 1)}
COLUMNS = {
    "tokens_per_second": "tokens/s",
    "decoded_per_second": "decoding",
    "prefill_tokens_per_second": "prefill",
    "first_token_seconds": "first token s",
    "of_arithmetic": "of arithmetic",
    "of_memory": "of memory",
    "peak_memory_gb": "peak GB",
    "cores_busy": "cores",
    "same": "same",
}


def measure(given: argparse.Namespace, variant: Variant) -> dict:
    from common import generation_sides as sides

    if variant.side == "machine":
        return bounds(given)
    own = {"batch": variant.settings["batch"]} if "batch" in variant.settings else {}
    return getattr(sides, variant.side)(given, **own)


def bounds(given: argparse.Namespace) -> dict:
    """The least seconds that the shape can take, by arithmetic and by memory, with the speeds they are made of.

    2 FLOP per parameter, row and step (Kaplan et al. 2020), the head included, prompts and attention left out. A step
    reads the weights once, and the keys and values of each prompt and each answer as long as it is by then. ``choice``:
    what is computed once of every beginning, and the head for the last token of each prompt.
    """
    from common.arithmetic import measure_machine, read_speed
    from common.generation_sides import asked
    from common.models import make_model

    from strop.model.kv_cache import cache_shapes
    from strop.model.policy import Policy
    from strop.model.precision import best_compute

    found, compute, what = measure_machine(given), best_compute(), asked(given)
    body, head = found["flops_per_token"] / 3, found["flops_per_trained_token"] / 3
    weights = (body + head) / 2 * compute.dtype.itemsize
    shapes, dtype = cache_shapes(Policy(make_model(given.model, compute.dtype), compute))
    token = sum(heads * (keys + values) for heads, keys, values in shapes) * dtype.itemsize
    count, rows = what["max_tokens"], len(what["prompts"]) * what["group"]
    if what["choice"]:
        ordered = sorted(what["prompts"])
        known = sum(in_common(*pair) for pair in pairwise(ordered))
        flops, read = (sum(map(len, ordered)) - known) * body + rows * head, weights
    else:
        flops = rows * count * (body + head)
        read = count * (weights + (sum(map(len, what["prompts"])) + rows * count / 2) * token)
    speed = read_speed(round(weights))
    least = {"arithmetic": flops / found["matrix_peak"] / 1e9, "memory": read / speed / 1e9}
    return {**found, "read_speed": speed, **least}


def main() -> None:
    made = parser(__doc__)
    made.add_argument("--shape", choices=SHAPES, default="groups")
    made.add_argument("--prompts", type=int, help="prompts, where the shape's number is not wanted")
    made.add_argument("--max-tokens", type=int, default=128)
    made.add_argument("--batches", type=int, nargs="+", help="rows at a time that transformers is tried with")
    made.add_argument("--vllm", metavar="PYTHON", help="an interpreter that has vLLM, to measure that too")
    made.add_argument(
        "--llama", metavar="PYTHON", help="an interpreter that has llama-cpp-python, to measure llama.cpp"
    )
    made.add_argument("--gguf", type=Path, help="the same model in the same number format for llama.cpp")
    given = parse(made)
    count, given.group = SHAPES[given.shape]
    given.prompts = given.prompts or count
    if given.smoke:
        given.prompts, given.max_tokens = 4, 8
    shape = {"shape": given.shape, "prompts": given.prompts, "max_tokens": given.max_tokens}
    variants = {PEAK: Variant("machine"), "strop": Variant("strop", shape)}
    for batch in given.batches or [8 if given.shape == "choice" else given.prompts * given.group]:
        name = f"transformers, {batch} at a time" if given.batches else "transformers"
        variants[name] = Variant("transformers", {**shape, "batch": batch}, ALLOCATOR)
    variants["transformers, continuous"] = Variant("continuous", shape, ALLOCATOR)
    if given.vllm:
        variants["vLLM"] = Variant("vllm", shape, ALLOCATOR)
    if given.llama:
        variants["llama.cpp"] = Variant("llama", shape, ALLOCATOR)
    results = compare(given, variants, measure)
    machine = results.pop(PEAK)
    mine = results.get("strop", {}).get("answers")
    for row in results.values():
        row["of_arithmetic"] = row["fraction_of_peak"] = machine["arithmetic"] / row["seconds_per_step"]
        row["of_memory"] = machine["memory"] / row["seconds_per_step"]
        row["matrix_peak_gflops"] = machine["matrix_peak"]
        if (answers := row.pop("answers", None)) and mine:
            row["same"] = alike(mine, answers)
    found = ratios(results, "strop")
    extra = {"shape": given.shape, "matrix peak, GFLOP/s": machine["matrix_peak"]}
    extra |= {"reading, GB/s": machine["read_speed"], "ratios": found}
    for key, name in {"transformers": "transformers", "vllm": "vLLM", "llama_cpp": "llama.cpp"}.items():
        with_it = [ratio for pair, ratio in found.items() if pair.startswith(f"strop / {name}")]
        extra[f"ratio_vs_{key}"] = min(with_it, default=None)  # to the fastest of its variants
    mine = results.get("strop", {})
    extra["fraction_of_bound"] = max((mine[key] for key in ("of_arithmetic", "of_memory") if key in mine), default=None)
    show("generate", given, results, variants, COLUMNS, extra | {"skipped": given.skipped})


if __name__ == "__main__":
    main()
