"""Weights in 8 bits for the decoding kernel: `w ≈ scale · q` with a scale per row and integers of -127 to 127.

One row's step reads every weight once, so half the bytes are half its time; many rows gain nothing. Products, sums and
all else stay as they are, in bfloat16 or float32: an integer of 8 bits is exact in both.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor


class Int8(NamedTuple):
    """``q [O,I]`` int8 and ``scale [O]`` float32 of a weight ``[O,I]``."""

    q: Tensor
    scale: Tensor


@torch.no_grad()
def quantised(weight: Tensor) -> Int8:
    """The nearest integers, the largest of a row being 127; a row of zeros has scale 1."""
    rows = weight.float()
    scale = rows.abs().amax(1) / 127
    scale = torch.where(scale > 0, scale, 1.0)
    return Int8((rows / scale[:, None]).round_().to(torch.int8), scale)


class Int8Weights:
    """Weights of a model in 8 bits, each made when it is first asked for and again once it has changed."""

    def __init__(self) -> None:
        self._made: dict[int, tuple[int, Int8]] = {}

    def of(self, weight: Tensor) -> Int8:
        """What `quantised` makes of ``weight [O,I]``, as it is now."""
        version = 0 if weight.is_inference() else weight._version
        made = self._made.get(weight.data_ptr())
        if made is None or made[0] != version:
            made = self._made[weight.data_ptr()] = version, quantised(weight)
        return made[1]
