"""Tokens without rows, sizes that differ, rows that were never trained."""

import json

import pytest
import torch
from tokenizers import AddedToken, Tokenizer, models
from transformers import PreTrainedTokenizerFast

from strop.chat import Example
from strop.common.errors import InputError
from strop.data.batch import make_batch
from strop.model.names import load_model
from strop.model.policy import Policy
from strop.model.precision import Compute
from strop.model.vocabulary import (
    check_tokens,
    matrices_in,
    matrices_of,
    size_fault,
    template_token_ids,
    untrained_fault,
    untrained_rows,
    vocabulary_faults,
)
from strop.rollout.engine import SamplingParams
from strop.rollout.torch_engine import TorchEngine

FLOAT32 = Compute(torch.device("cpu"), torch.float32)


@pytest.fixture
def tokenizer():
    """97 words, as many as the tiny model has rows, and `<end>` beyond them."""
    backend = Tokenizer(models.WordLevel({f"w{i}": i for i in range(97)}, unk_token="w0"))
    backend.add_special_tokens([AddedToken("<end>", special=True)])
    return PreTrainedTokenizerFast(tokenizer_object=backend, eos_token="w2", chat_template="{{ messages }}")


def test_a_token_without_a_row_is_an_error_where_it_is_sure_to_come(tokenizer):
    tokenizer.chat_template = "{{ messages }}<end>"
    used = template_token_ids(tokenizer)
    assert used == {97}
    with pytest.raises(InputError, match=r"m: its tokenizer has 1 token without a row .*<end> is 97.*rows 0 to 96"):
        check_tokens(tokenizer, 97, used, "m")
    assert check_tokens(tokenizer, 98, used, "m") is None


def test_otherwise_it_is_a_word(tokenizer):
    assert template_token_ids(tokenizer) == frozenset()
    assert "which the data must not hold" in check_tokens(tokenizer, 97, {2}, "m")


def test_ids_beyond_the_rows_are_refused_where_they_are_computed(tiny_model):
    policy = Policy(tiny_model, FLOAT32)
    with pytest.raises(InputError, match=r"token 97 has no row in the model, which has rows 0 to 96"):
        policy(make_batch([Example([1, 97, 4], [0.0, 1.0, 1.0], "x", (), ())]))
    with pytest.raises(InputError, match="token 99 has no row"):
        TorchEngine(policy, frozenset({2})).generate([[1, 99]], SamplingParams(max_tokens=2))


@pytest.mark.parametrize("change", [10, -10])
def test_a_vocabulary_size_unlike_the_weights(tmp_path, tiny_model, tokenizer, change):
    tiny_model.save_pretrained(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(config | {"vocab_size": 97 + change}))
    expected = rf"vocab_size in config.json is {97 + change} and the weights have 97 rows .*; set vocab_size to 97\."
    with pytest.raises(InputError, match=expected) as error:
        load_model(tmp_path)
    assert "\n" not in str(error.value)
    assert "other_shape" in {fault.kind for fault in vocabulary_faults(tmp_path, tokenizer, {2})}


def test_another_size_unlike_the_weights(tmp_path, tiny_model):
    tiny_model.save_pretrained(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(config | {"intermediate_size": 64}))
    message, _ = size_fault(tmp_path)
    assert ("48 × 32 in the weights and 64 × 32 by" in message) or ("32 × 48 in the weights and 32 × 64 by" in message)


@pytest.mark.parametrize("tied", [True, False])
def test_rows_that_were_never_trained(make_model, tmp_path, tied):
    model = make_model(tie_word_embeddings=tied)
    matrices = matrices_of(model)
    assert list(matrices) == (["embedding"] if tied else ["embedding", "head"])
    assert set(untrained_rows(matrices, range(97))) == {2}  # the row of padding is born zero
    with torch.no_grad():
        last = list(matrices.values())[-1]
        last[5] = last[9]
        last[6] = last[10] + 1e-4 * torch.randn(32)
        last[7] *= 1e-5
    name = "embedding" if tied else "head"
    assert untrained_rows(matrices, {5, 6, 7, 8}) == {
        5: f"its row of the {name} is that of token 9",
        6: f"its row of the {name} is that of token 10",
        7: f"its row of the {name} is as good as zero",
    }
    model.save_pretrained(tmp_path)
    assert untrained_rows(matrices_in(tmp_path), {5, 6, 7, 8}) == untrained_rows(matrices, {5, 6, 7, 8})


def test_what_is_said_of_them(tokenizer):
    found = {2: "its row of the embedding is that of token 9"}
    assert str(untrained_fault(tokenizer, found, adapters=True)).endswith('; set lora.train_tokens: ["w2"]')
    assert str(untrained_fault(tokenizer, found, adapters=False)).endswith("adapters alone would not")
    assert untrained_fault(tokenizer, {}) is None
