"""The proof, at every start, that packed rows give a model's own log-probabilities; or a refusal that names it.

Short sequences and one that is longer than the model's window run through the model as it came, each alone, and then
in one row through packed attention. A window that is too long to run is proven by its argument: the layers that should
have one must hand it to the attention function, whose windows of every length are tested.
"""

from __future__ import annotations

import inspect
import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

import torch
from torch import Tensor, nn

from strop.common.errors import InputError
from strop.model.attention import FlatLayout, Layout
from strop.model.logits import LogitsTransform, candidate_transforms
from strop.model.preflight import check_layer_kinds
from strop.model.segments import PLAIN, AttentionOptions

log = logging.getLogger(__name__)

# Largest difference in log-probability (nats) that the probe lets pass, in float32.
TOLERANCE = 2e-3
# In 16 bits single positions differ by tenths of a nat for nothing but rounding (a router that chooses between two
# experts liked alike), so the mean difference counts, in standard deviations of the log-probabilities: 0.007 to 0.014
# by rounding in small models of 31 families, 0.25 to 0.8 where sequences are mixed.
LOW_PRECISION_TOLERANCE = 0.1
LENGTHS = (11, 5, 17)
# Windows from here on are proven by argument: a pass over so many tokens would delay the start.
LONG_WINDOW = 4096
TAIL = 8  # positions compared at the end of the long sequence
_ATTENTION_DROPOUT = ("attention_dropout", "attn_dropout")

Hidden = Callable[[Tensor, Tensor, Layout], Tensor]  # tokens [T], positions [T], layout -> hidden states [T,D]


def no_attention_dropout(model: nn.Module) -> None:
    """Set the dropout inside attention to 0 and say so; packed attention has none. Other dropout stays."""
    found = set()
    for module in model.modules():
        for name in _ATTENTION_DROPOUT:
            value = getattr(module, name, None)
            if isinstance(value, nn.Dropout) and value.p:
                found.add(value.p)
                value.p = 0.0
            elif isinstance(value, float) and value:
                found.add(value)
                setattr(module, name, 0.0)
    if found:
        share = ", ".join(str(p) for p in sorted(found))
        log.warning(f"{type(model).__name__}: attention dropout ({share}) is set to 0; packed attention has none.")


class Call(NamedTuple):
    """What a layer brought to its attention: key/value heads, widths of keys and values, their format, its window."""

    layer: int
    heads: int
    keys: int
    values: int
    dtype: torch.dtype
    window: int | None


@dataclass(frozen=True)
class Observed:
    """A flat layout that remembers what it was asked for."""

    flat: FlatLayout
    calls: list[Call] = field(default_factory=list)

    def attend(
        self, layer: int, q: Tensor, k: Tensor, v: Tensor, scale: float, options: AttentionOptions = PLAIN
    ) -> Tensor:
        self.calls.append(Call(layer, len(k), k.shape[-1], v.shape[-1], v.dtype, options.window))
        return self.flat.attend(layer, q, k, v, scale, options)


