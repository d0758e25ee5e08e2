"""AdamW with 8-bit moments: 2.03 bytes of state per parameter instead of 8.

A moment is kept as one code per number and one float32 scale per block of 256 numbers (Dettmers et al. 2022, 8-bit
Optimizers via Block-wise Quantization): ``scale = max|x|`` over the block, ``code = argmin_c |map[c] - x/scale|``. The
map is theirs ("dynamic"): fine near 1, and a decade coarser with every bit of the exponent, down to 5.5e-7.

Two things differ, both for the second moment ``v``: its root is kept, so the map spans 12 decades of ``v``; and its map
has no zero, because a ``v`` rounded to 0 under an ``m`` that is not makes a huge step (Li et al. 2023, Memory Efficient
Optimizers with 4-bit States). The step is AdamW's in float32. Tensors below 4096 numbers keep float32 moments.

The nearest code is looked up by the float16 of ``x/scale``, all 65,536 of which are tabulated: rounding to it moves a
number by at most 2^-12, where half the map's finest spacing is 14 times that.

Why not a library's: torchao's compiles a kernel per shape (10 s each, and needs a compiler); bitsandbytes' was four
times as slow as this on a CPU, and four times as far from AdamW where gradients in a block spread over three decades.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor

BLOCK = 256
SMALLEST = 4096  # numbers; below that a tensor's moments are float32
# Numbers handled at once: scratch stays in cache on a CPU, and below 300 MB anywhere.
CHUNK_CPU, CHUNK_GPU = 1 << 18, 1 << 23


def dynamic_map(signed: bool) -> Tensor:
    """The 256 values of the map in ascending order, float32, in -1 … 1 (signed) or above 0 … 1 (not signed).

    For exponent ``e`` = 0 … 6 the values are the middles of ``2^(6-e)`` (signed) or ``2^(7-e)`` equal parts of
    ``0.1 … 1``, times ``10^-e``; and 1. Signed has their negatives (not -1), and 0. Not signed has, in the place of 0,
    one more value at the small end.
    """
    values = [1.0]
    for exponent in range(7):
        edges = torch.linspace(0.1, 1, 2 ** ((6 if signed else 7) - exponent) + 1, dtype=torch.float64)
        values += ((edges[1:] + edges[:-1]) / 2 * 10.0**-exponent).tolist()
    values += [*(-v for v in values if v != 1.0), 0.0] if signed else [1e-7]
    return torch.tensor(sorted(values), dtype=torch.float64).float()


@lru_cache
def tables(signed: bool, device: torch.device) -> tuple[Tensor, Tensor]:
    """``(map [256] float32, codes [65536] uint8)``: codes by a float16's bits as a signed number, plus 32,768."""
    values = dynamic_map(signed)
    bits = torch.arange(-(1 << 15), 1 << 15, dtype=torch.int32).to(torch.int16)
    numbers = bits.view(torch.float16).float().nan_to_num(0.0, 1.0, -1.0)
    codes = torch.bucketize(numbers, (values[1:] + values[:-1]) / 2).to(torch.uint8)
    return values.to(device), codes.to(device)


def quantise(x: Tensor, signed: bool) -> tuple[Tensor, Tensor]:
    """``x [B,256]`` float32 -> codes uint8 ``[B,256]``, scales float32 ``[B]``. All of ``x`` >= 0 unless signed."""
    scale = x.abs().amax(1)
    half = (x / scale.clamp_min(torch.finfo(torch.float32).tiny)[:, None]).half()
    index = half.view(torch.int16).int().add_(1 << 15)
    codes = tables(signed, x.device)[1].index_select(0, index.view(-1))  # four times as fast as codes[index]
    return codes.view(x.shape), scale


def dequantise(codes: Tensor, scale: Tensor, signed: bool) -> Tensor:
    """The inverse of `quantise`, float32 ``[B,256]``."""
    values = tables(signed, codes.device)[0].index_select(0, codes.view(-1).int())
    return values.view(codes.shape).mul_(scale[:, None])


