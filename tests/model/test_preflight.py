"""What is known from config.json alone."""

import json

import pytest
import torch
from transformers import GPT2Config, LlamaConfig, MambaConfig, Qwen3NextConfig

from strop.common.errors import InputError
from strop.model.lora import add_lora
from strop.model.preflight import check_lora, check_training, outline
from strop.model.settings import LoraSettings
from strop.model.window import window

CPU, CUDA = torch.device("cpu"), torch.device("cuda")


def folder_of(config, path):
    config.save_pretrained(path)
    return path


def test_an_outline_has_all_shapes_and_no_memory(tmp_path):
    folder = folder_of(LlamaConfig(hidden_size=8192, num_hidden_layers=80, num_attention_heads=64), tmp_path)
    model = outline(folder)
    assert {p.device.type for p in model.parameters()} == {"meta"}
    assert sum(p.numel() for p in model.parameters()) > 3e10


@pytest.mark.parametrize("config", [MambaConfig(num_hidden_layers=2), Qwen3NextConfig(num_hidden_layers=4)])
def test_layers_that_mix_a_row_are_refused(config, tmp_path):
    with pytest.raises(InputError, match="mix the sequences"):
        check_training(folder_of(config, tmp_path), None, None, CPU, "stages.sft")


def test_a_folder_of_something_else_is_refused(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "t5"}))
    with pytest.raises(InputError, match="causal language model"):
        outline(tmp_path)


@pytest.mark.parametrize(
    ("rotary", "expected"),
    [
        ({"rope_type": "default", "rope_theta": 1e4}, 4096),
        ({"rope_type": "linear", "rope_theta": 1e4, "factor": 2.0}, 8192),
        ({"rope_type": "yarn", "rope_theta": 1e4, "factor": 4.0, "original_max_position_embeddings": 4096}, 16384),
        ({"rope_type": "dynamic", "rope_theta": 1e4, "factor": 2.0}, None),
    ],
)
def test_stretched_positions_count(rotary, expected):
    assert window(LlamaConfig(max_position_embeddings=4096, rope_parameters=rotary)) == expected


def test_conv1d_models_are_known_too(tmp_path):
    model = outline(folder_of(GPT2Config(n_layer=2), tmp_path))
    check_lora(model, LoraSettings(), CPU, "lora")
    with pytest.raises(InputError, match=r"transformer\.h\.0\.attn\.c_attn \(768 × 2304\)"):
        check_lora(model, LoraSettings(r=800, targets=["c_attn"]), CPU, "lora")


def test_four_bits_without_bitsandbytes_are_refused(tmp_path, monkeypatch):
    model = outline(folder_of(LlamaConfig(num_hidden_layers=1), tmp_path))
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    with pytest.raises(InputError, match="needs bitsandbytes"):
        check_lora(model, LoraSettings(quantize="4bit"), CUDA, "lora")


@pytest.mark.parametrize(
    "settings", [{}, {"dora": True}, {"modules_to_save": ["norm", "lm_head"]}, {"targets": "q_proj"}]
)
def test_adapters_are_the_same_without_weights(settings, make_model, tmp_path):
    model = make_model()
    model.save_pretrained(tmp_path)
    lora = LoraSettings(**settings)
    shapes = [
        {name: p.shape for name, p in adapters.network.named_parameters() if p.requires_grad}
        for adapters in (add_lora(outline(tmp_path), lora), add_lora(model, lora))
    ]
    assert shapes[0] == shapes[1]


def test_a_gate_of_one_row_is_left_out(make_model):
    model = make_gated(make_model)
    check_lora(model, LoraSettings(), CPU, "lora")
    names = [name for name, p in add_lora(model, LoraSettings()).network.named_parameters() if p.requires_grad]
    assert len(names) == 28
    with pytest.raises(InputError, match=r"rank of model\.layers\.0\.mlp\.gate"):
        check_lora(make_gated(make_model), LoraSettings(targets=["gate"]), CPU, "lora")


def make_gated(make_model):
    model = make_model()
    model.model.layers[0].mlp.gate = torch.nn.Linear(32, 1)
    return model
