"""Shared prefixes: what computing a prompt once per group saves, and TRL's DPOTrainer, `make bench-dpo`.

    python bench/dpo.py [--rounds N] [--only VARIANT] [--json] [--smoke]

Pairs: prompts three times as long as answers, the DPO loss, log-probabilities of the reference given (precomputed, in
TRL too). Groups of 8: prompts twice as long as answers, log-probabilities of all answers with a backward pass, as a
policy gradient needs them. Random token ids: what is written plays no part. Tokens are those of the examples written
out in full, whoever shares them, so ratios of tokens/s are ratios of time.
"""

from __future__ import annotations

import argparse

from common.results import add_arithmetic, ratios, show
from common.runs import ALLOCATOR, PEAK, Variant, compare, parse, parser

PAIRS = {"group": 2, "prompt": 3}
GROUPS = {"group": 8, "prompt": 2}
VARIANTS = {
    PEAK: Variant("machine"),
    "pairs, shared": Variant("strop", {**PAIRS, "share": True}),
    "pairs, not shared": Variant("strop", {**PAIRS, "share": False}),
    "pairs, TRL": Variant("trl", PAIRS, ALLOCATOR),
    "groups of 8, shared": Variant("strop", {**GROUPS, "share": True}),
    "groups of 8, not shared": Variant("strop", {**GROUPS, "share": False}),
}
COLUMNS = {
    "tokens_per_second": "tokens/s",
    "computed_tokens_per_second": "computed/s",
    "seconds_per_step": "s/step",
    "peak_memory_gb": "peak GB",
    "achieved_gflops": "GFLOP/s",
    "fraction_of_peak": "of peak",
    "cores_busy": "cores",
}


def groups_of(given: argparse.Namespace, group: int, prompt: int) -> list[list]:
    """Groups of examples with one prompt, ``prompt`` times as long as the answers are on average (60 to 120 tokens)."""
    import numpy as np
    from common.data import Tokens
    from common.models import RANDOM

    vocabulary = RANDOM[given.model]["vocab_size"] if given.model in RANDOM else 1000
    draw = np.random.default_rng(0)
    short, long = (8, 16) if given.smoke else (60, 120)
    made = []
    for _ in range(given.rows):
        answers = [draw.integers(3, vocabulary, int(draw.integers(short, long + 1))).tolist() for _ in range(group)]
        start = draw.integers(3, vocabulary, round(prompt * sum(map(len, answers)) / group)).tolist()
        for i, answer in enumerate(answers):
            answer[0] = 3 + i  # the common prefix is the prompt and no more
        made.append([Tokens(start + a, [0.0] * len(start) + [1.0] * len(a)) for a in answers])
    return made


def measure(given: argparse.Namespace, variant: Variant) -> dict:
    if variant.side == "machine":
        from common.arithmetic import measure_machine

        return measure_machine(given)
    group, prompt = variant.settings["group"], variant.settings["prompt"]
    groups = groups_of(given, group, prompt)
    per_step = max(1, given.batch // group)
    if variant.side == "trl":
        from common.trl_side import dpo

        return dpo(given, groups, per_step)
    return _ours(given, groups, per_step, variant.settings["share"])


def _ours(given: argparse.Namespace, groups: list[list], per_step: int, share: bool) -> dict:
    from common.strop_side import GroupSource, run

    from strop.data.prefixes import common_prefix, make_group_batch
    from strop.objectives.preference import preference_objective
    from strop.objectives.preference_settings import PreferenceLossSettings

    pairs = len(groups[0]) == 2

    def make(chosen: list[list]):
        if not pairs:
            return make_group_batch(chosen, share)
        numbers = {
            "pair": [[float(i)] * 2 for i in range(len(chosen))],
            "preferred": [[1.0, -1.0] for _ in chosen],
        }
        reference = [[[-2.0] * len(e.tokens) for e in group] for group in chosen]
        return make_group_batch(chosen, share, {"ref_logprobs": reference}, numbers)

    def length(group: list) -> int:
        saved = (len(group) - 1) * common_prefix(group) if share else 0
        return sum(len(e.tokens) for e in group) - saved

    longest = max(sum(len(e.tokens) for e in group) for group in groups)
    source = GroupSource(groups, per_step, max(given.micro_batch_tokens, longest), make, length)
    objective = preference_objective(PreferenceLossSettings()) if pairs else None
    found = run(given, source, {}, objective)
    computed = found["tokens_per_second"]
    timed = [groups[i % len(groups)] for i in range(given.warmup * per_step, (given.warmup + given.steps) * per_step)]
    written = sum(len(e.tokens) for group in timed for e in group)
    seconds = found["seconds_per_step"] * given.steps
    return {**found, "tokens_per_second": written / seconds, "computed_tokens_per_second": computed}


def main() -> None:
    given = parse(parser(__doc__))
    given.rows = 12 if given.smoke else min(given.rows, 200)
    results = compare(given, VARIANTS, measure)
    machine = results.pop(PEAK)
    add_arithmetic(results, machine, VARIANTS)
    pairs = {name: row for name, row in results.items() if name.startswith("pairs")}
    groups = {name: row for name, row in results.items() if name.startswith("groups")}
    extra = {"ratios": {**ratios(pairs, "pairs, shared"), **ratios(groups, "groups of 8, shared")}}
    show("dpo", given, results, VARIANTS, COLUMNS, extra, data="random ids")


if __name__ == "__main__":
    main()
