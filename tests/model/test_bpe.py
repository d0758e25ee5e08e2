"""Trained tokenizers: every text comes back, sizes are kept, and how many bytes a token stands for is known."""

import pytest
from tokenizers import Tokenizer, decoders, models
from transformers import PreTrainedTokenizerFast

from strop.common.errors import InputError
from strop.model.bpe import END, bytes_alone, token_bytes, train_bpe
from strop.model.tokenizer import tokenizer_alone

TEXTS = ["the cat and the hat in the house number 2024 ", "你好，世界。你好，朋友。"] * 9
EVERY = [
    "".join(map(chr, range(0xD800))),  # every character of two and three bytes but for surrogates …
    "".join(map(chr, range(0xE000, 0x10000))),
    "".join(map(chr, range(0x10000, 0x11000))) + "🙂👩‍👩‍👧𠮷",  # … and some of four
    " leading, trailing  \n\n\t double  spaces \r\n",
    f"a text that says {END} and <|im_end|>",
]


@pytest.fixture(scope="module")
def tokenizer():
    return train_bpe(TEXTS, 286, max_token_length=4)


@pytest.mark.parametrize("text", EVERY, ids=["bmp", "private", "astral", "spaces", "control"])
def test_every_text_comes_back_and_its_bytes_are_counted(tokenizer, text):
    ids = tokenizer(text, add_special_tokens=False, split_special_tokens=True)["input_ids"]
    assert tokenizer.decode(ids) == text
    sizes = token_bytes(tokenizer)
    assert sum(sizes[i] for i in ids) == len(text.encode())


def test_the_vocabulary_is_as_large_as_asked_and_no_token_is_longer(tokenizer):
    assert len(tokenizer) == 286
    assert tokenizer.eos_token_id == 0
    assert token_bytes(tokenizer)[0] == 0
    assert max(token_bytes(tokenizer)) <= 4 < max(token_bytes(train_bpe(TEXTS, 286)))
    assert len(tokenizer("你好")["input_ids"]) < 6  # characters are tokens, not bytes


def test_digits_stand_alone_unless_told_otherwise(tokenizer):
    assert len(tokenizer("2024")["input_ids"]) == 4
    joined = train_bpe(TEXTS, 286, split_digits=False)
    assert len(joined("2024")["input_ids"]) < 4


def test_the_same_texts_give_the_same_tokenizer_and_bytes_alone_have_no_merge(tokenizer, tmp_path, monkeypatch):
    again = train_bpe(TEXTS, 286, max_token_length=4)
    assert again.backend_tokenizer.to_str() == tokenizer.backend_tokenizer.to_str()
    monkeypatch.setenv("STROP_CACHE", str(tmp_path))
    alone = tokenizer_alone(bytes_alone())
    assert len(alone) == 257
    assert len(alone("你 a")["input_ids"]) == 5


def test_too_small_a_vocabulary_is_refused():
    with pytest.raises(InputError, match="no room for the 256 bytes"):
        train_bpe(TEXTS, 256)


def test_bytes_of_sentencepiece_tokens_and_of_none():
    vocab = {"▁ab": 0, "<0xE4>": 1, "好": 2, "<0x>": 3}
    backend = Tokenizer(models.BPE(vocab=vocab, merges=[], byte_fallback=True))
    backend.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()])
    assert token_bytes(PreTrainedTokenizerFast(tokenizer_object=backend)) == [3, 1, 3, 4]
    backend.decoder = decoders.WordPiece()
    with pytest.raises(InputError, match="neither byte-level nor SentencePiece"):
        token_bytes(PreTrainedTokenizerFast(tokenizer_object=backend))
