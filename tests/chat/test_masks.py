"""Exact masks of hand-checked conversations; ⟦…⟧ holds what is trained."""

import pytest

from strop.chat import parse_conversation
from strop.common.errors import InputError

CALL = {"type": "function", "function": {"name": "add", "arguments": {"a": 1, "b": "<x>"}}}


def say(*pairs) -> list[dict]:
    return [{"role": role, "content": content} for role, content in pairs]


def test_chatml_with_a_default_system_turn(encode):
    text, encoder = encode(say(("user", "hi"), ("assistant", "hello"), ("user", "more"), ("assistant", "world")))
    assert text == (
        "<|im_start|>system\nBe kind.<|im_end|>\n<|im_start|>user\nhi<|im_end|>\n<|im_start|>assistant\n"
        "⟦hello<|im_end|>⟧\n<|im_start|>user\nmore<|im_end|>\n<|im_start|>assistant\n⟦world<|im_end|>⟧\n"
    )
    report = encoder.report
    assert (report.conversations, report.turns, report.audited) == (1, 2, 1)
    assert (report.drift_turns, report.control_strings, report.straddling_tokens, report.missing_stop) == (0, 0, 0, 0)
    assert "2 turns" in str(report)


def test_the_exact_ids(make_encoder, make_tokenizer):
    [example] = make_encoder().encode(
        parse_conversation({"messages": say(("user", "hi"), ("assistant", "hello"))}, "x")
    )
    tokenizer = make_tokenizer()
    expected = tokenizer("hello<|im_end|>", add_special_tokens=False)["input_ids"]
    trained = [(t, w) for t, w in zip(example.tokens, example.loss_weights, strict=True) if w]
    assert trained == [(token, 1.0) for token in expected]
    assert example.tokens[-1] == tokenizer("\n", add_special_tokens=False)["input_ids"][0]
    assert example.loss_weights[-1] == 0.0
    assert example.trained_tokens == len(expected)


def test_untrained_and_weighted_turns(make_encoder):
    messages = say(("user", "a"), ("assistant", "b"), ("assistant", "c"), ("assistant", "d"))
    messages[1]["train"] = False
    messages[2]["weight"] = 0.5
    [example] = make_encoder().encode(parse_conversation({"messages": messages}, "x"))
    assert [piece for piece in example.pieces if piece[1]] == [("c<|im_end|>", 0.5), ("d<|im_end|>", 1.0)]
    assert [(turn.message, turn.weight, turn.ending) for turn in example.turns] == [(2, 0.5, "stop"), (3, 1.0, "stop")]


def test_program_output_inside_a_turn_is_never_trained(encode):
    parts = [("text", "let me run\n"), ("python", "1+1\n"), ("python_output", "2\n"), ("text", "it is 2")]
    messages = [*say(("user", "1+1?")), {"role": "assistant", "content": [{"type": k, "text": t} for k, t in parts]}]
    text, _ = encode(messages)
    assert text.endswith("<|im_start|>assistant\n⟦let me run\n1+1\n⟧2\n⟦it is 2<|im_end|>⟧\n")


LLAMA = (
    "{{ bos_token }}{% for m in messages %}"
    "{{ '<|start|>' ~ m.role ~ '<|head|>\n\n' ~ m.content | trim ~ '<|eot|>' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|start|>assistant<|head|>\n\n' }}{% endif %}"
)


def test_trimmed_content(encode):
    text, _ = encode(say(("user", " hi "), ("assistant", "\n hello \n")), LLAMA, eos="<|eot|>")
    assert text == "<s><|start|>user<|head|>\n\nhi<|eot|><|start|>assistant<|head|>\n\n⟦hello<|eot|>⟧"


def test_a_token_across_the_border_is_trained_and_counted(encode):
    # "assistant: " ends with a space that the tokenizer joins to the first word; served, the space stands alone.
    template = (
        "{% for m in messages %}{{ m.role + ': ' + m.content + '<|im_end|>' }}{% endfor %}"
        "{{ 'assistant: ' if add_generation_prompt }}"
    )
    text, encoder = encode(say(("user", "hi"), ("assistant", "hello")), template)
    assert text == "user: hi<|im_end|>assistant:⟦ hello<|im_end|>⟧"
    assert (encoder.report.straddling_tokens, encoder.report.drift_turns, encoder.report.drift_tokens) == (1, 1, 1)


