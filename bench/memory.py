"""Peak memory, and what a token costs as steps, rows and vocabularies grow: `make bench-memory`.

    python bench/memory.py [--data FILE.jsonl] [--rounds N] [--only VARIANT] [--json] [--smoke]

- *step*: tokens per optimiser step from 1k to 64k; neither memory nor the cost of a token should grow.
- *rows*: tokens per flat row (``micro_batch_tokens``), which is what memory does grow with.
- *vocabulary*: a model of two layers whose head has 32k to 256k rows; the cost should grow as the arithmetic does, so
  GFLOP/s should stay.
- TRL at its best settings, and strop's settings that save memory.
"""

from __future__ import annotations

import argparse

from common.machine import fast_bfloat16
from common.results import add_arithmetic, show
from common.runs import ALLOCATOR, PEAK, Variant, compare, parse, parser

TRL = {"bf16": fast_bfloat16(), "gradient_checkpointing": False, "per_device_train_batch_size": 1}
SMALL = {"num_hidden_layers": 2, "hidden_size": 576, "intermediate_size": 1536}
SMALL |= {"num_attention_heads": 9, "num_key_value_heads": 3}
STEPS = (1, 4, 16, 64)
VOCABULARIES = (32, 64, 128, 256)
VARIANTS = {
    PEAK: Variant("machine"),
    **{f"step {k}k": Variant("strop", {"step_tokens": k << 10}) for k in STEPS},
    **{f"rows {k}k": Variant("strop", {"row_tokens": k << 10}) for k in (1, 4, 8)},
    "gradient checkpointing": Variant("strop", {"gradient_checkpointing": True}),
    "compact (8-bit AdamW)": Variant("strop", {"optimizer": "adamw_8bit"}),
    "compact (Adafactor)": Variant("strop", {"optimizer": "adafactor"}),
    "LoRA": Variant("strop", {"lora": {"r": 16}}),
    **{f"vocabulary {k}k": Variant("strop", {"vocabulary": k << 10, "step_tokens": 8 << 10}) for k in VOCABULARIES},
    "TRL step 1k": Variant("trl", {**TRL, "step_tokens": 1 << 10}, ALLOCATOR),
    "TRL step 16k": Variant("trl", {**TRL, "step_tokens": 16 << 10}, ALLOCATOR),
}
COLUMNS = {
    "tokens_per_step": "tokens/step",
    "peak_memory_gb": "peak GB",
    "tokens_per_second": "tokens/s",
    "microseconds_per_token": "µs/token",
    "achieved_gflops": "GFLOP/s",
    "fraction_of_peak": "of peak",
    "cores_busy": "cores",
}


def measure(given: argparse.Namespace, variant: Variant) -> dict:
    if variant.side == "machine":
        from common.arithmetic import measure_machine

        return measure_machine(given)
    from common.data import examples, random_examples

    settings = dict(variant.settings)
    vocabulary = settings.pop("vocabulary", 0)
    data = random_examples(given.rows, 220, vocabulary) if vocabulary else examples(given)
    tokens = settings.pop("step_tokens", 0)
    if tokens and not given.smoke:
        batch = max(2, round(tokens * len(data) / sum(len(e.tokens) for e in data)))
        given = changed(given, batch=batch, steps=max(1, 8192 // tokens))
    if variant.side == "trl":
        from common.trl_side import sft

        return sft(given, data, settings)
    from common.strop_side import packed, run

    given = changed(given, micro_batch_tokens=settings.pop("row_tokens", given.micro_batch_tokens))
    if vocabulary:
        given = changed(given, model="tiny")
        settings["model"] = {**SMALL, "vocab_size": vocabulary}
    found = run(given, packed(given, data), settings, warmup_rows=4)
    if vocabulary:  # its own arithmetic: a body of two layers, a head of many rows
        from common.arithmetic import needed
        from common.models import make_model

        found |= needed(make_model("tiny", **settings["model"]))
    return found


def changed(given: argparse.Namespace, **values) -> argparse.Namespace:
    return argparse.Namespace(**{**vars(given), **values})


def main() -> None:
    given = parse(parser(__doc__, warmup=1, steps=2, rounds=2))
    variants = VARIANTS
    if given.smoke:
        names = (PEAK, "step 1k", "compact (8-bit AdamW)", "TRL step 1k")
        variants = {name: VARIANTS[name] for name in names}
    results = compare(given, variants, measure)
    machine = results.pop(PEAK)
    for name, row in results.items():
        row["microseconds_per_token"] = 1e6 / row["tokens_per_second"]
        own = {key: row.pop(key) for key in ("flops_per_token", "flops_per_trained_token") if key in row}
        add_arithmetic({name: row}, {**machine, **own}, variants)
    show("memory", given, results, variants, COLUMNS, {"relative to the first": relative(results)})


def relative(results: dict) -> dict[str, float]:
    """Cost of a token over that of the smallest: by tokens per step; for vocabularies, per counted FLOP."""
    found = {}
    for kind, key in (("step", "tokens_per_second"), ("vocabulary", "achieved_gflops")):
        rows = {name: row for name, row in results.items() if name.startswith(kind)}
        first = next(iter(rows.values()), {}).get(key)
        found |= {name: round(first / row[key], 3) for name, row in rows.items()}
    return found


if __name__ == "__main__":
    main()
