"""Rotary position embedding of a model's attention in one pass, where the kernel for it is there.

Families call a function of their own module for it. Here the attention of one model gets a copy of its `forward` in
which that name stands for the kernel; the family's module, and every other model of it, stay as they are.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache, partial
from types import FunctionType

import torch
from torch import Tensor, nn

from strop.model.cpu import rotary as kernel

NAME = "apply_rotary_pos_emb"


def with_fused_rotary(kind: type[nn.Module]) -> FunctionType | None:
    """``kind.forward`` with the kernel in it; None where it does not rotate as most families do.

    Found out by random numbers: ``function(q, k, cos, sin)`` with ``q, k [1,H,T,D]`` and ``cos, sin [1,T,D]``.
    """
    forward = kind.forward
    if not isinstance(forward, FunctionType) or forward.__closure__ or NAME not in forward.__code__.co_names:
        return None
    return _exchanged(forward, __name__)


@lru_cache
def _exchanged(forward: FunctionType, module: str) -> FunctionType | None:
    own = forward.__globals__.get(NAME)
    if not callable(own) or not _usual(own):
        return None
    changed = FunctionType(
        forward.__code__,
        {**forward.__globals__, NAME: partial(_rotate, own)},
        forward.__name__,
        forward.__defaults__,
    )
    changed.__kwdefaults__, changed.__module__ = forward.__kwdefaults__, module
    return changed


def _rotate(own: Callable, q: Tensor, k: Tensor, cos: Tensor, sin: Tensor, *args, **kwargs) -> tuple[Tensor, Tensor]:
    if args or kwargs or not (kernel.supported(q, cos, sin) and kernel.supported(k, cos, sin)):
        return own(q, k, cos, sin, *args, **kwargs)
    return kernel.rotary(q, cos, sin), kernel.rotary(k, cos, sin)


@torch.no_grad()
def _usual(own: Callable) -> bool:
    generator = torch.Generator().manual_seed(0)
    q, k = (torch.randn(1, heads, 5, 32, generator=generator) for heads in (4, 2))
    cos, sin = (torch.randn(1, 5, 32, generator=generator) for _ in range(2))

    def turned(x: Tensor) -> Tensor:
        a, b = x.chunk(2, dim=-1)
        return x * cos[:, None] + torch.cat((-b, a), dim=-1) * sin[:, None]

    try:
        found = own(q, k, cos, sin)
    except (RuntimeError, TypeError, IndexError):  # another kind of rotation, with other arguments or shapes
        return False
    return all(x.shape == y.shape and torch.equal(x, turned(y)) for x, y in zip(found, (q, k), strict=True))
