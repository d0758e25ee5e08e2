"""GGUF files as llama.cpp writes them."""

import json
from pathlib import Path

import numpy as np
import pytest
from transformers import LlamaForCausalLM


def write_gguf(path: Path, model: LlamaForCausalLM, tokenizer, pre: str) -> Path:
    """The tiny model as llama.cpp's converter would write it: query and key rows interleaved for its rotary order."""
    writer_module = pytest.importorskip("gguf")
    pytest.importorskip("accelerate")
    control = {index for index, token in tokenizer.added_tokens_decoder.items() if token.special}
    config = model.config
    writer = writer_module.GGUFWriter(path, "llama")
    writer.add_block_count(config.num_hidden_layers)
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_rope_dimension_count(config.head_dim)
    writer.add_rope_freq_base(config.rope_parameters["rope_theta"])
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_vocab_size(config.vocab_size)

    bpe = json.loads(tokenizer.backend_tokenizer.to_str())["model"]
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(pre)
    writer.add_token_list(sorted(bpe["vocab"], key=bpe["vocab"].get))
    writer.add_token_types([3 if index in control else 1 for index in range(len(tokenizer))])
    writer.add_token_merges([" ".join(pair) for pair in bpe["merges"]])
    writer.add_eos_token_id(tokenizer.eos_token_id)
    writer.add_pad_token_id(tokenizer.eos_token_id)
    writer.add_chat_template(tokenizer.chat_template)

    def interleaved(weight: np.ndarray, heads: int) -> np.ndarray:
        rows = weight.reshape(heads, 2, weight.shape[0] // heads // 2, weight.shape[1])
        return np.ascontiguousarray(rows.swapaxes(1, 2).reshape(weight.shape))

    weights = {name: p.detach().numpy() for name, p in model.named_parameters()}
    writer.add_tensor("token_embd.weight", weights["model.embed_tokens.weight"])
    writer.add_tensor("output_norm.weight", weights["model.norm.weight"])
    parts = {
        "attn_norm": "input_layernorm",
        "attn_q": "self_attn.q_proj",
        "attn_k": "self_attn.k_proj",
        "attn_v": "self_attn.v_proj",
        "attn_output": "self_attn.o_proj",
        "ffn_norm": "post_attention_layernorm",
        "ffn_gate": "mlp.gate_proj",
        "ffn_up": "mlp.up_proj",
        "ffn_down": "mlp.down_proj",
    }
    heads = {"attn_q": config.num_attention_heads, "attn_k": config.num_key_value_heads}
    for layer in range(config.num_hidden_layers):
        for theirs, ours in parts.items():
            weight = weights[f"model.layers.{layer}.{ours}.weight"]
            writer.add_tensor(
                f"blk.{layer}.{theirs}.weight", interleaved(weight, heads[theirs]) if theirs in heads else weight
            )
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path
