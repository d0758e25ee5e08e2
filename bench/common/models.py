"""The models that benchmarks use: by strop's names, or random ones made in memory."""

from __future__ import annotations

from typing import Any

import torch
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedModel

from strop.model.lora import add_lora
from strop.model.names import load_model
from strop.model.policy import Policy
from strop.model.precision import best_compute
from strop.model.settings import LoraSettings

RANDOM = {
    "tiny": {
        "vocab_size": 512,
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "tie_word_embeddings": True,
        "max_position_embeddings": 2048,
    },
    "llama-16m-random": {
        "vocab_size": 8192,
        "hidden_size": 384,
        "intermediate_size": 1024,
        "num_hidden_layers": 8,
        "num_attention_heads": 6,
        "num_key_value_heads": 2,
        "tie_word_embeddings": True,
        "max_position_embeddings": 2048,
    },
    # The shape of Llama 3.2 1B (config.json of meta-llama/Llama-3.2-1B), without its long-context rotary scaling.
    "llama-1b-random": {
        "vocab_size": 128256,
        "hidden_size": 2048,
        "intermediate_size": 8192,
        "num_hidden_layers": 16,
        "num_attention_heads": 32,
        "num_key_value_heads": 8,
        "head_dim": 64,
        "tie_word_embeddings": True,
        "max_position_embeddings": 131072,
    },
}


def make_model(name: str, dtype: torch.dtype = torch.float32, **overrides) -> PreTrainedModel:
    """A model on this machine's device; the weights of a random one are the same in every process."""
    device = torch.accelerator.current_accelerator(check_available=True) or torch.device("cpu")
    if name not in RANDOM:
        return load_model(name, dtype=dtype, device=device)
    config = LlamaConfig(**{**RANDOM[name], "bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0, **overrides})
    torch.manual_seed(0)
    with torch.device(device):
        return LlamaForCausalLM(config).to(dtype).eval()


def policy_of(name: str, lora: dict[str, Any] | None) -> Policy:
    """A policy to train, with adapters where they have settings; also for the process that samples ahead."""
    compute = best_compute()
    model = make_model(name, compute.dtype) if lora else make_model(name)
    return Policy(add_lora(model, LoraSettings(**lora)).network if lora else model, compute)