class Probe:
    """Made while the model still has its own attention; ``prove`` is called when it has the packed one."""

    def __init__(self, model: nn.Module, device: torch.device):
        self.model = model
        self.name = type(model).__name__
        check_layer_kinds(model)
        config = model.config.get_text_config()
        self.layer_types = getattr(config, "layer_types", None) or ()
        most = getattr(config, "max_position_embeddings", None) or 1 << 30
        # Only where the family knows windows: a Llama's config may carry one from elsewhere, and its code ignores it.
        known = "sliding_window" in inspect.signature(type(config).__init__).parameters
        window = config.sliding_window if known else None
        self.window = window if window and window < most else None
        lengths = list(LENGTHS)
        if self.window and self.window < LONG_WINDOW:
            lengths.append(min(self.window + max(TAIL + 1, self.window // 4), most))
        self.scores = model.get_output_embeddings() is None  # then hidden states are compared
        self.head = nn.Identity() if self.scores else model.get_output_embeddings()
        generator = torch.Generator().manual_seed(0)
        rows = model.get_input_embeddings().weight.shape[0]
        self.sequences = [torch.randint(0, rows, (n,), generator=generator).to(device) for n in lengths]
        self._run_alone()

    @torch.no_grad()
    def _run_alone(self) -> None:
        """The model's own logits of the short sequences, and what its head gives at the end of the long one."""
        training = self.model.training
        self.model.eval()
        short, long = self.sequences[: len(LENGTHS)], self.sequences[len(LENGTHS) :]
        if self.scores:
            check_scores(self.model, short[0])
            own = [self._states(s) for s in short]
        else:
            own = [self.model(input_ids=s[None], use_cache=False).logits[0] for s in short]
        self.logits = torch.cat(own).float()
        self.tail = self.head(self._states(long[0])[-TAIL:]) if long else None
        self.model.train(training)

    def _states(self, sequence: Tensor) -> Tensor:
        return self.model.get_decoder()(input_ids=sequence[None], use_cache=False).last_hidden_state[0]

    def prove(self, hidden: Hidden) -> LogitsTransform:
        """What the model does to logits after the head. Raises InputError where packed rows give other numbers."""
        layout = Observed(FlatLayout(tuple(len(s) for s in self.sequences)))
        states = self._packed(hidden, layout)
        self._check_calls([call.window for call in layout.calls])
        exact = states.dtype == torch.float32

        def differ(got: Tensor, expected: Tensor) -> float:
            return difference(got.float(), expected.float(), exact, self.scores)

        with torch.no_grad():
            raw = self.head(states[: sum(LENGTHS)])
            transforms = [LogitsTransform()] if self.scores else candidate_transforms(self.model.config).values()
            worst, transform = min(((differ(t(raw), self.logits), t) for t in transforms), key=lambda x: x[0])
            if self.tail is not None:
                worst = max(worst, differ(transform(self.head(states[-TAIL:])), transform(self.tail)))
        what = "hidden states" if self.scores else "log-probabilities"
        bad = (self.logits.isnan() | (self.logits == torch.inf)).any(0).nonzero()[:, 0]
        if len(bad):
            count, all_of = len(bad), self.logits.shape[1]
            which = f"the logits of {count} of {all_of} tokens are NaN or infinite, the first of token {int(bad[0])}"
            which = f"{count} of {all_of} numbers of the last layer are NaN or infinite" if self.scores else which
            raise InputError(
                f"{self.name}: its {what} are not finite: {which}; its weights are at fault, or the number format: "
                "try compute.dtype=float32."
            )
        if not worst <= (TOLERANCE if exact else LOW_PRECISION_TOLERANCE):
            unit = " nats" if exact and not self.scores else " standard deviations"
            raise InputError(
                f"{self.name} gives other {what} on packed rows than alone (by {worst:.3g}{unit}): "
                "its layers mix the sequences of a row or its logits are changed in a way strop does not know. "
                "Choose a model with plain softmax attention."
            )
        return transform

    @torch.no_grad()
    def _packed(self, hidden: Hidden, layout: Observed) -> Tensor:
        positions = torch.cat([torch.arange(len(s)) for s in self.sequences]).to(self.sequences[0].device)
        training = self.model.training
        try:
            self.model.train()  # what attention is asked to do in training alone, such as dropout, must show now
            with torch.random.fork_rng(devices=[] if positions.device.type == "cpu" else [positions.device]):
                one = self.sequences[1]
                hidden(one, positions[: len(one)], FlatLayout((len(one),)))
            self.model.eval()
            return hidden(torch.cat(self.sequences), positions, layout)
        except (ValueError, TypeError) as error:
            raise InputError(f"{self.name} cannot be trained on packed rows: {error}") from error
        finally:
            self.model.train(training)

    def _check_calls(self, windows: list[int | None]) -> None:
        """Every layer must have come to packed attention, and those that the config gives a window must have told it.

        Some families with attention code of their own tell the sequences of a row apart by their positions; that would
        pass, but they could neither share a prefix nor generate.
        """
        layers = self.model.config.get_text_config().num_hidden_layers
        if len(windows) != layers:
            raise InputError(
                f"{self.name} cannot be trained on packed rows: {len(windows)} of its {layers} layers use the "
                "attention interface of transformers, the others have attention code of their own. Choose a model "
                "whose layers all use it."
            )
        if self.window is None:
            return
        wanted = self.layer_types.count("sliding_attention") if self.layer_types else layers
        told = windows.count(self.window)
        if told != wanted:
            raise InputError(
                f"{self.name} cannot be trained on packed rows: its config gives {wanted} layers a window of "
                f"{self.window} tokens and {told} pass it to their attention."
            )


@torch.no_grad()
def check_scores(model: nn.Module, sequence: Tensor) -> None:
    """Raise InputError for a model whose score is not that of one linear layer `score` at the last token."""
    layer, kind = getattr(model, "score", None), type(model).__name__
    if layer is None or getattr(layer, "out_features", None) != 1:
        raise InputError(
            f"{kind} has neither a head for tokens nor one linear layer `score` with one output; choose a causal "
            "language model, or a sequence-classification model with num_labels 1."
        )
    rows = model.get_input_embeddings().weight.shape[0]
    if sequence[-1] == model.config.get_text_config().pad_token_id:  # transformers would look before it
        sequence = torch.cat([sequence[:-1], (sequence[-1:] + 1) % rows])
    own = model(input_ids=sequence[None], use_cache=False).logits[0]
    state = model.get_decoder()(input_ids=sequence[None], use_cache=False).last_hidden_state[0, -1]
    if not torch.allclose(layer(state), own, rtol=1e-2, equal_nan=True):
        raise InputError(f"{kind}: its score is not that of its layer `score` at the last token; choose another model.")


def difference(got: Tensor, expected: Tensor, exact: bool, states: bool) -> float:
    """How far packed rows are off, float32 ``[T,V]`` or hidden states ``[T,D]``; infinite where one is no number.

    ``exact``: the largest difference of log-probabilities, in nats; else the mean, in units of their standard
    deviation. That of hidden states always is in such units.
    """
    if not states:
        got, expected = torch.log_softmax(got, dim=-1), torch.log_softmax(expected, dim=-1)
    off = (got - expected).abs()
    largest = off.max() if exact else off.mean()
    spread = 1 if exact and not states else expected.std(-1).mean()
    return (largest / spread).nan_to_num(float("inf")).item()
