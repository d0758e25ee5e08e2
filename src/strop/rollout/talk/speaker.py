"""A model that answers: messages in, the next turn out, piece by piece, by the engine that evaluation uses."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import torch

from strop.chat import ChatEncoder, Message
from strop.chat.text import document_ids
from strop.common.errors import InputError
from strop.rollout.engine import Engine, SamplingParams
from strop.rollout.talk.stream import Apart, TextStream

Ended = Literal["stop", "max_tokens", "window", "interrupt"]
_TAIL = 64
"""Tokens at the end of a prompt that tell whether it opens the reasoning."""


@dataclass(frozen=True)
class Answer:
    """One turn: what was thought and said, and why it ended: ``stop``, ``max_tokens``, ``window`` or ``interrupt``."""

    message: Message
    ended: Ended
    tokens: int

    @property
    def text(self) -> str:
        return self.message.content or ""

    @property
    def reasoning(self) -> str | None:
        return self.message.reasoning_content


class Speaker:
    """``window``: the most tokens that the model reads; None where nothing says so."""

    def __init__(
        self,
        engine: Engine,
        encoder: ChatEncoder,
        decode: Callable[..., str],
        window: int | None,
        max_tokens: int = 512,
        temperature: float = 0.0,
        top_p: float = 1.0,
    ):
        self.engine, self.encoder, self.decode = engine, encoder, decode
        self.window, self.max_tokens = window, max_tokens
        self.temperature, self.top_p = temperature, top_p

    def answer(
        self,
        messages: Sequence[Message],
        say: Callable[[str], None],
        think: Callable[[str], None] = lambda text: None,
    ) -> Answer:
        """Generate the next turn, calling `say` and `think` with each new piece; Ctrl-C ends it with what there is.

        Raises:
            InputError: the conversation leaves no room for an answer in the model's window.
        """
        ids = self.encoder.prompt(messages)
        apart = Apart(self.decode(ids[-_TAIL:], skip_special_tokens=False), think, say)
        stream = TextStream(self.decode, apart.push)
        ended, count = self._generate(ids, stream)
        message = self.encoder.parse(stream.text, messages, finished=ended == "stop").message
        apart.finish(message)
        return Answer(message, ended, count)

    def go_on(self, text: str) -> Answer:
        """What the model writes after ``text`` as it stands, without a template. Raises InputError as `answer`."""
        stream = TextStream(self.decode, lambda piece: None)
        ended, count = self._generate(document_ids(text, self.encoder), stream)
        return Answer(Message("assistant", stream.text), ended, count)

    def _generate(self, ids: list[int], stream: TextStream) -> tuple[Ended, int]:
        """Tokens into the stream; why they end, and how many they are."""
        room = self.max_tokens if self.window is None else self.window - len(ids)
        if room < 1:
            raise InputError(
                f"The conversation has grown to {len(ids)} tokens and the model reads at most {self.window}; "
                "/reset starts a new one."
            )
        limit = min(self.max_tokens, room)
        sampling = SamplingParams(limit, self.temperature, self.top_p, seed=int(torch.randint(1 << 31, ())))
        count = 0

        def on_token(_: int, token: int) -> None:
            nonlocal count
            count += 1
            if token not in self.encoder.stop_ids:
                stream.push(token)

        try:
            [rollout] = self.engine.generate([ids], sampling, on_token)
            full = "max_tokens" if limit == self.max_tokens else "window"
            ended = "stop" if rollout.finish_reason == "stop" else full
        except KeyboardInterrupt:
            ended = "interrupt"
        stream.flush()
        return ended, count
