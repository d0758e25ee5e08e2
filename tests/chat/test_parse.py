"""The template's inverse: what a template prints of a message is read back as that message.

Over every published template in trl's wheel, trl's twins of them and the built-in ones, for every kind of message that
the template prints (by the origins of its text: what it drops, or refuses, it cannot give back).
"""

import json
import random
from collections import Counter
from functools import cache

import published
import pytest
from transformers import PreTrainedTokenizerFast

from strop.chat import BUILT_IN, ChatEncoder, ChatSettings, Message, fit_tokenizer, parse_conversation
from strop.chat.codec import Codec
from strop.chat.parse import UNFINISHED, parse_answer
from strop.chat.rendering import TemplateInputs
from strop.chat.syntax import syntax_of
from strop.common.errors import InputError

QUESTION = {"role": "user", "content": "what is it?"}
TOOLS = [
    {
        "type": "function",
        "function": {
            "name": "look_up",
            "description": "looks it up",
            "parameters": {"type": "object", "properties": {"text": {"type": "string", "description": "what"}}},
        },
    }
]


def call(arguments: dict, name: str = "look_up", number: int = 1) -> dict:
    return {"id": f"call0000{number}", "type": "function", "function": {"name": name, "arguments": arguments}}


def answer(content: str | None = None, reasoning: str | None = None, *calls: dict) -> dict:
    fields = {"content": content, "reasoning_content": reasoning, "tool_calls": list(calls)}
    return {"role": "assistant", **{name: value for name, value in fields.items() if value}}


PLACE = call({"place": "Zürich", "days": 3})
KINDS = {
    "content": answer("It is\n\nfour, 漢字 🙂 <b>."),
    "reasoning": answer("four", "I add\n\nthem."),
    "call": answer(None, None, PLACE),
    "two calls": answer(None, None, PLACE, call({"place": "Bern"}, "find_it", 2)),
    "content, call": answer("let me see", None, PLACE),
    "reasoning, call": answer(None, "I look", PLACE),
    "all": answer("let me see", "I look", PLACE),
    "nested": answer(None, None, call({"options": {"days": [1, 2.5, {"deep": "x"}], "on": {"a": "b"}}, "list": ["a"]})),
    "numbers": answer(None, None, call({"a": 0, "b": -1.5, "c": 12345678901234567890, "d": 1e-07})),
    "flags": answer(None, None, call({"a": True, "b": False, "c": None})),
    "unicode": answer(None, None, call({"text": "漢字 é 🙂 ﷽"})),
    "quotes": answer(None, None, call({"text": 'it\'s "q" and \\ `x`, <b>'})),
    "newlines": answer(None, None, call({"text": "one\ntwo\n\n  three\tfour"})),
    "no arguments": answer(None, None, call({})),
    "empty text": answer(None, None, call({"text": ""})),
    "text of digits": answer(None, None, call({"text": "42"})),
}
NOT_INVERTED = {
    ("gptoss", "content, call"): "it prints the content of a turn with a call as reasoning",
    ("gptoss_training", "content, call"): "it prints the content of a turn with a call as reasoning",
}
"""What a template prints and does not come back, and why."""
NAMES = [*published.names(), *(f"{name}_training" for name in published.twins())]
NAMES += [f"built-in {name}" for name in BUILT_IN]


@cache
def encoder(name: str) -> ChatEncoder:
    if name.startswith("built-in"):
        name = name.split()[1]
        source = published.tokenizer("qwen2_5")
        tokenizer = PreTrainedTokenizerFast(tokenizer_object=source.backend_tokenizer, eos_token=source.eos_token)
        fit_tokenizer(tokenizer, name)
        return ChatEncoder(tokenizer, ChatSettings(template=name))
    twin = name.endswith("_training")
    waived = ["missing_stop", "cut_turn", "empty_turn"]
    return published.encoder(name.removesuffix("_training"), {}, twin, waive=waived)


