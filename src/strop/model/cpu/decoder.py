"""All layers of a decoder for a row of a key/value cache in one call of the compiled kernel.

For decoders whose layers are of the plain Llama shape (Llama, Mistral, Qwen 2 and 3, SmolLM 2 …), whatever their name:
they are looked at here, and compared on random numbers by `strop.model.decoding`. In a step of 64 rows the modules and
torch's operations between the products took as long as these; here it is one pass over the weights where they lie.

Shapes: T tokens of a flat row, W width of the model, H query heads, K key/value heads, D width of a head.
"""

from __future__ import annotations

import ctypes
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from strop.model import fused_lora
from strop.model.cpu import attention_layer, gated_unit, rms_norm
from strop.model.cpu.int8 import Int8Weights
from strop.model.cpu.kernels import call, computable, named
from strop.model.segments import PAGE

if TYPE_CHECKING:
    from strop.model.kv_cache import KVCache, PagedLayout

_P, _D, _L = ctypes.c_void_p, ctypes.c_double, ctypes.c_long
_CHILDREN = {"self_attn", "mlp", "input_layernorm", "post_attention_layernorm"}
_LINEAR = ("q", "k", "v", "o", "gate", "up", "down")
_RANKS = 32
"""Adapters' ranks are filled up with zeros to a multiple of it."""

MOST_FLOAT32 = 256
"""Tokens of a row in float32, of which torch multiplies more faster (MKL)."""
MOST_SHARED = 16
"""Query heads of a key/value head, at most."""


class _Linear(ctypes.Structure):
    """As `decoder.cpp` has it."""

    _fields_ = (("weight", _P), ("bias", _P), ("a", _P), ("b", _P), ("q", _P), ("scale", _P))


class _Layer(ctypes.Structure):
    """As `decoder.cpp` has it."""

    _fields_ = (
        *(("norm", _P), ("q", _Linear), ("k", _Linear), ("v", _Linear), ("q_norm", _P), ("k_norm", _P)),
        *(("o", _Linear), ("after", _P), ("gate", _Linear), ("up", _Linear), ("down", _Linear)),
        *(("keys", _P), ("values", _P), ("window", _L), ("scale", _D), ("eps", _D), ("offset", _D), ("head_eps", _D)),
    )


