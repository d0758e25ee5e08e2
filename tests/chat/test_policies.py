"""What the settings leave out of the loss, and what they weigh: exact spans."""

import pytest
from pydantic import ValidationError

from strop.chat import ChatSettings, MaskReport, parse_conversation
from strop.common.errors import InputError

CALL = {"type": "function", "function": {"name": "add", "arguments": {"a": 1}}}
CALL_TEXT = '<tool_call>{"name": "add", "arguments": {"a": 1}}</tool_call>'

# Reasoning in <think>, calls in <tool_call>, results in a user turn: the shape of most published templates.
FULL = (
    "{% for t in tools or [] %}{{ '<|im_start|>system\n' ~ t | tojson ~ '<|im_end|>\n' }}{% endfor %}"
    "{% for m in messages %}"
    "{% if m.role == 'tool' %}{{ '<|im_start|>user\n<tool_response>' ~ m.content ~ '</tool_response>' }}"
    "{% else %}{{ '<|im_start|>' ~ m.role ~ '\n' }}"
    "{% if m.reasoning_content %}{{ '<think>' ~ m.reasoning_content ~ '</think>\n\n' }}{% endif %}"
    "{{ m.content or '' }}"
    "{% for c in m.tool_calls or [] %}"
    '{{ \'<tool_call>{"name": "\' ~ c.function.name ~ \'", "arguments": \' ~ c.function.arguments | tojson }}'
    "{{ '}</tool_call>' }}{% endfor %}"
    "{% endif %}{{ '<|im_end|>\n' }}{% endfor %}"
    "{{ '<|im_start|>assistant\n' if add_generation_prompt }}"
)


def agent() -> list[dict]:
    return [
        {"role": "user", "content": "sum"},
        {"role": "assistant", "content": "Look.", "reasoning_content": "hm", "tool_calls": [CALL]},
        {"role": "tool", "content": "3"},
        {"role": "assistant", "content": "It is 3.", "reasoning_content": "so"},
    ]


def trained(text: str) -> list[str]:
    return [piece.split("⟧")[0] for piece in text.split("⟦")[1:]]


@pytest.mark.parametrize(
    ("settings", "spans"),
    [
        ({}, [f"<think>hm</think>\n\nLook.{CALL_TEXT}<|im_end|>", "<think>so</think>\n\nIt is 3.<|im_end|>"]),
        ({"train_on": "last"}, ["<think>so</think>\n\nIt is 3.<|im_end|>"]),
        # What opens and closes the reasoning goes with it.
        ({"train_reasoning": False}, [f"Look.{CALL_TEXT}<|im_end|>", "It is 3.<|im_end|>"]),
        # What ends a turn after a call is part of calling (gpt-oss writes <|call|> there), so it goes with the call.
        ({"train_tool_calls": False}, ["<think>hm</think>\n\nLook.", "<think>so</think>\n\nIt is 3.<|im_end|>"]),
        ({"train_tool_calls": False, "train_reasoning": False}, ["Look.", "It is 3.<|im_end|>"]),
    ],
)
def test_fields(encode, settings, spans):
    text, _ = encode(agent(), FULL, **settings)
    assert trained(text) == spans


def test_a_turn_of_nothing_but_a_call_is_left_out(encode):
    messages = agent()
    messages[1] = {"role": "assistant", "tool_calls": [CALL, CALL]}
    text, encoder = encode(messages, FULL, train_tool_calls=False)
    assert trained(text) == ["<think>so</think>\n\nIt is 3.<|im_end|>"]
    assert encoder.report.missing_stop == 0
    with pytest.raises(InputError, match=r"0 of .* tokens are trained"):
        encode(messages[:2], FULL, train_tool_calls=False)


PARTS = [("text", "let me run\n"), ("python", "1+1\n"), ("python_output", "2\n"), ("text", "it is 2")]


def parts(*pairs) -> list[dict]:
    content = [{"type": kind, "text": text} for kind, text in pairs]
    return [{"role": "user", "content": "q"}, {"role": "assistant", "content": content}]


@pytest.mark.parametrize(
    ("pairs", "train_python", "spans"),
    [
        (PARTS, True, ["let me run\n1+1\n", "it is 2<|im_end|>"]),
        (PARTS, False, ["let me run\n", "it is 2<|im_end|>"]),
        (PARTS[:2], True, ["let me run\n1+1\n<|im_end|>"]),
        (PARTS[:2], False, ["let me run\n"]),  # what ends the turn after code starts the program, so it goes too
        (PARTS[1:], False, ["it is 2<|im_end|>"]),
        (PARTS[:3], True, ["let me run\n1+1\n", "<|im_end|>"]),  # the model ends its turn after an output, too
        (PARTS[:3], False, ["let me run\n"]),
    ],
)
def test_python(encode, pairs, train_python, spans):
    text, _ = encode(parts(*pairs), FULL, train_python=train_python)
    assert trained(text) == spans


