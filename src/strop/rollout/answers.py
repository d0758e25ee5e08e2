"""Answers as they grow: what was drawn, and what ends them."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from strop.rewards.reasoning import in_reasoning, opened_by
from strop.rollout.engine import Finish, Request, Rollout
from strop.rollout.random_numbers import stream

Decode = Callable[[Sequence[int]], str]
_TAIL = 32  # tokens at a prompt's end, where it may open reasoning


class Answer:
    """One answer of a request: sample ``sample`` of its group, at most ``limit`` tokens long."""

    def __init__(self, request: Request, sample: int, index: int, limit: int, stop_ids: frozenset[int], decode: Decode):
        self.request, self.sample, self.index, self.limit = request, sample, index, limit
        params = request.params
        assert request.name is not None  # `as_requests` gives one
        self.key = stream(params.seed, request.name, sample)
        self.stop_ids = frozenset(params.stop_token_ids) | (frozenset() if params.ignore_eos else stop_ids)
        self._decode = decode
        self._reach = max(map(len, params.stop), default=0) + 16
        self.tokens: list[int] = []
        self.logprobs: list[float] = []
        self.plain: list[float] = []
        self.top: list[tuple[tuple[int, float], ...]] = []
        self.text_end: int | None = None
        self._opened = opened_by(decode(request.prompt[-_TAIL:])) if params.stop else ""

    def take(self, token: int, logprob: float, plain: float, top: tuple[tuple[int, float], ...]) -> Finish | None:
        """Add a token; why the answer ends with it, or None."""
        self.tokens.append(token)
        self.logprobs.append(logprob)
        self.plain.append(plain)
        if self.request.params.logprobs:
            self.top.append(top)
        if token in self.stop_ids or self._says_stop():
            return "stop"
        return "length" if len(self.tokens) == self.limit else None

    def _says_stop(self) -> bool:
        """Whether the newest token completes a stop string, which reasoning may hold without ending by it; the whole
        text is decoded only where its end looks so."""
        stops = self.request.params.stop
        if not stops:
            return False
        ending = self._decode(self.tokens[-self._reach :])  # a token may be no character of its own, seldom 16 of them
        if not any(stop in ending for stop in stops):
            return False
        text = self._decode(self.tokens)
        thought = in_reasoning(text, self._opened)
        found = (at.start() for stop in stops for at in re.finditer(f"(?={re.escape(stop)})", text))
        self.text_end = min((place for place in found if not thought(place)), default=None)
        return self.text_end is not None

    def rollout(self, reason: Finish) -> Rollout:
        return Rollout(
            tuple(self.request.prompt),
            tuple(self.tokens),
            tuple(self.logprobs),
            reason,
            tuple(self.plain),
            tuple(self.top),
            self.text_end,
            self.sample,
        )


def answer_text(rollout: Rollout, decode: Callable[[Sequence[int]], str], stop_ids: frozenset[int]) -> str:
    """The answer as a person reads it: without the stop token or the stop string that ended it, and with every other
    token."""
    tokens = rollout.tokens
    text = decode(tokens[:-1] if tokens and tokens[-1] in stop_ids else tokens)
    return text if rollout.text_end is None else text[: rollout.text_end]
