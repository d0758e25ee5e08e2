"""Supervised fine-tuning: strop against TRL's SFTTrainer, `make bench-sft`.

    python bench/sft.py [--data FILE.jsonl] [--model M] [--rounds N] [--only VARIANT] [--json] [--smoke]

One optimiser step after another, each on other sequences, the same token ids and mask for all. "TRL best" are the
settings that were fastest in a search (bench/README.md); the allocator settings are given to both sides.
"""

from __future__ import annotations

import argparse
import importlib.util

from common.results import add_arithmetic, ratios, show
from common.runs import ALLOCATOR, PEAK, Variant, compare, parse, parser

BF16 = {"bf16": True, "gradient_checkpointing": False}
LORA = {"lora": {"r": 16}}
BY_LENGTH = {**BF16, "per_device_train_batch_size": 8, "train_sampling_strategy": "group_by_length"}
VARIANTS = {
    PEAK: Variant("machine"),
    "strop": Variant("strop"),
    "strop LoRA": Variant("strop", LORA),
    "strop compact": Variant("strop", {"optimizer": "adamw_8bit"}),
    "TRL best": Variant("trl", {**BF16, "per_device_train_batch_size": 2}, ALLOCATOR),
    "TRL best, by length": Variant("trl", BY_LENGTH, ALLOCATOR),
    "TRL packing": Variant(
        "trl", {**BF16, "per_device_train_batch_size": 1, "packing": True, "max_length": 1024}, ALLOCATOR
    ),
    "TRL LoRA": Variant("trl", {**BF16, "per_device_train_batch_size": 2, **LORA}, ALLOCATOR),
    "TRL defaults": Variant("trl"),
}
if importlib.util.find_spec("liger_kernel"):  # a GPU's
    VARIANTS["TRL + Liger"] = Variant(
        "trl", {**BF16, "use_liger_kernel": True, "packing": True, "max_length": 2048, "per_device_train_batch_size": 1}
    )
COLUMNS = {
    "tokens_per_second": "tokens/s",
    "trained_tokens_per_second": "trained/s",
    "peak_memory_gb": "peak GB",
    "achieved_gflops": "GFLOP/s",
    "fraction_of_peak": "of peak",
}


def measure(given: argparse.Namespace, variant: Variant) -> dict:
    if variant.side == "machine":
        from common.arithmetic import measure_machine

        return measure_machine(given)
    from common.data import examples

    if variant.side == "trl":
        from common.trl_side import sft

        return sft(given, examples(given), variant.settings)
    from common.strop_side import packed, run

    return run(given, packed(given, examples(given)), variant.settings)


def main() -> None:
    given = parse(parser(__doc__))
    results = compare(given, VARIANTS, measure)
    machine = results.pop(PEAK)
    add_arithmetic(results, machine, VARIANTS)
    extra = {
        "matrix products, GFLOP/s": {k: v for k, v in machine.items() if "flops_per" not in k},
        "ratios": ratios(results, "strop"),
        "peak memory ratios": ratios(results, "strop", "peak_memory_gb"),
    }
    show("sft", given, results, VARIANTS, COLUMNS, extra)


if __name__ == "__main__":
    main()
