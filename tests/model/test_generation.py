"""generation_config.json as it comes: what is read, what is refused in one line, what is not followed."""

import logging

import pytest
from tokenizers import Tokenizer, models
from transformers import PreTrainedTokenizerFast

from strop.common.errors import InputError
from strop.model.generation import FILE, not_followed, read_generation_config
from strop.model.names import load_model, stop_token_ids


@pytest.fixture
def folder(tmp_path, tiny_model):
    tiny_model.save_pretrained(tmp_path / "model")
    return tmp_path / "model"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is not JSON"),
        (b'{"eos_token_id": 2', "is not JSON"),
        (b"\xff\xfe\x00", "is not JSON"),
        (b"[1, 2]", "holds a list instead of settings by name"),
        (b"5", "holds a number instead"),
        (b'"x"', "holds a string instead"),
        (b'{"eos_token_id": "2"}', 'eos_token_id is "2", and a token\'s id is a whole number'),
        (b'{"eos_token_id": 2.0}', "eos_token_id is 2.0"),
        (b'{"eos_token_id": true}', "eos_token_id is true"),
        (b'{"eos_token_id": [2, "3"]}', r'eos_token_id is \[2, "3"\]'),
        (b'{"eos_token_id": [[2]]}', r"eos_token_id is \[\[2\]\]"),
        (b'{"pad_token_id": "x"}', 'pad_token_id is "x"'),
        (b'{"max_new_tokens": -3}', "must be greater than 0"),
    ],
)
def test_what_cannot_be_used_is_one_line_wherever_it_is_loaded(folder, content, message):
    (folder / FILE).write_bytes(content)
    with pytest.raises(InputError, match=message) as error:
        read_generation_config(folder)
    assert "\n" not in str(error.value)
    with pytest.raises(InputError) as error:
        load_model(folder)
    assert str(folder) in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(("content", "ids"), [('{"eos_token_id": null}', None), ('{"eos_token_id": [2, 5]}', [2, 5])])
def test_what_is_there_is_read(folder, content, ids):
    (folder / FILE).write_text(content)
    assert read_generation_config(folder).eos_token_id == ids


def test_without_the_file_the_config_tells(folder):
    (folder / FILE).unlink()
    assert read_generation_config(folder).eos_token_id == 2


def test_ids_that_are_no_tokens_end_nothing_and_are_said(folder, caplog):
    backend = Tokenizer(models.WordLevel({"a": 0, "b": 1, "</s>": 2}, unk_token="a"))
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=backend, eos_token="</s>")
    (folder / FILE).write_text('{"eos_token_id": [1, 99999, -1]}')
    with caplog.at_level(logging.WARNING):
        assert stop_token_ids(tokenizer, read_generation_config(folder)) == {1, 2}
    assert "eos_token_id 99999 is no token of its tokenizer" in caplog.text
    assert "eos_token_id -1 is no token" in caplog.text


@pytest.mark.parametrize(
    ("content", "asked"),
    [
        ('{"eos_token_id": 2, "max_new_tokens": 7, "use_cache": true}', {}),
        ('{"repetition_penalty": 1.3}', {"repetition_penalty": 1.3}),
        ('{"repetition_penalty": 1.0, "num_beams": 1, "bad_words_ids": []}', {}),
        ('{"do_sample": false, "temperature": 0.6}', {}),
        ('{"do_sample": true, "temperature": 0.6, "top_k": 20}', {"temperature": 0.6, "top_k": 20}),
        ('{"stop_strings": ["User:"], "num_beams": 4}', {"stop_strings": ["User:"], "num_beams": 4}),
    ],
)
def test_what_is_not_followed(folder, content, asked):
    (folder / FILE).write_text(content)
    assert not_followed(folder) == asked
