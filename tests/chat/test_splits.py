"""One conversation as several examples: a turn each as served (drift), or as many exchanges as fit (length)."""

import re

import pytest

from strop.chat import ChatEncoder, ChatSettings, parse_conversation
from strop.common.errors import InputError

# Reasoning only after the last user message, and a generation prompt that opens it: earlier turns drift.
THINKING = (
    "{% set ns = namespace(last=0) %}"
    "{% for m in messages %}{% if m.role == 'user' %}{% set ns.last = loop.index0 %}{% endif %}{% endfor %}"
    "{% for m in messages %}{{ '<|im_start|>' ~ m.role ~ '\n' }}"
    "{% if m.role == 'assistant' and loop.index0 > ns.last %}"
    "{{ '<think>\n' ~ m.reasoning_content | default('') ~ '\n</think>\n\n' }}{% endif %}"
    "{{ m.content ~ '<|im_end|>\n' }}{% endfor %}"
    "{{ '<|im_start|>assistant\n<think>\n' if add_generation_prompt }}"
)
PLAIN = (
    "{% for m in messages %}{{ '<|im_start|>' ~ m.role ~ '\n' ~ m.content ~ '<|im_end|>\n' }}{% endfor %}"
    "{{ '<|im_start|>assistant\n' if add_generation_prompt }}"
)


def turn(role: str, content: str, **more) -> dict:
    return {"role": role, "content": content, **more}


def thoughts() -> list[dict]:
    return [
        turn("system", "Be kind."),
        turn("user", "one"),
        turn("assistant", "two", reasoning_content="why two"),
        turn("user", "three"),
        turn("assistant", "four", reasoning_content="why four", weight=0.5),
        turn("user", "five"),
        turn("assistant", "six", reasoning_content="why six", train=False),
        turn("user", "seven"),
        turn("assistant", "eight", reasoning_content="why eight"),
    ]


def parsed(messages):
    return parse_conversation({"messages": messages}, "f:1")


def trained(example) -> list[str]:
    return [text for text, weight in example.pieces if weight]


def test_drift_split_makes_each_turn_as_it_is_served(make_encoder):
    encoder, messages = make_encoder(THINKING, drift="split"), thoughts()
    examples = encoder.encode(parsed(messages))
    assert [[t.message for t in example.turns] for example in examples] == [[2], [4], [8]]
    for example, index in zip(examples, (2, 4, 8), strict=True):
        [only] = example.turns
        assert example.tokens[: only.first] == encoder.prompt(messages[:index])
        assert not any(example.loss_weights[: only.first])
        message = messages[index]
        assert trained(example) == [f"{message['reasoning_content']}\n</think>\n\n{message['content']}<|im_end|>"]
        assert {w for w in example.loss_weights if w} == {message.get("weight", 1.0)}
        assert only.ending == "stop"
    report = encoder.report
    assert (report.conversations, report.examples, report.split, report.turns) == (1, 3, 1, 3)
    assert (report.drift_turns, report.drift_tokens) == (0, 0)
    assert report.dropped_fields == {"dropped_reasoning": 1}  # of message 6, which no example is about
    assert report.tokens == sum(len(example.tokens) for example in examples)
    assert report.trained_tokens == sum(example.trained_tokens for example in examples)


def test_without_drift_nothing_is_split(make_encoder):
    messages = [m for m in thoughts() if "reasoning_content" not in m or m.pop("reasoning_content")]
    encoder = make_encoder(PLAIN, drift="split")
    [example] = encoder.encode(parsed(messages))
    assert len(example.turns) == 3
    assert (encoder.report.split, encoder.report.examples) == (0, 1)


def test_the_last_turn_alone_does_not_drift(make_encoder):
    for drift in ("split", "error"):
        encoder = make_encoder(THINKING, drift=drift, train_on="last")
        [example] = encoder.encode(parsed(thoughts()))
        assert trained(example) == ["why eight\n</think>\n\neight<|im_end|>"]
        assert encoder.report.split == 0


