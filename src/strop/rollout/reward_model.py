"""Reward models at work: answers to scores, with the ids that the model was trained on."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from strop.chat import ChatSettings
from strop.chat.conversation import Conversation, read_message
from strop.chat.field import Field
from strop.common.errors import InputError
from strop.data.batch import make_batch
from strop.data.packing import pack
from strop.model.names import resolve
from strop.model.precision import Compute, best_compute
from strop.model.window import window
from strop.rollout.loaded import Loaded, load


class RewardModel:
    """Scores whole conversations, each by the last of its tokens as the model's own template makes them.

    A prompt is a string (one user's message) or a list of messages; an answer is a string or an assistant's message.
    """

    def __init__(self, loaded: Loaded, row_tokens: int = 4096):
        self._loaded, self._row_tokens = loaded, row_tokens
        self._reads = window(loaded.policy.model.config)

    @torch.no_grad()
    def __call__(self, prompts: Sequence[Any], answers: Sequence[Any]) -> list[float]:
        """The score of each answer to its prompt, in order.

        Raises InputError for a conversation that is longer than the model reads, or that its template refuses.
        """
        policy = self._loaded.policy
        examples = [self._example(*one) for one in enumerate(zip(prompts, answers, strict=True))]
        lengths = [len(example.tokens) for example in examples]
        found = [0.0] * len(examples)
        for row in pack(lengths, max([self._row_tokens, *lengths])):
            batch = make_batch([examples[i] for i in row])
            scores = policy(batch.to(policy.compute.device), ("scores",))["scores"]
            for i, score in zip(row, scores.tolist(), strict=True):
                found[i] = score
        return found

    def _example(self, number: int, pair: tuple[Any, Any]) -> Any:
        prompt, answer = pair
        at = Field(f"answer {number}")
        asked = [{"role": "user", "content": prompt}] if isinstance(prompt, str) else list(prompt)
        said = {"role": "assistant", "content": answer} if isinstance(answer, str) else answer
        messages = tuple(read_message(message, at) for message in (*asked, said))
        [example] = self._loaded.encoder.encode(Conversation(messages, place=at.place))
        if self._reads is not None and len(example.tokens) > self._reads:
            raise InputError(
                f"{at.place}: has {len(example.tokens):,} tokens and the reward model reads at most {self._reads:,}."
            )
        return example


def load_reward_model(folder: str | Path, compute: Compute | None = None, row_tokens: int = 4096) -> RewardModel:
    """The reward model in a folder (or run folder, or of a hub's name), ready to score.

    Raises InputError where there is none: a model that writes texts has no scores.
    """
    place = resolve(str(folder))
    loaded = load(place, ChatSettings(), compute or best_compute(), name=str(folder))
    if loaded.policy.model.get_output_embeddings() is not None:
        raise InputError(f"{folder}: writes texts and has no score; train a reward model from it with strop rm.")
    loaded.policy.eval()
    return RewardModel(loaded, row_tokens)
