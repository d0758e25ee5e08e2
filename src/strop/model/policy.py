"""The one entrance through which an objective and an engine see a model."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from strop.common.errors import InputError
from strop.model import accelerate, attention
from strop.model.choices import choice_logprobs
from strop.model.decoding import kernel_decoder
from strop.model.finite import check_logprobs
from strop.model.head import OUTPUTS, head_logits, head_statistics, linear_scores, raw_logits
from strop.model.kv_cache import CachedRow, PagedLayout
from strop.model.logits import LogitsTransform
from strop.model.precision import Compute
from strop.model.probe import Probe, no_attention_dropout
from strop.model.router import balance_loss

if TYPE_CHECKING:
    from strop.data.batch import Batch

OF_THE_HEAD = (*OUTPUTS, "logits", "choice_logprobs")
OF_SCALAR_HEADS = ("values", "scores")
WANTED = (*OF_THE_HEAD, *OF_SCALAR_HEADS, "hidden", "aux")


class Policy(nn.Module):
    """A decoder that answers for trained positions only: a causal language model, or one that scores sequences.

    ``forward(batch, want)`` runs the backbone on the flat row with per-sequence causal attention, gathers the hidden
    states at ``batch.trained_index`` and never makes a ``[T, V]`` tensor. What it returns equals ``log_softmax`` of the
    same model's own logits (or its own scores), sequence by sequence; a probe proves that whenever a Policy is made.
    Attention dropout is set to 0, with a warning.

    ``heads``: linear layers D -> 1 by what they answer, ``values`` or ``scores`` (see `scalar_head`); they are trained
    with the model and are no part of it when it is saved. A sequence-classification model brings its own for scores.
    ``critic``, where it is set: another Policy, trained beside this one, that gives the values instead.

    Raises InputError for a model that cannot be packed (state-space and hybrid layers, unimplemented attention
    arguments, logits that no known transform reproduces), and where what is measured (without gradients) is not finite.
    """

    def __init__(
        self, model: nn.Module, compute: Compute, *, probe: bool = True, heads: Mapping[str, nn.Module] | None = None
    ):
        super().__init__()
        heads = heads or {}
        if unknown := set(heads) - set(OF_SCALAR_HEADS):
            raise ValueError(
                f"no output is called {sorted(unknown)[0]}; heads are for {' and '.join(OF_SCALAR_HEADS)}."
            )
        self.model = model.to(compute.device)
        for module in model.get_input_embeddings().modules():
            if isinstance(module, nn.Embedding):
                # torch gives this row no gradient. There is no padding here, and it is often the stop token's.
                module.padding_idx = None
        self.value_head, self.score_head = (heads.get(name) for name in OF_SCALAR_HEADS)
        for head in heads.values():
            head.to(compute.device)
        self.critic: Policy | None = None  # a model of its own that gives the values
        self.compute = compute
        self.vocabulary = model.get_input_embeddings().weight.shape[0]
        self.transform = LogitsTransform()
        own = model.config._attn_implementation
        no_attention_dropout(model)
        proof = Probe(model, compute.device) if probe else None
        model.set_attn_implementation(attention.NAME)
        self._restore_attention = own
        self.token_name: Callable[[int], str] = str  # what messages call a token
        self.accelerated = accelerate.install(model, compute)
        self._kernel_decoder: accelerate.Decoder | None = None  # see choose_decoder
        if proof:
            self.transform = proof.prove(lambda *row: self._backbone(*row).last_hidden_state[0])

    def forward(
        self,
        batch: Batch | CachedRow,
        want: Iterable[str] = ("logprobs",),
        gradient: Tensor | None = None,
        temperature: float = 1.0,
    ) -> dict[str, Tensor]:
        """The outputs asked for, float32 (``hidden``: as the model computes).

        At the S trained positions: ``logprobs``, ``entropy``, ``lse``, ``mean_logits`` ``[S]`` (natural logs),
        ``logits [S,V]`` (for few positions), ``values [S]``, ``hidden [S,D]``; ``choice_logprobs [S,K]`` of the tokens
        in the batch's stream ``choices``, at its ``choice_temperature``. ``scores [N]``: at the last token of each
        sequence. ``aux``: a scalar, the load-balancing loss of a mixture of experts over the T tokens (`router`).

        ``temperature`` divides the logits, after all that the model's family does to them; what comes of logits is at
        this temperature. ``gradient [S]``: the gradient that ``logprobs`` will get, where it is known (see
        `head_statistics`). ``batch``: a `Batch`, or a row of a `KVCache`, whose earlier tokens it sees.

        Raises ValueError for outputs that there are none of: of an unknown name, without a head for them, or,
        of a cache's row, what needs labels or the ends of sequences.
        """
        want = tuple(want)
        self._check_wanted(want)
        if "values" in want and self.critic is not None:
            values = self.critic(batch, ("values",))
            rest = tuple(name for name in want if name != "values")
            return values if not rest else {**self(batch, rest, gradient, temperature), **values}
        if batch.tokens.device.type == "cpu":  # elsewhere it would wait for the device; there the data were on a CPU
            self.check_tokens(batch.tokens)
        layout = batch.layout if isinstance(batch, CachedRow) else attention.FlatLayout(batch.seq_lens, batch.parent)
        routers = {"output_router_logits": True} if "aux" in want else {}
        outputs: dict[str, Tensor] = {}
        with self.autocast():
            out = self._backbone(batch.tokens, batch.positions, layout, **routers)
            states = out if isinstance(out, Tensor) else out.last_hidden_state[0]  # [T,D]
            hidden = states[batch.trained_index]  # [S,D]
            head, transform = self.model.get_output_embeddings(), self.transform.at(temperature)
            if asked := tuple(name for name in want if name in OUTPUTS):
                outputs |= head_statistics(hidden, _labelled(batch).labels, head, transform, asked, gradient)
            if "logits" in want:
                outputs["logits"] = head_logits(hidden, head, transform)
            if "choice_logprobs" in want:
                choices, at = (_labelled(batch).streams[name] for name in ("choices", "choice_temperature"))
                outputs["choice_logprobs"] = choice_logprobs(hidden, choices, at, head, self.transform)
            if "values" in want:
                outputs["values"] = linear_scores(hidden, self.value_head)
            if "scores" in want:
                outputs["scores"] = linear_scores(states[_last_index(layout, states.device)], self._score_head())
        if "hidden" in want:
            outputs["hidden"] = hidden
        if "logprobs" in outputs and not torch.is_grad_enabled():  # a measurement; training looks at its loss
            check_logprobs(outputs["logprobs"], _labelled(batch), self.token_name)
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

    def _check_wanted(self, want: tuple[str, ...]) -> None:
        if unknown := set(want) - set(WANTED):
            raise ValueError(f"a policy has no output {sorted(unknown)[0]!r}; it has {', '.join(WANTED)}.")
        if set(want) & set(OF_THE_HEAD) and self.model.get_output_embeddings() is None:
            raise ValueError(f"{type(self.model).__name__} has no head for tokens, so it has no log-probabilities.")
        if "values" in want and self.value_head is None and self.critic is None:
            raise ValueError('this policy has no head for values; make it with heads={"values": scalar_head(model)}.')
        if "scores" in want and self._score_head() is None:
            raise ValueError(
                "this policy has no head for scores; load a sequence-classification model, or make it with "
                'heads={"scores": scalar_head(model)}.'
            )

    def _score_head(self) -> nn.Module | None:
        return self.score_head or getattr(self.model, "score", None)  # no second name for the model's own

    def autocast(self) -> AbstractContextManager[None]:
        """Casts weights that are held in another format than they are multiplied in; costs time where none are.

        Around several passes it casts each trainable weight once; without gradients only, since it keeps the casts.
        """
        held = self.model.get_input_embeddings().weight.dtype
        return self.compute.autocast() if held != self.compute.dtype else contextlib.nullcontext()

    def raw_logits(self, hidden: Tensor) -> Tensor:
        """``hidden [S,D]``, an output of `forward` -> what the head gives, float32 ``[S,V]``.

        `transform` makes logits of it. For few positions, without gradients.
        """
        int8 = self._kernel_decoder.int8 if self._kernel_decoder else None
        with self.autocast():
            return raw_logits(hidden, self.model.get_output_embeddings(), int8)

    def choose_decoder(self, int8: accelerate.Int8Weights | None = None) -> None:
        """Decide what computes the rows of a cache, from how modules and weights are now; before a series of such rows.

        A kernel that computes all layers in one call, where there is one for them, and else the modules. ``int8``: with
        the weights in 8 bits; raises InputError where no kernel computes this model.
        """
        kernel = self._kernel_decoder if self._kernel_decoder and self._kernel_decoder.fits() else None
        self._kernel_decoder = kernel or kernel_decoder(self.model)
        if self._kernel_decoder is not None:
            self._kernel_decoder.int8 = int8
        elif int8 is not None:
            raise InputError(
                "weights in int8 are for what the decoding kernel computes (on a CPU, a model of the plain Llama shape "
                "in float32 or, with AVX-512 BF16, bfloat16), which is not so here; leave int8 out."
            )

    def _backbone(self, tokens: Tensor, positions: Tensor, layout: attention.Layout, **arguments):
        kernel = self._kernel_decoder
        if isinstance(layout, PagedLayout) and not arguments and kernel is not None and kernel.takes(len(tokens)):
            return kernel(tokens, positions, layout)
        # use_cache=False: with a cache, sequences of one row would see each other.
        return self.model.get_decoder()(
            input_ids=tokens[None], position_ids=positions[None], use_cache=False, flat_layout=layout, **arguments
        )

    def reference(self) -> AbstractContextManager[None]:
        """Inside, this policy is the model that a LoRA run began with: adapters off, at no extra memory.

        Raises ValueError for a model without adapters.
        """
        from strop.model.lora import adapters_off

        return adapters_off(self.model)

    @contextlib.contextmanager
    def measuring(self) -> Iterator[None]:
        """Inside, no gradients and no dropout; after it, whatever came of it, training goes on where it was."""
        training = self.training
        self.eval()
        try:
            with torch.no_grad():
                yield
        finally:
            self.train(training)

    def plain_model(self) -> nn.Module:
        """The wrapped model with the attention that it came with, for good: this policy is not called any more."""
        self.model.set_attn_implementation(self._restore_attention)
        return self.model

    @contextlib.contextmanager
    def plain(self) -> Iterator[nn.Module]:
        """Inside, the wrapped model has the attention that it came with, for saving; after it, the policy's own."""
        own = self.model.config._attn_implementation
        try:
            yield self.plain_model()
        finally:
            self.model.set_attn_implementation(own)


