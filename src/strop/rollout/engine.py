"""What generates and scores: one interface for evaluation, chat, preferences and RL.

Ids in, ids out: nothing that was sampled is ever decoded and tokenised again. Log-probabilities are natural logs.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal, Protocol

from strop.common.errors import InputError

OnToken = Callable[[int, int], bool | None]
OnFinished = Callable[[int, "Rollout"], None]
Finish = Literal["stop", "length", "cancelled"]


@dataclass(frozen=True)
class Pauses:
    """An ``on_token`` that ends answers after tokens of ``may_end`` alone, so that an engine in another process has to
    ask for these only."""

    may_end: frozenset[int]
    on_token: OnToken

    def __call__(self, index: int, token: int) -> bool | None:
        return self.on_token(index, token)


@dataclass(frozen=True)
class SamplingParams:
    """How to draw the tokens of an answer, and what ends it.

    ``temperature`` divides the logits; 0 is greedy (the largest logit; log-probabilities are then those at 1). Filters,
    in this order, each on what the ones before it left: ``allowed_token_ids`` (None: all), ``top_k`` most likely tokens
    (0: all), ``top_p`` (the smallest set of most likely tokens with at least this probability), ``min_p`` (tokens at
    least this times as likely as the likeliest).

    An answer ends with a token of the engine's stop ids (not with ``ignore_eos``) or of ``stop_token_ids``, where one
    of the strings ``stop`` appears in its text, or after ``max_tokens``. ``logprobs``: so many of the likeliest tokens
    are told at every place. ``seed``: see `Request`.
    """

    max_tokens: int = 512
    temperature: float = 0.0
    top_p: float = 1.0
    seed: int = 0
    top_k: int = 0
    min_p: float = 0.0
    stop: tuple[str, ...] = ()
    stop_token_ids: tuple[int, ...] = ()
    ignore_eos: bool = False
    logprobs: int = 0
    allowed_token_ids: tuple[int, ...] | None = None

    def __post_init__(self):
        if self.max_tokens < 1 or not self.temperature >= 0 or not 0 < self.top_p <= 1:
            raise InputError("sampling needs max_tokens >= 1, temperature >= 0 and 0 < top_p <= 1.")
        if self.top_k < 0 or self.logprobs < 0 or not 0 <= self.min_p <= 1:
            raise InputError("sampling needs top_k >= 0, logprobs >= 0 and 0 <= min_p <= 1.")
        if isinstance(self.stop, str) or "" in self.stop:
            raise InputError("stop is a list of strings, none of them empty: every text holds the empty one.")
        if self.allowed_token_ids is not None and not self.allowed_token_ids:
            raise InputError("allowed_token_ids is empty, so no token could be drawn; None allows all.")

    @property
    def filters(self) -> bool:
        """Whether some tokens cannot be drawn, though the model gives them a probability."""
        return self.top_p < 1 or self.top_k > 0 or self.min_p > 0 or self.allowed_token_ids is not None


@dataclass(frozen=True)
class Request:
    """A prompt (ids) and how to go on from it, ``group_size`` times.

    What answer ``i`` draws depends on the seed of ``params``, the request's ``name`` and ``i`` alone, whatever else is
    generated at the same time. A name left open is the request's place in the call.
    """

    prompt: Sequence[int]
    params: SamplingParams = field(default_factory=SamplingParams)
    group_size: int = 1
    name: str | None = None

    def __post_init__(self):
        if self.group_size < 1:
            raise InputError(f"group_size is {self.group_size}, and a request needs at least one answer.")


@dataclass(frozen=True)
class Rollout:
    """One generated answer.

    ``tokens``: ids as sampled, the stop token included. ``logprobs``: of each token in the distribution that it was
    drawn from (after temperature and filters; at temperature 1 and without filters for greedy). ``plain_logprobs``: in
    that without filters, which are those of the trainer at this temperature; the same where nothing filters, and empty
    where the engine cannot tell (vLLM with filters). What trains on them has to say which. ``top_logprobs``: at each
    place (id, plain log-probability) of the likeliest.

    ``finish_reason``: ``stop`` (a stop token or a stop string ended it, and only then), ``length`` (``max_tokens`` or
    the model's window), ``cancelled`` (whoever asked for it ended it). ``text_end``: where a stop string begins in the
    text, in characters; None where none ended it. ``sample``: which answer of its request's group it is.
    """

    prompt: tuple[int, ...]
    tokens: tuple[int, ...]
    logprobs: tuple[float, ...]
    finish_reason: Finish
    plain_logprobs: tuple[float, ...] = ()
    top_logprobs: tuple[tuple[tuple[int, float], ...], ...] = ()
    text_end: int | None = None
    sample: int = 0


@dataclass(frozen=True)
class Score:
    """How likely a continuation is after its prompt: ``logprobs`` of its tokens, and whether each is the likeliest."""

    logprobs: tuple[float, ...]
    greedy: bool

    @property
    def total(self) -> float:
        """The log-probability of the whole continuation."""
        return sum(self.logprobs)


class EngineLost(InputError):
    """Whatever generates died, hangs or talks nonsense, and nothing is left that could."""


class Sampler(Protocol):
    """Turns prompts into answers. ``stop_ids`` end an answer; prompt and answer have at most ``window`` tokens."""

    @property
    def stop_ids(self) -> frozenset[int]: ...

    @property
    def window(self) -> int: ...

    def generate(
        self,
        requests: Sequence[Request | Sequence[int]],
        params: SamplingParams | None = None,
        on_token: OnToken | None = None,
        on_finished: OnFinished | None = None,
    ) -> list[Rollout]:
        """The answers of each request, one request after another; of a bare prompt, one drawn as ``params`` says.

        ``on_token(index in the result, token)`` is called as tokens come; when it returns True that answer ends there.
        ``on_finished(index in the result, rollout)`` is called for each answer as soon as it is complete.
        """
        ...


class Engine(Sampler, Protocol):
    """A sampler on weights that may change.

    Where the weights change, ``sync`` is called before answers are to come from those of now, and ``release`` where
    none are wanted for a while: the memory of what was computed is given back. Raises EngineLost where it is in other
    processes and these are gone.
    """

    def sync(self) -> None: ...

    def release(self) -> None: ...


class Scorer(Engine, Protocol):
    """An engine that also tells how likely given answers and texts are; see `TorchEngine`."""

    def score(
        self, prompts: Sequence[Sequence[int]], continuations: Sequence[Sequence[Sequence[int]]]
    ) -> list[list[Score]]: ...

    def score_documents(
        self, documents: Sequence[Sequence[int]], context: int | None = None
    ) -> list[tuple[float, ...]]: ...


def score_in_windows(
    engine: Scorer, documents: Sequence[Sequence[int]], window: int, context: int | None
) -> list[tuple[float, ...]]:
    """`Scorer.score_documents` by ``engine.score``, at most ``window`` tokens at once."""
    again = window // 2 if context is None else context
    if not 0 < again < window:
        raise InputError(f"context is {context}; it is at least 1 and below the model's window of {window}.")
    pieces: list[tuple[int, Sequence[int], Sequence[int]]] = []
    for i, document in enumerate(documents):
        begin = 1  # the first token that is not counted yet
        while begin < len(document):
            start = max(0, begin - again) if begin > 1 else 0
            end = min(len(document), start + window)
            pieces.append((i, document[start:begin], document[begin:end]))
            begin = end
    scores = engine.score([prompt for _, prompt, _ in pieces], [[ids] for _, _, ids in pieces])
    found: list[list[float]] = [[] for _ in documents]
    for (i, _, _), [one] in zip(pieces, scores, strict=True):
        found[i] += one.logprobs
    return [tuple(x) for x in found]


NOT_FINITE = "its weights or its number format are at fault: try compute.dtype=float32, or an earlier checkpoint."
"""Where log-probabilities are none: what to do about it."""


def check_request(request: Request, window: int, decode: object, continuation: Sequence[int] = ()) -> None:
    """Raises InputError for a prompt (with its ``continuation``) that is empty or longer than ``window`` leaves room
    for, a negative id, and stop strings without ``decode``."""
    prompt = request.prompt
    if not len(prompt):
        raise InputError("a prompt has no tokens; give it at least one, such as the token that begins a text.")
    if len(prompt) + max(1, len(continuation)) > window:
        more = f" and a continuation {len(continuation)}" if continuation else ""
        raise InputError(f"a prompt has {len(prompt)} tokens{more}; the model's window holds {window}.")
    for ids in (prompt, continuation, request.params.allowed_token_ids or ()):
        if min(ids, default=0) < 0:
            raise InputError(f"a request names the token {min(ids)}, and ids count from 0; correct it.")
    if request.params.stop and decode is None:
        raise InputError("stop strings need text; make the engine with decode=tokenizer.decode.")


def as_requests(given: Sequence[Request | Sequence[int]], params: SamplingParams | None) -> list[Request]:
    """Every request with a name: its place where it has none. Raises InputError where two would draw the same."""
    requests = [r if isinstance(r, Request) else Request(r, params or SamplingParams()) for r in given]
    named = [r if r.name is not None else replace(r, name=str(i)) for i, r in enumerate(requests)]
    draws = Counter((r.name, r.params.seed) for r in named)
    for (name, _), count in draws.items():
        if count > 1:
            raise InputError(f"{count} requests are called {name!r} and would draw the same; name each otherwise.")
    return named
