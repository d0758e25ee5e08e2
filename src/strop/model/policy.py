"""The one entrance through which an objective sees a model."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from strop.errors import InputError
from strop.model import accelerate, attention
from strop.model.finite import check_logprobs
from strop.model.head import head_statistics
from strop.model.logits import LogitsTransform, candidate_transforms
from strop.model.precision import Compute
from strop.model.probe import Probe, no_attention_dropout
from strop.model.router import balance_loss

if TYPE_CHECKING:
    from strop.data.batch import Batch


class Policy(nn.Module):
    """A causal language model that answers for trained positions only.

    ``forward(batch, want)`` runs the backbone on the flat row with per-sequence causal attention, gathers the hidden
    states at ``batch.trained_index`` and never makes a ``[T, V]`` tensor. What it returns equals ``log_softmax`` of the
    same model's own logits, sequence by sequence; a probe proves that whenever a Policy is made. Attention dropout is
    set to 0, with a warning.

    Raises InputError for a model that cannot be packed (state-space and hybrid layers, unimplemented attention
    arguments, logits that no known transform reproduces), and where what is measured (without gradients) is not finite.
    """

    def __init__(self, model: nn.Module, compute: Compute, *, probe: bool = True):
        super().__init__()
        self.model = model.to(compute.device)
        self.compute = compute
        self.vocabulary = model.get_output_embeddings().weight.shape[0]
        self.transform: LogitsTransform = candidate_transforms(model.config)["identity"]
        own = model.config._attn_implementation
        no_attention_dropout(model)
        proof = Probe(model, compute.device) if probe else None
        model.set_attn_implementation(attention.NAME)
        self._restore_attention = own
        self.token_name: Callable[[int], str] = str  # what messages call a token
        self.accelerated = accelerate.install(model, compute)
        if proof:
            self.transform = proof.prove(self.hidden)

    def forward(
        self, batch: Batch, want: Iterable[str] = ("logprobs",), gradient: Tensor | None = None
    ) -> dict[str, Tensor]:
        """The outputs asked for, float32 ``[S]``: ``logprobs``, ``entropy``, ``lse``, ``mean_logits`` (natural logs).

        ``aux`` is a scalar: the load-balancing loss of a mixture of experts over the T tokens (see `router`).
        ``gradient [S]``: the gradient that ``logprobs`` will get, where it is known (see `head_statistics`).
        """
        if batch.tokens.device.type == "cpu":  # elsewhere it would wait for the device; there the data were on a CPU
            self.check_tokens(batch.tokens)
        with self._autocast():
            layout = attention.FlatLayout(batch.seq_lens, batch.parent)
            want = tuple(want)
            routers = {"output_router_logits": True} if "aux" in want else {}
            out = self._backbone(batch.tokens, batch.positions, layout, **routers)
            hidden = out.last_hidden_state[0, batch.trained_index]  # [S,D]
            asked = tuple(name for name in want if name != "aux")
            head = self.model.get_output_embeddings()
            outputs = head_statistics(hidden, batch.labels, head, self.transform, asked, gradient) if asked else {}
        if "logprobs" in outputs and not torch.is_grad_enabled():  # a measurement; training looks at its loss
            check_logprobs(outputs["logprobs"], batch, self.token_name)
        if routers:
            outputs["aux"] = balance_loss(self.model, getattr(out, "router_logits", None))
        return outputs

    def check_tokens(self, tokens: Tensor | Sequence[int]) -> None:
        """Raise InputError for an id that the model has no row for."""
        largest = int(tokens.max()) if isinstance(tokens, Tensor) and len(tokens) else max(tokens, default=0)
        if largest >= self.vocabulary:
            raise InputError(
                f"token {largest} has no row in the model, which has rows 0 to {self.vocabulary - 1}: the tokenizer is "
                "not the one that belongs to it, or the model was never given rows for the tokens added to it."
            )

    def _autocast(self):
        """Casts weights that are held in another format than they are multiplied in; costs time where none are."""
        held = self.model.get_output_embeddings().weight.dtype
        return self.compute.autocast() if held != self.compute.dtype else contextlib.nullcontext()

    def hidden(self, tokens: Tensor, positions: Tensor, layout: attention.Layout) -> Tensor:
        """The backbone's last hidden states. ``tokens [T]``, ``positions [T]`` int64 -> ``[T,D]``."""
        return self._backbone(tokens, positions, layout).last_hidden_state[0]

    def _backbone(self, tokens: Tensor, positions: Tensor, layout: attention.Layout, **arguments):
        # use_cache=False: with a cache, sequences of one row would see each other.
        return self.model.get_decoder()(
            input_ids=tokens[None], position_ids=positions[None], use_cache=False, flat_layout=layout, **arguments
        )

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