def test_drift_error_names_the_turn(make_encoder):
    match = r"f:1: before message 2 training sees \d+ tokens that differ from what inference feeds; chat.drift: split"
    with pytest.raises(InputError, match=match):
        make_encoder(THINKING, drift="error").encode(parsed(thoughts()))
    allowing = make_encoder(THINKING)
    [example] = allowing.encode(parsed(thoughts()))
    assert len(example.turns) == 3
    assert allowing.report.drift_turns == 2
    assert allowing.report.drift_tokens == sum(t.drift_tokens for t in example.turns) > 0


def test_a_turn_that_drifts_even_alone_is_an_error(make_encoder):
    # The generation prompt opens reasoning that no past turn of this template has.
    template = PLAIN.replace("assistant\n' if", "assistant\n<think>' if")
    messages = [turn("user", "a"), turn("assistant", "b")]
    with pytest.raises(InputError, match=r"before message 1 .*; no split of the conversation makes them equal"):
        make_encoder(template, drift="split").encode(parsed(messages))


def test_a_template_that_makes_no_prompt_there(make_encoder):
    refusing = PLAIN.replace("{{ '<|im_start|>assistant\n' if", "{{ raise_exception('no') if")
    messages = [turn("user", "a"), turn("assistant", "b")]
    assert make_encoder(refusing).encode(parsed(messages))[0].turns[0].drifted
    for drift in ("split", "error"):
        with pytest.raises(InputError, match="f:1: before message 1 the template makes no prompt"):
            make_encoder(refusing, drift=drift).encode(parsed(messages))


# -- lengths


def chat(*answers: str, system: str | None = "Be kind.") -> list[dict]:
    head = [] if system is None else [turn("system", system)]
    pairs = [(turn("user", f"q{i}"), turn("assistant", answer)) for i, answer in enumerate(answers)]
    return head + [message for pair in pairs for message in pair]


def length(make_encoder, messages, template=PLAIN) -> int:
    return len(make_encoder(template).encode(parsed(messages))[0].tokens)


@pytest.mark.parametrize("room", [1, 2, 3, 4])
@pytest.mark.parametrize("system", ["Be kind.", None])
def test_split_turns_keeps_whole_exchanges_each_after_the_system_prompt(make_encoder, room, system):
    answers = [f"answer {i}" for i in range(5)]
    limit = length(make_encoder, chat(*answers[:room], system=system))
    encoder = make_encoder(PLAIN, max_length=limit, too_long="split_turns")
    examples = encoder.encode(parsed(chat(*answers, system=system)))
    head = "" if system is None else "<|im_start|>system\nBe kind.<|im_end|>\n"
    texts = ["".join(text for text, _ in example.pieces) for example in examples]
    pairs = [f"<|im_start|>user\nq{i}<|im_end|>\n<|im_start|>assistant\n{a}<|im_end|>\n" for i, a in enumerate(answers)]
    assert texts == [head + "".join(pairs[at : at + room]) for at in range(0, 5, room)]
    assert all(len(example.tokens) <= limit for example in examples)
    assert [piece for example in examples for piece in trained(example)] == [f"{a}<|im_end|>" for a in answers]
    report = encoder.report
    assert (report.conversations, report.examples, report.turns) == (1, len(examples), 5)
    assert (report.split, report.exchanges_dropped, report.too_long_dropped) == (1, 0, 0)


def test_an_exchange_that_fits_nowhere_is_dropped_and_counted(make_encoder):
    messages = chat("a", "hello " * 60, "b", "c")
    limit = length(make_encoder, chat("a", "b"))
    encoder = make_encoder(PLAIN, max_length=limit, too_long="split_turns")
    examples = encoder.encode(parsed(messages))
    assert [trained(example) for example in examples] == [["a<|im_end|>"], ["b<|im_end|>", "c<|im_end|>"]]
    assert (encoder.report.exchanges_dropped, encoder.report.split) == (1, 1)
    # One that would not have trained is no loss.
    messages[4]["train"] = False
    encoder = make_encoder(PLAIN, max_length=limit, too_long="split_turns")
    assert len(encoder.encode(parsed(messages))) == 2
    assert encoder.report.exchanges_dropped == 0


