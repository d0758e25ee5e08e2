"""The one door to operations that replace torch's: kernels written for a family of processors, and fewer passes.

What is installed in a model are methods bound to its modules; a copy of the model computes with its own weights, other
models of the family stay as they are, and a module goes back to its class's method for inputs that a kernel does not
compute. No family is named: a module is taken when it is built like the usual one and shows on random numbers that it
computes the same.

The functions below `install` are asked at each call, by code that has torch's operations at hand for the answer None.

CPU kernels exist, where there is a C++ compiler, for float32 on all processors and for bfloat16 on those with AVX-512
BF16 (`strop.model.cpu`): nothing else knows of them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import MethodType, ModuleType

import torch
from torch import Tensor, nn

from strop.model import fused_lora, fused_rows
from strop.model.cpu import adamw as _adamw
from strop.model.cpu import allocator as _allocator
from strop.model.cpu import attention as _attention
from strop.model.cpu import attention_layer, gated_unit, gradient_norm, rms_norm
from strop.model.cpu import decoder as _decoder
from strop.model.cpu import head as _head
from strop.model.cpu.decoder import Decoder
from strop.model.cpu.int8 import Int8Weights
from strop.model.cpu.kernels import float32_kernels, kernels
from strop.model.precision import Compute
from strop.model.segments import AttentionOptions

# How each kind of module is called in messages; ``usual(module)`` of a kind gives what its ``forward`` finds in
# ``module.fused``, None for a module of another kind.
_ANYWHERE = {"layers with adapters": fused_lora, "embeddings with trained rows": fused_rows}
_CPU = {"norms": rms_norm, "gated units": gated_unit, "rotary embeddings": attention_layer}
_FORWARDS = {kind.forward for kind in (*_ANYWHERE.values(), *_CPU.values())}


@dataclass
class Installed:
    """What `install` has put into a model: ``modules`` by kind, and for which format the processor has ``kernels`` that
    compute these and the rest (None: it has none)."""

    kernels: torch.dtype | None
    modules: dict[str, int] = field(default_factory=dict)

    def __str__(self) -> str:
        parts = [f"{count} {name}" for name, count in self.modules.items()]
        if self.kernels is None:
            return f"no kernels: {', '.join(parts)}" if parts else "no kernels: torch's own operations"
        if self.kernels == torch.bfloat16:
            return f"CPU kernels (AVX-512 BF16): {', '.join(['attention', 'head', 'AdamW', 'gradient norm', *parts])}"
        return f"CPU kernels (float32): {', '.join(['attention', 'head', *parts])}"


def available() -> bool:
    """Whether this machine's processor has kernels for bfloat16; the first call on a machine compiles them."""
    return kernels() is not None


def has_kernels(compute: Compute) -> bool:
    """Whether there are kernels for what computes in this place and format."""
    there = {torch.bfloat16: kernels, torch.float32: float32_kernels}.get(compute.dtype)
    return compute.device.type == "cpu" and there is not None and there() is not None


def install(model: nn.Module, compute: Compute) -> Installed:
    """Have the modules of ``model`` use what there is for ``compute``; those that have somebody's method keep it."""
    found = Installed(compute.dtype if has_kernels(compute) else None)
    kinds = {**_ANYWHERE, **(_CPU if found.kernels else {})}
    counts = dict.fromkeys(kinds, 0)
    for module in model.modules():
        if "forward" in vars(module):
            continue
        for name, kind in kinds.items():
            if (settings := kind.usual(module)) is not None:
                module.fused, module.forward = settings, MethodType(kind.forward, module)
                counts[name] += 1
                break
    found.modules = {name: count for name, count in counts.items() if count}
    return found


@contextmanager
def taken_out(modules: Iterable[nn.Module]) -> Iterator[None]:
    """Inside, ``modules`` and what is in them have the methods of their classes."""
    ours = [(m, f) for part in modules for m in part.modules() if _is_ours(f := vars(m).get("forward"))]
    for module, _ in ours:
        del module.forward
    try:
        yield
    finally:
        for module, forward in ours:
            module.forward = forward


def _is_ours(forward: object) -> bool:
    return getattr(forward, "__func__", None) in _FORWARDS


def attention(q: Tensor, v: Tensor, options: AttentionOptions) -> Callable[..., Tensor] | None:
    """``kernel(q, k, v, bounds, scale, window)`` of `strop.model.cpu.attention`, where it computes this."""
    return _attention.attention if options.softmax_alone and _attention.supported(q, v) else None


def head(logits: Tensor) -> ModuleType | None:
    """``statistics`` and ``gradient_`` of `strop.model.cpu.head`, where they compute this."""
    return _head if _head.supported(logits) else None


def draw(logits: Tensor) -> Callable[..., tuple[Tensor, Tensor]] | None:
    """`strop.model.cpu.head.draw`, where it computes this: the next tokens of float32 logits ``[R,V]``."""
    return _head.draw if _head.drawable(logits) else None


def head_product(hidden: Tensor, weight: Tensor, bias: Tensor | None, int8: Int8Weights | None = None) -> Tensor | None:
    """``hidden [s,D] weightᵀ + bias`` for few rows, each the same to the bit in every batch; None: use torch's."""
    return _head.product(hidden, weight, bias, int8)


def decoder(model: nn.Module) -> Decoder | None:
    """One kernel for all layers of ``model`` on rows of a cache, where they are built like those that it computes."""
    return _decoder.decoder(model)


def adamw() -> ModuleType | None:
    """``supported``, ``split``, ``join`` and ``step`` of `strop.model.cpu.adamw`, where the processor has them."""
    return _adamw if available() else None


def norm(tensors: Sequence[Tensor]) -> float:
    """The 2-norm of all numbers of ``tensors`` together; 0.0 for none.

    Summed in float64 on a CPU, where float32 is up to 3e-5 off for 10⁶ numbers, and differently so for the same ones
    shared among ranks; elsewhere in float32 within each tensor.
    """
    if not tensors:
        return 0.0
    if gradient_norm.supported(tensors):
        return gradient_norm.norm(tensors)
    if all(x.device.type == "cpu" for x in tensors):
        return math.sqrt(sum(_sum_of_squares(x) for x in tensors if x.numel()))
    return math.hypot(*torch.stack(torch._foreach_norm(list(tensors), 2, torch.float32)).tolist())


def _sum_of_squares(x: Tensor, at_once: int = 1 << 17, rows: int = 32) -> float:
    """In parts that stay in a core's cache, and by rows that are one thread's each: the same for any number of them."""
    wide = torch.empty(min(at_once, -(-x.numel() // rows) * rows), dtype=torch.float64, device=x.device)
    total = 0.0
    for part in x.reshape(-1).split(at_once):
        wide[: len(part)].copy_(part)
        wide[len(part) :] = 0
        total += wide.view(rows, -1).square_().sum(1).sum().item()
    return total


def install_allocator() -> bool:
    """Give CPU tensors a region of memory of their own, until the process ends; False where that cannot be."""
    return _allocator.install()
