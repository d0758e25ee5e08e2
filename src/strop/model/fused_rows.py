"""An embedding of which a few rows are trained, without a copy of the whole matrix or a gradient as large.

Shapes: T tokens, V rows, D width, R trained rows.
"""

from __future__ import annotations

import sys

import torch
from torch import Tensor, nn

from strop.model.head_weight import rows_in_layer


def is_token_rows(module: nn.Module) -> bool:
    """Whether this is peft's layer for rows of an embedding; without importing peft, which takes a second."""
    layers = sys.modules.get("peft.tuners.trainable_tokens")  # not there: nobody can have made one
    return (
        layers is not None and type(module) is layers.TrainableTokensLayer and type(module.base_layer) is nn.Embedding
    )


def embed(layer: nn.Module, tokens: Tensor) -> Tensor | None:
    """``tokens [..., T]`` -> ``[..., T, D]``, differentiable in the trained rows; gradients are summed in float32.

    None where peft's own has to do it.
    """
    rows = rows_in_layer(layer)
    if rows is None:
        return None
    place = torch.full((len(layer.base_layer.weight),), -1, device=tokens.device)  # [V]: which trained row, if one
    place[rows.ids] = torch.arange(len(rows.ids), device=tokens.device)
    which = place[tokens]
    values = rows.values.float()[which.clamp_min(0)].to(rows.values.dtype)
    return torch.where((which >= 0)[..., None], values, layer.base_layer(tokens))
