"""Noise on the embeddings while training (NEFTune)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from strop.data.batch import Batch
    from strop.model.policy import Policy


class Neftune:
    """Adds ``u·alpha/√(L·D)``, ``u`` uniform in -1 … 1, to the embedding of every token of a sequence of L tokens.

    L is the sequence's own length, not that of the row; of a sequence that continues another one, both together. Only
    ``policy(batch)`` in training mode gets noise: evaluation and generation do not. The generator is this class's own,
    so the noise of a resumed run is that of an uninterrupted one, and other random numbers stay what they were. Source:
    Jain et al. 2023, NEFTune: Noisy Embeddings Improve Instruction Finetuning.
    """

    def __init__(self, policy: Policy, alpha: float, seed: int = 0):
        self._alpha = alpha
        self._generator = torch.Generator(policy.compute.device).manual_seed(seed)
        self._lengths: tuple[Tensor, Tensor] | None = None
        policy.register_forward_pre_hook(self._before)
        policy.register_forward_hook(self._after, always_call=True)
        policy.model.get_input_embeddings().register_forward_hook(self._add_noise)

    def state_dict(self) -> dict[str, Tensor]:
        return {"generator": self._generator.get_state()}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        self._generator.set_state(state["generator"])

    def _before(self, policy: Policy, arguments: tuple[Batch, ...]) -> None:
        if policy.training:
            batch = arguments[0]
            self._lengths = torch.tensor(whole_lengths(batch)).float(), torch.tensor(batch.seq_lens)

    def _after(self, *_) -> None:
        self._lengths = None

    def _add_noise(self, embedding: torch.nn.Module, _, output: Tensor) -> Tensor:
        """``output [1,T,D]``."""
        if self._lengths is None:
            return output
        whole, own = self._lengths
        scale = torch.repeat_interleave(self._alpha / (whole * output.shape[-1]).sqrt(), own).to(output.device)
        noise = torch.rand(output.shape, generator=self._generator, device=output.device).mul_(2).sub_(1)
        return output + (noise * scale[:, None]).to(output.dtype)


def whole_lengths(batch: Batch) -> list[int]:
    """The length of every sequence together with all that it continues."""
    whole: list[int] = []
    for own, parent in zip(batch.seq_lens, batch.parent, strict=True):
        whole.append(own + (whole[parent] if parent >= 0 else 0))
    return whole