def start_moments(p: Tensor) -> dict[str, Tensor]:
    """Moments of 0 for the shape of ``p``: ``m`` and ``root_v`` as codes ``[B,256]`` and scales ``[B]``, or ``m`` and
    ``v`` in float32 below 4096 numbers."""
    if p.numel() < SMALLEST:
        return {name: torch.zeros_like(p, dtype=torch.float32) for name in ("m", "v")}
    state, blocks = {}, -(-p.numel() // BLOCK)
    for name, signed in (("m", True), ("root_v", False)):
        zeros = torch.zeros(1, BLOCK, device=p.device)
        state[name] = quantise(zeros, signed)[0].expand(blocks, BLOCK).contiguous()
        state[f"{name}_scale"] = torch.zeros(blocks, device=p.device)
    return state


class EachTensor(torch.optim.Optimizer, ABC):
    """An AdamW that steps tensor after tensor by `_update`; its state stays in the format that it was saved in."""

    def __init__(self, params: Iterable, lr=1e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.0):
        super().__init__(params, {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay})

    @abstractmethod
    def _update(self, p: Tensor, group: dict[str, Any], scale: float) -> None:
        """One step of one tensor that has a gradient; ``scale``: how much the gradient counts."""

    @torch.no_grad()
    def step(self, scale: float = 1.0) -> None:
        """One step of every tensor that has a gradient, which counts ``scale`` times. Both must be finite."""
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is not None:
                    self._update(p, group, scale)

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Takes the tensors over as torch's does, which would turn codes and low bits into the parameter's format."""
        super().load_state_dict({"state": {}, "param_groups": state_dict["param_groups"]})
        tensors = [p for group in self.param_groups for p in group["params"]]
        order = [i for group in state_dict["param_groups"] for i in group["params"]]
        for i, p in zip(order, tensors, strict=True):
            for name, value in state_dict["state"].get(i, {}).items():
                self.state[p][name] = value.to(p.device) if isinstance(value, Tensor) else value


class AdamW8bit(EachTensor):
    """``m = β1·m + (1-β1)·g``, ``v = β2·v + (1-β2)·g²``, ``p = p·(1-lr·wd) - lr·m̂/(√v̂ + ε)`` over float32 tensors.

    The step uses the new moments before they are rounded to 8 bits.
    """

    def _update(self, p: Tensor, group: dict[str, Any], scale: float) -> None:
        state = self.state[p]
        if not state:
            state.update(step=0, **start_moments(p))
        state["step"] += 1
        if "v" in state:
            _adamw(p, p.grad * scale, state["m"], state["v"], state["step"], group)
            return
        flat, grad = p.view(-1), p.grad.reshape(-1)
        chunk = CHUNK_CPU if p.device.type == "cpu" else CHUNK_GPU
        for a in range(0, flat.numel(), chunk):
            rows = slice(a // BLOCK, (a + chunk) // BLOCK)
            part, g = flat[a : a + chunk], grad[a : a + chunk] * scale
            m = dequantise(state["m"][rows], state["m_scale"][rows], True)
            v = dequantise(state["root_v"][rows], state["root_v_scale"][rows], False).square_()
            _adamw(part, g, m.view(-1)[: len(g)], v.view(-1)[: len(g)], state["step"], group)
            for name, x, signed in (("m", m, True), ("root_v", v.sqrt_(), False)):
                x.view(-1)[len(g) :] = 0  # what fills the last block
                state[name][rows], state[f"{name}_scale"][rows] = quantise(x, signed)


def _adamw(p: Tensor, g: Tensor, m: Tensor, v: Tensor, step: int, group: dict[str, Any]) -> None:
    """One step of AdamW in place on ``p``, ``m``, ``v``; all float32 of one shape."""
    beta1, beta2 = group["betas"]
    m.lerp_(g, 1 - beta1)
    v.mul_(beta2).addcmul_(g, g, value=1 - beta2)
    denominator = (v / (1 - beta2**step)).sqrt_().add_(group["eps"])
    p.mul_(1 - group["lr"] * group["weight_decay"])
    p.addcdiv_(m, denominator, value=-group["lr"] / (1 - beta1**step))
