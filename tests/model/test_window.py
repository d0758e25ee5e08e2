"""How many tokens a model reads, read from its file as from transformers' configuration of it."""

import json
import subprocess
import sys

import pytest
from transformers import AutoConfig, Gemma3Config, GPT2Config, LlamaConfig, Qwen3Config

from strop.common.errors import InputError
from strop.model.window import window, window_of

YARN = {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 2048, "rope_theta": 1e4}
LLAMA3 = {"rope_type": "llama3", "factor": 8.0, "original_max_position_embeddings": 8192, "rope_theta": 5e5}
LLAMA3 |= {"low_freq_factor": 1.0, "high_freq_factor": 4.0}


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        (LlamaConfig(max_position_embeddings=512), 512),
        (LlamaConfig(max_position_embeddings=131072, rope_parameters=LLAMA3), 131072),
        (Qwen3Config(max_position_embeddings=4096, rope_parameters=YARN), 8192),
        (LlamaConfig(max_position_embeddings=512, rope_parameters={"rope_type": "dynamic", "factor": 2.0}), None),
        (GPT2Config(n_positions=77), 77),  # by another name
        (Gemma3Config(text_config={"max_position_embeddings": 333}), 333),
    ],
    ids=lambda value: type(value).__name__,
)
def test_the_file_says_what_the_configuration_says(config, expected, tmp_path):
    config.save_pretrained(tmp_path)
    assert window_of(tmp_path) == window(AutoConfig.from_pretrained(tmp_path)) == expected


def test_stretching_under_its_older_name(tmp_path):
    older = {"model_type": "llama", "max_position_embeddings": 2048, "rope_scaling": {"type": "linear", "factor": 4.0}}
    (tmp_path / "config.json").write_text(json.dumps(older))
    assert window_of(tmp_path) == window(AutoConfig.from_pretrained(tmp_path)) == 8192


@pytest.mark.parametrize("content", ["", "[]", "{", "{}", '{"max_position_embeddings": "many"}'])
def test_what_describes_no_model(content, tmp_path):
    (tmp_path / "config.json").write_text(content)
    with pytest.raises(InputError, match=r"config\.json does not describe a model"):
        window_of(tmp_path)


def test_no_torch_is_loaded_to_inspect_for_a_model(model_folder, tmp_path):
    data = tmp_path / "data.jsonl"
    data.write_text('{"prompt": "Say 1.", "completion": "1"}\n')
    arguments = ["inspect", str(data), "--model", str(model_folder)]
    code = f"import sys; from strop.cli import main; code = main({arguments!r}); print(code, 'torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "0 False"
