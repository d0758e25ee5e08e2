"""Reward models at work: answers to scores, with the ids that the model was trained on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from strop.chat import ChatSettings
from strop.chat.conversation import Conversation, Message, read_message
from strop.chat.field import Field
from strop.chat.saved import read_chat
from strop.common.errors import InputError
from strop.data.batch import make_batch
from strop.data.packing import pack
from strop.model.load import outline
from strop.model.names import resolve
from strop.model.precision import Compute, best_compute
from strop.model.preflight import check_packable
from strop.model.window import window
from strop.rollout.loaded import Loaded, load


class RewardModel:
    """Scores whole conversations, each by the last of its tokens as the model's own template makes them.

    A prompt is a string (one user's message) or a list of messages; an answer is a string or an assistant's message.
    ``system``: what every conversation of its training began with that had no instructions of its own.
    """

    def __init__(self, loaded: Loaded, row_tokens: int = 4096, system: str | None = None):
        self._loaded, self._row_tokens, self._system = loaded, row_tokens, system
        self._reads = window(loaded.policy.model.config)

    def __call__(self, prompts: Sequence[Any], answers: Sequence[Any]) -> list[float]:
        """The score of each answer to its prompt, in order.

        Raises InputError for a conversation that is longer than the model reads, or that its template refuses.
        """
        found = self.each(prompts, answers)
        if bad := next((one for one in found if isinstance(one, InputError)), None):
            raise bad
        return found

    @torch.no_grad()
    def each(self, prompts: Sequence[Any], answers: Sequence[Any]) -> list[float | InputError]:
        """The same, with what is wrong in the place of a score where there is none."""
        policy = self._loaded.policy
        examples = [self._example(*one) for one in enumerate(zip(prompts, answers, strict=True))]
        found: list[float | InputError] = [one if isinstance(one, InputError) else 0.0 for one in examples]
        fit = [i for i, one in enumerate(examples) if not isinstance(one, InputError)]
        lengths = [len(examples[i].tokens) for i in fit]
        for row in pack(lengths, max([self._row_tokens, *lengths])):
            batch = make_batch([examples[fit[i]] for i in row])
            scores = policy(batch.to(policy.compute.device), ("scores",))["scores"]
            for i, score in zip(row, scores.tolist(), strict=True):
                found[fit[i]] = score
        return found

    def _example(self, number: int, pair: tuple[Any, Any]) -> Any:
        prompt, answer = pair
        at = Field(f"answer {number}")
        asked = [{"role": "user", "content": prompt}] if isinstance(prompt, str) else list(prompt)
        if self._system is not None and asked and asked[0].get("role") not in ("system", "developer"):
            asked = [{"role": "system", "content": self._system}, *asked]
        try:
            # Of the prompt nothing is judged; an answer of a model may be empty, which one in data may not be.
            turns = [replace(read_message(message, at), train=False) for message in asked]
            said = Message("assistant", answer) if isinstance(answer, str) else read_message(answer, at)
            [example] = self._loaded.encoder.encode(Conversation((*turns, said), place=at.place))
        except InputError as error:
            return error
        if self._reads is not None and len(example.tokens) > self._reads:
            return InputError(
                f"{at.place}: has {len(example.tokens):,} tokens and the reward model reads at most {self._reads:,}."
            )
        return example


def check_reward_model(folder: str | Path) -> None:
    """Raise InputError where there is no such model, or it gives no single score; no weights are loaded."""
    place = resolve(str(folder))
    model = outline(place)
    if model.get_output_embeddings() is not None:
        raise InputError(f"{folder}: writes texts and has no score; train a reward model from it with strop rm.")
    if model.config.num_labels != 1:
        raise InputError(f"{folder}: gives {model.config.num_labels} scores and not one; choose a reward model.")
    check_packable(model)


def load_reward_model(folder: str | Path, compute: Compute | None = None, row_tokens: int = 4096) -> RewardModel:
    """The reward model in a folder (or run folder, or of a hub's name), ready to score.

    Raises InputError where there is none: a model that writes texts has no scores.
    """
    check_reward_model(folder)
    place = resolve(str(folder))
    # Nothing is trained here: what a model answers may be empty, or short beside its prompt.
    chat = ChatSettings(waive=["empty_turn", "trained_fraction"])
    loaded = load(place, chat, compute or best_compute(), name=str(folder), scores=True)
    loaded.policy.eval()
    return RewardModel(loaded, row_tokens, read_chat(place).system)
