"""Each check passes on what is right and finds what is wrong."""

import re

import pytest

from strop.chat import ChatSettings, MaskReport, encode, parse_conversation, proof
from strop.chat.mask import TurnSpan
from strop.chat.origin import TEMPLATE, code, runs
from strop.chat.template import ChatTemplate
from strop.chat.tokens import Tokens
from strop.common.errors import InputError

MESSAGES = [{"role": "user", "content": "hello there"}, {"role": "assistant", "content": "hi"}]
CONVERSATION = parse_conversation({"messages": MESSAGES}, "f:1")


def names(violations) -> list[str]:
    return [violation.name for violation in violations]


def test_text():
    assert names(proof.check_text("abc", "abc")) == []
    found = list(proof.check_text("abXc", "abYc"))
    assert names(found) == ["text_differs"]
    assert "character 2" in found[0].message
    assert names(proof.check_text("ab", "abc")) == ["text_differs"]


def test_ids():
    assert names(proof.check_ids([1, 2], [1, 2], [0, 1])) == []
    assert "token 1" in next(proof.check_ids([1, 2], [1, 3], [0, 1])).message
    assert names(proof.check_ids([1], [1, 3], [0])) == ["ids_differ"]


def test_origins():
    text = "<u>a long enough question<a>an answer"
    trace = TEMPLATE * 3 + code(0, "content") * 22 + TEMPLATE * 3 + code(1, "content") * 9
    row = {"prompt": "a long enough question", "completion": "an answer"}
    conversation = parse_conversation(row, "f:1")
    assert names(proof.check_origins(text, runs(trace), conversation)) == []
    lost = TEMPLATE * 28 + code(1, "content") * 9
    assert names(proof.check_origins(text, runs(lost), conversation)) == ["lost_origin"]
    assert names(proof.check_origins("<u><a>an answer", runs(lost[22:]), conversation)) == []  # dropped is not lost


@pytest.mark.parametrize(
    ("turn", "expected"),
    [
        (TurnSpan(1, 0, 9, 0, 3, "stop"), []),
        (TurnSpan(1, 0, 9, 0, 3, "control"), []),
        (TurnSpan(1, 0, 9, 3, 3, "stop"), ["empty_turn"]),
        (TurnSpan(1, 0, 9, 0, 3, "none"), ["missing_stop"]),
        (TurnSpan(1, 0, 9, 0, 3, "stop", cut=True), ["cut_turn"]),
    ],
)
def test_turns(turn, expected):
    assert names(proof.check_turns([turn])) == expected


@pytest.mark.parametrize(
    ("weights", "expected"),
    [
        ([0, 0, 0, 1, 1], []),
        ([0, 1, 0, 1, 1], ["foreign_trained"]),  # the user's text
        ([0, 0, 1, 1, 1], []),  # template text between
        ([1, 0, 0, 1, 1], ["foreign_trained"]),  # the tools' text
    ],
)
def test_foreign(weights, expected):
    trace = code(-1, "tools") + code(0, "content") + TEMPLATE + code(1, "content") + TEMPLATE
    tokens = Tokens([0] * 5, [0, 1, 2, 3, 4], [1, 2, 3, 4, 5], [], [])
    assert names(proof.check_foreign(tokens, weights, runs(trace), frozenset({1}))) == expected


def test_foreign_in_a_token_that_both_share():
    trace = code(0, "content") * 2 + code(1, "content") * 2
    tokens = Tokens([0, 0, 0], [0, 1, 3], [1, 3, 4], [], [])
    assert names(proof.check_foreign(tokens, [0, 1, 1], runs(trace), frozenset({1}))) == ["foreign_trained"]
    assert names(proof.check_foreign(tokens, [0, 0, 1], runs(trace), frozenset({1}))) == []


@pytest.mark.parametrize(("weights", "ok"), [([0, 1], True), ([0, 0], False), ([1, 1], False), ([], False)])
def test_fraction(weights, ok):
    assert (names(proof.check_fraction(weights, (0.0, 1.0))) == []) is ok


def test_a_violation_stops_the_run_with_the_place_and_the_text(make_encoder, monkeypatch):
    render = ChatTemplate.render
    monkeypatch.setattr(ChatTemplate, "render", lambda self, variables: render(self, variables) + "!")
    with pytest.raises(InputError) as caught:
        make_encoder().encode(CONVERSATION)
    assert re.match(r"f:1: the rendering differs from the tokenizer's own from character \d+ on", str(caught.value))
    assert "hi<|im_end|>" in str(caught.value)
    assert "add text_differs to chat.waive" in str(caught.value)
    waiving = make_encoder(waive=["text_differs", "ids_differ"])
    waiving.encode(CONVERSATION)
    assert waiving.report.waived == {"text_differs": 1, "ids_differ": 1}


def test_a_wrong_mask_is_caught(make_encoder, monkeypatch):
    # The whole way: a mask that starts one turn too early meets the check, whatever made it.
    turn_span = encode.turn_span

    def too_early(codec, rendered, message, weight):
        right = turn_span(codec, rendered, message, weight)
        return TurnSpan(message, 0, right.end, 0, right.last, right.ending, weight)

    monkeypatch.setattr(encode, "turn_span", too_early)
    with pytest.raises(InputError, match="a trained token holds text of the content of message 0"):
        make_encoder().encode(CONVERSATION)


def test_nothing_trained(make_encoder):
    messages = [MESSAGES[0], {**MESSAGES[1], "train": False}]
    encoder = make_encoder()
    assert encoder.encode(parse_conversation({"messages": messages}, "f:1")) == []
    assert encoder.report.notes == {"untrained": 1}
    assert str(encoder.report).splitlines()[-1] == (
        "conversations left out, because all of their trained answers are marked as not trained: 1"
    )


