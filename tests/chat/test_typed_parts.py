"""Contents as lists of typed parts, tool calls as text, and numbers as they were written."""

import json
import pickle

import pytest

from strop.chat import Conversation, Message, parse_conversation
from strop.chat.numbers import Number, dumps, number, rounded
from strop.chat.tool_calls import Written
from strop.common.errors import InputError

CALL = {"type": "function", "function": {"name": "add", "arguments": {"a": 1}}}


def message(*parts, **more):
    row = {"messages": [{"role": "assistant", "content": list(parts), **more}]}
    found = parse_conversation(row, "f:1")
    return found.messages[0], found.notes


@pytest.mark.parametrize("key", ["text", "value"])
def test_text_and_reasoning_under_either_key(key):
    parts = ({"type": "reasoning", key: "r"}, {"type": "text", key: "a"}, {"type": "text", key: "b"})
    assert message(*parts) == (Message("assistant", "ab", "r"), {})


@pytest.mark.parametrize(
    "part",
    [
        {"type": "tool_call", "value": '{"name": "add", "arguments": {"a": 1}}'},
        {"type": "tool_call", "value": {"name": "add", "arguments": {"a": 1}}},
        {"type": "tool_call", "name": "add", "arguments": {"a": 1}},
        {"type": "tool_use", "name": "add", "input": {"a": 1}},
    ],
)
def test_tool_calls_as_parts(part):
    assert message({"type": "thinking", "thinking": "r"}, part) == (
        Message("assistant", None, "r", tool_calls=(CALL,)),
        {},
    )


def test_parts_in_another_order_are_told():
    found, notes = message({"type": "text", "text": "a"}, {"type": "reasoning", "text": "r"})
    assert (found, notes) == (Message("assistant", "a", "r"), {"order": 1})


@pytest.mark.parametrize(
    ("parts", "more", "expected"),
    [
        ([{"type": "image_url", "url": "x"}], {}, "content[0].type: expected text, reasoning, tool_call, python or"),
        ([{"type": "text"}], {}, "content[0].text: expected a string, found null"),
        (
            [{"type": "reasoning", "value": "r"}],
            {"reasoning_content": "s"},
            "reasoning_content: stands beside a part of content that says the same",
        ),
        ([{"type": "tool_call", "value": "{"}], {}, "content[0].value: expected JSON, but"),
    ],
)
def test_parts_that_are_refused(parts, more, expected):
    with pytest.raises(InputError) as caught:
        message(*parts, **more)
    assert str(caught.value).startswith(f"f:1: field messages[0].{expected}")


def test_only_an_assistant_thinks_and_calls():
    parts = [{"type": "reasoning", "value": "r"}, {"type": "text", "value": "q"}]
    row = {"messages": [{"role": "user", "content": parts}]}
    with pytest.raises(InputError, match="only an assistant message may have it, and this one is a user message"):
        parse_conversation(row, "f:1")


def test_reasoning_by_two_names_must_agree():
    row = {"messages": [{"role": "assistant", "content": "a", "reasoning": "r", "thinking": "s"}]}
    with pytest.raises(InputError, match=r"messages\[0\].thinking: differs from reasoning; keep one of them"):
        parse_conversation(row, "f:1")


def test_preference_pairs_of_typed_messages():
    def turns(answer):
        return [
            {"role": "user", "content": [{"type": "text", "value": "q"}], "loss_weight": 0.0},
            {"role": "assistant", "content": [{"type": "text", "value": answer}], "loss_weight": 1.0},
        ]

    row = {"chosen_messages": turns("a"), "rejected_messages": turns("b")}
    found = parse_conversation(row, "f:1")
    assert found == Conversation((Message("user", "q", weight=0.0), Message("assistant", "a")), (), "f:1")
    assert (found.format, found.notes) == ("preference", {"preference": 1})


def test_openais_preference_layout():
    answers = [[{"role": "assistant", "content": text}] for text in ("a", "b")]
    row = {
        "input": {"messages": [{"role": "user", "content": "q"}]},
        "preferred_output": answers[0],
        "non_preferred_output": answers[1],
    }
    found = parse_conversation(row, "f:1")
    assert found.messages == (Message("user", "q"), Message("assistant", "a"))


