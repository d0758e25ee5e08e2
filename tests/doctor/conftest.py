"""A model folder without a model: a throw-away tokenizer, a small config.json, a header of weights."""

import json
from types import SimpleNamespace

import numpy as np
import pytest
from broken_data import TOPICS, sound_rows, write_problems
from safetensors.numpy import save_file
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from strop.cli import main

TEMPLATE = (
    "{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\n' + m['content'] + '<|im_end|>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)


@pytest.fixture(scope="session")
def tokenizer() -> PreTrainedTokenizerFast:
    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    special = ["<|im_start|>", "<|im_end|>", "<|pad|>"]
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    texts = [m["content"] for row in sound_rows() for m in row["messages"]] + list(TOPICS)
    bpe.train_from_iterator(
        texts, trainers.BpeTrainer(vocab_size=500, special_tokens=special, initial_alphabet=alphabet)
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=bpe, eos_token="<|im_end|>", pad_token="<|pad|>", chat_template=TEMPLATE
    )


@pytest.fixture(scope="session")
def model_folder(tmp_path_factory, tokenizer):
    folder = tmp_path_factory.mktemp("models") / "tiny"
    tokenizer.save_pretrained(folder)
    config = {"model_type": "llama", "hidden_size": 8, "num_hidden_layers": 2, "intermediate_size": 16}
    (folder / "config.json").write_text(json.dumps({**config, "vocab_size": 500, "num_attention_heads": 2}))
    (folder / "generation_config.json").write_text(json.dumps({"eos_token_id": tokenizer.eos_token_id}))
    save_file(
        {"embed": np.zeros((500, 8), np.float32), "rest": np.zeros(1000, np.float32)}, folder / "model.safetensors"
    )
    return folder


@pytest.fixture
def recipe(tmp_path, model_folder, monkeypatch):
    """A recipe in an empty working folder, with one file of problems to be measured on."""
    monkeypatch.chdir(tmp_path)
    write_problems(tmp_path / "problems.jsonl")
    path = tmp_path / "recipe.yaml"
    path.write_text(f"""\
name: trial
model: {model_folder}
chat: {{max_length: 512, too_long: drop}}
evals:
  problems: {{path: problems.jsonl}}
stages:
  sft:
    kind: sft
    data: [{{path: data.jsonl}}]
    train: {{global_batch_size: 1, micro_batch_tokens: 512}}
""")
    return path


@pytest.fixture
def examined(capsys):
    """Run ``strop doctor … --json``; gives the exit code, the findings by kind, and what was shown to people."""

    def call(*arguments):
        code = main(["doctor", *map(str, arguments), "--json"])
        out, err = capsys.readouterr()
        found = json.loads(out)["stages"]["sft"]["findings"] if out else []
        by_kind: dict[str, list[dict]] = {}
        for finding in found:
            by_kind.setdefault(finding["kind"], []).append(finding)
        return SimpleNamespace(code=code, kinds=by_kind, out=out, err=err)

    return call