def _labelled(row: Batch | CachedRow) -> Batch:
    if isinstance(row, CachedRow):
        raise ValueError("a row of a cache has no labels and no streams; ask it for logits or hidden states.")
    return row


def _last_index(layout: attention.Layout, device: torch.device) -> Tensor:
    """Where each sequence ends in the flat row, int64 ``[N]``: one without own tokens where its parent does."""
    if not isinstance(layout, attention.FlatLayout):
        raise ValueError("a row of a cache may end before its sequences do; ask for scores of whole ones.")
    ends: list[int] = []
    for (a, b), above in zip(layout.bounds, layout.parent, strict=True):
        ends.append(b - 1 if b > a else ends[above])
    return torch.tensor(ends, device=device)


def scalar_head(model: nn.Module, seed: int = 0) -> nn.Linear:
    """A new head D -> 1 for the ``values`` or ``scores`` of ``model``, in float32 on its device.

    Weights are drawn with standard deviation ``1/sqrt(D+1)`` (Stiennon et al. 2020, arXiv:2009.01325), the bias is 0;
    they depend on ``seed`` alone.
    """
    width = (model.get_output_embeddings() or model.score).weight.shape[1]
    head = nn.utils.skip_init(nn.Linear, width, 1)
    with torch.no_grad():
        head.weight.normal_(0.0, (width + 1) ** -0.5, generator=torch.Generator().manual_seed(seed))
        head.bias.zero_()
    return head.to(model.device)