@cache
def printed(name: str, kind: str) -> tuple[str, list[int], str]:
    """Why a template cannot carry the message ("" where it can), and the turn that it makes of it, as ids and text."""
    tools = TOOLS if kind == "text of digits" else []
    try:
        row = {"messages": [QUESTION, KINDS[kind]], "tools": tools}
        [found] = encoder(name).inspect(parse_conversation(row, "f:1"))
    except InputError:
        return "refused", [], ""
    lost = {warning.kind for warning in found.warnings if warning.kind.startswith("dropped") and warning.message}
    turn = found.example.turns[-1]
    if lost or turn.first == turn.last:
        return "not printed", [], ""
    last = len(found.example.tokens) if turn.ending == "none" else turn.last  # GLM's stop is the next turn's header
    return "", found.example.tokens[turn.first : last], found.text[turn.start : found.ends[last - 1]]


def fields(message: Message | dict) -> tuple:
    get = message.get if isinstance(message, dict) else lambda name: getattr(message, name)
    calls = [one["function"] for one in get("tool_calls") or ()]
    calls = json.dumps([[one["name"], one["arguments"]] for one in calls], sort_keys=True, ensure_ascii=False)
    return get("content") or "", get("reasoning_content") or None, calls


@pytest.mark.parametrize("name", NAMES)
def test_a_message_comes_back_from_what_its_template_prints(name):
    for kind, message in KINDS.items():
        why, ids, text = printed(name, kind)
        if why:
            continue
        for given in (ids, text):
            parsed = encoder(name).parse(given, [QUESTION], TOOLS if kind == "text of digits" else None)
            same = fields(parsed.message) == fields(message)
            assert same is ((name, kind) not in NOT_INVERTED), (kind, text, parsed)
            assert not same or set(parsed.notes) <= {UNFINISHED}, (kind, text, parsed)


def test_how_many_templates_carry_what():
    counts = {kind: Counter(printed(name, kind)[0] for name in NAMES) for kind in KINDS}
    assert {kind: counted[""] for kind, counted in counts.items()} == {
        "content": 76,
        "reasoning": 32,
        "call": 49,
        "two calls": 44,
        "content, call": 45,
        "reasoning, call": 35,
        "all": 31,
        **dict.fromkeys(("nested", "numbers", "flags", "unicode", "quotes", "newlines"), 49),
        **dict.fromkeys(("no arguments", "empty text", "text of digits"), 49),
    }
    assert len(NAMES) == 76


FAMILIES = ["qwen3", "qwen3_6", "glm4moe", "gemma4_v5", "lfm2_v2", "lfm2_2_5", "muse_glimmer", "deepseekv3", "llama3_1"]
PIECES = [
    "a",
    "Zü",
    "漢",
    " ",
    "\n",
    "'",
    '"',
    "\\",
    "{",
    "}",
    "[",
    "]",
    ",",
    ":",
    "=",
    "<",
    ">",
    "</",
    "(",
    ")",
    "1",
    "true",
    "🙂",
]


def drawn_text(draw: random.Random) -> str:
    return f"w{''.join(draw.choices(PIECES, k=draw.randrange(8)))}e"  # neither white space at its borders nor a number


def drawn_value(draw: random.Random, depth: int = 0) -> object:
    kind = draw.choice(["text", "text", "scalar", "list", "object"]) if depth < 3 else "text"
    if kind == "list":
        return [drawn_value(draw, depth + 1) for _ in range(draw.randrange(3))]
    if kind == "object":
        return {name: drawn_value(draw, depth + 1) for name in draw.sample(["a", "b_c", "key"], draw.randrange(3))}
    return drawn_text(draw) if kind == "text" else draw.choice([1, -2.5, True, False, None, 10**15])


