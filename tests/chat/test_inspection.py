"""An encoded conversation laid open: its stretches, what is trained of it, and what to know about it."""

import json
from itertools import pairwise

import pytest

from strop.chat import parse_conversation
from strop.chat.inspection import _trained_borders
from strop.chat.tokens import Tokens
from strop.common.errors import InputError

CALL = {"type": "function", "function": {"name": "add", "arguments": {"a": 1}}}
TEMPLATE = (
    "{% for t in tools or [] %}{{ '<|im_start|>system\n' ~ t | tojson ~ '<|im_end|>\n' }}{% endfor %}"
    "{% for m in messages %}{{ '<|im_start|>' ~ m.role ~ '\n' }}"
    "{{ '<think>' ~ m.reasoning_content ~ '</think>' if m.reasoning_content }}{{ m.content or '' }}"
    "{% for c in m.tool_calls or [] %}{{ '<tool_call>' ~ c.function.name ~ '</tool_call>' }}{% endfor %}"
    "{{ '<|im_end|>\n' }}{% endfor %}{{ '<|im_start|>assistant\n' if add_generation_prompt }}"
)
MESSAGES = [
    {"role": "system", "content": "Sei nett. é"},
    {"role": "user", "content": "日本 🙂 <|im_end|>"},
    {"role": "assistant", "content": "🙂 é", "reasoning_content": "hm 日", "tool_calls": [CALL]},
    {"role": "tool", "content": "3"},
    {"role": "assistant", "content": "👩‍👩‍👧 done"},
]
ROW = {"messages": MESSAGES, "tools": [{"name": "add"}]}


def inspect(encoder, row):
    [inspection] = encoder.inspect(parse_conversation(row, "f:1"))
    check(encoder, inspection)
    return inspection


def stops(inspection) -> list[str]:
    return [inspection.text[inspection.starts[stop] : inspection.ends[stop]] for stop in inspection.stops]


def check(encoder, inspection):
    """What holds of every inspection, whatever the conversation."""
    text, example, segments = inspection.text, inspection.example, inspection.segments
    assert "".join(segment.text for segment in segments) == text
    assert [segment.start for segment in segments] == [0, *(segment.end for segment in segments[:-1])]
    assert all(text[segment.start : segment.end] == segment.text for segment in segments)
    assert all(segment.start < segment.end for segment in segments)
    assert segments[-1].end == len(text)
    for one, next_one in pairwise(segments):  # no longer stretches could be made
        assert (one.message, one.field, one.trained) != (next_one.message, next_one.field, next_one.trained)
    # A character is trained when a token that holds it is.
    trained = [False] * len(text)
    weights = example.loss_weights + [0.0] * (len(inspection.starts) - len(example.tokens))
    for start, end, weight in zip(inspection.starts, inspection.ends, weights, strict=True):
        if weight:
            trained[start:end] = [True] * (end - start)
    shown = [segment.trained for segment in segments for _ in segment.text]
    assert shown == trained
    # Offsets: in order, and covering the text.
    assert all(a <= b for a, b in pairwise(inspection.starts))
    assert all(a <= b for a, b in pairwise(inspection.ends))
    covered = set()
    for start, end in zip(inspection.starts, inspection.ends, strict=True):
        covered.update(range(start, end))
    assert covered == set(range(len(text)))
    assert all(example.loss_weights[stop] for stop in inspection.stops)
    json.dumps(inspection.to_dict(0))


def test_segments_say_where_each_character_is_from(make_encoder):
    inspection = inspect(make_encoder(TEMPLATE), ROW)
    assert [(s.text, s.message, s.role, s.field, s.trained) for s in inspection.segments] == [
        ("<|im_start|>system\n", None, None, "template", False),
        ('{"name": "add"}', -1, "tools", "tools", False),
        ("<|im_end|>\n<|im_start|>system\n", None, None, "template", False),
        ("Sei nett. é", 0, "system", "content", False),
        ("<|im_end|>\n<|im_start|>user\n", None, None, "template", False),
        ("日本 🙂 <|im_end|>", 1, "user", "content", False),
        ("<|im_end|>\n<|im_start|>assistant\n", None, None, "template", False),
        ("<think>", None, None, "template", True),
        ("hm 日", 2, "assistant", "reasoning_content", True),
        ("</think>", None, None, "template", True),
        ("🙂 é", 2, "assistant", "content", True),
        ("<tool_call>", None, None, "template", True),
        ("add", 2, "assistant", "tool_calls", True),
        ("</tool_call><|im_end|>", None, None, "template", True),
        ("\n<|im_start|>tool\n", None, None, "template", False),
        ("3", 3, "tool", "content", False),
        ("<|im_end|>\n<|im_start|>assistant\n", None, None, "template", False),
        ("👩‍👩‍👧 done", 4, "assistant", "content", True),
        ("<|im_end|>", None, None, "template", True),
        ("\n", None, None, "template", False),
    ]