class Decoder:
    """``decoder(tokens, positions, layout)`` is what the model's own decoder computes for a row of a cache.

    Weights are read where they were when `fits` was asked last. Made by `decoder`.
    """

    def __init__(self, decoder: nn.Module):
        self.decoder = decoder
        first = decoder.layers[0]
        attention = first.self_attn
        self._dtype = attention.q_proj.weight.dtype
        self.width, self.d = attention.q_proj.in_features, attention.head_dim
        self.heads, self.kv_heads = (p.out_features // self.d for p in (attention.q_proj, attention.k_proj))
        self.inner = first.mlp.gate_proj.out_features
        self.layers = (_Layer * len(decoder.layers))()
        self.int8: Int8Weights | None = None  # where weights are taken from, if not the model's own
        self._rank = 0  # of all adapters
        self._adapters: list[Tensor] = []  # copies of them as the kernel takes them
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
        row, table, segments = 0, 0, []
        tables: list[int] = []
        parts = zip(layout.counts, layout.lengths, layout.tables, layout.prompts or layout.lengths, strict=True)
        for n, length, pages, prompt in parts:
            segments += [row, n, length, table, prompt]
            tables += pages[: -(-length // PAGE)]
            row, table = row + n, len(tables)
        h = torch.empty(count, max(self.width, self.heads * self.d), dtype=x.dtype, device=device)
        qkv = torch.empty(count, (self.heads + 2 * self.kv_heads) * self.d, dtype=x.dtype, device=device)
        act = torch.empty(count, self.inner, dtype=x.dtype, device=device)
        layers = ctypes.addressof(self.layers[0 if only is None else only])
        low = torch.empty(3, count, self._rank, dtype=x.dtype, device=device)
        shape = (len(self.layers) if only is None else 1, self.width, self.heads, self.kv_heads, self.d, self.inner)
        sizes = torch.tensor((*shape, self._rank))
        work = torch.tensor(segments, dtype=torch.int32), len(layout.counts), torch.tensor(tables, dtype=torch.int32)
        call(
            named("strop_decode", x),
            layers,
            sizes,
            x,
            cos.contiguous(),
            sin.contiguous(),
            count,
            *work,
            h,
            qkv,
            act,
            low,
        )
        return x

    def fits(self) -> bool:
        """Whether the model is still as it was when this was made; where its weights are is looked up again."""
        self._pointed = None
        return fits(self.decoder) and self.decoder.layers[0].self_attn.q_proj.weight.dtype == self._dtype

    def takes(self, tokens: int) -> bool:
        """Whether a row of so many tokens is computed faster here than by the modules."""
        return self._dtype != torch.float32 or self.int8 is not None or tokens <= MOST_FLOAT32

    def _point(self, cache: KVCache) -> None:
        """Write down where the weights and the cache are, and copy the adapters."""
        linear = [_linears(module) for module in self.decoder.layers]
        ranks = [len(one.a) for several in linear for one in several.values() if one.a is not None]
        self._rank, self._adapters = -(-max(ranks, default=0) // _RANKS) * _RANKS, []
        for i, (layer, module) in enumerate(zip(self.layers, self.decoder.layers, strict=True)):
            for name, one in linear[i].items():
                adapter = (None, None) if one.a is None else self._filled_up(one)
                eight = (None, None) if self.int8 is None else self.int8.of(one.weight)
                tensors = (one.weight, one.bias, *adapter, *eight)
                pointers = (t if t is None else t.data_ptr() for t in tensors)
                setattr(layer, name, _Linear(*pointers))
            for name, norm in _norms(module).items():
                setattr(layer, name, norm.weight.data_ptr())
            layer.keys, layer.values = cache.keys[i].data_ptr(), cache.values[i].data_ptr()

    def _filled_up(self, one: fused_lora.Operands) -> tuple[Tensor, Tensor]:
        """``a`` and ``b``, which has the scale in it, with as many ranks as all have."""
        more = self._rank - len(one.a)
        a, b = F.pad(one.a, (0, 0, 0, more)), F.pad(one.b * one.scale, (0, more))
        self._adapters += [a, b]
        return a, b


def _linears(layer: nn.Module) -> dict[str, fused_lora.Operands]:
    """The matrices by name, without those that the kernel does not compute."""
    found = {
        name: _linear(getattr(layer.self_attn if name in "qkvo" else layer.mlp, f"{name}_proj", None))
        for name in _LINEAR
    }
    return {name: one for name, one in found.items() if one is not None}


def _linear(module: nn.Module | None) -> fused_lora.Operands | None:
    if module is None:
        return None
    if type(module) is nn.Linear and "forward" not in vars(module):
        return fused_lora.Operands(module.weight, module.bias, None, None, 1.0)
    if _method(module) is not fused_lora.forward:
        return None
    if module.disable_adapters and not module.merged:
        return _linear(module.base_layer)
    return fused_lora.operands(module, module.weight)


def _method(module: nn.Module) -> object:
    """Of ours, what computes the module."""
    return getattr(vars(module).get("forward"), "__func__", None)


def _norms(layer: nn.Module) -> dict[str, nn.Module]:
    norms = {"norm": layer.input_layernorm, "after": layer.post_attention_layernorm}
    heads = {name: getattr(layer.self_attn, name, None) for name in ("q_norm", "k_norm")}
    return norms | {name: norm for name, norm in heads.items() if norm is not None}


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
    if _method(attention) is not attention_layer.forward or _method(mlp) is not gated_unit.forward:
        return False
    norms, linears = _norms(layer), _linears(layer)
    if any(_method(norm) is not rms_norm.forward for norm in norms.values()) or len(linears) < len(_LINEAR):
        return False
    if any(linears[name].bias is not None for name in ("gate", "up", "down")):
        return False
    if any(m._forward_hooks or m._forward_pre_hooks for m in layer.modules()):
        return False
    heads = [norm for name, norm in norms.items() if name in ("q_norm", "k_norm")]
    whole = len(heads) in (0, 2) and all(norm.weight.numel() == attention.head_dim for norm in heads)
    return whole and set(attention.fused) <= {"scaling", "sliding_window"}


def fits(decoder: nn.Module) -> bool:
    """Whether all layers are of the shape and of one size that the kernel takes, in bfloat16 or in float32."""
    if not len(decoder.layers) or not all(_plain(layer) for layer in decoder.layers):
        return False
    first = decoder.layers[0]
    attention, shapes = first.self_attn, _shapes(first)
    q, k, v = (p.out_features for p in (attention.q_proj, attention.k_proj, attention.v_proj))
    d = attention.head_dim
    fitting = d % 32 == 0 and d <= 256 and k == v and q // k <= MOST_SHARED
    fitting &= all(n % 32 == 0 for n in (attention.q_proj.in_features, first.mlp.gate_proj.out_features, q, k))
    norms = {m.fused for layer in decoder.layers for m in (layer.input_layernorm, layer.post_attention_layernorm)}
    alike = len(norms) == 1 and all(_shapes(layer) == shapes for layer in decoder.layers)
    parameters = list(decoder.layers.parameters())
    return fitting and alike and all(p.is_contiguous() for p in parameters) and computable(*parameters)


def _shapes(layer: nn.Module) -> list[torch.Size | None]:
    """Of weights, not of adapters."""
    of_linears = [x if x is None else x.shape for one in _linears(layer).values() for x in (one.weight, one.bias)]
    return of_linears + [norm.weight.shape for norm in _norms(layer).values()]