THINKING = (
    "{% set ns = namespace(last=0) %}"
    "{% for m in messages %}{% if m.role == 'user' %}{% set ns.last = loop.index0 %}{% endif %}{% endfor %}"
    "{% for m in messages %}"
    "{% if m.role == 'assistant' %}"
    "{% set body = m.content %}{% set why = m.reasoning_content | default('') %}"
    "{% if '</think>' in body %}"
    "{% set why = body.split('</think>')[0].rstrip('\n').split('<think>')[-1].lstrip('\n') %}"
    "{% set body = body.split('</think>')[-1].lstrip('\n') %}"
    "{% endif %}"
    "{{ '<|im_start|>assistant\n' }}"
    "{% if loop.index0 > ns.last %}{{ '<think>\n' + why.strip('\n') + '\n</think>\n\n' }}{% endif %}"
    "{{ body + '<|im_end|>\n' }}"
    "{% else %}{{ '<|im_start|>' + m.role + '\n' + m.content + '<|im_end|>\n' }}{% endif %}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}"
    "{% if thinking_open is defined %}{{ '<think>\n' }}{% endif %}{% endif %}"
)


def thoughts() -> list[dict]:
    messages = say(("user", "one"), ("assistant", "two"), ("user", "three"), ("assistant", "four"))
    messages[1]["reasoning_content"] = "why two"
    messages[3]["reasoning_content"] = "why four"
    return messages


def test_thinking_template_that_drops_earlier_reasoning(encode):
    text, encoder = encode(thoughts(), THINKING)
    assert text == (
        "<|im_start|>user\none<|im_end|>\n<|im_start|>assistant\n⟦two<|im_end|>⟧\n"
        "<|im_start|>user\nthree<|im_end|>\n<|im_start|>assistant\n"
        "⟦<think>\nwhy four\n</think>\n\nfour<|im_end|>⟧\n"
    )
    assert encoder.report.drift_turns == 0
    assert encoder.report.dropped_fields == {"dropped_reasoning": 1}


def test_reasoning_inside_the_content_is_split_out_by_the_template(encode):
    text, _ = encode(say(("user", "q"), ("assistant", "<think>\nhm\n</think>\n\nyes")), THINKING)
    assert text.endswith("<|im_start|>assistant\n⟦<think>\nhm\n</think>\n\nyes<|im_end|>⟧\n")


def test_generation_prompt_that_opens_the_reasoning(encode):
    # Served turns start inside <think>; the first turn's template text does not: that is drift, and is counted.
    text, encoder = encode(thoughts(), THINKING, template_kwargs={"thinking_open": True})
    assert text == (
        "<|im_start|>user\none<|im_end|>\n<|im_start|>assistant\n⟦two<|im_end|>⟧\n"
        "<|im_start|>user\nthree<|im_end|>\n<|im_start|>assistant\n<think>\n"
        "⟦why four\n</think>\n\nfour<|im_end|>⟧\n"
    )
    assert (encoder.report.drift_turns, encoder.report.drift_tokens) == (1, 2)
    with pytest.raises(InputError, match=r"data.jsonl:1: before message 1 training sees 2 tokens that differ"):
        encode(thoughts(), THINKING, template_kwargs={"thinking_open": True}, drift="error")


