"""All layers of a decoder for a row of a key/value cache in one call of the compiled kernel.

For decoders whose layers are of the plain Llama shape (Llama, Mistral, Qwen 2 and 3, SmolLM 2 …), whatever their name:
they are looked at here, and compared on random numbers by `strop.model.decoding`. In a step of 64 rows the modules and
torch's operations between the products took as long as these; here it is one pass over the weights where they lie.

Shapes: T tokens of a flat row, W width of the model, H query heads, K key/value heads, D width of a head.
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from strop.model.cpu import attention_layer, gated_unit, rms_norm
from strop.model.cpu.kernels import call, computable
from strop.model.segments import PAGE

if TYPE_CHECKING:
    from strop.model.kv_cache import KVCache, PagedLayout

_P, _D, _L = ctypes.c_void_p, ctypes.c_double, ctypes.c_long
_CHILDREN = {"self_attn", "mlp", "input_layernorm", "post_attention_layernorm"}
_WEIGHTS = ("norm", "q", "q_bias", "k", "k_bias", "v", "v_bias", "q_norm", "k_norm", "o", "o_bias", "after", "gate")
_WEIGHTS += ("up", "down")


MOST_SHARED = 16
"""Query heads of a key/value head, at most."""


class _Layer(ctypes.Structure):
    """As `decoder.cpp` has it."""

    _fields_ = (
        *((name, _P) for name in (*_WEIGHTS, "keys", "values")),
        *(("window", _L), ("scale", _D), ("eps", _D), ("offset", _D), ("head_eps", _D)),
    )


class Decoder:
    """``decoder(tokens, positions, layout)`` is what the model's own decoder computes for a row of a cache.

    Weights are read where they were when `fits` was asked last. Made by `decoder`.
    """

    def __init__(self, decoder: nn.Module):
        self.decoder = decoder
        first = decoder.layers[0]
        attention = first.self_attn
        self.width, self.d = attention.q_proj.in_features, attention.head_dim
        self.heads, self.kv_heads = (p.out_features // self.d for p in (attention.q_proj, attention.k_proj))
        self.inner = first.mlp.gate_proj.out_features
        self.layers = (_Layer * len(decoder.layers))()
        self._pointed: tuple[KVCache, int] | None = None  # whose place is in `layers`, beside that of the weights
        for layer, module in zip(self.layers, decoder.layers, strict=True):
            norm, options = module.input_layernorm, module.self_attn.fused
            layer.eps, layer.offset = norm.fused
            layer.scale, layer.window = options["scaling"], options.get("sliding_window") or 0
            head = getattr(module.self_attn, "q_norm", None)
            layer.head_eps = layer.eps if head is None else head.fused[0]

    def __call__(self, tokens: Tensor, positions: Tensor, layout: PagedLayout) -> Tensor:
        """``tokens [T]``, ``positions [T]`` int64 -> hidden states after the last norm ``[T,W]``."""
        x = self.decoder.embed_tokens(tokens[None])
        cos, sin = self.decoder.rotary_emb(x, position_ids=positions[None])
        return self.decoder.norm(self.run(x[0].contiguous(), cos[0], sin[0], layout))

    def run(self, x: Tensor, cos: Tensor, sin: Tensor, layout: PagedLayout, only: int | None = None) -> Tensor:
        """Overwrite ``x [T,W]`` with what all the layers, or one, make of it; ``cos``, ``sin`` ``[T,D]``."""
        if self._pointed != (layout.cache, layout.cache.pages):  # it moves when it grows
            self._point(layout.cache)
            self._pointed = layout.cache, layout.cache.pages
        count, device = len(x), x.device
        row, table, segments, tables = 0, 0, [], []
        parts = zip(layout.counts, layout.lengths, layout.tables, layout.prompts or layout.lengths, strict=True)
        for n, length, pages, prompt in parts:
            segments += [row, n, length, table, prompt]
            tables += pages[: -(-length // PAGE)]
            row, table = row + n, len(tables)
        h = torch.empty(count, max(self.width, self.heads * self.d), dtype=x.dtype, device=device)
        qkv = torch.empty(count, (self.heads + 2 * self.kv_heads) * self.d, dtype=x.dtype, device=device)
        act = torch.empty(count, self.inner, dtype=x.dtype, device=device)
        layers = ctypes.addressof(self.layers[0 if only is None else only])
        shape = (len(self.layers) if only is None else 1, self.width, self.heads, self.kv_heads, self.d, self.inner)
        sizes = torch.tensor(shape)
        work = torch.tensor(segments, dtype=torch.int32), len(layout.counts), torch.tensor(tables, dtype=torch.int32)
        call("strop_decode", layers, sizes, x, cos.contiguous(), sin.contiguous(), count, *work, h, qkv, act)
        return x

    def fits(self) -> bool:
        """Whether the model is still as it was when this was made; where its weights are is looked up again."""
        self._pointed = None
        return fits(self.decoder)

    def _point(self, cache: KVCache) -> None:
        """Write down where the weights and the cache are."""
        for i, (layer, module) in enumerate(zip(self.layers, self.decoder.layers, strict=True)):
            for name, tensor in zip(_WEIGHTS, _weights(module), strict=True):
                setattr(layer, name, None if tensor is None else tensor.data_ptr())
            layer.keys, layer.values = cache.keys[i].data_ptr(), cache.values[i].data_ptr()


def _weights(layer: nn.Module) -> Iterator[Tensor | None]:
    """In the order of `_WEIGHTS`."""
    attention, mlp = layer.self_attn, layer.mlp
    yield layer.input_layernorm.weight
    for part in (attention.q_proj, attention.k_proj, attention.v_proj):
        yield from (part.weight, part.bias)
    yield from (norm and norm.weight for norm in (getattr(attention, name, None) for name in ("q_norm", "k_norm")))
    yield from (attention.o_proj.weight, attention.o_proj.bias, layer.post_attention_layernorm.weight)
    yield from (mlp.gate_proj.weight, mlp.up_proj.weight, mlp.down_proj.weight)


def decoder(model: nn.Module) -> Decoder | None:
    """The kernel for layers that are built like this model's; None where they are of another shape or format."""
    inner = model.get_decoder()
    if {name for name, _ in inner.named_children()} != {"embed_tokens", "layers", "norm", "rotary_emb"}:
        return None
    return Decoder(inner) if fits(inner) else None


