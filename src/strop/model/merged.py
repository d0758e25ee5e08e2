"""The weights of a plain model while its adapters are trained: for who reads whole models, such as a server."""

from __future__ import annotations

import re

import torch
from peft.tuners.lora import Linear as LoraLinear
from peft.tuners.tuners_utils import BaseTunerLayer
from peft.utils import AuxiliaryTrainingWrapper
from torch import Tensor, nn

from strop.common.errors import InputError


def check_mergeable(model: nn.Module) -> None:
    """Raise InputError for adapters that `plain_weights` does not add: all but LoRA on plain linear layers."""
    for name, layer in model.named_modules():
        if not isinstance(layer, BaseTunerLayer | AuxiliaryTrainingWrapper):
            continue
        usual = type(layer) is LoraLinear and type(layer.base_layer) is nn.Linear and len(layer.active_adapters) == 1
        if not usual or layer.lora_variant or any(b.bias is not None for b in layer.lora_B.values()):
            raise InputError(
                f"rollout.engine: vllm: {name} is trained as {type(layer).__name__}, and only plain LoRA on linear "
                "layers is added to the weights that a server gets: leave out dora, quantize, modules_to_save and "
                "train_tokens, take a template whose tokens the model has, or set rollout.engine=torch."
            )


@torch.no_grad()
def plain_weights(model: nn.Module) -> dict[str, Tensor]:
    """The state of ``model`` as if it had no adapters but ``W + s B A`` for each W that has one (summed in float32, in
    the format of W); the model's own tensors where there is none. Raises InputError as `check_mergeable`."""
    check_mergeable(model)
    state = {
        re.sub(r"\.base_layer(?=\.)", "", name): tensor
        for name, tensor in model.state_dict().items()
        if ".lora_" not in name
    }
    for name, layer in model.named_modules():
        if isinstance(layer, LoraLinear):
            [adapter] = layer.active_adapters
            a, b = (part[adapter].weight.float() for part in (layer.lora_A, layer.lora_B))  # [r,I], [O,r]
            weight = state[f"{name}.weight"]
            state[f"{name}.weight"] = weight.float().addmm(b, a, alpha=layer.scaling[adapter]).to(weight.dtype)
    return state
