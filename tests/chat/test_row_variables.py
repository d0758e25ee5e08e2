"""A row's own variables for the template, reasoning that only ends, and text without a template."""

import pytest

from strop.chat import ChatEncoder, ChatSettings, Text, parse_conversation, parse_row
from strop.chat.text import Document
from strop.common.errors import InputError

TURNS = [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "hello"}]
TEMPLATE = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n"
    "{{ '<think>' ~ m.reasoning_content ~ '</think>' if m.reasoning_content }}{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{{ '' if enable_thinking else 'PLAIN\n' }}{% endif %}"
)
# Serves another prompt where thinking is off, and prints the same in training.
SWITCHED = TEMPLATE.replace(
    "{{ '<think>'", "{{ 'PLAIN\n' if m.role == 'assistant' and not enable_thinking }}{{ '<think>'"
)
SILENT = TEMPLATE.replace("{{ '<think>' ~ m.reasoning_content ~ '</think>' if m.reasoning_content }}", "")


def text(example):
    return "".join(piece for piece, _ in example.pieces)


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ({"chat_template_kwargs": {"enable_thinking": False, "other": None}}, {"enable_thinking": False}),
        ({"chat_template_kwargs": '{"enable_thinking": false}'}, {"enable_thinking": False}),
        ({"enable_thinking": False}, {"enable_thinking": False}),
        ({"enable_thinking": "False"}, {"enable_thinking": False}),  # as CSV holds it
        ({"enable_thinking": "1"}, {"enable_thinking": True}),
        ({"chat_template_kwargs": {"enable_thinking": True}, "enable_thinking": False}, {"enable_thinking": True}),
        ({"reasoning_effort": "high"}, {"reasoning_effort": "high"}),
        ({"chat_template_kwargs": None}, {}),
    ],
)
def test_variables_of_a_row(row, expected):
    found = parse_conversation({"messages": TURNS, **row}, "f:1")
    assert (found.template_kwargs, found.notes) == (expected, {})


@pytest.mark.parametrize(
    ("given", "mend"),
    [
        ([1], "chat_template_kwargs: expected an object, found a list"),
        ({"messages": []}, "chat_template_kwargs.messages: is not the row's to say; drop it"),
        ({"add_generation_prompt": True}, "chat_template_kwargs.add_generation_prompt: is not the row's to say"),
    ],
)
def test_variables_that_are_refused(given, mend):
    with pytest.raises(InputError) as caught:
        parse_conversation({"messages": TURNS, "chat_template_kwargs": given}, "f:1")
    assert str(caught.value).startswith(f"f:1: field {mend}")


@pytest.mark.parametrize("settings", [{}, {"enable_thinking": True}])
def test_a_rows_variables_go_before_the_settings_also_where_the_prompt_is_compared(make_encoder, settings):
    row = {"messages": TURNS, "chat_template_kwargs": {"enable_thinking": False}}
    encoder = make_encoder(SWITCHED, template_kwargs=settings, drift="error", audit_every=1)
    [example] = encoder.encode(parse_conversation(row, "f:1"))
    assert text(example).endswith("<|im_start|>assistant\nPLAIN\nhello<|im_end|>\n")
    assert [piece for piece, weight in example.pieces if weight][:1] != ["PLAIN\n"]
    assert "PLAIN" not in "".join(piece for piece, weight in example.pieces if weight)
    thinking = {"messages": TURNS, "enable_thinking": True}
    [example] = encoder.encode(parse_conversation(thinking, "f:2"))
    assert text(example).endswith("<|im_start|>assistant\nhello<|im_end|>\n")
    prompts = [encoder.prompt(TURNS[:1], template_kwargs={"enable_thinking": on}) for on in (True, False)]
    assert len(prompts[1]) > len(prompts[0])


def test_a_variable_that_the_template_does_not_know_is_told(make_encoder):
    encoder = make_encoder(TEMPLATE)
    row = {"messages": TURNS, "chat_template_kwargs": {"enable_thinking": True, "thinking_budget": 3}}
    encoder.encode(parse_conversation(row, "f:1"))
    assert encoder.report.notes == {"variable:thinking_budget": 1}


@pytest.mark.parametrize("content", ["two and two\n</think>\n\n4", "two and two</think>4"])
def test_reasoning_that_only_ends_is_reasoning_where_the_template_prints_it(make_encoder, content):
    turns = [TURNS[0], {"role": "assistant", "content": content}]
    encoder = make_encoder(TEMPLATE)
    conversation = parse_conversation({"messages": turns}, "f:1")
    encoder.look_ahead([conversation])
    [example] = encoder.encode(conversation)
    assert text(example).endswith("assistant\n<think>two and two</think>4<|im_end|>\n")
    assert encoder.report.notes == {"orphan_think": 1}
    [shown] = make_encoder(TEMPLATE).inspect(conversation)
    assert shown.example == example
    assert ("two and two", "reasoning_content", True) in [(s.text, s.field, s.trained) for s in shown.segments]


def test_reasoning_that_only_ends_is_told_where_the_template_prints_none(make_encoder):
    encoder = make_encoder(SILENT)
    turns = [TURNS[0], {"role": "assistant", "content": "two\n</think>\n4"}]
    [example] = encoder.encode(parse_conversation({"messages": turns}, "f:1"))
    assert text(example).endswith("assistant\ntwo\n</think>\n4<|im_end|>\n")
    assert encoder.report.notes == {"orphan_think_kept": 1}


@pytest.mark.parametrize("content", ["<think>r</think>a", "the tag `</think>` ends it", "plain"])
def test_contents_that_are_not_taken_apart(make_encoder, content):
    encoder = make_encoder(TEMPLATE)
    [example] = encoder.encode(parse_conversation({"messages": [TURNS[0], {**TURNS[1], "content": content}]}, "f:1"))
    assert text(example).endswith(f"assistant\n{content}<|im_end|>\n")
    assert encoder.report.notes == {}


# -- plain text


def test_plain_text_needs_no_template(make_tokenizer):
    tokenizer = make_tokenizer()
    tokenizer.chat_template = None
    encoder = ChatEncoder(tokenizer)
    [example] = encoder.encode(Text("hello world"))
    assert text(example) == "hello world<|im_end|>"
    with pytest.raises(InputError, match=r"the tokenizer has no chat template; set chat.template to chatml"):
        encoder.encode(parse_conversation({"messages": TURNS}, "f:1"))


@pytest.mark.parametrize(("max_length", "window", "longest"), [(None, 5, 5), (7, 5, 7), (None, None, 100)])
def test_long_text_is_cut_into_windows_of_max_length_or_else_of_the_model(make_tokenizer, max_length, window, longest):
    story = "hello world, the user said hi; the assistant said hello"
    encoder = ChatEncoder(make_tokenizer(), ChatSettings(max_length=max_length), window=window)
    lengths = [len(example.tokens) for example in encoder.encode(Text(story))]
    [whole] = ChatEncoder(make_tokenizer()).encode(Text(story))
    assert max(lengths) == min(longest, len(whole.tokens))
    assert sum(lengths) - (len(lengths) - 1) == len(whole.tokens)


def test_a_text_weighs_what_its_row_says(make_tokenizer):
    [example] = ChatEncoder(make_tokenizer()).encode(parse_row({"text": "hello world", "weight": 0.5}, "f:1", "text"))
    assert set(example.loss_weights[1:]) == {0.5}


def test_a_document_of_a_text_file_is_text_without_saying_so():
    assert parse_row(Document(text="t"), "f:1") == Text("t", "f:1")