def test_a_token_shared_with_a_programs_output_is_not_trained(encode, make_encoder):
    assert len(make_encoder().text_encoder.encode("hello").ids) == 1
    text, _ = encode(parts(("text", "a\n"), ("python_output", "he"), ("text", "llo world")), FULL)
    assert trained(text) == ["a\n", " world<|im_end|>"]
    text, _ = encode(parts(("python", "he"), ("text", "llo world")), FULL, train_python=False)
    assert trained(text) == ["hello world<|im_end|>"]  # half of it must be generated


def test_a_switched_off_field_is_not_trained_through_a_token_it_shares_with_the_prompt(encode):
    template = (
        "{% for m in messages %}{{ m.role ~ ':' }}{{ ' ' ~ m.reasoning_content ~ '<|head|>' if m.reasoning_content }}"
        "{{ m.content ~ '<|im_end|>' }}{% endfor %}{{ 'assistant: ' if add_generation_prompt }}"
    )
    messages = [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a", "reasoning_content": "hello"}]
    assert trained(encode(messages, template)[0]) == [" hello<|head|>a<|im_end|>"]
    assert trained(encode(messages, template, train_reasoning=False)[0]) == ["a<|im_end|>"]


def test_fields_that_cannot_be_told_apart_are_refused(encode):
    # A template that prints a whole message as JSON leaves no field to switch off.
    template = (
        "{% for m in messages %}{{ '<|im_start|>' ~ m.role ~ '\n' ~ m | tojson ~ '<|im_end|>' }}{% endfor %}"
        "{{ '<|im_start|>assistant\n' if add_generation_prompt }}"
    )
    messages = [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a", "reasoning_content": "r"}]
    assert len(trained(encode(messages, template)[0])) == 1
    with pytest.raises(InputError, match="several fields of message 1 as one, so its reasoning_content cannot be left"):
        encode(messages, template, train_reasoning=False)
    assert len(trained(encode(messages, template, train_tool_calls=False)[0])) == 1  # there is none
    smeared = FULL.replace("{{ m.content or '' }}", "{{ m.content | wordwrap(6) }}")
    with pytest.raises(InputError, match="so its python_output cannot be left untrained"):
        encode(parts(*PARTS), smeared)


# -- train_on


def weights(encoder, messages, **row) -> list[tuple[str, float]]:
    [example] = encoder.encode(parse_conversation({"messages": messages, **row}, "f:1"))
    return list(example.pieces)


def test_the_last_turn_alone(make_encoder):
    messages = agent()
    messages[3]["train"] = False  # the last turn is still the last, and then there is nothing
    encoder = make_encoder(FULL, train_on="last")
    assert encoder.encode(parse_conversation({"messages": messages}, "f:1")) == []
    assert encoder.report.notes["untrained"] == 1


def test_everything_but_tool_results_and_untrained_turns(make_encoder):
    encoder = make_encoder(FULL, train_on="all")
    pieces = weights(encoder, agent(), tools=[{"name": "add"}])
    assert [piece for piece in pieces if piece[1] == 0] == [("3", 0.0)]
    assert pieces[0][0].startswith('<|im_start|>system\n{"name": "add"}<|im_end|>\n<|im_start|>user\nsum<|im_end|>')
    assert {weight for _, weight in pieces} == {0.0, 1.0}

    messages = agent()
    messages[0]["train"] = False
    messages[1]["train"] = False
    messages[3]["weight"] = 0.5
    assert weights(encoder, messages) == [
        ("<|im_start|>user\n", 1.0),
        ("sum", 0.0),
        ("<|im_end|>\n<|im_start|>assistant\n", 1.0),
        (f"<think>hm</think>\n\nLook.{CALL_TEXT}<|im_end|>", 0.0),  # the whole turn, as it would have been trained
        ("\n<|im_start|>user\n<tool_response>", 1.0),
        ("3", 0.0),
        ("</tool_response><|im_end|>\n<|im_start|>assistant\n", 1.0),
        ("<think>so</think>\n\nIt is 3.<|im_end|>", 0.5),
        ("\n", 1.0),
    ]


def test_everything_with_weights_of_other_turns_and_no_tools(make_encoder):
    messages = [{"role": "user", "content": "sum", "weight": 0.25}, {"role": "assistant", "content": "3"}]
    assert weights(make_encoder(FULL, train_on="all"), messages) == [
        ("<|im_start|>user\n", 1.0),
        ("sum", 0.25),
        ("<|im_end|>\n<|im_start|>assistant\n3<|im_end|>\n", 1.0),
    ]
    assert [piece for piece in weights(make_encoder(FULL), messages) if piece[1]] == [("3<|im_end|>", 1.0)]
    whole = [{"role": "user", "content": "sum"}, {"role": "assistant", "content": "3"}]
    assert [weight for _, weight in weights(make_encoder(FULL, train_on="all"), whole)] == [1.0]


def test_everything_and_a_token_shared_with_a_tools_result(make_encoder):
    template = FULL.replace("<tool_response>", "hel")
    messages = agent()
    messages[2]["content"] = "lo"
    pieces = weights(make_encoder(template, train_on="all"), messages)
    assert ("hello", 0.0) in pieces


def test_everything_with_fields_switched_off(make_encoder):
    pieces = weights(make_encoder(FULL, train_on="all", train_reasoning=False), agent())
    assert [text for text, weight in pieces if not weight] == ["<think>hm</think>\n\n", "3", "<think>so</think>\n\n"]


def test_every_turn_and_one_example_per_turn_exclude_each_other():
    with pytest.raises(ValidationError, match="train_on: all would train the rest of the text in each of them"):
        ChatSettings(train_on="all", drift="split")


# -- weights


def test_patterns_that_match_nothing_are_said(make_encoder):
    messages = [{"role": "user", "content": "more"}, {"role": "assistant", "content": "hello world"}]
    # Of the template's text a pattern sees nothing, and a question is no answer.
    encoder = make_encoder(FULL, token_weights={"hello": 3, "helo": 3, "more": 2, r"<\|im_end\|>": 0})
    encoder.encode(parse_conversation({"messages": messages}, "f:1"))
    said = r"token_weights that match nothing in any answer: 'helo', 'more', '<\\|im_end\\|>'"
    assert encoder.report.unusual == [said]
    total = MaskReport.from_dict(encoder.report.to_dict())
    messages[1]["content"] = "helo <more>"
    encoder.encode(parse_conversation({"messages": messages}, "f:2"))
    total.merge(encoder.report)
    assert total.unusual == [r"token_weights that match nothing in any answer: '<\\|im_end\\|>'"]
    alone = make_encoder(FULL, token_weights={"helo": 3}, use_weights=False)
    alone.encode(parse_conversation({"messages": [*messages[:1], {"role": "assistant", "content": "a"}]}, "f:3"))
    assert alone.report.unusual == []


def test_weights_of_turns_and_of_patterns(make_encoder):
    messages = [
        {"role": "user", "content": "hello 12"},
        {"role": "assistant", "content": "hello 12 world"},
        {"role": "user", "content": "more"},
        {"role": "assistant", "content": "world 3", "weight": 2},
    ]
    encoder = make_encoder(FULL, token_weights={r"\d": 0.5, "world": 3, "absent": 7})
    assert weights(encoder, messages) == [
        ("<|im_start|>user\nhello 12<|im_end|>\n<|im_start|>assistant\n", 0.0),
        ("hello ", 1.0),
        ("12", 0.5),
        (" world", 3.0),  # the space is in the same token
        ("<|im_end|>", 1.0),
        ("\n<|im_start|>user\nmore<|im_end|>\n<|im_start|>assistant\n", 0.0),
        ("world", 6.0),
        (" ", 2.0),
        ("3", 1.0),
        ("<|im_end|>", 2.0),
        ("\n", 0.0),
    ]


@pytest.mark.parametrize(
    ("patterns", "expected"),
    [
        ({"hello": 2, "hel": 3}, [("hello", 6.0), ("<|im_end|>", 1.0)]),  # overlapping patterns multiply
        ({"l": 2}, [("hello", 2.0), ("<|im_end|>", 1.0)]),  # two matches in one token count once
        ({"hello": 0}, [("hello", 0.0), ("<|im_end|>", 1.0)]),
        ({"x*": 5}, [("hello<|im_end|>", 1.0)]),  # the empty string is no token
        ({"<|im_end|>": 5, "^hello$": 2}, [("hello", 2.0), ("<|im_end|>", 1.0)]),  # own text only: no stop token
        ({}, [("hello<|im_end|>", 1.0)]),
    ],
)
def test_patterns(make_encoder, patterns, expected):
    messages = [{"role": "user", "content": "q hello"}, {"role": "assistant", "content": "hello"}]
    pieces = weights(make_encoder(FULL, token_weights=patterns), messages)
    head = "<|im_start|>user\nq hello<|im_end|>\n<|im_start|>assistant\n"
    # A zero weight joins what is before it in `pieces`.
    joined = [(text.removeprefix(head), weight) for text, weight in pieces]
    assert [piece for piece in joined if piece[0] not in ("", "\n")] == expected


def test_patterns_reach_reasoning_and_calls_but_not_what_is_untrained(make_encoder):
    encoder = make_encoder(FULL, token_weights={"hm|add|3": 4, "so": 0}, train_reasoning=False)
    pieces = weights(encoder, agent())
    assert [text for text, weight in pieces if weight == 4] == ["add", "3"]
    assert [
        text for text, weight in weights(make_encoder(FULL, token_weights={"hm|so": 4}), agent()) if weight == 4
    ] == [
        "hm",
        "so",
    ]


@pytest.mark.parametrize(
    ("patterns", "message"),
    [
        ({"(": 1}, "is not a regular expression"),
        ({"a": -1}, "must be 0, or from 1e-06 to 1e"),
        ({"a": float("inf")}, "must be 0, or from|should be a finite number"),
        ({"a": float("nan")}, "must be 0, or from|should be a finite number"),
        ({"a": 1e-30}, "must be 0, or from"),
    ],
)
def test_patterns_that_cannot_work(patterns, message):
    with pytest.raises(ValidationError, match=message):
        ChatSettings(token_weights=patterns)


# -- control tokens in messages


def control_row() -> list[dict]:
    return [{"role": "user", "content": "a <think> b"}, {"role": "assistant", "content": "c<|im_end|>d"}]


def test_control_tokens(make_encoder):
    encoders = {how: make_encoder(FULL, control_tokens=how) for how in ("text", "keep", "error")}
    conversation = parse_conversation({"messages": control_row()}, "f:1")
    [text] = encoders["text"].encode(conversation)
    [kept] = encoders["keep"].encode(conversation)
    with pytest.raises(InputError, match="f:1: the text contains '<think>', which is a control token"):
        encoders["error"].encode(conversation)
    for how, example in (("text", text), ("keep", kept)):
        encoder = encoders[how]
        names = [encoder.controls[token] for token in example.tokens if token in encoder.controls]
        written = ["<|im_start|>", "<|im_end|>", "<|im_start|>", "<|im_end|>"]
        held = ["<|im_start|>", "<think>", "<|im_end|>", "<|im_start|>", "<|im_end|>", "<|im_end|>"]
        assert names == (written if how == "text" else held)
        # The span does not depend on what message text looks like: it ends where the template ends the turn.
        assert [piece for piece, weight in example.pieces if weight] == ["c<|im_end|>d<|im_end|>"]
        assert encoder.report.control_string_kinds == {"<think>": 1, "<|im_end|>": 1}
    clean = {"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]}
    ids = {tuple(encoder.encode(parse_conversation(clean, "f:1"))[0].tokens) for encoder in encoders.values()}
    assert len(ids) == 1


@pytest.mark.parametrize("train_on", ["assistant", "all"])
def test_unweighted_settings_keep_the_mask_and_drop_the_weights(make_encoder, train_on):
    messages = [
        {"role": "user", "content": "sum", "weight": 0.5},
        {"role": "assistant", "content": "hello", "weight": 0.25},
        {"role": "assistant", "content": "mute", "weight": 0},
        {"role": "assistant", "content": "quiet", "train": False},
        {"role": "assistant", "content": "world 3", "weight": 2},
    ]
    row = parse_conversation({"messages": messages}, "f:1")
    settings = {"train_on": train_on, "token_weights": {r"\d": 0.5, "world": 0, "hello": 3}}
    [weighted] = make_encoder(FULL, **settings).encode(row)
    encoder = make_encoder(FULL, **settings)
    assert encoder.settings.unweighted().token_weights == {}
    plain = {"train_on": train_on, "use_weights": False}
    for changed in (encoder.settings.unweighted().model_dump(), {**settings, **plain}):
        [example] = make_encoder(FULL, **changed).encode(row)
        assert example.tokens == weighted.tokens
        assert set(example.loss_weights) == {0.0, 1.0}
        left_out = "".join(text for text, weight in example.pieces if not weight)
        assert ("mute" in left_out, "quiet" in left_out, "world" in left_out) == (True, True, False)
        without = [{k: v for k, v in m.items() if k != "weight" or v == 0} for m in messages]
        [same] = make_encoder(FULL, train_on=train_on).encode(parse_conversation({"messages": without}, "f:1"))
        assert example.loss_weights == same.loss_weights
