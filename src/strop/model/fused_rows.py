"""An embedding of which a few rows are trained, without a copy of the whole matrix or a gradient as large.

Shapes: T tokens, V rows, D width, R trained rows.
"""

from __future__ import annotations

import sys

import torch
from torch import Tensor, nn

from strop.model.head_weight import rows_in_layer


def usual(module: nn.Module) -> tuple[()] | None:
    """Whether this is peft's layer for rows of an embedding, None if not; without importing peft."""
    layers = sys.modules.get("peft.tuners.trainable_tokens")  # not there: nobody can have made one
    kinds = None if layers is None else (layers.TrainableTokensLayer, nn.Embedding)
    return () if kinds == (type(module), type(getattr(module, "base_layer", None))) else None


def forward(self: nn.Module, tokens: Tensor, *args, **kwargs) -> Tensor:
    """``tokens [..., T]`` -> ``[..., T, D]``, differentiable in the trained rows; gradients are summed in float32."""
    rows = None if args or kwargs else rows_in_layer(self)
    if rows is None:
        return type(self).forward(self, tokens, *args, **kwargs)
    place = torch.full((len(self.base_layer.weight),), -1, device=tokens.device)  # [V]: which trained row, if one
    place[rows.ids] = torch.arange(len(rows.ids), device=tokens.device)
    which = place[tokens]
    values = rows.values.float()[which.clamp_min(0)].to(rows.values.dtype)
    return torch.where((which >= 0)[..., None], values, self.base_layer(tokens))
