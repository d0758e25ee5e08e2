"""The one entrance through which an objective sees a model."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from strop.errors import InputError
from strop.model import attention
from strop.model.head import Transform, candidate_transforms, head_statistics
from strop.model.precision import Compute

if TYPE_CHECKING:
    from strop.data.batch import Batch

# Largest difference in log-probability (nats) that the start-up probe lets pass, in float32.
PROBE_TOLERANCE = 2e-3


class Policy(nn.Module):
    """A causal language model that answers for trained positions only.

    ``forward(batch, want)`` runs the backbone on the flat row with per-sequence causal attention, gathers the hidden
    states at ``batch.trained_index`` and never makes a ``[T, V]`` tensor. What it returns equals ``log_softmax`` of the
    same model's own logits, sequence by sequence; a probe proves that whenever a Policy is made.

    Raises InputError for a model that cannot be packed (state-space and hybrid layers, unimplemented attention
    arguments, logits that no known transform reproduces).
    """

    def __init__(self, model: nn.Module, compute: Compute, *, probe: bool = True):
        super().__init__()
        self.model = model.to(compute.device)
        self.compute = compute
        self.vocabulary = model.get_output_embeddings().weight.shape[0]
        self.transform: Transform = candidate_transforms(model.config)["identity"]
        own = model.config._attn_implementation
        if probe:
            expected = self._own_logits()
        model.set_attn_implementation(attention.NAME)
        self._restore_attention = own
        if probe:
            self._probe(expected)

    def forward(self, batch: Batch, want: Iterable[str] = ("logprobs",)) -> dict[str, Tensor]:
        """The outputs asked for, each float32 ``[S]``: ``logprobs``, ``entropy``, ``lse`` (natural logs)."""
        with self.compute.autocast():
            hidden = self.hidden(batch.tokens, batch.positions, attention.FlatLayout(batch.seq_lens))  # [T,D]
            head = self.model.get_output_embeddings()
            return head_statistics(
                hidden[batch.trained_index], batch.labels, head, self.transform, want, self.vocabulary
            )

    def hidden(self, tokens: Tensor, positions: Tensor, layout: attention.Layout) -> Tensor:
        """The backbone's last hidden states. ``tokens [T]``, ``positions [T]`` int64 -> ``[T,D]``."""
        backbone = self.model.get_decoder()
        # use_cache=False: with a cache, sequences of one row would see each other.
        out = backbone(input_ids=tokens[None], position_ids=positions[None], use_cache=False, flat_layout=layout)
        return out.last_hidden_state[0]

    def logits(self, hidden: Tensor) -> Tensor:
        """``hidden [R,D]`` -> float32 logits ``[R,V]``; for the few rows of a decoding step."""
        return self.transform(self.model.get_output_embeddings()(hidden)).float()

    def reference(self) -> AbstractContextManager[None]:
        """Inside, this policy is the model that a LoRA run began with: adapters off, at no extra memory.

        Raises ValueError for a model without adapters.
        """
        from strop.model.lora import adapters_off

        return adapters_off(self.model)

    def plain_model(self) -> nn.Module:
        """The wrapped model with the attention that it came with, for saving."""
        self.model.set_attn_implementation(self._restore_attention)
        return self.model

    # The probe: three short sequences, packed through this class, against the model's own forward pass on each alone.

    def _probe_sequences(self) -> list[Tensor]:
        generator = torch.Generator().manual_seed(0)
        device = self.compute.device
        return [torch.randint(0, self.vocabulary, (n,), generator=generator).to(device) for n in (11, 5, 17)]

    @torch.no_grad()
    def _own_logits(self) -> list[Tensor]:
        training = self.model.training
        self.model.eval()
        logits = [self.model(input_ids=s[None], use_cache=False).logits[0].float() for s in self._probe_sequences()]
        self.model.train(training)
        return logits

    @torch.no_grad()
    def _probe(self, expected: list[Tensor]) -> None:
        name = type(self.model).__name__
        sequences = self._probe_sequences()
        layout = attention.FlatLayout(tuple(len(s) for s in sequences))
        positions = torch.cat([torch.arange(len(s)) for s in sequences]).to(self.compute.device)
        training = self.model.training
        self.model.eval()
        try:
            hidden = self.hidden(torch.cat(sequences), positions, layout)
        except (ValueError, TypeError) as error:
            raise InputError(f"{name} cannot be trained on packed rows: {error}") from error
        finally:
            self.model.train(training)
        raw = self.model.get_output_embeddings()(hidden).float()
        wanted = torch.log_softmax(torch.cat(expected), dim=-1)
        scale = wanted.abs().max().item()
        low_precision = next(self.model.parameters()).dtype != torch.float32
        tolerance = 0.02 * scale if low_precision else PROBE_TOLERANCE
        differences = {
            label: (torch.log_softmax(transform(raw), dim=-1) - wanted).abs().max().item()
            for label, transform in candidate_transforms(self.model.config).items()
        }
        best = min(differences, key=differences.get)
        if not differences[best] <= tolerance:
            raise InputError(
                f"{name} gives other log-probabilities on packed rows than alone (by {differences[best]:.3g} nats): "
                "its layers mix the sequences of a row or its logits are changed in a way strop does not know. "
                "Choose a model with plain softmax attention."
            )
        self.transform = candidate_transforms(self.model.config)[best]
