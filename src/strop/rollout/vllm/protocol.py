"""What is said to a vLLM server and what it answers: tokens in, tokens out (``/inference/v1/generate``).

Servers have to run with ``logprobs_mode=processed_logprobs``: log-probabilities are then those of the distribution that
a token is drawn from. One request asks for one answer, so that its seed is its own.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from pydantic import BaseModel

from strop.common.errors import InputError, NotFinite
from strop.rollout.answers import Answer
from strop.rollout.engine import NOT_FINITE, SamplingParams, Score
from strop.rollout.vllm.client import ServerLost

GENERATE = "/inference/v1/generate"
NO_NUMBER = -9999.0
"""What vLLM sends for NaN and -inf, which JSON does not have."""
NO_SCORE = f"the model's log-probabilities are not finite, so nothing can be scored; {NOT_FINITE}"
OPTIONS = 127
"""Of how many tokens vLLM can be asked for the log-probability at one place: 128, less one (see `options_body`)."""
COLDEST, HOTTEST = 0.01, 2.0
"""vLLM refuses temperatures above, and takes this one for all between 0 and it."""


class Likely(BaseModel):
    token_id: int
    logprob: float


class Place(Likely):
    top_logprobs: list[Likely] = []


class Logprobs(BaseModel):
    content: list[Place]


class Span(BaseModel):
    version: str


class Choice(BaseModel):
    token_ids: list[int] | None = None
    logprobs: Logprobs | None = None
    finish_reason: str | None = None
    weight_versions: list[Span] | None = None


class PromptPlace(BaseModel):
    logprob: float


class Generated(BaseModel):
    """A reply of ``/inference/v1/generate``, or a piece of one that is streamed."""

    choices: list[Choice]
    prompt_logprobs: list[dict[int, PromptPlace] | None] | None = None


class Version(BaseModel):
    version: str


class Card(BaseModel):
    root: str | None = None
    max_model_len: int


class Models(BaseModel):
    data: list[Card]


class WeightInfo(BaseModel):
    weight_version: str


def filtered(params: SamplingParams) -> bool:
    """Whether tokens are drawn from less than the model's distribution; greedy choice is but for allowed tokens."""
    return params.filters if params.temperature else params.allowed_token_ids is not None


def check_params(params: SamplingParams) -> None:
    """Raises InputError for what a vLLM server cannot do, or does otherwise than `SamplingParams` says."""
    if params.temperature and not COLDEST <= params.temperature <= HOTTEST:
        raise InputError(
            f"temperature is {params.temperature:g}, and vLLM draws at {COLDEST:g} to {HOTTEST:g}, or greedily at 0; "
            "choose one of these, or rollout.engine=torch."
        )
    if params.temperature and params.min_p > 0 and params.top_p < 1:
        raise InputError(
            "min_p and top_p together are other filters in vLLM, which applies min_p before top_p; drop one of them, "
            "or take rollout.engine=torch."
        )
    if params.logprobs and filtered(params):
        raise InputError(
            "the likeliest tokens (logprobs) are those before the filters, and vLLM tells only of what is left after "
            "them; drop top_p, top_k, min_p and allowed_token_ids, or logprobs, or take rollout.engine=torch."
        )


def answer_body(answer: Answer, stream: bool) -> dict[str, Any]:
    """The request for ``answer``, from the tokens on that it has already."""
    params = answer.request.params
    sampling: dict[str, Any] = {
        "max_tokens": answer.limit - len(answer.tokens),
        "temperature": params.temperature,
        "logprobs": params.logprobs,
        "seed": (answer.key + len(answer.tokens)) % (1 << 63),  # a signed number there
        "stop_token_ids": sorted(answer.stop_ids),
        "ignore_eos": True,  # the server's own idea of it; strop's stop tokens are all listed
        "detokenize": False,
    }
    if params.temperature:
        sampling |= {"top_p": params.top_p, "top_k": params.top_k, "min_p": params.min_p}
    if params.allowed_token_ids is not None:
        sampling["allowed_token_ids"] = sorted(set(params.allowed_token_ids))
    return {"token_ids": [*answer.request.prompt, *answer.tokens], "sampling_params": sampling, "stream": stream}


