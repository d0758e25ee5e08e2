"""A character that the tokenizer has no token for is named, with its place: neither left out nor trained as <unk>."""

import pytest
from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from strop.chat import ChatEncoder, ChatSettings, Text, parse_conversation
from strop.common.errors import InputError

CHATML = (
    "{% for t in tools or [] %}{{ t.name }}{% endfor %}"
    "{% for m in messages %}{{ '<|im_start|>' ~ m.role ~ ' ' ~ m.content ~ '<|im_end|>' }}{% endfor %}"
    "{{ '<|im_start|>assistant ' if add_generation_prompt }}"
)
KNOWN = "hello world price in abcdefghijklmnopqrstuvwxyz < > ? . , <unk> user assistant system"


def unigram() -> tuple[Tokenizer, dict]:
    backend = Tokenizer(models.Unigram())
    backend.pre_tokenizer, backend.decoder = pre_tokenizers.Metaspace(), decoders.Metaspace()
    trainer = trainers.UnigramTrainer(vocab_size=100, special_tokens=["<unk>"], unk_token="<unk>", show_progress=False)
    backend.train_from_iterator([KNOWN] * 9, trainer)
    return backend, {"unk_token": "<unk>"}


def unigram_unnamed() -> tuple[Tokenizer, dict]:
    return unigram()[0], {}


def word_piece(known: str = KNOWN) -> tuple[Tokenizer, dict]:
    backend = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    backend.pre_tokenizer = pre_tokenizers.Whitespace()
    trainer = trainers.WordPieceTrainer(vocab_size=200, special_tokens=["[UNK]"], show_progress=False)
    backend.train_from_iterator([known] * 9, trainer)
    return backend, {"unk_token": "[UNK]"}


def without() -> tuple[Tokenizer, dict]:
    """A vocabulary that leaves unknown characters out."""
    backend = Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.Whitespace()
    backend.train_from_iterator([KNOWN] * 9, trainers.BpeTrainer(vocab_size=200, show_progress=False))
    return backend, {}


def made(parts: tuple[Tokenizer, dict]) -> ChatEncoder:
    backend, names = parts
    backend.add_special_tokens([AddedToken(s, special=True, normalized=False) for s in ("<|im_start|>", "<|im_end|>")])
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=backend, eos_token="<|im_end|>", **names)
    tokenizer.chat_template = CHATML
    return ChatEncoder(tokenizer, ChatSettings())


@pytest.fixture(params=[unigram, unigram_unnamed, word_piece, without])
def encoder(request):
    return made(request.param())


def talk(question: str, answer: str, **beside):
    messages = [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]
    return parse_conversation({"messages": messages, **beside}, "f:1")


@pytest.mark.parametrize(
    ("question", "answer", "beside", "what"),
    [
        ("price in ₽?", "hello", {}, "'₽' (U+20BD) in messages[0].content, at character 9 ('price in ₽?')"),
        ("₽", "hello", {}, "'₽' (U+20BD) in messages[0].content, at character 0 ('₽')"),
        ("hello", "wor漢ld", {}, "'漢' (U+6F22) in messages[1].content, at character 3 ('wor漢ld')"),
        ("hello", "a ￥ b ₽", {}, "'￥' (U+FFE5) in messages[1].content, at character 2 ('a ￥ b ₽')"),
        ("hello", "world", {"tools": [{"name": "in₽"}]}, "'₽' (U+20BD) in tools, at character 2 ('in₽')"),
        ("hello <unk> ₽", "world", {}, "'₽' (U+20BD) in messages[0].content, at character 12 ('hello <unk> ₽')"),
    ],
)
def test_it_is_named_with_its_place(encoder, question, answer, beside, what):
    conversation = talk(question, answer, **beside)
    for work in (encoder.encode, encoder.inspect):
        with pytest.raises(InputError) as caught:
            work(conversation)
        assert str(caught.value) == (
            f"f:1: the tokenizer has no token for {what}; "
            "take it out of the data, or use a model whose tokenizer has it"
        )


def test_in_a_prompt_and_in_plain_text(encoder):
    with pytest.raises(InputError, match=r"prompt: the tokenizer has no token for '₽' \(U\+20BD\) in messages\[0\]"):
        encoder.prompt([{"role": "user", "content": "₽"}])
    with pytest.raises(InputError, match=r"t:1: the tokenizer has no token for '₽' \(U\+20BD\)"):
        encoder.encode(Text("hello ₽", "t:1"))


def test_known_characters(encoder):
    [example] = encoder.encode(talk("hello", "price in abc?"))
    assert example.trained_tokens


@pytest.mark.parametrize("parts", [word_piece, without])
def test_the_string_of_the_unknown_token_is_text(parts):
    assert made(parts()).encode(talk("hello <unk>", "in < unk >"))


def test_the_string_of_the_unknown_token_where_the_vocabulary_makes_the_token_of_it():
    with pytest.raises(InputError, match="the text contains '<unk>', which this vocabulary makes of ordinary text too"):
        made(unigram()).encode(talk("hello <unk>", "in < unk >"))


def test_control_strings_where_the_normalizer_drops_private_characters():
    # BERT's does, and these stand for control tokens while text is encoded: its library panicked.
    backend, names = word_piece(f"{KNOWN} <|im_start|> <|im_end|>")
    backend.normalizer = normalizers.BertNormalizer()
    backend.add_special_tokens([AddedToken(s, special=True, normalized=True) for s in ("<|im_start|>", "<|im_end|>")])
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=backend, eos_token="<|im_end|>", **names)
    tokenizer.chat_template = CHATML
    encoder = ChatEncoder(tokenizer)
    [example] = encoder.encode(talk("hello <|im_end|>", "<|im_start|> world"))
    assert sum(token in encoder.controls for token in example.tokens) == 4  # those of two turns
    assert encoder.report.control_strings == 2


def test_bytes_know_every_character(make_encoder):
    assert make_encoder().encode(talk("₽ 漢 \U00017000 🙂", "￥"))
