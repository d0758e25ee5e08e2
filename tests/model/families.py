"""Model families built small from their configs: those that are exact and those that are refused.

Windows are shorter than the sequences; norms, biases and sinks are not at their neutral start, so that each shows.
"""

import torch
from transformers import AutoConfig, AutoModelForCausalLM

from strop.chat import Example

VOCABULARY = 97
BASE = {
    "vocab_size": VOCABULARY,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "initializer_range": 0.3,
    "max_position_embeddings": 128,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "pad_token_id": 0,
}
WIDTH = {"head_dim": 8}
WINDOW = {"sliding_window": 6}
GPT = {"n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 128}
MOE = {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 16}
LOCAL_MOE = {"num_local_experts": 4, "num_experts_per_tok": 2}
LATENT = {
    "num_key_value_heads": 4,
    "q_lora_rank": 16,
    "kv_lora_rank": 16,
    "qk_rope_head_dim": 4,
    "qk_nope_head_dim": 4,
    "v_head_dim": 6,
    "n_routed_experts": 4,
    "n_group": 1,
    "topk_group": 1,
    "num_experts_per_tok": 2,
    "moe_intermediate_size": 16,
    "first_k_dense_replace": 1,
}
# Name -> (model_type, what its config adds to BASE).
EXACT = {
    "Llama": ("llama", {}),
    "Qwen2": ("qwen2", {}),
    "Qwen2, window in one layer": ("qwen2", {**WINDOW, "use_sliding_window": True, "max_window_layers": 1}),
    "Qwen3": ("qwen3", WIDTH),
    "Gemma": ("gemma", WIDTH),
    "Gemma 2": ("gemma2", {**WIDTH, **WINDOW, "attn_logit_softcapping": 2.0, "final_logit_softcapping": 5.0}),
    "Gemma 3": ("gemma3_text", {**WIDTH, **WINDOW, "num_hidden_layers": 6}),
    "Gemma 3n": (
        "gemma3n_text",
        {
            **WIDTH,
            **WINDOW,
            "num_hidden_layers": 4,
            "layer_types": ["sliding_attention", "full_attention"] * 2,
            "num_kv_shared_layers": 2,
            "vocab_size_per_layer_input": VOCABULARY,
            "hidden_size_per_layer_input": 8,
            "laurel_rank": 4,
            "activation_sparsity_pattern": [0.0] * 4,
        },
    ),
    "Gemma 4": (
        "gemma4_text",
        {
            **WIDTH,
            **WINDOW,
            "num_hidden_layers": 6,
            "global_head_dim": 16,
            "hidden_size_per_layer_input": 8,
            "vocab_size_per_layer_input": VOCABULARY,
            "num_kv_shared_layers": 0,
        },
    ),
    "Phi": ("phi", {}),
    "Phi-3": ("phi3", WINDOW),
    "Mistral": ("mistral", WINDOW),
    "Ministral": ("ministral", {**WIDTH, **WINDOW}),
    "StarCoder2": ("starcoder2", WINDOW),
    "GPT-2": ("gpt2", {**GPT, "scale_attn_by_inverse_layer_idx": True}),
    "GPT-BigCode": ("gpt_bigcode", GPT),
    "GPT-NeoX": ("gpt_neox", {}),
    "OPT": ("opt", {"word_embed_proj_dim": 32, "ffn_dim": 48}),
    "OLMo": ("olmo", {}),
    "OLMo 2": ("olmo2", {}),
    "OLMo 3": ("olmo3", {**WINDOW, "num_hidden_layers": 4}),
    "SmolLM3": ("smollm3", {"no_rope_layers": [1, 0]}),
    "Granite": ("granite", {"logits_scaling": 4.0, "attention_multiplier": 0.2, "residual_multiplier": 0.5}),
    "Cohere": ("cohere", {"logit_scale": 0.25}),
    "Cohere 2": ("cohere2", {**WIDTH, **WINDOW, "num_hidden_layers": 4, "logit_scale": 0.25}),
    "EXAONE 4": ("exaone4", {**WINDOW, "num_hidden_layers": 4}),
    "GLM-4": ("glm4", WIDTH),
    "Seed-OSS": ("seed_oss", WIDTH),
    "Qwen2-MoE": ("qwen2_moe", {**MOE, "shared_expert_intermediate_size": 16}),
    "Qwen3-MoE": ("qwen3_moe", {**WIDTH, **MOE}),
    "Mixtral": ("mixtral", {**WINDOW, **LOCAL_MOE}),
    "OLMoE": ("olmoe", {"num_experts": 4, "num_experts_per_tok": 2}),
    "gpt-oss": ("gpt_oss", {**WIDTH, **WINDOW, **LOCAL_MOE}),
    "MiniMax-M2": ("minimax_m2", {**WIDTH, **LOCAL_MOE}),
    "GLM-4-MoE": ("glm4_moe", {**LATENT, **WIDTH}),
    "DeepSeek-V2": ("deepseek_v2", LATENT),
    "DeepSeek-V3": ("deepseek_v3", LATENT),
}
LINEAR = {
    "layer_types": ["linear_attention", "full_attention"],
    "linear_num_value_heads": 2,
    "linear_num_key_heads": 2,
    "linear_key_head_dim": 8,
    "linear_value_head_dim": 8,
}
# Name -> (model_type, config, what the refusal says after the model's name).
REFUSED = {
    "Mamba": ("mamba", {"state_size": 4}, "linear_attention"),
    "Mamba 2": ("mamba2", {"state_size": 4, "num_heads": 8, "head_dim": 8, "n_groups": 1}, "linear_attention"),
    "Qwen3-Next": ("qwen3_next", {**WIDTH, **MOE, **LINEAR}, "linear_attention"),
    "LFM2": ("lfm2", {"layer_types": ["conv", "full_attention"]}, "conv"),
    "Falcon-H1": ("falcon_h1", {}, "hybrid"),
    "Llama 4": ("llama4_text", {**WIDTH, "num_local_experts": 2, "num_hidden_layers": 4}, "chunked_attention"),
    "Bloom (alibi)": ("bloom", {"n_layer": 2, "n_head": 4}, "attention code of their own"),
    "Falcon": ("falcon", {}, "attention code of their own"),
    "GPT-J": ("gptj", {**GPT, "rotary_dim": 4}, "attention code of their own"),
    "RWKV": ("rwkv", {"attention_hidden_size": 32}, "attention code of their own"),
    "StableLM": ("stablelm", {}, "does not hand on keyword arguments"),
    "Doge": ("doge", {}, "attention mask"),
}


def build(model_type, settings):
    torch.manual_seed(0)
    config = AutoConfig.for_model(model_type, **{**BASE, **settings})
    model = AutoModelForCausalLM.from_config(config, dtype=torch.float32).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim == 1:
                parameter.add_(torch.randn_like(parameter) * 0.2)
    return model


def examples():
    generator = torch.Generator().manual_seed(1)
    rows = []
    for n in (9, 4, 23):
        tokens = torch.randint(3, VOCABULARY, (n,), generator=generator).tolist()
        rows.append(Example(tokens, [0.0, *(0.5 + 0.1 * (i % 5) for i in range(n - 1))], "test", (), ()))
    return rows


def own_logprobs(model, tokens):
    """Log-probability of every token but the first, from the family's own forward on this sequence alone."""
    logits = model(input_ids=torch.tensor([tokens]), use_cache=False).logits[0].float()
    return torch.log_softmax(logits, -1)[:-1].gather(1, torch.tensor(tokens[1:])[:, None])[:, 0]


def gradients_of(model):
    return {name: p.grad for name, p in model.named_parameters() if p.grad is not None}


def assert_same_gradients(got, expected):
    """Parameter by parameter, relative to its own size; a gradient that is 0 but for rounding is one over all."""
    assert got.keys() == expected.keys()
    floor = 1e-2 * max(g.norm() for g in expected.values())
    for name, gradient in expected.items():
        assert (got[name] - gradient).norm() <= 2e-5 * max(gradient.norm(), floor), name
