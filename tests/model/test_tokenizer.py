"""The shortcut that finds a tokenizer's class without torch gives what AutoTokenizer gives."""

import json
import subprocess
import sys

import pytest
from tokenizers import Tokenizer, models, pre_tokenizers, trainers
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from strop.common.errors import InputError
from strop.model.tokenizer import DECLARED, declared_class, tokenizer_in


@pytest.fixture
def folder(tmp_path):
    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    trainer = trainers.BpeTrainer(
        vocab_size=280,
        special_tokens=["<|im_end|>", "<|endoftext|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    bpe.train_from_iterator(["the cat sat on the mat, 12 and 345"], trainer)
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=bpe, eos_token="<|im_end|>", chat_template="{{ messages }}")
    tokenizer.save_pretrained(tmp_path)
    return tmp_path


def declare(folder, kind: str | None, name: str) -> None:
    path = folder / "tokenizer_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"tokenizer_class": name}))
    if kind is not None:
        (folder / "config.json").write_text(json.dumps({"model_type": kind}))


@pytest.mark.parametrize(("kind", "name"), sorted(DECLARED, key=str))
def test_the_shortcut_gives_what_the_library_gives(folder, kind, name):
    declare(folder, kind, name)
    assert declared_class(folder) is not None
    ours, theirs = tokenizer_in(folder), AutoTokenizer.from_pretrained(folder, local_files_only=True)
    assert type(ours) is type(theirs)
    assert ours.backend_tokenizer.to_str() == theirs.backend_tokenizer.to_str()
    assert (ours.chat_template, ours.eos_token) == (theirs.chat_template, theirs.eos_token)


@pytest.mark.parametrize(("kind", "name"), [("phi3", "TokenizersBackend"), ("llama", "LlamaTokenizer"), ("llama", "X")])
def test_anything_else_is_left_to_the_library(folder, kind, name):
    declare(folder, kind, name)
    assert declared_class(folder) is None


def test_no_tokenizer_is_one_sentence(tmp_path):
    with pytest.raises(InputError, match=r"holds no tokenizer .*; put the files of the model's own there"):
        tokenizer_in(tmp_path)
    (tmp_path / "tokenizer.json").write_text("{")
    with pytest.raises(InputError, match="the tokenizer does not load"):
        tokenizer_in(tmp_path)


def test_the_shortcut_needs_no_torch(folder):
    code = (
        "import sys; from pathlib import Path; from strop.model.tokenizer import tokenizer_in; "
        f"tokenizer_in(Path({str(folder)!r})); print('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "False"
