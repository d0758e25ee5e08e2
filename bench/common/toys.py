"""Problems of reinforcement learning whose best expected reward is known, for models that learn them in seconds.

The model is a new one with two layers and 16 tokens; token 0 ends an answer. `Toy.within` says for every preset how
many optimiser steps it may take to `ENOUGH` of the optimum. Presets stand as they are published but for the KL
divergence, with which the optimum would be another; a toy has one learning rate, batch and number of passes for all.
"""

from __future__ import annotations

import itertools
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from rich.console import Console
from transformers import LlamaConfig, LlamaForCausalLM

from strop.data.mixture import Mixture
from strop.model.policy import Policy, scalar_head
from strop.model.precision import Compute
from strop.objectives.policy_gradient import PolicyGradient
from strop.objectives.policy_settings import PolicyGradientSettings
from strop.rewards import Score
from strop.rewards.kinds import Reward
from strop.rollout.grading import Grader
from strop.rollout.prompts import Prompt, Prompts
from strop.rollout.settings import GradingSettings, PromptMixtureSettings, RolloutSettings
from strop.rollout.source import RolloutSource
from strop.rollout.torch_engine import TorchEngine
from strop.train.loop import train
from strop.train.settings import RlTrainSettings
from strop.train.weights import Weights

ENOUGH = 0.95
"""Share of the optimum that counts as reached."""
BATCHES = 5
"""Batches of rollouts whose mean reward is to reach it."""
STOP, ASK, FIRST = 0, 1, 2
LETTERS = {i: chr(ord("a") + i - FIRST) for i in range(FIRST, 16)}
CPU = Compute(torch.device("cpu"), torch.float32)


@dataclass(frozen=True)
class Toy:
    """``prompts``: letters that are asked, each with what the reward compares answers with. ``reward``: of an answer's
    letters and what it is compared with. ``taught``: steps of fine-tuning on right answers before anything is sampled,
    where a model that knows nothing would stumble on rewards too rarely. ``passes`` over a batch of rollouts, for
    presets that clip: those that do not (REINFORCE, RLOO) have nothing to hold a second one back, and fall after it."""

    about: str
    prompts: Mapping[str, Any]
    reward: Callable[[str, Any], float]
    optimum: float
    rollout: Mapping[str, Any]
    learning_rate: float
    within: Mapping[str, int]
    taught: int = 0
    passes: int = 1


def _arms(answer: str, arms: str) -> float:
    return {arms[0]: 1.0, arms[1]: 0.5}.get(answer, 0.0)


def _in_place(answer: str, wanted: str) -> float:
    return sum(a == b for a, b in zip(answer, wanted, strict=False)) / max(len(answer), len(wanted))


def _near(answer: str, length: int) -> float:
    return max(0.0, 1 - abs(len(answer) - length) / length)


def _all(steps: int, **others: int) -> dict[str, int]:
    presets = ("reinforce", "rloo", "grpo", "dr_grpo", "dapo", "gspo", "cispo", "ppo")
    return dict.fromkeys(presets, steps) | others


TOYS = {
    "two arms": Toy(
        "two prompts, one token: the best arm pays 1, another 0.5, the rest nothing; which is which differs",
        {"a": "de", "b": "ed"},
        _arms,
        1.0,
        {"prompts_per_step": 2, "group_size": 16, "max_tokens": 1},
        1e-2,
        _all(100),
    ),
    "length": Toy(
        "letters and the end: the prompt says how many letters there are to be, 2 or 5 of at most 10",
        {"a": 2, "b": 5},
        _near,
        1.0,
        {"prompts_per_step": 2, "group_size": 16, "max_tokens": 10},
        2e-3,
        _all(600),
        passes=2,
    ),
    "reverse": Toy(
        "nine strings of two letters, half taught, to be reversed: the share of letters in their place",
        {"".join(s): "".join(reversed(s)) for s in itertools.product("abc", repeat=2)},
        _in_place,
        1.0,
        {"prompts_per_step": 9, "group_size": 8, "max_tokens": 4},
        2e-3,
        _all(200),
        taught=22,
    ),
}


class _Reached(Exception):
    """The mean reward is there; nothing more is to be trained."""