def test_tokens_of_several_to_a_character(make_encoder, make_tokenizer):
    encoder = make_encoder(TEMPLATE)
    inspection = inspect(encoder, ROW)
    emoji = inspection.text.index("🙂", inspection.text.index("</think>"))
    holding = [t for t, (a, b) in enumerate(zip(inspection.starts, inspection.ends, strict=True)) if a <= emoji < b]
    assert len(holding) > 1  # a byte-level token holds a part of it
    assert all(inspection.example.loss_weights[token] for token in holding)
    assert make_tokenizer().decode([inspection.example.tokens[token] for token in holding]) == "🙂"
    assert [encoder.controls[inspection.example.tokens[stop]] for stop in inspection.stops] == ["<|im_end|>"] * 2
    assert stops(inspection) == ["<|im_end|>"] * 2


@pytest.mark.parametrize(
    ("starts", "ends", "weights", "trained"),
    [
        ([0, 1, 2], [1, 2, 3], [0, 1, 0], " x "),
        ([0, 0, 1], [1, 1, 2], [0, 1, 0], "x "),  # two tokens of one character, the second of them trained
        ([0, 0, 1], [1, 1, 2], [1, 0, 0], "x "),
        ([0, 0, 1], [1, 2, 3], [0, 1, 0], "xx "),
        ([0, 1, 1], [2, 2, 3], [1, 0, 1], "xxx"),
        ([0, 1], [1, 2], [0, 0], "  "),
        ([0, 1], [1, 2], [1, 1], "xx"),
        ([], [], [], ""),
    ],
)
def test_a_character_is_trained_when_one_of_its_tokens_is(starts, ends, weights, trained):
    borders = _trained_borders(Tokens([0] * len(starts), starts, ends, [], []), weights, len(trained))
    shown = [False] * len(trained)
    for at, fate in borders:
        shown[at:] = [fate] * (len(trained) - at)
    assert shown == [character == "x" for character in trained]


def test_the_dictionary(make_encoder):
    inspection = inspect(make_encoder(TEMPLATE), ROW)
    read = json.loads(json.dumps(inspection.to_dict(7)))
    assert set(read) == {"index", "place", "text", "tokens", "loss_weights", "segments", "warnings"}
    assert (read["index"], read["place"]) == (7, "f:1")
    assert set(read["segments"][0]) == {"start", "end", "text", "message", "role", "field", "trained"}
    lost = "the template does not print all of the tool call 'add': missing is a ('a')"
    assert read["warnings"] == [
        {
            "kind": "dropped_tool_call",
            "message": 2,
            "detail": lost,
            "mend": "use a template with tools (chat.template: chatml works)",
        },
        {
            "kind": "control_tokens",
            "message": None,
            "detail": "<|im_end|> stands 1 time in message text, encoded as: text",
            "mend": "",
        },
    ]
    assert len(read["tokens"]) == len(read["loss_weights"])


def test_the_same_example_as_encode(make_encoder):
    conversation = parse_conversation(ROW, "f:1")
    [example] = make_encoder(TEMPLATE).encode(conversation)
    assert inspect(make_encoder(TEMPLATE), ROW).example == example


def turns(*contents: str, **last) -> dict:
    roles = ("user", "assistant") * len(contents)
    messages = [{"role": role, "content": content} for role, content in zip(roles, contents, strict=False)]
    messages[-1] |= last
    return {"messages": messages}


NO_STOP = TEMPLATE.replace("{{ '<|im_end|>\n' }}", "")
CUT = TEMPLATE.replace("</think>'", "</think><|im_end|>'")
DROPS = TEMPLATE.replace("{{ '<think>' ~ m.reasoning_content ~ '</think>' if m.reasoning_content }}", "")
DRIFTS = TEMPLATE.replace("assistant\n' if", "assistant\n<think>' if")
SILENT = TEMPLATE.replace("m.content or ''", "m.content if m.role == 'user' else ''")


@pytest.mark.parametrize(
    ("template", "row", "settings", "kind", "message", "strict"),
    [
        (NO_STOP, turns("a", "b"), {}, "missing_stop", 1, True),
        (CUT, turns("a", "b", reasoning_content="r"), {}, "cut_turn", 1, True),
        (SILENT, turns("a", "b"), {}, "empty_turn", 1, True),
        (TEMPLATE, turns("a", "b"), {"trained_fraction": (0.9, 1.0)}, "trained_fraction", None, True),
        (DRIFTS, turns("a", "b"), {"drift": "error"}, "drift", 1, True),
        (TEMPLATE, turns("a", "b"), {"max_length": 5}, "too_long", None, True),
        (DRIFTS, turns("a", "b"), {}, "drift", 1, False),
        (DROPS, turns("a", "b", reasoning_content="r"), {}, "dropped_reasoning", 1, False),
        (TEMPLATE, turns("a", "hello " * 9), {"max_length": 12, "too_long": "truncate"}, "truncated", 1, False),
        (TEMPLATE, turns("a<think>", "b"), {}, "control_tokens", None, False),
        (NO_STOP, turns("a", "b"), {"waive": ["missing_stop"]}, "missing_stop", 1, False),
    ],
)
def test_warnings_and_what_strict_encoding_makes_of_them(make_encoder, template, row, settings, kind, message, strict):
    found = inspect(make_encoder(template, **settings), row).warnings
    assert (kind, message) in [(warning.kind, warning.message) for warning in found]
    conversation = parse_conversation(row, "f:1")
    encoder = make_encoder(template, **settings)
    if strict:
        detail = next(warning.detail for warning in found if warning.kind == kind)
        with pytest.raises(InputError) as caught:
            encoder.encode(conversation)
        assert detail in str(caught.value)
        assert str(caught.value).startswith("f:1: ")
    else:
        assert len(encoder.encode(conversation)) == 1