def test_a_turn_that_the_template_does_not_print(make_encoder):
    template = "{% for m in messages if m.role == 'user' %}{{ m.content }}{% endfor %}"
    with pytest.raises(InputError, match="f:1: the template prints nothing to learn for message 1"):
        make_encoder(template).encode(CONVERSATION)


def test_a_stop_token_inside_a_turn(make_encoder):
    template = (
        "{% for m in messages %}<|im_start|>{{ m.role }}\n"
        "{{ m.reasoning_content ~ '<|im_end|>' if m.reasoning_content }}"
        "{{ m.content }}<|im_end|>{% endfor %}{{ '<|im_start|>assistant\n' if add_generation_prompt }}"
    )
    messages = [MESSAGES[0], {**MESSAGES[1], "reasoning_content": "well"}]
    with pytest.raises(InputError, match="the template writes a stop token inside message 1"):
        make_encoder(template).encode(parse_conversation({"messages": messages}, "f:1"))


def test_settings_and_templates_that_cannot_work(make_encoder, tmp_path):
    with pytest.raises(InputError, match=r"the tokenizer has no chat template; set chat.template"):
        make_encoder(None).encode(CONVERSATION)
    with pytest.raises(InputError, match=r"the tokenizer has no chat template; set chat.template"):
        make_encoder(None).require_template()
    with pytest.raises(InputError, match=r"the chat template does not compile: .* \(line 1\)"):
        make_encoder("{% for %}")
    with pytest.raises(InputError, match=r"chat.stop_tokens: the tokenizer has no token '<stop>'"):
        make_encoder(stop_tokens=["<stop>"])
    with pytest.raises(InputError, match=r"cannot read the chat template /no/such.jinja"):
        make_encoder(None, template="/no/such.jinja")
    with pytest.raises(InputError, match="refused this conversation: 'nothing' is undefined"):
        make_encoder("{{ nothing.here }}").encode(CONVERSATION)
    with pytest.raises(InputError, match="refused this conversation: 'str object' has no attribute 'text'"):
        make_encoder("{{ messages[0].content.text.x }}").encode(CONVERSATION)
    with pytest.raises(InputError, match="refused this conversation: can only concatenate str"):
        make_encoder("{{ 'a' + 1 }}").encode(CONVERSATION)
    file = tmp_path / "own.jinja"
    file.write_text("{% for m in messages %}{{ m.content }}<|im_end|>{% endfor %}")
    [example] = make_encoder(None, template=str(file)).encode(CONVERSATION)
    assert [piece for piece, weight in example.pieces if weight] == ["hi<|im_end|>"]
    assert make_encoder(stop_ids={7}).stop_ids > {7}
    with pytest.raises(ValueError, match="extra"):
        ChatSettings(stop_token="x")


def test_report_reads_well():
    report = MaskReport(conversations=2, tokens=1000, trained_tokens=250, turns=3)
    assert str(report) == "2 conversations, 1,000 tokens, 250 trained (25.0%) in 3 turns\nnothing unusual met"
    report.control_strings, report.drift_turns, report.drift_tokens = 1, 2, 5
    report.control_string_kinds["<think>"] = 1
    assert str(report).splitlines()[1].startswith("1 control string in messages (<think> 1); 2 turns trained after")


def test_looking_ahead_changes_nothing(make_encoder):
    refusing = (
        "{% for m in messages %}{{ raise_exception('no') if m.name }}"
        "{{ '<|im_start|>' + m['role'] + '\n' + m['content'] + '<|im_end|>' + '\n' }}"
        "{% endfor %}{{ '<|im_start|>assistant\n' if add_generation_prompt }}"
    )
    rows = [
        {"messages": [{"role": "user", "content": f"hello {n} <|im_end|>"}, {"role": "assistant", "content": "hi" * n}]}
        for n in range(1, 5)
    ]
    rows[2]["messages"][0]["name"] = "Ada"
    conversations = [parse_conversation(row, f"f:{n}") for n, row in enumerate(rows)]

    def outcomes(encoder):
        for conversation in conversations:
            try:
                yield encoder.encode(conversation)
            except InputError as error:
                yield str(error)

    one_by_one, ahead = make_encoder(refusing), make_encoder(refusing)
    ahead.look_ahead(conversations)
    expected = list(outcomes(one_by_one))
    assert list(outcomes(ahead)) == expected == list(outcomes(ahead))  # what was looked at ahead is used once
    assert sum(isinstance(outcome, str) for outcome in expected) == 1
    assert ahead.report.control_strings == 2 * one_by_one.report.control_strings > 0


@pytest.mark.parametrize(
    ("counts", "said"),
    [
        ({"conversations": 12}, ""),
        (
            {"conversations": 12, "too_long_dropped": 12},
            "12 of 12 conversations were dropped (longer than max_length 64)",
        ),
        ({"conversations": 1, "too_long_dropped": 1}, "1 of 1 conversation was dropped (longer than max_length 64)"),
        ({"conversations": 3, "exchanges_dropped": 2}, "2 exchanges dropped (longer than max_length 64)"),
    ],
)
def test_what_a_length_leaves_out_is_said(counts, said):
    assert MaskReport(**counts).left_out(64) == said


def test_one_of_a_thing_is_one():
    report = MaskReport(conversations=1, tokens=1, turns=1, missing_stop=1, split=1, straddling_tokens=1, truncated=2)
    assert str(report) == (
        "1 conversation, 1 token, 0 trained (0.0%) in 1 turn\n"
        "1 turn without a stop token; 1 token across a turn's border; 2 conversations truncated; "
        "1 conversation split into several examples"
    )
