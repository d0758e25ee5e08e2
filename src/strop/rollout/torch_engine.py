"""Generation and scoring with the trainer's own model: paged keys and values, known beginnings computed once."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from itertools import accumulate
from typing import NamedTuple

import torch
from torch import Tensor

from strop.common.errors import InputError, NotFinite
from strop.common.heartbeat import beat
from strop.model.accelerate import Int8Weights
from strop.model.head import logprobs_of
from strop.model.kv_cache import KVCache, cache_shapes
from strop.model.load import check_writes
from strop.model.policy import Policy
from strop.model.segments import PAGE
from strop.model.window import window
from strop.rollout.answers import Answer, Decode
from strop.rollout.engine import (
    NOT_FINITE,
    OnFinished,
    OnToken,
    Request,
    Rollout,
    SamplingParams,
    Score,
    as_requests,
    check_request,
    score_in_windows,
)
from strop.rollout.random_numbers import uniform
from strop.rollout.sampling import draw
from strop.rollout.scheduler import Branch, Part, Scheduler

HEAD_ROWS = 256
"""Rows of logits held at once."""


class TorchEngine:
    """Batched generation and scoring for any model that ``Policy`` accepts, on its weights as they are at each call.

    At most ``max_rows`` sequences are computed at a time; keys and values take at most ``cache_gb`` (None: no bound).
    What is computed of prompts and answers is known to later calls too, until the weights change: that is noticed where
    torch's operations or strop's optimisers change them; `sync` tells of others (``weight.data``, fused optimisers).
    ``decode`` (ids -> text) is needed for stop strings alone. ``int8``: on a copy of the weights in 8 bits, which makes
    a single answer faster and every log-probability another than the trainer's.
    """

    def __init__(
        self,
        policy: Policy,
        stop_ids: frozenset[int],
        *,
        max_rows: int = 128,
        cache_gb: float | None = 4.0,
        decode: Decode | None = None,
        int8: bool = False,
    ):
        if not stop_ids:
            raise ValueError("an engine needs at least one stop token.")
        check_writes(policy.model)
        self.policy, self.stop_ids, self.decode = policy, stop_ids, decode
        self.max_rows, self.cache_gb = max_rows, cache_gb
        self.window = window(policy.model.config) or 1 << 20
        self._int8 = Int8Weights() if int8 else None
        self._scheduler: Scheduler | None = None
        self._weights: tuple = ()

    def release(self) -> None:
        """Forget what was computed."""
        self._scheduler = None

    def sync(self) -> None:
        """The weights have changed: what was computed with the old ones is forgotten."""
        self.release()

    def generate(
        self,
        requests: Sequence[Request | Sequence[int]],
        params: SamplingParams | None = None,
        on_token: OnToken | None = None,
        on_finished: OnFinished | None = None,
    ) -> list[Rollout]:
        """See ``Engine``. Raises InputError for a prompt that is empty, fills the model's window or holds a token that
        the model has no row for, for a row that the cache cannot hold, and where log-probabilities are not finite.
        """
        requests = as_requests(requests, params)
        for request in requests:
            self._check(request)
        first = list(accumulate((r.group_size for r in requests), initial=0))
        done: dict[int, Rollout] = {}
        branches = [
            Branch(list(r.prompt), len(r.prompt) - 1, _Group(r, i), len(r.prompt))
            for r, i in zip(requests, first, strict=False)
        ]
        # Longest first: what does not fit in memory shows at once.
        branches.sort(key=lambda branch: -len(branch.tokens))

        def keep(scheduler: Scheduler, branch: Branch, answer: Answer, drawn: tuple) -> None:
            reason = answer.take(*drawn)
            ended = bool(on_token(answer.index, answer.tokens[-1])) if on_token else False
            if reason is None and not ended:
                branch.tokens.append(answer.tokens[-1])
                branch.first = len(branch.tokens) - 1
                return
            scheduler.drop(branch)
            done[answer.index] = answer.rollout(reason or "cancelled")
            if on_finished:
                on_finished(answer.index, done[answer.index])

        with self._running(max(map(_most_tokens(self.window), requests), default=1)) as scheduler:
            scheduler.add(branches)
            while (step := self._step(scheduler)) is not None:
                hidden, parts = step
                asked = [(part, answer) for part in parts if not part.branch.left for answer in self._answers(part)]
                for (part, answer), drawn in zip(asked, self._draw(hidden, asked), strict=True):
                    branch = part.branch
                    if branch.owner is not answer:  # a group's prompt: each answer goes on from it by itself
                        branch = _member(scheduler, branch, answer)
                    keep(scheduler, branch, answer, drawn)
        return [done[index] for index in range(first[-1])]

    def score(
        self, prompts: Sequence[Sequence[int]], continuations: Sequence[Sequence[Sequence[int]]]
    ) -> list[list[Score]]:
        """How likely each of a prompt's continuations (ids) is after it, at temperature 1.

        A prompt is computed once for all its continuations, and for those of one token nothing else is. Raises
        InputError as `generate` does, and for a continuation without tokens.
        """
        for prompt, several in zip(prompts, continuations, strict=True):
            if not all(several):
                raise InputError("a continuation has no tokens, so there is nothing to score.")
            for ids in several:
                self._check(Request(prompt, SamplingParams(max_tokens=len(ids))), ids)
        found = [[Found(tuple(ids)) for ids in several] for several in continuations]
        longest = max((len(p) + len(ids) for p, several in zip(prompts, continuations, strict=True) for ids in several),
                      default=1)  # fmt: skip
        with self._running(longest) as scheduler:
            asked = zip(prompts, found, strict=True)
            scheduler.add(
                Branch(list(prompt), len(prompt) - 1, several, len(prompt)) for prompt, several in asked if several
            )
            while (step := self._step(scheduler)) is not None:
                hidden, parts = step
                self._measure(hidden, parts)
                for part in parts:
                    branch, owner = part.branch, part.branch.owner
                    if branch.left:
                        continue
                    if isinstance(owner, list):
                        for one in (one for one in owner if len(one.ids) > 1):
                            tokens = branch.tokens + list(one.ids[:-1])
                            scheduler.fork(branch, tokens, len(branch.tokens), one, len(tokens))
                    scheduler.drop(branch)
        return [[Score(tuple(one.logprobs), all(one.largest)) for one in several] for several in found]

    def score_documents(
        self, documents: Sequence[Sequence[int]], context: int | None = None
    ) -> list[tuple[float, ...]]:
        """The log-probability of every token of each document but its first, given up to a window of tokens before it.

        A document that the window does not hold is read in windows; the first ``context`` tokens (half a window where
        none are named) of each later window are read again and not counted again.
        """
        return score_in_windows(self, documents, self.window, context)

    def _check(self, request: Request, continuation: Sequence[int] = ()) -> None:
        check_request(request, self.window, self.decode, continuation)
        for ids in (request.prompt, continuation, request.params.allowed_token_ids or ()):
            self.policy.check_tokens(ids)

    @contextlib.contextmanager
    def _running(self, tokens: int) -> Iterator[Scheduler]:
        """The scheduler, for sequences of up to ``tokens`` tokens, with the model ready to compute."""
        training = self.policy.training
        self.policy.eval()
        # What FSDP gathers in inference mode, the faster one, could not be trained with afterwards.
        sharded = any(hasattr(parameter, "device_mesh") for parameter in self.policy.parameters())
        try:
            with torch.no_grad() if sharded else torch.inference_mode(), self.policy.autocast():
                yield self._prepare(tokens)
        except BaseException:
            self.release()  # steps that were planned are not computed
            raise
        finally:
            self.policy.train(training)

    def _prepare(self, tokens: int) -> Scheduler:
        if (weights := self._weights_now()) != self._weights:
            self.release()
        self._weights = weights
        self.policy.choose_decoder(self._int8)
        if self._scheduler is None:
            shapes, dtype = cache_shapes(self.policy)
            cache = KVCache(shapes, dtype, self.policy.compute.device)
            limit = 1 << 40 if self.cache_gb is None else int(self.cache_gb * 1e9 / cache.page_bytes)
            self._scheduler = Scheduler(cache, self.max_rows, limit)
        needed = -(-(tokens + 1) // PAGE)
        if needed > self._scheduler.prefixes.limit:
            gigabytes = needed * self._scheduler.cache.page_bytes / 1e9
            raise InputError(
                f"keys and values may take {self.cache_gb:g} GB, and one answer of {tokens:,} tokens with its prompt "
                f"needs {gigabytes:.2g}; raise cache_gb, or lower max_tokens."
            )
        return self._scheduler

    def _weights_now(self) -> tuple:
        """What changes when weights do: their places and version counters, and which adapters are off."""
        parameters = [p for p in self.policy.parameters() if not p.is_inference()]
        adapters = [m.disable_adapters for m in self.policy.modules() if hasattr(m, "disable_adapters")]
        return tuple((p.data_ptr(), p._version) for p in parameters), tuple(adapters)

    def _step(self, scheduler: Scheduler) -> tuple[Tensor, list[Part]] | None:
        """Compute what it plans: hidden states ``[S,D]`` of what is asked for, and the parts of the step."""
        planned = scheduler.step()
        if planned is None:
            return None
        beat("generated tokens")
        row, parts = planned
        hidden = self.policy(row, ("hidden",))["hidden"]
        scheduler.done(parts)
        return hidden, parts

    def _answers(self, part: Part) -> list[Answer]:
        """The answers that a computed branch draws a token for: its own, or all of the group whose prompt it is."""
        owner = part.branch.owner
        if not isinstance(owner, _Group):
            return [owner] if isinstance(owner, Answer) else []
        request, first = owner
        limit = min(request.params.max_tokens, self.window - len(request.prompt))
        return [
            Answer(request, i, first + i, limit, self.stop_ids, self.decode or (lambda ids: ""))
            for i in range(request.group_size)
        ]

    def _draw(self, hidden: Tensor, asked: list[tuple[Part, Answer]]) -> Iterator[tuple]:
        """(token, logprob, plain logprob, likeliest) for each answer, from the last place of its branch."""
        for begin in range(0, len(asked), HEAD_ROWS):
            several = asked[begin : begin + HEAD_ROWS]
            rows = torch.tensor([part.answers[-1] for part, _ in several], device=hidden.device)
            different, where = rows.unique(return_inverse=True)  # a group draws its first tokens from one row
            raw = self.policy.raw_logits(hidden[different])
            raw = raw[where] if len(different) < len(rows) else raw
            params = [answer.request.params for _, answer in several]
            numbers = [uniform(answer.key, len(answer.tokens)) for _, answer in several]
            drawn = draw(raw, self.policy.transform, params, numbers)
            for (_, answer), *one in zip(several, drawn.tokens, drawn.logprobs, drawn.plain, drawn.top, strict=True):
                if one[2] != one[2]:
                    raise NotFinite(
                        f"the model's log-probabilities are not finite (request {answer.request.name}, token "
                        f"{len(answer.tokens) + 1} of its answer), so no token can be drawn; {NOT_FINITE}"
                    )
                yield tuple(one)

    def _measure(self, hidden: Tensor, parts: list[Part]) -> None:
        """Write down how likely the tokens after the asked places are: of every continuation, or of one."""
        rows, labels, owners = [], [], []
        for part in parts:
            owner, branch = part.branch.owner, part.branch
            for place, row in zip(part.places, part.answers, strict=True):
                for one in _continuations(owner):
                    rows.append(row)
                    labels.append(one.ids[place + len(one.ids) - len(branch.tokens)] if one is owner else one.ids[0])
                    owners.append(one)
            branch.first = max(branch.first, part.places.stop)  # measured once, though the branch may be put back
        for begin in range(0, len(rows), HEAD_ROWS):
            some = slice(begin, begin + HEAD_ROWS)
            different = sorted(set(rows[some]))  # options of one token share a row
            raw = self.policy.raw_logits(hidden[different])
            index = torch.tensor([different.index(row) for row in rows[some]], device=raw.device)
            logprobs, largest = logprobs_of(
                raw, index, torch.tensor(labels[some], device=raw.device), self.policy.transform
            )
            for one, logprob, is_largest in zip(owners[some], logprobs.tolist(), largest.tolist(), strict=True):
                if logprob != logprob:
                    raise NotFinite(
                        f"the model's log-probabilities are not finite, so nothing can be scored; {NOT_FINITE}"
                    )
                one.logprobs.append(logprob)
                one.largest.append(is_largest)


class _Group(NamedTuple):
    """A request whose prompt is computed, and the index of its first answer."""

    request: Request
    first: int


def _member(scheduler: Scheduler, branch: Branch, answer: Answer) -> Branch:
    """What goes on from a group's prompt as ``answer``: the prompt's own branch for the last, new ones before."""
    if answer.sample + 1 == answer.request.group_size:
        branch.owner = answer
        return branch
    return scheduler.fork(branch, list(branch.tokens), branch.first, answer, branch.prompt)


class Found:
    """A continuation and what is known of its tokens so far."""

    def __init__(self, ids: tuple[int, ...]):
        self.ids = ids
        self.logprobs: list[float] = []
        self.largest: list[bool] = []


def _continuations(owner: object) -> list[Found]:
    """What is measured of a branch: its own continuation, or all of the prompt that it is."""
    if isinstance(owner, list):
        return owner
    return [owner] if isinstance(owner, Found) else []


def _most_tokens(window: int) -> Callable[[Request], int]:
    return lambda request: min(window, len(request.prompt) + request.params.max_tokens)
