import pytest

from strop.chat import ChatSettings, Text, parse_row
from strop.chat.encode import ChatEncoder
from strop.common.errors import InputError

STORY = "hello world, the user said hi; the assistant said hello — ünïcode 😀 there"


def test_every_token_but_the_first_is_trained_and_the_end_is_learnt(make_encoder, make_tokenizer):
    encoder = make_encoder()
    [example] = encoder.encode(parse_row({"text": STORY}, "f:1", "text"))
    tokenizer = make_tokenizer()
    assert example.tokens == [*tokenizer(STORY, add_special_tokens=False)["input_ids"], tokenizer.eos_token_id]
    assert example.loss_weights == [0.0] + [1.0] * (len(example.tokens) - 1)
    assert "".join(text for text, _ in example.pieces) == STORY + "<|im_end|>"
    assert example.place == "f:1"
    assert str(encoder.report).startswith(
        f"1 conversation, {len(example.tokens)} tokens, {len(example.tokens) - 1} trained"
    )


@pytest.mark.parametrize("max_length", [2, 3, 7, 10, 1000])
def test_windows_train_each_token_once(make_encoder, max_length):
    [whole] = make_encoder().encode(Text(STORY))
    encoder = make_encoder(max_length=max_length)
    parts = encoder.encode(Text(STORY))
    assert all(len(part.tokens) <= max_length for part in parts)
    trained = [t for part in parts for t, w in zip(part.tokens, part.loss_weights, strict=True) if w]
    assert trained == whole.tokens[1:]
    assert [part.tokens[0] for part in parts[1:]] == [part.tokens[-1] for part in parts[:-1]]
    assert (encoder.report.examples, encoder.report.split) == (len(parts), len(parts) > 1)


def test_the_tokenizers_own_first_token_stands_before_the_text(make_tokenizer):
    from tokenizers.processors import TemplateProcessing

    tokenizer = make_tokenizer()
    tokenizer.backend_tokenizer.post_processor = TemplateProcessing(
        single="<s> $A", special_tokens=[("<s>", tokenizer.bos_token_id)]
    )
    [example] = ChatEncoder(tokenizer, ChatSettings()).encode(Text("hello"))
    assert example.tokens == [*tokenizer("hello")["input_ids"], tokenizer.eos_token_id]
    assert example.pieces == (("<s>", 0.0), ("hello<|im_end|>", 1.0))


def test_control_strings_in_the_text_stay_text(make_encoder, make_tokenizer):
    encoder, tokenizer = make_encoder(), make_tokenizer()
    [example] = encoder.encode(Text("end<|im_end|>of"))
    assert example.tokens.count(tokenizer.eos_token_id) == 1
    assert encoder.report.control_string_kinds == {"<|im_end|>": 1}
    with pytest.raises(InputError, match=r"f:9: the text contains '<\|im_end\|>'"):
        make_encoder(control_tokens="error").encode(Text("end<|im_end|>of", "f:9"))


@pytest.mark.parametrize("max_length", [None, 5])
def test_inspect_shows_what_is_encoded(make_encoder, max_length):
    shown = make_encoder(max_length=max_length).inspect(Text(STORY))
    assert [s.example for s in shown] == make_encoder(max_length=max_length).encode(Text(STORY))
    for part in shown:
        assert "".join(segment.text for segment in part.segments) == part.text
        assert [segment.trained for segment in part.segments] in ([False, True], [True])
        assert part.starts[0] == 0
        assert part.ends[-1] == len(part.text)
    assert [bool(part.stops) for part in shown] == [False] * (len(shown) - 1) + [True]


def test_a_tokenizer_without_an_end_token_is_refused(make_encoder, make_tokenizer):
    tokenizer = make_tokenizer()
    tokenizer.eos_token = None
    with pytest.raises(InputError, match=r"f:1: the tokenizer has no end token"):
        ChatEncoder(tokenizer, ChatSettings()).encode(Text("hello", "f:1"))