def test_other_kinds_of_warning(make_encoder):
    header = (
        "{% for m in messages %}{{ '<|' + m.role + '|>\n' + m.content }}{% endfor %}"
        "{% if add_generation_prompt %}{{ '<|assistant|>\n' }}{% endif %}"
    )
    inspection = inspect(make_encoder(header, waive=["missing_stop"]), turns("a", "b", "c", "d"))
    kinds = [(warning.kind, warning.message) for warning in inspection.warnings]
    assert kinds == [("missing_stop", 3), ("inferred_stop", 1)]
    assert [inspection.text[inspection.starts[stop] : inspection.ends[stop]] for stop in inspection.stops] == [
        "<|user|>"
    ]

    joined = (
        "{% for m in messages %}{{ m.role + ': ' + m.content + '<|im_end|>' }}{% endfor %}"
        "{{ 'assistant: ' if add_generation_prompt }}"
    )
    found = inspect(make_encoder(joined), turns("hi", "hello")).warnings
    assert [(warning.kind, warning.message) for warning in found] == [("drift", 1), ("straddling", 1)]


def test_a_text_that_the_tokenizers_own_differs_from(make_encoder):
    encoder = make_encoder(TEMPLATE, audit_every=1)
    encoder.renderer.reference = lambda messages, tools, tokenize: [0] if tokenize else "else"
    kinds = {warning.kind for warning in inspect(encoder, turns("a", "b")).warnings}
    assert kinds == {"text_differs", "ids_differ"}


def test_no_warnings_where_there_is_nothing_to_say(make_encoder):
    assert inspect(make_encoder(TEMPLATE), turns("a", "b", "c", "d")).warnings == []


def test_a_truncated_example_is_shown_whole(make_encoder):
    row = turns("a", "hello world", "b", "world")
    [whole] = make_encoder(TEMPLATE).inspect(parse_conversation(row, "f:1"))
    for limit in range(whole.example.turns[0].first + 1, len(whole.example.tokens)):
        inspection = inspect(make_encoder(TEMPLATE, max_length=limit, too_long="truncate"), row)
        assert inspection.text == whole.text
        assert len(inspection.example.tokens) == limit
        assert [warning.message for warning in inspection.warnings if warning.kind == "truncated"] == [
            turn.message for turn in whole.example.turns if turn.first < limit < turn.last
        ]


def test_split_and_dropped_conversations(make_encoder):
    row = turns("a", "b", "c", "d")
    conversation = parse_conversation(row, "f:1")
    limit = len(make_encoder(TEMPLATE).encode(parse_conversation(turns("a", "b"), "f:1"))[0].tokens)
    encoder = make_encoder(TEMPLATE, max_length=limit, too_long="split_turns")
    inspections = encoder.inspect(conversation)
    assert len(inspections) == 2
    for inspection in inspections:
        check(encoder, inspection)
    assert make_encoder(TEMPLATE, max_length=limit, too_long="drop").inspect(conversation) == []


def test_a_stop_token_that_is_not_trained_is_not_shown_as_one(make_encoder):
    messages = [
        {"role": "user", "content": "a"},
        {"role": "assistant", "content": "b", "tool_calls": [CALL]},
        {"role": "assistant", "content": "c"},
    ]
    inspection = inspect(make_encoder(TEMPLATE, train_tool_calls=False), {"messages": messages})
    assert len(inspection.stops) == 1


def test_pieces_are_the_tokens(make_encoder):
    row = {"messages": [{"role": "user", "content": "hello é"}, {"role": "assistant", "content": "👩‍🚀 hi"}]}
    [found] = make_encoder().inspect(parse_conversation(row, "x"))
    pieces, stops = found.pieces()
    assert "".join(text for text, _ in pieces) == found.text
    assert all(text for text, _ in pieces)
    assert len(pieces) < len(found.example.tokens)  # an emoji's bytes are several tokens of one character
    assert [pieces[stop][0] for stop in stops] == ["<|im_end|>"]
    assert "".join(text for text, weight in pieces if weight) == "👩‍🚀 hi<|im_end|>"