TOOLS = (
    "{% if tools %}{{ '<|im_start|>system\n' }}{% for t in tools %}{{ t | tojson }}{% endfor %}"
    "{{ '<|im_end|>\n' }}{% endif %}"
    "{% for m in messages %}"
    "{% if m.role == 'system' %}{{ raise_exception('no system role here') }}"
    "{% elif m.role == 'tool' %}"
    "{% if loop.previtem.role != 'tool' %}{{ '<|im_start|>user' }}{% endif %}"
    "{{ '\n<tool_response>' + m.content + '</tool_response>' }}"
    "{% if loop.last or loop.nextitem.role != 'tool' %}{{ '<|im_end|>\n' }}{% endif %}"
    "{% else %}{{ '<|im_start|>' + m.role + '\n' + (m.content or '') }}"
    "{% for c in m.tool_calls %}"
    '{{ \'<tool_call>{"name": "\' + c.function.name + \'", "arguments": \' + c.function.arguments | tojson }}'
    "{{ '}</tool_call>' }}"
    "{% endfor %}{{ '<|im_end|>\n' }}{% endif %}"
    "{% endfor %}{{ '<|im_start|>assistant\n' if add_generation_prompt }}"
)


def test_tool_calls_are_trained_and_merged_tool_messages_are_not(encode):
    messages = [
        *say(("user", "sum?")),
        {"role": "assistant", "content": None, "tool_calls": [CALL, CALL]},
        *say(("tool", "3"), ("tool", "4"), ("assistant", "3 and 4")),
    ]
    tools = [{"type": "function", "function": {"name": "add", "description": "<|im_end|>"}}]
    text, encoder = encode(messages, TOOLS, tools=tools)
    call = '<tool_call>{"name": "add", "arguments": {"a": 1, "b": "<x>"}}</tool_call>'
    assert text == (
        '<|im_start|>system\n{"type": "function", "function": {"name": "add", "description": "<|im_end|>"}}<|im_end|>\n'
        f"<|im_start|>user\nsum?<|im_end|>\n<|im_start|>assistant\n⟦{call}{call}<|im_end|>⟧\n"
        "<|im_start|>user\n<tool_response>3</tool_response>\n<tool_response>4</tool_response><|im_end|>\n"
        "<|im_start|>assistant\n⟦3 and 4<|im_end|>⟧\n"
    )
    assert encoder.report.control_strings == 1
    assert encoder.report.drift_turns == 0


def test_a_template_that_refuses_says_why(encode):
    with pytest.raises(InputError, match=r"data.jsonl:1: the chat template refused this conversation: no system role"):
        encode(say(("system", "s"), ("user", "u"), ("assistant", "a")), TOOLS)


NEXT_HEADER = (
    "{% for m in messages %}{{ '<|' + m.role + '|>\n' + m.content }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>\n' }}{% endif %}"
)


def test_the_next_turns_header_as_terminator(encode):
    messages = say(("user", "a"), ("assistant", "b"), ("user", "c"), ("assistant", "d"))
    with pytest.raises(InputError, match="no stop token follows message 3"):
        encode(messages, NEXT_HEADER)
    text, encoder = encode(messages, NEXT_HEADER, waive=["missing_stop"])
    assert text == "<|user|>\na<|assistant|>\n⟦b<|user|>⟧\nc<|assistant|>\n⟦d⟧"
    assert encoder.report.inferred_stops == {"<|user|>": 1}
    assert encoder.report.missing_stop == 1
    assert encoder.report.waived == {"missing_stop": 1}
    text, encoder = encode(messages[:3], NEXT_HEADER, stop_tokens=["<|user|>"])
    assert text == "<|user|>\na<|assistant|>\n⟦b<|user|>⟧\nc"
    assert not encoder.report.inferred_stops


def test_text_between_the_content_and_the_stop_token(encode):
    template = (
        "{% for m in messages %}{{ '<|start|>' + m.role + '<|head|>' + m.content + '<|eot|>tail' + eos_token }}"
        "{% endfor %}{{ '<|start|>assistant<|head|>' if add_generation_prompt }}"
    )
    text, _ = encode(say(("user", "a"), ("assistant", "b")), template)
    assert text == "<|start|>user<|head|>a<|eot|>tail<|im_end|><|start|>assistant<|head|>⟦b<|eot|>tail<|im_end|>⟧"


