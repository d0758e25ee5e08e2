"""Supervised fine-tuning: strop against TRL's SFTTrainer, `make bench-sft`.

    python bench/sft.py [--data FILE.jsonl] [--model M] [--rounds N] [--search] [--only VARIANT] [--json]

One optimiser step after another, each on other sequences, the same token ids and mask for all. "TRL best" is the
fastest of TRL's settings in the same run; the allocator settings are given to both sides.
"""

from __future__ import annotations

import argparse
import importlib.util

from common.machine import fast_bfloat16
from common.results import add_arithmetic, ratios, show
from common.runs import ALLOCATOR, PEAK, Variant, compare, parse, parser

BF16 = {"bf16": fast_bfloat16(), "gradient_checkpointing": False}
LORA = {"lora": {"r": 16}}


def trl(batch: int, **settings) -> Variant:
    return Variant("trl", {**BF16, "per_device_train_batch_size": batch, **settings}, ALLOCATOR)


VARIANTS = {
    PEAK: Variant("machine"),
    "strop": Variant("strop"),
    "strop LoRA": Variant("strop", LORA),
    "strop 8-bit AdamW": Variant("strop", {"optimizer": "adamw_8bit"}),
    "strop compact": Variant("strop", {"optimizer": "adamw_8bit", "gradient_checkpointing": True}),
    "TRL one at a time": trl(1),
    "TRL two by length": trl(2, train_sampling_strategy="group_by_length"),
    "TRL LoRA": trl(1, **LORA),
    "TRL defaults": Variant("trl"),
}
SEARCH = {  # found slower on CPUs (bench/README.md); --search tries them again
    "TRL two at a time": trl(2),
    "TRL four by length": trl(4, train_sampling_strategy="group_by_length"),
    "TRL packing": trl(1, packing=True, max_length=1024),
    "TRL padding-free": trl(2, padding_free=True, max_length=None),
}
if importlib.util.find_spec("liger_kernel"):  # a GPU's
    VARIANTS["TRL + Liger"] = trl(1, use_liger_kernel=True, packing=True, max_length=2048)
COLUMNS = {
    "tokens_per_second": "tokens/s",
    "trained_tokens_per_second": "trained/s",
    "peak_memory_gb": "peak GB",
    "achieved_gflops": "GFLOP/s",
    "fraction_of_peak": "of peak",
    "cores_busy": "cores",
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


def trl_best(results: dict) -> str | None:
    """The fastest of TRL's settings for full fine-tuning in this run."""
    rates = {n: row["tokens_per_second"] for n, row in results.items() if n.startswith("TRL") and n != "TRL LoRA"}
    return max(rates, key=rates.get, default=None)


def main() -> None:
    made = parser(__doc__)
    made.add_argument("--search", action="store_true", help="more of TRL's settings")
    given = parse(made)
    variants = {**VARIANTS, **(SEARCH if given.search or given.smoke else {})}
    results = compare(given, variants, measure)
    machine = results.pop(PEAK)
    add_arithmetic(results, machine, variants)
    extra = {
        "matrix products, GFLOP/s": {k: v for k, v in machine.items() if "flops_per" not in k},
        "ratios": ratios(results, "strop"),
        "peak memory ratios": ratios(results, "strop", "peak_memory_gb"),
    }
    best = trl_best(results)
    if best and "strop" in results:
        extra["TRL best"] = best
        extra["ratios"]["strop / TRL best"] = extra["ratios"][f"strop / {best}"]
        extra["peak memory ratios"]["strop / TRL best"] = extra["peak memory ratios"][f"strop / {best}"]
    show("sft", given, results, variants, COLUMNS, extra)


if __name__ == "__main__":
    main()