@pytest.mark.parametrize("name", FAMILIES)
def test_messages_drawn_at_random_come_back(name, monkeypatch):
    draw, tried = random.Random(name), 0
    for _ in range(8):
        calls = [
            call({key: drawn_value(draw) for key in draw.sample("abcdefg", draw.randrange(4))}, f"do.it_{n}", n)
            for n in range(1, draw.randrange(2, 4))
        ]
        content, reasoning = draw.choice([None, drawn_text(draw)]), draw.choice([None, drawn_text(draw)])
        monkeypatch.setitem(KINDS, "drawn", answer(content, reasoning, *calls))
        printed.cache_clear()
        why, ids, text = printed(name, "drawn")
        if not why:
            tried += 1
            assert fields(encoder(name).parse(ids, [QUESTION]).message) == fields(KINDS["drawn"]), text
    assert tried


def test_a_text_that_reads_as_a_number_is_one_where_no_schema_says_otherwise():
    _, ids, _ = printed("qwen3_6", "text of digits")
    [found] = encoder("qwen3_6").parse(ids, [QUESTION]).message.tool_calls
    assert found["function"]["arguments"] == {"text": 42}


MALFORMED = [
    ("qwen3", '<tool_call>\n{"name": "look_up", "arguments": {"place": "Zür'),  # cut
    ("qwen3", '<tool_call>\n{"name": "look_up", "arguments": {"place": "Zürich"}}'),  # no closing mark
    ("qwen3", "<tool_call>\n{'name': 'look_up', 'arguments': {'place': 'Zürich'}}\n</tool_call>"),  # other quotes
    ("qwen3", '<tool_call>\n{"name": "look_up", "arguments": ["Zürich"]}\n</tool_call>'),
    (
        "qwen3_6",
        "hm\n</think>\n\n<tool_call>\n<function=look_up>\n<parameter=place>\nZürich\n</function>\n</tool_call>",
    ),
    ("glm4moe", "<tool_call>look_up\n<arg_key>place</arg_key>\n<arg_value>Zürich\n</tool_call>"),
    ("lfm2_v2", "<|tool_call_start|>[look_up(place='Zürich'<|tool_call_end|>"),
    ("gemma4_v5", '<|tool_call>call:look_up{place:<|"|>Zürich}<tool_call|>'),
    ("qwen3", '<tool_call>\n{"name": "look_up", "arguments": {"days": NaN}}\n</tool_call>'),  # Python would read these
    ("qwen3", '<tool_call>\n{"name": "look_up", "arguments": {"place": "\\ud800"}}\n</tool_call>'),
    ("lfm2_v2", "<|tool_call_start|>[look_up(days={1, 2})]<|tool_call_end|>"),
    ("lfm2_v2", "<|tool_call_start|>[look_up(days=2 + 3)]<|tool_call_end|>"),
    ("deepseekv3", "<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>function<｜tool▁sep｜>look_up\n```json\n{place}\n```"),
]


NO_THOUGHT = "<think>\n\n</think>\n\n"


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("qwen3", f'{NO_THOUGHT}<tool_call>\n{{"name": "look_up", "arguments": {{"place":"Zürich"}}}}\n</tool_call>'),
        (
            "qwen3",
            f'{NO_THOUGHT}<tool_call>\n{{"name": "look_up", "arguments": {{"place": "Z\\u00fcrich"}}}}\n</tool_call>',
        ),
        ("lfm2_v2", '<|tool_call_start|>[look_up(place="Zürich")]<|tool_call_end|>'),
    ],
)
def test_a_call_that_is_spelled_otherwise_than_the_template_does_is_read(name, text):
    parsed = encoder(name).parse(text, [QUESTION], finished=True)
    assert fields(parsed.message) == fields(answer(None, None, call({"place": "Zürich"})))
    assert not parsed.notes


@pytest.mark.parametrize(("name", "text"), MALFORMED)
def test_a_call_that_cannot_be_read_is_kept_as_text_and_said(name, text):
    thought, mark, text = text.rpartition("</think>\n\n")  # where the prompt has opened the reasoning
    for content in (text, f"let me see\n{text}"):
        parsed = encoder(name).parse(thought + mark + content, [QUESTION], finished=True)
        assert fields(parsed.message) == (content, thought.strip() or None, "[]")
        [note] = parsed.notes
        assert note.startswith("a tool call that cannot be read is kept as text: ")