def test_pieces_that_train_nothing_are_left_out(make_encoder):
    messages = chat("a", "b", "c")
    messages[2]["train"] = False
    limit = length(make_encoder, chat("a"))
    encoder = make_encoder(PLAIN, max_length=limit, too_long="split_turns")
    assert [trained(example) for example in encoder.encode(parsed(messages))] == [["b<|im_end|>"], ["c<|im_end|>"]]
    assert encoder.report.exchanges_dropped == 0


def test_the_last_turn_of_the_conversation_and_not_of_every_piece(make_encoder):
    encoder = make_encoder(PLAIN, max_length=length(make_encoder, chat("a")), too_long="split_turns", train_on="last")
    assert [trained(example) for example in encoder.encode(parsed(chat("a", "b", "c")))] == [["c<|im_end|>"]]


def test_everything_is_trained_in_some_piece(make_encoder):
    encoder = make_encoder(PLAIN, max_length=length(make_encoder, chat("a")), too_long="split_turns", train_on="all")
    examples = encoder.encode(parsed(chat("a", "b")))
    assert [[weight for _, weight in example.pieces] for example in examples] == [[1.0], [1.0]]


def test_an_exchange_holds_its_tool_steps(make_encoder):
    messages = [
        turn("user", "q0"),
        turn("user", "and"),
        turn("assistant", "step"),
        turn("tool", "3"),
        turn("assistant", "a"),
        *chat("b", system=None),
    ]
    encoder = make_encoder(PLAIN, max_length=length(make_encoder, messages[:5]), too_long="split_turns")
    examples = encoder.encode(parsed(messages))
    assert [trained(example) for example in examples] == [["step<|im_end|>", "a<|im_end|>"], ["b<|im_end|>"]]


def test_split_by_drift_and_by_length(make_encoder):
    messages = thoughts()
    limit = max(len(e.tokens) for e in make_encoder(THINKING, drift="split").encode(parsed(messages[:5])))
    encoder = make_encoder(THINKING, drift="split", max_length=limit, too_long="split_turns")
    examples = encoder.encode(parsed(messages))
    assert all(len(example.tokens) <= limit for example in examples)
    assert [trained(example)[0].split("\n")[0] for example in examples] == ["why two", "why four", "why eight"]
    assert [len(example.turns) for example in examples] == [1, 1, 1]
    report = encoder.report
    assert (report.conversations, report.examples, report.split, report.turns) == (1, 3, 1, 3)
    assert report.drift_turns == 0


def test_a_template_with_a_preamble_of_its_own_still_fits(make_encoder):
    # What the template prints before everything is in each piece, and in no message's share of the first rendering.
    preamble = "{{ '<|im_start|>system\n' ~ 'You are kind and answer in few words. ' * 3 ~ '<|im_end|>\n' }}" + PLAIN
    messages = chat(*("answer" for _ in range(6)), system=None)
    limit = length(make_encoder, messages[:4], preamble)
    encoder = make_encoder(preamble, max_length=limit, too_long="split_turns")
    examples = encoder.encode(parsed(messages))
    assert [len(example.turns) for example in examples] == [2, 2, 2]
    assert all(len(example.tokens) <= limit for example in examples)