class _Watched:
    """A source of rollouts, with the reward of every batch by the optimiser step that came before it."""

    steps = None

    def __init__(self, source: RolloutSource, enough: float):
        self.source, self.enough = source, enough
        self.rewards: list[tuple[int, float]] = []

    def next_step(self):
        before = self.source.given
        step = self.source.next_step()
        if "reward" in step.metrics:
            self.rewards.append((before, step.metrics["reward"]))
            if len(self.rewards) >= BATCHES and self.last >= self.enough:
                raise _Reached
        return step

    @property
    def last(self) -> float:
        rewards = [reward for _, reward in self.rewards[-BATCHES:]]
        return sum(rewards) / len(rewards)

    def state_dict(self):
        return self.source.state_dict()

    def load_state_dict(self, state):
        self.source.load_state_dict(state)


class _Decoded:
    def decode(self, ids, **_):
        return "".join(LETTERS.get(i, "?") for i in ids)


@dataclass(frozen=True)
class Outcome:
    """``steps``: optimiser steps to `ENOUGH` of the optimum, None where it was not reached; ``reward``: the mean of the
    last `BATCHES` batches; ``rewards``: of each (steps before it, mean reward)."""

    steps: int | None
    reward: float
    rewards: list[tuple[int, float]]


def run(toy: Toy, preset: str, seed: int, steps: int | None = None, **more: Any) -> Outcome:
    """Train a new model with ``preset`` for at most ``steps`` (default: as many as the toy allows it).

    ``more`` are settings of the objective on top of the preset.
    """

    class Paid(Reward):
        kind: Literal["paid"] = "paid"

        def one(self, sample):
            return Score(toy.reward(sample.answer, sample.truth))

    model = _model(seed)
    _teach(model, toy)
    settings = PolicyGradientSettings(**{"preset": preset, "kl_coef": 0.0, **more})
    policy = Policy(model, CPU)
    if settings.uses_values:
        policy.value_head = scalar_head(model, seed)
    passes = toy.passes if settings.clip != "none" else 1
    rollout = RolloutSettings(**toy.rollout, updates_per_rollout=passes, keep_every=None)
    chosen = RlTrainSettings(
        max_steps=steps or toy.within[preset],
        learning_rate=toy.learning_rate,
        warmup_ratio=0.0,
        beta2=0.999,
        micro_batch_tokens=4096,
        checkpoint_every=None,
        seed=seed,
    )
    asked = [Prompt(text, [], _asked(text), truth) for text, truth in toy.prompts.items()]
    mixture = Mixture([Prompts(asked)], PromptMixtureSettings(parts=[{"task": "toy"}]), seed)
    weights = Weights(policy, chosen)
    source = RolloutSource(
        policy,
        TorchEngine(policy, frozenset({STOP})),
        mixture,
        Grader({"paid": Paid()}, GradingSettings()),
        _Decoded(),
        rollout,
        settings,
        micro_batch_tokens=chosen.micro_batch_tokens,
        seed=seed,
    )
    watched = _Watched(source, ENOUGH * toy.optimum)
    objective = PolicyGradient(settings, one_update=source.one_update, longest=rollout.max_tokens)
    with tempfile.TemporaryDirectory() as folder:
        try:
            train(weights, watched, objective, chosen, Path(folder), console=Console(quiet=True))
        except _Reached:
            return Outcome(watched.rewards[-1][0], watched.last, watched.rewards)
    return Outcome(None, watched.last, watched.rewards)


def _ids(text: str) -> tuple[int, ...]:
    return tuple(ord(c) - ord("a") + FIRST for c in text)


def _asked(text: str) -> tuple[int, ...]:
    return (ASK, *_ids(text), ASK)


def _teach(model: LlamaForCausalLM, toy: Toy) -> None:
    """``toy.taught`` steps on all prompts with their right answers, which are strings of one length."""
    if not toy.taught:
        return
    rows = torch.tensor([(*_asked(text), *_ids(right), STOP) for text, right in toy.prompts.items()])
    answer = len(rows[0]) - len(next(iter(toy.prompts.values()))) - 1
    labels = rows.clone()
    labels[:, :answer] = -100
    optimizer = torch.optim.AdamW(model.parameters(), lr=5e-3)
    for _ in range(toy.taught):
        model(input_ids=rows, labels=labels).loss.backward()
        optimizer.step()
        optimizer.zero_grad()


def _model(seed: int) -> LlamaForCausalLM:
    torch.manual_seed(seed)
    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=16,
            hidden_size=32,
            intermediate_size=64,
            num_hidden_layers=2,
            num_attention_heads=4,
            num_key_value_heads=4,
            max_position_embeddings=64,
            tie_word_embeddings=False,
            bos_token_id=ASK,
            eos_token_id=STOP,
            pad_token_id=STOP,
        )
    ).eval()
