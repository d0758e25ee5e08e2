"""How a module of a model shows that it computes what a kernel computes: on random numbers."""

from __future__ import annotations

import torch
from torch import Tensor


def random(*shape: int, like: Tensor, seed: int = 0) -> Tensor:
    """Normal numbers, the same on every device, in the format and place of ``like``."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator).to(like.device, like.dtype)


def same(got: Tensor, expected: Tensor) -> bool:
    """Equal to the rounding of ``got``'s format, in which sums were taken in another order."""
    loose = 1e-4 if got.dtype == torch.float32 else 2e-2
    return got.shape == expected.shape and torch.allclose(got.float(), expected.float(), rtol=loose, atol=1e-5)
