"""A model's attention layer whose queries and keys are rotated by the compiled kernel.

Families call a function of their own module for the rotation, between the projections and the attention function; so
the layer's whole `forward` stands here again, for layers that are built like most. A layer is taken when its family's
code has nothing in it that is not here, and when on random numbers the attention function gets the same from both.

Shapes: T tokens of a flat row, W width of the model, H query heads, K key/value heads, D width of a head.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from transformers import AttentionInterface

from strop.model.cpu.proof import random, same
from strop.model.cpu.rotary import rotary, supported

ROTATE, _POSITIONS = "apply_rotary_pos_emb", "position_embeddings"
# All that the code of a usual layer names: nothing that depends on positions or sizes; what is in _OFF is 0 or None.
_OFF = ("attention_dropout", "residual_dropout", "clip_qkv")
_NAMES = frozenset(
    """shape view transpose reshape contiguous getattr config head_dim num_attention_heads num_key_value_heads layer_idx
    q_proj k_proj v_proj qkv_proj clamp_ q_norm k_norm apply_rotary_pos_emb update use_rope scaling sliding_window
    is_sliding attn_logit_softcapping ALL_ATTENTION_FUNCTIONS get_interface _attn_implementation eager_attention_forward
    o_proj training nn functional dropout""".split()  # noqa: SIM905
).union(_OFF)
_ATTENTION = AttentionInterface()


def usual(module: nn.Module) -> dict[str, Any] | None:
    """What the layer tells its attention function beside the tensors; None for what `forward` would not compute.

    Needs a model whose attention is the packed one (`strop.model.attention`).
    """
    own = type(module).forward
    code = getattr(own, "__code__", None)
    if code is None or not {ROTATE, "o_proj"} <= set(code.co_names) <= _NAMES or _POSITIONS not in code.co_varnames:
        return None
    off = not any(getattr(module, name, getattr(module.config, name, None)) for name in _OFF)
    plain = off and module.o_proj.weight.is_floating_point()
    return _compared(module) if plain and _rotates_usually(own.__globals__[ROTATE]) else None


@torch.no_grad()
def _compared(module: nn.Module) -> dict[str, Any] | None:
    x = random(1, 3, module.config.hidden_size, like=module.o_proj.weight)
    cos, sin = (random(1, 3, module.head_dim, like=x, seed=seed) for seed in (1, 2))
    seen = _Seen()
    arguments = {_POSITIONS: (cos, sin), "attention_mask": None, "flat_layout": seen}
    out, _ = type(module).forward(module, x, **arguments)
    q, k, v = _projected(module, x)
    expected = [_turned(q, cos, sin)[0], _turned(k, cos, sin)[0], v[0]]
    if seen.options is None or seen.options["s_aux"] is not None:
        return None
    attended = seen.result.transpose(0, 1).reshape(*x.shape[:-1], -1)
    alike = all(same(a, b) for a, b in zip(seen.inputs, expected, strict=True)) and same(out, module.o_proj(attended))
    return {name: value for name, value in seen.options.items() if value is not None} if alike else None


class _Seen:
    """A `Layout` that writes down what it is asked; a head's result is its value."""

    def __init__(self):
        self.options: dict[str, Any] | None = None

    def attend(self, layer: int, q: Tensor, k: Tensor, v: Tensor, scale: float, options) -> Tensor:
        self.inputs = q, k, v
        self.options = {"scaling": scale, "sliding_window": options.window, "softcap": options.softcap}
        self.options["s_aux"] = options.sinks
        self.result = v.repeat_interleave(len(q) // len(v), 0)
        return self.result


def _projected(layer: nn.Module, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """``x [1,T,W]`` -> q ``[1,H,T,D]``, k and v ``[1,K,T,D]``; norms of whole rows (OLMo 2) or of heads (Qwen 3)."""
    width = layer.head_dim
    if (joint := getattr(layer, "qkv_proj", None)) is not None:  # Phi 3
        kv = layer.num_key_value_heads * width
        rows = joint(x).split([layer.config.num_attention_heads * width, kv, kv], dim=-1)
    else:
        rows = layer.q_proj(x), layer.k_proj(x), layer.v_proj(x)
    parts = []
    for y, norm in zip(rows, (getattr(layer, "q_norm", None), getattr(layer, "k_norm", None), None), strict=True):
        if norm is not None and norm.weight.numel() != width:
            y, norm = norm(y), None
        y = y.view(*x.shape[:-1], -1, width)
        parts.append((y if norm is None else norm(y)).transpose(1, 2))
    return tuple(parts)


def forward(self: nn.Module, hidden_states: Tensor, *args, **kwargs) -> tuple[Tensor, Tensor | None]:
    """``hidden_states [1,T,W]`` -> the same, and no attention weights, for a call with a ``flat_layout``."""
    given = dict(kwargs)
    cos, sin = given.pop(_POSITIONS, None) or (None, None)
    mask, cache = given.pop("attention_mask", None), given.pop("past_key_values", None)
    shape = (len(hidden_states), 1, hidden_states.shape[1], self.head_dim)
    usual_call = not args and cos is not None and cache is None and given.get("flat_layout") is not None
    if not usual_call or not supported(hidden_states, shape, cos, sin):
        return type(self).forward(self, hidden_states, *args, **kwargs)
    q, k, v = _projected(self, hidden_states)
    attend = _ATTENTION[self.config._attn_implementation]
    out, weights = attend(self, rotary(q, cos, sin), rotary(k, cos, sin), v, mask, **self.fused, **given)
    return self.o_proj(out.reshape(*hidden_states.shape[:-1], -1)), weights


def _turned(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    a, b = x.chunk(2, dim=-1)
    return x * cos[:, None] + torch.cat((-b, a), dim=-1) * sin[:, None]


@torch.no_grad()
def _rotates_usually(own: Callable) -> bool:
    like = torch.empty(0)
    q, k = random(1, 4, 5, 32, like=like), random(1, 2, 5, 32, like=like, seed=1)
    cos, sin = (random(1, 5, 32, like=like, seed=seed) for seed in (2, 3))
    try:
        found = own(q, k, cos, sin)
    except (RuntimeError, TypeError, IndexError):  # another kind of rotation, with other arguments or shapes
        return False
    return all(torch.equal(x, _turned(y, cos, sin)) for x, y in zip(found, (q, k), strict=True))
