"""Templates that want messages in another shape, and turns whose end or order a template makes doubtful."""

import pytest
from jinja2 import TemplateError

from strop.chat import parse_conversation
from strop.common.errors import InputError

HEAD = "{% for m in messages %}{{ '<|im_start|>' + m.role + '\n' }}"
TAIL = "{{ '<|im_end|>\n' }}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
CALL = {"function": {"name": "add", "arguments": {"a": "é", "b": [1]}}}


def say(*pairs) -> list[dict]:
    return [{"role": role, "content": content} for role, content in pairs]


def call_turns() -> list[dict]:
    return [*say(("user", "hi")), {"role": "assistant", "tool_calls": [CALL]}]


def test_content_as_parts_where_text_is_printed_as_nothing(encode):
    template = (
        HEAD + "{% for part in m.content %}{% if part.type == 'text' %}{{ part.text }}{% endif %}{% endfor %}" + TAIL
    )
    text, _ = encode(say(("user", "hi"), ("assistant", "hello")), template)
    assert text == "<|im_start|>user\nhi<|im_end|>\n<|im_start|>assistant\n⟦hello<|im_end|>⟧\n"


def test_content_as_parts_where_text_is_refused(encode):
    text, _ = encode(say(("user", "hi"), ("assistant", "hello")), HEAD + "{{ '' + m.content[0].text }}" + TAIL)
    assert text.endswith("⟦hello<|im_end|>⟧\n")


def test_arguments_as_json_text_and_empty_content_where_they_are_concatenated(encode):
    template = (
        HEAD + "{{ m.content + '' }}{% for c in m.tool_calls %}{{ c.function.arguments + '!' }}{% endfor %}" + TAIL
    )
    text, _ = encode(call_turns(), template)
    assert text.endswith('<|im_start|>assistant\n⟦{"a": "é", "b": [1]}!<|im_end|>⟧\n')


def test_the_usual_shape_where_the_template_takes_it(encode):
    template = HEAD + "{{ m.content }}{% for c in m.tool_calls %}{{ c.function.arguments.a }}{% endfor %}" + TAIL
    text, _ = encode(call_turns(), template)
    assert text.endswith("<|im_start|>assistant\n⟦é<|im_end|>⟧\n")


def test_what_closes_a_call_is_not_taken_for_a_stop(make_encoder):
    # With a stop set that lacks the template's, content ends with the first control token; a call must not.
    template = (
        HEAD + "{{ m.content }}{% for c in m.tool_calls %}"
        "{{ '<tool_call>' ~ c.function.name ~ '</tool_call>' }}{% endfor %}" + TAIL
    )
    encoder = make_encoder(template, eos="<|eot|>")
    [example] = encoder.encode(parse_conversation({"messages": say(("user", "hi"), ("assistant", "hello"))}, "x"))
    assert [piece for piece, weight in example.pieces if weight] == ["hello<|im_end|>"]
    assert encoder.report.inferred_stops == {"<|im_end|>": 1}
    calls = parse_conversation({"messages": call_turns()}, "x")
    with pytest.raises(InputError, match="no stop token follows message 1"):
        encoder.encode(calls)
    [example] = make_encoder(template, eos="<|eot|>", stop_tokens=["<|im_end|>"]).encode(calls)
    assert [piece for piece, weight in example.pieces if weight] == ["<tool_call>add</tool_call><|im_end|>"]


def test_a_turn_that_is_printed_in_two_places_is_reported(make_encoder):
    # The calls before the tool's result, the content after it: no one prompt leads to that.
    template = (
        "{% for m in messages %}{% if m.role == 'assistant' and m.tool_calls %}"
        "{{ '<|im_start|>assistant\n' ~ m.tool_calls[0].function.name ~ '<|im_end|>' ~ messages[loop.index].content }}"
        "{{ m.content ~ '<|im_end|>' }}"
        "{% elif m.role != 'tool' %}{{ '<|im_start|>' ~ m.role ~ '\n' ~ m.content ~ '<|im_end|>' }}{% endif %}"
        "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
    )
    messages = say(("user", "hi"), ("assistant", "let me see"), ("tool", "3"), ("assistant", "three"))
    messages[1]["tool_calls"] = [CALL]
    with pytest.raises(InputError, match="what follows it is not trained"):
        make_encoder(template).encode(parse_conversation({"messages": messages}, "x"))


def test_a_template_that_only_the_library_refuses_is_an_input_error(make_encoder, monkeypatch):
    def refuse(*args, **kwargs):
        raise TemplateError("not these")

    encoder = make_encoder()
    monkeypatch.setattr(encoder.renderer._tokenizer, "apply_chat_template", refuse)
    with pytest.raises(InputError, match="refused this conversation: not these"):
        encoder.encode(parse_conversation({"messages": say(("user", "hi"), ("assistant", "hello"))}, "x"))
