"""Pairs that can be told apart by one letter: how many of the held-out ones each preference method gets right.

Prompts of random letters; a chosen answer begins with one of two letters, a rejected one with one of two others, and
letters without a meaning follow. Each method is a stage of a recipe, as a user has it, on a new model of two layers.
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from random import Random
from typing import Any

from rich.console import Console

from strop.config.recipe import Recipe
from strop.runs.pipeline import run_recipe

ACCURATE = 0.95
PAIRS = 160
HELD_OUT = 0.25
CHARACTERS = Path(__file__).parents[2] / "recipes/characters"
MODEL = {
    "model_type": "llama",
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 4,
    "max_position_embeddings": 128,
    "tie_word_embeddings": True,
}
METHODS = {
    "dpo": ("preference", {"type": "dpo"}),
    "simpo": ("preference", {"type": "simpo"}),
    "kto": ("preference", {"type": "kto"}),
    "reward model": ("reward_model", {}),
}
"""Kind of stage and its objective."""


def pairs(seed: int) -> list[dict[str, str]]:
    random = Random(f"toy pairs {seed}")

    def letters(few: int, many: int) -> str:
        return "".join(random.choices("abcdefgh", k=random.randint(few, many)))

    return [
        {
            "prompt": f"{letters(3, 6)}{number}",
            "chosen": random.choice("uv") + letters(2, 5),
            "rejected": random.choice("xy") + letters(2, 5),
        }
        for number in range(PAIRS)
    ]


def accuracy(method: str, seed: int) -> float:
    """Of held-out pairs (KTO: of answers, half of them wanted), after three epochs of 120."""
    kind, objective = METHODS[method]
    rows: list[dict[str, Any]] = pairs(seed)
    if objective.get("type") == "kto":
        rows = [
            {"prompt": row["prompt"], "completion": row[name], "label": name == "chosen"}
            for row in rows
            for name in ("chosen", "rejected")
        ]
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "rows.jsonl"
        file.write_text("".join(json.dumps(row) + "\n" for row in rows))
        recipe = Recipe(
            name="pairs",
            model={"new": MODEL, "tokenizer": str(CHARACTERS), "seed": seed},
            folder=Path(folder) / "run",
            compute={"device": "cpu", "dtype": "float32"},
            stages={
                "pairs": {
                    "kind": kind,
                    "data": [{"path": str(file)}],
                    "eval_data": {"fraction": HELD_OUT, "seed": seed},
                    "train": {"learning_rate": 3e-3, "epochs": 3, "global_batch_size": 16, "seed": seed},
                    **({"objective": objective} if objective else {}),
                }
            },
        )
        facts = run_recipe(recipe, Console(quiet=True))["facts"]["pairs"]
    said = facts["accuracy"] if kind == "reward_model" else facts["reward accuracy"].split("→ ")[1]
    return float(said.split()[0])
