"""Generation by transformers' own code, for models that `strop.model.policy.Policy` refuses: chat alone uses it."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from transformers import GenerationConfig, PreTrainedModel, StoppingCriteria, StoppingCriteriaList

from strop.common.errors import InputError
from strop.model.load import check_writes
from strop.model.window import window
from strop.rollout.engine import (
    Finish,
    OnFinished,
    OnToken,
    Request,
    Rollout,
    SamplingParams,
    as_requests,
    check_request,
)
from strop.rollout.random_numbers import stream


class PlainEngine:
    """One prompt after another. Of the model's generation settings nothing is followed; log-probabilities are not kept.

    transformers fills what a call leaves open from ``model.generation_config``, so that is replaced. Raises InputError
    for a model that does not generate.
    """

    def __init__(self, model: PreTrainedModel, stop_ids: frozenset[int]):
        check_writes(model)
        self.model = model
        self.stop_ids, self.window = stop_ids, window(model.config) or 1 << 20
        model.generation_config = GenerationConfig()

    @torch.inference_mode()
    def generate(
        self,
        requests: Sequence[Request | Sequence[int]],
        params: SamplingParams | None = None,
        on_token: OnToken | None = None,
        on_finished: OnFinished | None = None,
    ) -> list[Rollout]:
        """See ``Engine``. Raises InputError for parameters beside temperature, top_p, seed and max_tokens."""
        requests = as_requests(requests, params)
        for request in requests:
            _check(request, self.window)
        done: list[Rollout] = []
        for request in requests:
            for sample in range(request.group_size):
                assert request.name is not None  # `as_requests` gives one
                torch.manual_seed(stream(request.params.seed, request.name, sample))
                done.append(self._one(len(done), request, sample, on_token))
                if on_finished:
                    on_finished(len(done) - 1, done[-1])
        return done

    def _one(self, index: int, request: Request, sample: int, on_token: OnToken | None) -> Rollout:
        prompt, params = request.prompt, request.params
        sampling: dict[str, float] = {"do_sample": False}
        if params.temperature > 0:  # top_k=0: transformers would otherwise keep only the 50 most likely tokens
            sampling = {"do_sample": True, "temperature": params.temperature, "top_p": params.top_p, "top_k": 0}
        config = GenerationConfig(
            **sampling,
            max_new_tokens=params.max_tokens,
            eos_token_id=sorted(self.stop_ids) or None,
            pad_token_id=min(self.stop_ids, default=0),
        )
        ids = torch.tensor([list(prompt)], device=self.model.device)
        told = _Told(index, on_token)
        out = self.model.generate(
            ids,
            attention_mask=torch.ones_like(ids),
            generation_config=config,
            stopping_criteria=StoppingCriteriaList([told]),
        )
        tokens = tuple(out[0, len(prompt) :].tolist())
        stopped = bool(tokens) and tokens[-1] in self.stop_ids
        why: Finish = "stop" if stopped else "cancelled" if told.ended else "length"
        return Rollout(tuple(prompt), tokens, (), why, sample=sample)


def _check(request: Request, window: int) -> None:
    params = request.params
    if params != SamplingParams(params.max_tokens, params.temperature, params.top_p, params.seed):
        raise InputError(
            "this model generates by transformers' own code, which is asked for temperature and top_p alone; leave "
            "the other sampling parameters out, or choose a model that strop can train."
        )
    check_request(request, window, decode=None)


class _Told(StoppingCriteria):
    """Calls ``on_token`` with every new token; ends the answer where it returns True."""

    def __init__(self, index: int, on_token: OnToken | None):
        self.index, self.on_token, self.ended = index, on_token, False

    def __call__(self, input_ids, scores, **kwargs):
        if self.on_token is not None:
            self.ended = bool(self.on_token(self.index, int(input_ids[0, -1])))
        return torch.full((len(input_ids),), self.ended, dtype=torch.bool, device=input_ids.device)
