"""Frozen weights in 4 bits, by bitsandbytes: nf4 with double quantisation, as in QLoRA (arXiv:2305.14314).

Shapes: O outputs and I inputs of a matrix.
"""

from __future__ import annotations

import sys

import torch
from peft.tuners.lora import Linear as LoraLinear
from peft.tuners.lora import LoraLayer
from peft.utils.integrations import dequantize_module_weight
from torch import nn
from transformers import BitsAndBytesConfig, PreTrainedModel


def quantization(dtype: torch.dtype) -> BitsAndBytesConfig:
    """What ``from_pretrained`` is told to hold the weights in 4 bits and to multiply in ``dtype``."""
    how = {"bnb_4bit_quant_type": "nf4", "bnb_4bit_use_double_quant": True, "bnb_4bit_compute_dtype": dtype}
    return BitsAndBytesConfig(load_in_4bit=True, **how)


def unpack(network: PreTrainedModel) -> None:
    """Replace packed layers, adapted or not, by plain ones of the same values, and the marks of a packed model.

    Adapters stay, now of peft's kind for plain layers: its merge into a packed layer would pack the sum again.
    """
    packed = [(name, m) for name, m in network.named_modules() if type(getattr(m, "weight", None)) is _packed_type()]
    for name, layer in packed:
        if isinstance(layer, LoraLayer):
            continue  # its weight is that of its base layer, which comes by itself
        weight = dequantize_module_weight(layer).float()  # [O,I]
        plain = nn.Linear(*reversed(weight.shape), bias=layer.bias is not None, device="meta")
        plain.weight = nn.Parameter(weight, requires_grad=False)
        if layer.bias is not None:
            plain.bias = layer.bias
        network.set_submodule(name, plain)
    for _, layer in packed:
        if isinstance(layer, LoraLayer):
            layer.__class__ = LoraLinear
    if packed:
        for name in ("is_loaded_in_4bit", "is_quantized", "quantization_method", "hf_quantizer"):
            network.__dict__.pop(name, None)
        network.config.__dict__.pop("quantization_config", None)


def _packed_type() -> type | None:
    """bitsandbytes' kind of parameter, or None where it is not in use."""
    module = sys.modules.get("bitsandbytes")
    return module.nn.Params4bit if module else None
