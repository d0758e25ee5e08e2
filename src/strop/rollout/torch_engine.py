"""Generation with the model's own torch code: a static cache, flat prefill, rows leave as they finish."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence

import torch

from strop.errors import InputError
from strop.model.attention import FlatLayout
from strop.model.kv_cache import DecodeLayout, KVCache, PrefillLayout, bytes_per_token, cache_shapes
from strop.model.policy import Policy
from strop.model.window import window
from strop.rollout.engine import Rollout, SamplingParams
from strop.rollout.sampling import sample

PREFILL_TOKENS = 2048


class TorchEngine:
    """Batched generation for any model that ``Policy`` accepts.

    Prompts are prefilled in flat rows without padding and decoded together, at most ``max_rows`` at a time; a row that
    meets a stop token or its limit leaves the batch at once and the next prompt takes its place. Weights are a copy in
    the compute's number format; ``sync`` brings the copy up to date.
    """

    def __init__(self, policy: Policy, stop_ids: frozenset[int], *, max_rows: int = 128, cache_gb: float = 4.0):
        if not stop_ids:
            raise ValueError("an engine needs at least one stop token.")
        self.stop_ids = stop_ids
        self.max_rows = max_rows
        self.cache_gb = cache_gb
        self.source = policy
        self.policy = policy
        if next(policy.parameters()).dtype != policy.compute.dtype:
            self.policy = copy.deepcopy(policy).requires_grad_(False)
            for parameter in self.policy.parameters():  # not the buffers: rotary frequencies need their float32
                parameter.data = parameter.data.to(policy.compute.dtype)
        self.window = window(policy.model.config) or 1 << 20

    def sync(self) -> None:
        """Copy the trained weights into the engine's own."""
        if self.policy is not self.source:
            self.policy.load_state_dict(self.source.state_dict())

    @torch.inference_mode()
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
                hidden = self._prefill(cache, [prompts[i] for i in admitted], first)
                rows.extend(admitted)
                take(self._draw(hidden, first, params, generator))
            if rows:
                newest = [tokens[i][-1] for i in rows]
                layout = DecodeLayout.of(cache)
                ids = torch.tensor(newest, device=layout.positions.device)
                hidden = self.policy.hidden(ids, layout.positions, layout)
                cache.lengths = [n + 1 for n in cache.lengths]
                take(self._draw(hidden, 0, params, generator))
        self.policy.train(training)
        return done

    def _new_cache(self, prompts, limits) -> KVCache:
        capacity = max((len(p) + n for p, n in zip(prompts, limits, strict=True)), default=1)
        compute = self.policy.compute
        shapes = cache_shapes(self.policy.hidden, compute.device)
        row_bytes = capacity * bytes_per_token(shapes, compute.dtype)
        self.slots = max(1, min(self.max_rows, len(prompts), int(self.cache_gb * 1e9 / row_bytes)))
        first = max((len(p) for p in prompts), default=1)
        return KVCache(shapes, self.slots, first, compute.dtype, compute.device)

    def _next_prompts(self, waiting: list[int], prompts, free: int) -> list[int]:
        admitted, total = [], 0
        while waiting and len(admitted) < free:
            total += len(prompts[waiting[-1]])
            if admitted and total > PREFILL_TOKENS:
                break
            admitted.append(waiting.pop())
        return admitted

    def _prefill(self, cache: KVCache, prompts, first: int):
        lens = tuple(len(p) for p in prompts)
        device = self.policy.compute.device
        ids = torch.tensor([t for p in prompts for t in p], device=device)
        positions = torch.cat([torch.arange(n) for n in lens]).to(device)
        hidden = self.policy.hidden(ids, positions, PrefillLayout(cache, FlatLayout(lens), first))
        cache.lengths.extend(lens)
        return hidden[torch.tensor(lens, device=device).cumsum(0) - 1]

    def _draw(self, hidden, first: int, params, generator) -> list[tuple[int, int, float]]:
        tokens, logprobs = sample(self.policy.logits(hidden), params, generator)
        if logprobs.isnan().any():
            raise InputError(
                f"the model's log-probabilities are not finite (in {int(logprobs.isnan().sum())} of {len(logprobs)} "
                "answers), so no token can be drawn; its weights or its number format are at fault: try "
                "compute.dtype=float32, or an earlier checkpoint."
            )
        return list(zip(range(first, first + len(tokens)), tokens.tolist(), logprobs.tolist(), strict=True))