def test_a_call_named_again_in_the_header_of_its_result(encode):
    template = (
        "{% for m in messages %}{% if m.role == 'tool' %}"
        "{{ '<|start|>' + messages[loop.index0 - 1].tool_calls[0].function.name + '<|head|>' + m.content }}"
        "{% elif m.tool_calls %}{{ '<|start|>assistant to=' + m.tool_calls[0].function.name }}"
        "{{ '<|head|>' + m.tool_calls[0].function.arguments | tojson }}"
        "{% else %}{{ '<|start|>' + m.role + '<|head|>' + m.content }}{% endif %}{{ '<|eot|>' }}{% endfor %}"
        "{{ '<|start|>assistant' if add_generation_prompt }}"
    )
    messages = [
        *say(("user", "q")),
        {"role": "assistant", "tool_calls": [CALL]},
        *say(("tool", "3"), ("assistant", "ok")),
    ]
    text, _ = encode(messages, template, stop_tokens=["<|eot|>"])
    assert text == (
        '<|start|>user<|head|>q<|eot|><|start|>assistant⟦ to=add<|head|>{"a": 1, "b": "<x>"}<|eot|>⟧'
        "<|start|>add<|head|>3<|eot|><|start|>assistant⟦<|head|>ok<|eot|>⟧"
    )


def test_a_template_without_generation_prompt(encode):
    template = (
        "{% for m in messages %}"
        "{{ '[INST] ' + m.content + ' [/INST]' if m.role == 'user' else ' ' + m.content + eos_token }}"
        "{% endfor %}"
    )
    text, _ = encode(say(("user", "q"), ("assistant", "a")), template)
    assert text == "[INST] q [/INST]⟦ a<|im_end|>⟧"


def test_a_tool_call_after_a_generation_prompt_that_opens_the_reasoning(encode):
    # What opens the call was written by the model, though the generation prompt is not there in full.
    template = TOOLS.replace("'<|im_start|>assistant\n' if", "'<|im_start|>assistant\n<think>' if")
    messages = [*say(("user", "q")), {"role": "assistant", "tool_calls": [CALL]}]
    text, encoder = encode(messages, template)
    call = '<tool_call>{"name": "add", "arguments": {"a": 1, "b": "<x>"}}</tool_call>'
    assert text.endswith(f"<|im_start|>assistant\n⟦{call}<|im_end|>⟧\n")
    assert encoder.report.drift_turns == 1


def test_too_long(make_encoder):
    conversation = parse_conversation({"messages": say(("user", "hi"), ("assistant", "hello world"))}, "f.jsonl:7")
    [whole] = make_encoder().encode(conversation)
    length = len(whole.tokens)
    with pytest.raises(InputError, match=rf"f.jsonl:7: the conversation has {length} tokens and max_length is 9"):
        make_encoder(max_length=9).encode(conversation)
    dropping = make_encoder(max_length=length - 1, too_long="drop")
    assert dropping.encode(conversation) == []
    assert (dropping.report.too_long_dropped, dropping.report.tokens) == (1, 0)
    cutting = make_encoder(max_length=length - 2, too_long="truncate")
    [cut] = cutting.encode(conversation)
    assert cut.tokens == whole.tokens[:-2]
    assert cut.loss_weights == whole.loss_weights[:-2]
    assert [turn.ending for turn in cut.turns] == ["truncated"]
    assert cut.pieces[-1] == ("hello world", 1.0)
    assert cutting.report.truncated == 1
    nothing_left = make_encoder(max_length=9, too_long="truncate")
    assert nothing_left.encode(conversation) == []
    assert nothing_left.report.too_long_dropped == 1
    assert make_encoder(max_length=length).encode(conversation)[0].tokens == whole.tokens


def test_prompt_is_what_training_saw(make_encoder):
    messages = say(("system", "s"), ("user", "<|im_end|> é"), ("assistant", "hello"))
    encoder = make_encoder()
    [example] = encoder.encode(parse_conversation({"messages": messages}, "x"))
    assert encoder.prompt(messages[:2]) == example.tokens[: example.turns[0].first]
    with pytest.raises(InputError, match=r"prompt: field messages\[0\].role"):
        encoder.prompt([{"content": "x"}])