def test_truncation_is_counted(make_encoder):
    messages = chat("hello world", "hello world", "hello world", system=None)
    [whole] = make_encoder(PLAIN).encode(parsed(messages))
    second = whole.turns[1]
    for limit, turns, truncated in (
        (second.last, ["stop", "stop"], 0),  # just after the stop token
        (second.last - 1, ["stop", "truncated"], 1),  # just before it
        (second.first + 1, ["stop", "truncated"], 1),
        (second.first, ["stop"], 0),  # the turn is gone, header and all that comes before it kept
    ):
        encoder = make_encoder(PLAIN, max_length=limit, too_long="truncate")
        [cut] = encoder.encode(parsed(messages))
        assert cut.tokens == whole.tokens[:limit]
        assert cut.loss_weights == whole.loss_weights[:limit]
        assert [t.ending for t in cut.turns] == turns
        assert (encoder.report.truncated, encoder.report.truncated_turns) == (1, truncated)
        assert (encoder.report.examples, encoder.report.turns) == (1, len(turns))


def test_nothing_left_to_train_is_a_drop(make_encoder):
    for limit in (1, 3):
        encoder = make_encoder(
            PLAIN, max_length=limit, too_long="truncate", train_on="all" if limit == 1 else "assistant"
        )
        assert encoder.encode(parsed(chat("a", system=None))) == []
        report = encoder.report
        assert (report.conversations, report.examples, report.truncated, report.too_long_dropped) == (1, 0, 0, 1)


def test_drop_and_error_say_so(make_encoder):
    dropping = make_encoder(PLAIN, max_length=20, too_long="drop")
    assert dropping.encode(parsed(chat("hello " * 30))) == []
    assert len(dropping.encode(parsed(chat("a", system=None)))) == 1
    report = dropping.report
    assert (report.conversations, report.examples, report.too_long_dropped) == (2, 1, 1)
    with pytest.raises(InputError, match=r"f:1: the conversation has \d+ tokens and max_length is 20; raise"):
        make_encoder(PLAIN, max_length=20).encode(parsed(chat("hello " * 30)))


def test_what_is_dropped_or_cut_up_is_not_counted_as_waived(make_encoder):
    no_stop = PLAIN.replace("<|im_end|>\n' }}{% endfor", "\n' }}{% endfor")
    encoder = make_encoder(no_stop, max_length=9, too_long="drop", waive=["missing_stop"])
    assert encoder.encode(parsed(chat("hello " * 30))) == []
    assert not encoder.report.waived
    limit = length(lambda template: make_encoder(template, waive=["missing_stop"]), chat("a"), no_stop)
    encoder = make_encoder(no_stop, max_length=limit, too_long="split_turns", waive=["missing_stop"])
    assert len(encoder.encode(parsed(chat("a", "b")))) == 2
    assert encoder.report.waived == {"missing_stop": 2}
    assert encoder.report.missing_stop == 2


def test_what_the_model_cannot_read_whole_is_refused_at_the_first_such_row(make_tokenizer):
    short, long = parsed([turn("user", "hi"), turn("assistant", "x")]), parsed(thoughts())
    length = len(ChatEncoder(make_tokenizer(PLAIN)).encode(long)[0].tokens)

    def encoder(reads, **settings):
        return ChatEncoder(make_tokenizer(PLAIN), ChatSettings(**settings), reads=reads)

    assert len(encoder(length).encode(long)) == 1
    assert len(encoder(length - 1).encode(short)) == 1
    mend = f"set chat.max_length: {length - 1}, and chat.too_long to drop, truncate or split_turns"
    said = f"the conversation has {length} tokens and the model reads at most {length - 1}; {mend}"
    for settings in ({}, {"max_length": length + 5}):
        with pytest.raises(InputError, match=f"^f:1: {re.escape(said)}$"):
            encoder(length - 1, **settings).encode(long)
    [found] = encoder(length - 1).inspect(long)
    assert [(w.kind, w.detail) for w in found.warnings if w.kind.startswith("too")] == [("too_long_for_model", said)]
    for how, count in (("drop", 0), ("truncate", 1), ("split_turns", 2)):
        assert len(encoder(length - 1, max_length=length - 1, too_long=how).encode(long)) == count