def drawn(choice: Choice, answer: Answer, server: str) -> Iterator[tuple[int, float, float, tuple]]:
    """(token, logprob, the same again, likeliest) for every token of the choice, as `Answer.take` wants them.

    Raises ServerLost where tokens and log-probabilities do not belong together, NotFinite where one is no number.
    """
    tokens = choice.token_ids or []
    places = choice.logprobs.content if choice.logprobs else []
    if [place.token_id for place in places] != tokens:
        raise ServerLost(
            f"{server} answered with {len(places)} log-probabilities that are not of its {len(tokens)} tokens"
        )
    for place in places:
        if place.logprob <= NO_NUMBER:
            raise NotFinite(
                f"{server}: the model's log-probabilities are not finite (request {answer.request.name}, token "
                f"{len(answer.tokens) + 1} of its answer), so no token can be drawn; {NOT_FINITE}"
            )
        count = answer.request.params.logprobs
        top = sorted(
            place.top_logprobs, key=lambda x: (-x.logprob, x.token_id)
        )  # with the drawn one, if not among them
        yield place.token_id, place.logprob, place.logprob, tuple((x.token_id, x.logprob) for x in top[:count])


def score_body(prompt: Sequence[int], continuation: Sequence[int]) -> dict[str, Any]:
    """The request for the log-probabilities of ``continuation``; the one token that has to be drawn is not used."""
    sampling = {"max_tokens": 1, "temperature": 0.0, "prompt_logprobs": 1, "detokenize": False}
    return {"token_ids": [*prompt, *continuation], "sampling_params": sampling, "stream": False}


def options_body(prompt: Sequence[int], tokens: Sequence[int]) -> dict[str, Any]:
    """The request for the log-probability of each of ``tokens`` (at most `OPTIONS`) after ``prompt``."""
    # The greedy token is told first and counts, so the last is left out: one that nobody asked about.
    listed = [*tokens, next(i for i in range(len(tokens) + 1) if i not in tokens)]
    sampling = {"max_tokens": 1, "temperature": 0.0, "logprobs": len(listed), "logprob_token_ids": listed}
    return {"token_ids": list(prompt), "sampling_params": sampling | {"detokenize": False}, "stream": False}


def option_scores(reply: Generated, tokens: Sequence[int], server: str) -> dict[int, Score]:
    """The score of each token in a reply to `options_body`. Raises as `drawn`."""
    places = [place for choice in reply.choices if choice.logprobs for place in choice.logprobs.content]
    told = {one.token_id: one.logprob for place in places for one in place.top_logprobs}
    if len(places) != 1 or not set(tokens) <= set(told):
        raise ServerLost(f"{server} did not tell how likely the tokens are that it was asked about")
    if any(told[token] <= NO_NUMBER for token in tokens):
        raise NotFinite(f"{server}: {NO_SCORE}")
    return {token: Score((told[token],), token == places[0].token_id) for token in tokens}


def scored(reply: Generated, continuation: Sequence[int], server: str) -> Score:
    """The score in a reply to `score_body`. Raises as `drawn`."""
    places = (reply.prompt_logprobs or [])[-len(continuation) :]
    asked = zip(places, continuation, strict=False)
    # Of each place what was asked about and the largest.
    told = [
        (place[token].logprob, max(one.logprob for one in place.values()))
        for place, token in asked
        if place and token in place
    ]
    if len(told) != len(continuation):
        raise ServerLost(f"{server} did not tell how likely the tokens are that it was asked about")
    if any(logprob <= NO_NUMBER for logprob, _ in told):
        raise NotFinite(f"{server}: {NO_SCORE}")
    # vLLM's rank counts equals in, so that of two tokens that are likeliest alike none has rank 1.
    return Score(tuple(logprob for logprob, _ in told), all(logprob >= largest for logprob, largest in told))
