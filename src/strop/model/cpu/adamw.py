"""AdamW over float32 masters that are held as two halves, in one pass over memory.

``bits(master) = (bits(hi) << 16) + low``, with ``hi`` bfloat16 and ``low`` int16 (Apex, DistributedFusedAdam's
``store_param_remainders``).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from strop.model.cpu.kernels import bfloat16, call


def supported(p: Tensor) -> bool:
    """Whether `step` can train this: contiguous bfloat16 on a CPU that the kernels run on."""
    return bfloat16(p) and p.is_contiguous()


def split(master: Tensor) -> tuple[Tensor, Tensor]:
    """``(hi bfloat16, low int16)`` of a float32 tensor. ``hi`` is the nearest bfloat16, ties away from zero.

    Raises ValueError for another format.
    """
    if master.dtype != torch.float32:
        raise ValueError(f"a master is float32, not {master.dtype}")
    master = master.detach().contiguous()
    hi, low = torch.empty_like(master, dtype=torch.bfloat16), torch.empty_like(master, dtype=torch.int16)
    call("strop_split", master, hi, low, master.numel())
    return hi, low


def join(hi: Tensor, low: Tensor) -> Tensor:
    """The inverse of `split`, exactly. Raises ValueError for what it does not give."""
    if (hi.dtype, low.dtype, hi.shape) != (torch.bfloat16, torch.int16, low.shape):
        raise ValueError(f"{tuple(hi.shape)} {hi.dtype} and {tuple(low.shape)} {low.dtype} are no halves of a master")
    hi, low = hi.detach().contiguous(), low.contiguous()
    master = torch.empty_like(hi, dtype=torch.float32)
    call("strop_join", hi, low, master, master.numel())
    return master


def step(
    hi: Tensor, low: Tensor, grad: Tensor, moments: Sequence[Tensor], group: Mapping[str, Any], count: int, scale: float
) -> None:
    """``m = β1·m + (1-β1)·g``, ``v = β2·v + (1-β2)·g²``, ``p -= lr·(wd·p + m̂/(√v̂ + ε))``, in place on the halves of p.

    ``grad``: bfloat16 or float32, contiguous, of the shape of ``hi``; ``g = scale · grad``. ``group``: an optimiser's,
    with ``lr``, ``betas``, ``eps`` and ``weight_decay``. ``count``: which step this is, from 1.
    ``moments``: ``m``, ``v`` float32 of that shape; or, in blocks of 256 numbers, codes (uint8) and scales (float32) of
    ``m`` and of ``√v``, and for both the map (float32 ``[256]``) and the codes by float16 (uint8 ``[65536]``).
    """
    kernel = "strop_adamw" if len(moments) == 2 else "strop_adamw_8bit"
    rule = group["lr"], *group["betas"], group["eps"], group["weight_decay"], count, scale
    call(kernel, hi, low, grad, grad.dtype == torch.bfloat16, *moments, hi.numel(), *rule)
