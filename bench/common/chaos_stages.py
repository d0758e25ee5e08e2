"""What `make chaos` runs: a recipe for each stage, small enough for a second or two, with all that has a state."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from common.machine import ROOT

NAME = "small"
MODEL = {
    "new": {
        "model_type": "llama",
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 2048,
        "initializer_range": 0.2,
    },
    "tokenizer": str(ROOT / "src/strop/recipes/characters"),
    "seed": 3,
}
PLUGIN = '''
from typing import ClassVar, Literal

from strop.environments.base import Environment, Observation, register


@register("again")
class Again(Environment):
    """Asks once more, and rewards long turns."""

    kind: Literal["again"]
    rewards: ClassVar[bool] = True

    def step(self, turn):
        if turn.number == 2:
            return Observation(reward=0.5, done=True)
        return Observation([{"role": "user", "content": "And again?"}], reward=len(turn.text) / 100)
'''
REWARD = "def vowels(samples):\n    return [sum(c in 'aeiou' for c in s.answer) for s in samples]\n"
EVALS = {"general_chat": {"count": 3}}
TRAIN = {
    "global_batch_size": 4,
    "micro_batch_tokens": 1024,
    "learning_rate": 1e-2,
    "checkpoint_every": 2,
    "keep_checkpoints": 2,
}


@dataclass(frozen=True)
class Chaotic:
    """A recipe to be killed: ``stage`` is the one that trains, ``files`` are its data by name."""

    stage: str
    given: dict[str, Any]
    files: dict[str, str]
    recipe: dict[str, Any] = field(default_factory=dict)

    def write(self, folder: Path, model: Path) -> None:
        """Recipe, data and plug-ins into ``folder``, from where `strop run recipe.yaml` is called."""
        folder.mkdir(parents=True)
        for name, text in self.files.items():
            (folder / name).write_text(text)
        stages = {self.stage: self.given, "after": {"kind": "eval"}}
        recipe = {"name": NAME, "model": str(model), "compute": {"dtype": "float32"}, "evals": EVALS, "stages": stages}
        (folder / "recipe.yaml").write_text(yaml.safe_dump(recipe | self.recipe, sort_keys=False))


def _lines(rows: list[Any]) -> str:
    return "".join(json.dumps(row) + "\n" for row in rows)


_CHAT = {"chat.jsonl": _lines([{"prompt": f"Say {i}.", "completion": str(i)} for i in range(16)])}
_PAIRS = [{"prompt": f"Say {i}.", "chosen": str(i), "rejected": str(i + 1)} for i in range(16)]
_MEASURED = {"eval_every": 3, "tasks": ["general_chat"], "tasks_every": 4}


def _tuned(kind: str, data: str, train: dict[str, Any], **more: Any) -> dict[str, Any]:
    train = {**TRAIN, "epochs": 2, **train}
    return {"kind": kind, "data": [data], "eval_data": {"fraction": 0.2}, "train": train, **more}


def _grpo(staleness: int) -> Chaotic:
    rollout = {"prompts_per_step": 2, "group_size": 4, "max_tokens": 60, "keep_every": 1, "staleness": staleness}
    given = {
        "kind": "rl",
        "data": ["asked.jsonl"],
        "environment": {"kind": "again", "weight": 0.5},
        "rollout": rollout,
        "rewards": {"vowels": {"kind": "function", "function": "reward.py:vowels", "weight": 0.1}},
        "objective": {"kl_coef": 0.05},
        "train": {
            "max_steps": 5,
            "micro_batch_tokens": 1024,
            "learning_rate": 1e-3,
            "checkpoint_every": 1,
            "keep_checkpoints": 2,
            "tasks": ["general_chat"],
            "tasks_every": 3,
        },
    }
    asked = _lines([{"prompt": f"Say something about {what}."} for what in ("tea", "rain", "bread", "iron")])
    files = {"asked.jsonl": asked, "again.py": PLUGIN, "reward.py": REWARD}
    return Chaotic("rl", given, files, {"plugins": ["again.py"]})


def _pretrain() -> Chaotic:
    text = [{"text": " ".join(f"{word} {number}" for number in range(9))} for word in ("tea", "rain", "bread") * 6]
    given = {"kind": "sft", "data": [{"path": "text.jsonl", "format": "text"}], "train": {**TRAIN, "optimizer": "muon"}}
    given["train"] |= {"schedule": "wsd", "epochs": 2}
    return Chaotic("pretrain", given, {"text.jsonl": _lines(text)})


STAGES = {
    "sft": Chaotic(
        "sft", _tuned("sft", "chat.jsonl", {**_MEASURED, "neftune_alpha": 5.0, "ema_decay": 0.8}), _CHAT,
        {"evals": {**EVALS, "reverse": {"count": 6, "max_tokens": 6}}},
    ),
    "lora": Chaotic("lora", _tuned("sft", "chat.jsonl", _MEASURED, lora={"r": 4, "dropout": 0.1}), _CHAT),
    "dpo": Chaotic(
        "dpo", _tuned("preference", "pairs.jsonl", {"eval_every": 3, "keep_best": "eval_loss"}),
        {"pairs.jsonl": _lines(_PAIRS)},
    ),
    "grpo": _grpo(0),
    "grpo-ahead": _grpo(1),
    "pretrain": _pretrain(),
}  # fmt: skip
"""By what they are called. ``grpo-ahead`` is ``rollout.staleness: 1``: a second process samples the next batch."""
