"""Which conversations get a system prompt at random, and which one."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from strop.chat import Conversation, Message
from strop.data.counter import uniform, words


@dataclass(frozen=True)
class PromptDraws:
    """Draws of a system prompt for the rows of one part of a mixture, anew each time the part is passed through.

    The prompt of a row is a function of (seed, part, pass, row). ``passes`` different ones are drawn; later passes
    repeat them in turn.
    """

    ratio: float
    prompts: tuple[str, ...]
    seed: int
    part: int
    passes: int

    def of_pass(self, number: int, first: int, count: int) -> np.ndarray:
        """``[count]`` for the rows from ``first`` on: 0 is no prompt, k the k-th one, counted from 1."""
        name = f"strop system prompt, seed {self.seed}, part {self.part}, pass {number % self.passes}"
        drawn = uniform(words(name, count, at=first)[:, :2])
        which = 1 + (drawn[:, 1] * len(self.prompts)).astype(np.int32)
        return np.where(drawn[:, 0] < self.ratio, which, np.int32(0))

    def all(self, first: int, count: int) -> list[list[int]]:
        """For each of the rows, the different prompts (0: none) that it has in any pass, ascending."""
        drawn = np.stack([self.of_pass(number, first, count) for number in range(self.passes)])
        return [np.unique(drawn[:, row]).tolist() for row in range(count)]

    def given(self, conversation: Conversation, number: int) -> Conversation:
        """The conversation with the ``number``-th prompt, counted from 1, before it."""
        return replace(conversation, messages=(Message("system", self.prompts[number - 1]), *conversation.messages))