def _plain(layer: nn.Module) -> bool:
    if {name for name, _ in layer.named_children()} != _CHILDREN:
        return False
    attention, mlp = layer.self_attn, layer.mlp
    if not hasattr(attention, "fused") or not hasattr(mlp, "fused"):
        return False
    installed = ((layer.input_layernorm, rms_norm), (layer.post_attention_layernorm, rms_norm))
    installed += ((attention, attention_layer), (mlp, gated_unit))
    names = ("q_proj", "k_proj", "v_proj", "o_proj")
    linears = [getattr(attention, name, None) for name in names] + [mlp.gate_proj, mlp.up_proj, mlp.down_proj]
    heads = [norm for name in ("q_norm", "k_norm") if (norm := getattr(attention, name, None)) is not None]
    installed += tuple((norm, rms_norm) for norm in heads)
    if any(getattr(vars(m).get("forward"), "__func__", None) is not kind.forward for m, kind in installed):
        return False
    if any(type(part) is not nn.Linear or "forward" in vars(part) for part in linears):
        return False
    if any(part.bias is not None for part in linears[4:]) or any(m._forward_hooks for m in layer.modules()):
        return False
    if any(m._forward_pre_hooks for m in layer.modules()) or not set(attention.fused) <= {"scaling", "sliding_window"}:
        return False
    return len(heads) in (0, 2) and all(norm.weight.numel() == attention.head_dim for norm in heads)


def fits(decoder: nn.Module) -> bool:
    """Whether all layers are of the shape and of one size that the kernel takes, in bfloat16."""
    if not len(decoder.layers) or not all(_plain(layer) for layer in decoder.layers):
        return False
    first = decoder.layers[0]
    attention, shapes = first.self_attn, [p.shape for p in first.parameters()]
    q, k, v = (p.out_features for p in (attention.q_proj, attention.k_proj, attention.v_proj))
    d = attention.head_dim
    fitting = d % 32 == 0 and d <= 256 and k == v and q // k <= MOST_SHARED
    fitting &= all(n % 32 == 0 for n in (attention.q_proj.in_features, first.mlp.gate_proj.out_features, q, k))
    norms = {m.fused for layer in decoder.layers for m in (layer.input_layernorm, layer.post_attention_layernorm)}
    alike = len(norms) == 1 and all([p.shape for p in layer.parameters()] == shapes for layer in decoder.layers)
    return fitting and alike and all(p.is_contiguous() and computable(p) for p in decoder.layers.parameters())
