"""Generation by transformers' own code, for models that `strop.model.policy.Policy` refuses: chat alone uses it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from transformers import GenerationConfig, PreTrainedModel, StoppingCriteria, StoppingCriteriaList

from strop.common.errors import InputError
from strop.model.load import check_writes
from strop.rollout.engine import Rollout, SamplingParams


class PlainEngine:
    """One prompt after another. Of the model's generation settings nothing is followed; log-probabilities are not kept.

    transformers fills what a call leaves open from ``model.generation_config``, so that is replaced. Raises InputError
    for a model that does not generate.
    """

    def __init__(self, model: PreTrainedModel, stop_ids: frozenset[int]):
        check_writes(model)
        self.model = model
        self.stop_ids = stop_ids
        model.generation_config = GenerationConfig()

    @torch.inference_mode()
    def generate(
        self,
        prompts: Sequence[Sequence[int]],
        params: SamplingParams,
        on_token: Callable[[int, int], bool | None] | None = None,
    ) -> list[Rollout]:
        """See ``Engine``. Raises InputError for parameters beside temperature, top_p, seed and max_tokens."""
        if params != SamplingParams(params.max_tokens, params.temperature, params.top_p, params.seed):
            raise InputError(
                "this model generates by transformers' own code, which is asked for temperature and top_p alone; leave "
                "the other sampling parameters out, or choose a model that strop can train."
            )
        torch.manual_seed(params.seed)
        return [self._one(index, prompt, params, on_token) for index, prompt in enumerate(prompts)]

    def _one(self, index: int, prompt: Sequence[int], params: SamplingParams, on_token) -> Rollout:
        sampling = {"do_sample": False}
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
        return Rollout(tuple(prompt), tokens, (), "stop" if stopped else "cancelled" if told.ended else "length")


class _Told(StoppingCriteria):
    """Calls ``on_token`` with every new token; ends the answer where it returns True."""

    def __init__(self, index: int, on_token):
        self.index, self.on_token, self.ended = index, on_token, False

    def __call__(self, input_ids, scores, **kwargs):
        if self.on_token is not None:
            self.ended = bool(self.on_token(self.index, int(input_ids[0, -1])))
        return torch.full((len(input_ids),), self.ended, dtype=torch.bool, device=input_ids.device)
