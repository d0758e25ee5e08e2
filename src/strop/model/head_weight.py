"""The matrix of an output layer, with the adapters that may stand beside it.

Adapters are known by what they have, since importing peft takes a second.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn


class TrainedRows(NamedTuple):
    """Rows ``ids [R]`` of a frozen matrix that are trained, and what stands in them, ``values [R,D]``."""

    ids: Tensor
    values: Tensor


def head_weight(head: nn.Module) -> Tensor:
    """The matrix ``[V,D]`` that an output layer multiplies by, LoRA included; differentiable in what is trained.

    A head without adapters gives its own weight, and one that is trained whole its copy. With adapters it is
    W + scale · B A, made anew at each call (`strop.model.lora` refuses dropout and DoRA on a head, which are no such
    matrix); with trained rows it is a copy of W that holds them.
    """
    if (layer := rows_layer(head)) is not None:
        rows, weight = rows_in_layer(layer), layer.base_layer.weight
        return weight.index_copy(0, rows.ids, rows.values) if rows else weight
    if not hasattr(head, "lora_A") or head.disable_adapters:
        return head.weight
    (name,) = head.active_adapters
    a, b = head.lora_A[name].weight, head.lora_B[name].weight  # [r,D], [V,r]
    return torch.addmm(head.weight, b, a, alpha=head.scaling[name])


def trained_rows(head: nn.Module) -> TrainedRows | None:
    """The rows that peft trains of an embedding or a head; None where there are none, or adapters are off."""
    layer = rows_layer(head)
    return None if layer is None else rows_in_layer(layer)


def rows_in_layer(layer: nn.Module) -> TrainedRows | None:
    """The same of peft's own layer, inside of what it wraps."""
    if layer.disable_adapters or layer.merged:
        return None
    (name,) = layer.active_adapters
    weight = layer.base_layer.weight
    ids = torch.tensor(layer.token_indices[name], device=weight.device)
    return TrainedRows(ids, layer.trainable_tokens_delta[name].to(weight.dtype))


def rows_layer(layer: nn.Module) -> nn.Module | None:
    """What keeps the trained rows of a layer that peft has wrapped for them."""
    return layer._modules.get("token_adapter")