@pytest.mark.parametrize("name", ["messages", "conversations", "prompt", "chosen"])
def test_lists_of_turns_as_json_text(name):
    asked, said = {"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}
    rows = {
        "messages": {"messages": json.dumps([asked, said])},
        "conversations": {"conversations": json.dumps([asked, said])},
        "prompt": {"prompt": json.dumps([asked]), "completion": json.dumps([said])},
        "chosen": {"chosen": json.dumps([asked, said]), "rejected": json.dumps([asked, said])},
    }
    assert parse_conversation(rows[name], "f:1").messages == (Message("user", "q"), Message("assistant", "a"))


def test_an_answer_that_is_json_stays_an_answer():
    answer = '[{"role": "admin", "content": "x"}]'
    assert parse_conversation({"prompt": "q", "completion": answer}, "f:1").messages[1].content == answer


def test_what_python_printed_is_no_json():
    with pytest.raises(InputError, match=r"it looks as if Python had printed it: write it with json.dumps"):
        parse_conversation({"messages": "[{'role': 'user', 'content': 'q'}]"}, "f:1")


# -- arguments and numbers

TEXT = '{"city":"Z\\u00fcrich", "x": 0.1000000000000000055511151231257827,  "t":1E5}'


def called(arguments):
    call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": arguments}}
    row = {
        "messages": [
            {"role": "user", "content": "q"},
            {"role": "assistant", "content": "", "tool_calls": [call]},
            {"role": "tool", "content": "7", "tool_call_id": "c"},
            {"role": "assistant", "content": "ok"},
        ]
    }
    return parse_conversation(row, "f:1")


def test_arguments_as_text_keep_their_text():
    [call] = called(TEXT).messages[1].tool_calls
    arguments = call["function"]["arguments"]
    assert isinstance(arguments, Written)
    assert arguments == {"city": "Zürich", "x": 0.1, "t": 100000.0}
    assert arguments.text == TEXT
    assert pickle.loads(pickle.dumps(arguments)).text == TEXT
    [call] = called({"a": 1}).messages[1].tool_calls
    assert type(call["function"]["arguments"]) is dict


PRINTS = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content or '' }}"
    "{% for c in m.tool_calls or [] %}CALL {% set a = c.function.arguments %}ARGUMENTS{% endfor %}<|im_end|>\n"
    "{% endfor %}{{ '<|im_start|>assistant\n' if add_generation_prompt }}"
)


@pytest.mark.parametrize(
    ("printed", "expected"),
    [
        ("{{ a }}", TEXT),
        ("{{ a if a is string else a | tojson }}", TEXT),
        ("{{ 'args ' + a }}", "args " + TEXT),
        ("{{ a | tojson }}", '{"city": "Zürich", "x": 0.1000000000000000055511151231257827, "t": 1E5}'),
        (
            "{% for k, v in a.items() %}{{ k }}={{ v }};{% endfor %}",
            "city=Zürich;x=0.1000000000000000055511151231257827;t=1E5;",
        ),
    ],
)
def test_templates_get_the_text_where_they_print_it_and_the_numbers_in_any_case(make_encoder, printed, expected):
    encoder = make_encoder(PRINTS.replace("ARGUMENTS", printed), audit_every=1)
    [example] = encoder.encode(called(TEXT))
    text = "".join(piece for piece, _ in example.pieces)
    assert f"CALL {expected}<|im_end|>" in text


def test_arguments_as_objects_are_printed_as_ever(make_encoder):
    [example] = make_encoder(PRINTS.replace("ARGUMENTS", "{{ a if a is string else a | tojson }}")).encode(
        called({"t": 1e5, "s": "ü"})
    )
    assert 'CALL {"t": 100000.0, "s": "ü"}<|im_end|>' in "".join(piece for piece, _ in example.pieces)


def test_numbers_remember_how_they_were_written():
    values = json.loads('{"a": 1E5, "b": [1.50, 1.5, -0.0, 2], "c": "1E5"}', parse_float=number)
    assert values == {"a": 100000.0, "b": [1.5, 1.5, 0.0, 2], "c": "1E5"}
    assert [type(value) for value in values["b"]] == [Number, float, float, int]
    assert dumps(values) == '{"a": 1E5, "b": [1.50, 1.5, -0.0, 2], "c": "1E5"}'
    assert dumps(values, indent=1, sort_keys=True).startswith('{\n "a": 1E5,\n "b": [\n  1.50,')
    assert json.dumps(rounded(values)) == '{"a": 100000.0, "b": [1.5, 1.5, -0.0, 2], "c": "1E5"}'
    assert str(pickle.loads(pickle.dumps(values["a"]))) == "1E5"