@pytest.mark.parametrize("name", ["qwen3", "glm4moe", "gemma4_v5", "cohere2", "lfm2_2_5"])
def test_an_answer_without_a_stop_token_is_said_to_be_unfinished(name):
    made = encoder(name)
    whole = made.parse([*made.text_encoder.encode("It is fo").ids, min(made.stop_ids)], [QUESTION])
    assert whole.message.content == "It is fo"
    assert whole.notes == ()
    cut = made.parse("It is fo", [QUESTION])
    assert cut.message.content == "It is fo"
    assert cut.notes == (UNFINISHED,)


@pytest.mark.parametrize("name", ["qwen3", "gptoss", "lfm2_2_5", "gemma4_v5"])
def test_reasoning_that_is_cut_off_is_reasoning(name):
    text = printed(name, "reasoning")[2].partition(" add")[0]
    parsed = encoder(name).parse(text, [QUESTION])
    assert parsed.message == Message("assistant", "", "I")
    assert parsed.notes == (UNFINISHED,)


@pytest.mark.parametrize(
    "name", ["qwen2_5", "qwen3", "qwen3_6", "gemma4_v5", "gptoss", "lfm2_2_5", "glm4moe", "built-in chatml"]
)
def test_an_answer_after_a_tool_s_result(name):
    result = {"role": "tool", "content": "4", "tool_call_id": "call00001", "name": "look_up"}
    before = [QUESTION, KINDS["call"], result]
    for kind in ("content", "call"):
        conversation = parse_conversation({"messages": [*before, KINDS[kind]]}, "f:1")
        [found] = encoder(name).inspect(conversation)
        turn = found.example.turns[-1]
        last = len(found.example.tokens) if turn.ending == "none" else turn.last
        parsed = encoder(name).parse(found.example.tokens[turn.first : last], before)
        assert fields(parsed.message) == fields(KINDS[kind]), (kind, found.text)


@pytest.mark.parametrize(
    ("printing", "why"),
    [
        ("{{ c.id }}{{ c.function.name }}{{ c.function.arguments | tojson }}", "prints the ids of calls"),
        ("{{ c.function.name }}{{ c.function.arguments | length }}", "neither JSON nor written one after another"),
        (
            "{{ c.function.name }}(%}{% for k, v in c.function.arguments.items() %}{{ k }}={{ v | string | upper }};"
            "{% endfor %})",
            "neither JSON nor written one after another",
        ),
        (
            "{{ c.function.name }}({% for k, v in c.function.arguments.items() %}{{ k }}='{{ v | string | "
            "replace('\n', ' ') }}';{% endfor %})",
            "hides what it was",
        ),
    ],
)
def test_a_notation_that_is_not_made_of_literals_and_fields_is_said(make_encoder, printing, why):
    template = (
        "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content or '' }}"
        "{% for c in m.tool_calls or [] %}<call>" + printing + "</call>{% endfor %}<|im_end|>{% endfor %}"
        "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
    )
    made = make_encoder(template)
    syntax = syntax_of(made, TemplateInputs())
    assert syntax.calls is None
    assert why in syntax.why
    parsed = parse_answer(made, "<call>look_up</call><|im_end|>")
    assert parsed.message == Message("assistant", "<call>look_up</call>")
    assert parsed.notes == (f"tool calls are kept as text: {syntax.why}",)


def test_what_is_learnt_of_a_template_is_learnt_once(make_encoder, monkeypatch):
    made = make_encoder()
    parse_answer(made, "hi<|im_end|>")
    monkeypatch.setattr(Codec, "tokens", None)  # which learning needs
    assert parse_answer(made, "hi<|im_end|>") == (Message("assistant", "hi"), ())
