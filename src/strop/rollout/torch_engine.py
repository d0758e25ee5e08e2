"""Generation with the model's own torch code: a static cache, flat prefill, rows leave as they finish."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch

from strop.common.errors import InputError
from strop.model.kv_cache import CachedRow, KVCache, bytes_per_token, cache_shapes
from strop.model.load import check_writes
from strop.model.policy import Policy
from strop.model.window import window
from strop.rollout.engine import Rollout, SamplingParams
from strop.rollout.sampling import sample

PREFILL_TOKENS = 2048


class TorchEngine:
    """Batched generation for any model that ``Policy`` accepts.

    Prompts are prefilled in flat rows without padding and decoded together, at most ``max_rows`` at a time; a row that
    meets a stop token or its limit leaves the batch at once and the next prompt takes its place. It reads the policy's
    own weights, as they are at each call, through ``Policy.forward`` alone; where they are held in another format than
    the compute's, their casts are kept for the time of the call.
    """

    def __init__(self, policy: Policy, stop_ids: frozenset[int], *, max_rows: int = 128, cache_gb: float = 4.0):
        if not stop_ids:
            raise ValueError("an engine needs at least one stop token.")
        check_writes(policy.model)
        self.stop_ids = stop_ids
        self.max_rows = max_rows
        self.cache_gb = cache_gb
        self.policy = policy
        self.window = window(policy.model.config) or 1 << 20

    def generate(
        self,
        prompts: Sequence[Sequence[int]],
        params: SamplingParams,
        on_token: Callable[[int, int], bool | None] | None = None,
        on_finished: Callable[[int, Rollout], None] | None = None,
    ) -> list[Rollout]:
        """See ``Engine``. Raises ValueError for an empty prompt or one that fills the model's window, InputError where
        the log-probabilities are not finite or a prompt holds a token that the model has no row for.
        """
        for prompt in prompts:
            if not 0 < len(prompt) < self.window:
                raise ValueError(f"a prompt has {len(prompt)} tokens; the model's window holds {self.window}.")
            self.policy.check_tokens(prompt)
        training = self.policy.training
        self.policy.eval()
        # What FSDP gathers in inference mode, the faster one, could not be trained with afterwards.
        sharded = any(hasattr(parameter, "device_mesh") for parameter in self.policy.parameters())
        try:
            with torch.no_grad() if sharded else torch.inference_mode(), self.policy.autocast():
                return self._generate(prompts, params, on_token, on_finished)
        finally:
            self.policy.train(training)

    def _generate(self, prompts, params, on_token, on_finished) -> list[Rollout]:
        limits = [min(params.max_tokens, self.window - len(p)) for p in prompts]
        cache = self._new_cache(prompts, limits)
        generator = torch.Generator(self.policy.compute.device).manual_seed(params.seed)
        # Longest first: rows of one length decode together, and a prompt that does not fit in memory shows at once.
        waiting = sorted(range(len(prompts)), key=lambda i: len(prompts[i]))
        tokens: list[list[int]] = [[] for _ in prompts]
        logprobs: list[list[float]] = [[] for _ in prompts]
        done: list[Rollout | None] = [None] * len(prompts)
        rows: list[int] = []  # the prompt of every active row

        def take(chosen: list[tuple[int, int, float]]) -> None:
            """Record (row, token, logprob) of the step and let finished rows go."""
            finished = []
            for row, token, logprob in chosen:
                i = rows[row]
                tokens[i].append(token)
                logprobs[i].append(logprob)
                ended = bool(on_token(i, token)) if on_token else False
                if token in self.stop_ids:
                    reason = "stop"
                elif ended:
                    reason = "cancelled"
                elif len(tokens[i]) == limits[i]:
                    reason = "length"
                else:
                    continue
                finished.append(row)
                done[i] = Rollout(tuple(prompts[i]), tuple(tokens[i]), tuple(logprobs[i]), reason)
                if on_finished:
                    on_finished(i, done[i])
            for row in sorted(finished, reverse=True):
                cache.drop(row)
                rows[row] = rows[-1]
                rows.pop()

        while waiting or rows:
            while waiting and len(rows) < self.slots:
                admitted = self._next_prompts(waiting, prompts, self.slots - len(rows))
                first = len(rows)
                rows.extend(admitted)
                take(self._draw(cache.prefill([prompts[i] for i in admitted]), first, params, generator))
            if rows:
                take(self._draw(cache.decode([tokens[i][-1] for i in rows]), 0, params, generator))
        return done

    def _new_cache(self, prompts, limits) -> KVCache:
        capacity = max((len(p) + n for p, n in zip(prompts, limits, strict=True)), default=1)
        shapes, dtype = cache_shapes(self.policy)
        row_bytes = capacity * bytes_per_token(shapes, dtype)
        self.slots = max(1, min(self.max_rows, len(prompts), int(self.cache_gb * 1e9 / row_bytes)))
        first = max((len(p) for p in prompts), default=1)
        return KVCache(shapes, self.slots, first, dtype, self.policy.compute.device)

    def _next_prompts(self, waiting: list[int], prompts, free: int) -> list[int]:
        admitted, total = [], 0
        while waiting and len(admitted) < free:
            total += len(prompts[waiting[-1]])
            if admitted and total > PREFILL_TOKENS:
                break
            admitted.append(waiting.pop())
        return admitted

    def _draw(self, row: CachedRow, first: int, params, generator) -> list[tuple[int, int, float]]:
        """Run a row and draw a token for each of its sequences, the first of which is the active row ``first``."""
        logits = self.policy(row, ("logits",), temperature=params.temperature or 1.0)["logits"]
        tokens, logprobs = sample(logits, params, generator)
        if logprobs.isnan().any():
            raise InputError(
                f"the model's log-probabilities are not finite (in {int(logprobs.isnan().sum())} of {len(logprobs)} "
                "answers), so no token can be drawn; its weights or its number format are at fault: try "
                "compute.dtype=float32, or an earlier checkpoint."
            )
        return list(zip(range(first, first + len(tokens)), tokens.tolist(), logprobs.tolist(), strict=True))
