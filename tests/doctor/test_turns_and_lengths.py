"""What is said of the order of turns, of empty and odd answers, and of lengths."""

import pytest
from broken_data import conversation, sound_rows

from strop.chat import ChatEncoder, ChatSettings
from strop.doctor import read_set
from strop.doctor.lengths import lengths_of
from strop.doctor.masks import MaskCheck, check_cut, check_fractions, open_settings
from strop.doctor.turns import check_turns, ends_in_the_middle

CALL = {"name": "look", "arguments": {}}


def rows_of(*raw):
    return read_set("data", lambda on_bad: [(f"d:{i}", row) for i, row in enumerate(raw, 1)]).rows


def kinds(*raw) -> dict[str, int]:
    return {finding.kind: finding.count for finding in check_turns(rows_of(*raw))}


@pytest.mark.parametrize(
    ("turns", "kind"),
    [
        ([("assistant", "Hi."), ("user", "Hello."), ("assistant", "Yes?")], "assistant_first"),
        ([("user", "a"), ("user", "b"), ("assistant", "c")], "user_after_user"),
        ([("user", "a"), ("assistant", "b"), ("assistant", "c")], "assistant_after_assistant"),
        ([("user", "a"), ("system", "be kind"), ("assistant", "c")], "late_system"),
        ([("user", "a"), ("tool", "b"), ("assistant", "c")], "tool_without_call"),
        ([("user", "a"), ("assistant", "b"), ("user", "c")], "unanswered"),
        ([("system", "\t"), ("user", "a"), ("assistant", "b")], "blank_turn"),
        ([("user", "a"), ("assistant", "Look:\n```python\nprint(1)")], "open_code_fence"),
    ],
)
def test_one_fault_is_one_finding(turns, kind):
    assert kinds(conversation(*turns)) == {kind: 1}


def test_what_is_in_order_is_not_mentioned():
    tools = {
        "messages": [
            {"role": "system", "content": "Be kind."},
            {"role": "developer", "content": "Be brief."},
            {"role": "user", "content": "Look."},
            {"role": "assistant", "content": None, "tool_calls": [CALL, CALL]},
            {"role": "tool", "content": "one"},
            {"role": "tool", "content": "two"},
            {"role": "assistant", "content": "```\nx\n```"},
        ]
    }
    assert kinds(tools, conversation(("user", "a"), ("assistant", "b"))) == {}


LONG = "This is the beginning of an answer that has well over twenty words in it, so that its last one means "


@pytest.mark.parametrize(
    ("end", "cut"),
    [
        ("something,", True),
        ("something that", True),
        ("something.", False),
        ("#### 72", False),
        ("see\n- bread", False),
        ("see https://example.org/page", False),
        ("something:\n\nfour words 5\ndone", False),
    ],
)
def test_an_answer_that_stops_in_the_middle(end, cut):
    assert ends_in_the_middle(LONG + end) is cut
    assert not ends_in_the_middle("Yes, of course")  # short answers end as they like


def test_answers_far_from_the_others():
    rows = [conversation(("user", "q"), ("assistant", f"{LONG} {i}.")) for i in range(12)]
    rows.append(conversation(("user", "q"), ("assistant", "No.")))
    rows.append(conversation(("user", "q"), ("assistant", "loop " * 900 + ".")))
    assert kinds(*rows) == {"short_answer": 1, "long_answer": 1}


def measured(tokenizer, raw, **settings):
    settings = ChatSettings(**settings)
    encoder = ChatEncoder(tokenizer, open_settings(settings))
    check = MaskCheck(encoder, settings, {tokenizer.eos_token_id}, {})
    rows = rows_of(*raw)
    for row in rows:
        check.look(row)
    return rows, check, settings


@pytest.mark.parametrize(
    ("too_long", "level", "said"),
    [
        ("error", "error", "would stop"),
        ("drop", "warning", "and dropped"),
        ("truncate", "warning", "no stop token"),
        ("split_turns", "note", "and split"),
    ],
)
def test_what_max_length_costs_is_what_encoding_loses(tokenizer, too_long, level, said):
    raw = [conversation(*[("user", f"question {i}"), ("assistant", "word " * 30)] * 4) for i in range(3)]
    rows, _, settings = measured(tokenizer, [*raw, *sound_rows()[:2]], max_length=300, too_long=too_long)
    encoder = ChatEncoder(tokenizer, settings)
    [finding] = check_cut(rows, settings, encoder)
    assert (finding.count, finding.level, finding.place) == (3, level, "d:1")
    assert said in finding.message
    if too_long != "error":
        whole = sum(row.tokens for row in rows)
        kept = sum(len(e.tokens) for row in rows for e in encoder.encode(row.conversation))
        assert f"{(whole - kept) / whole:.1%}" in finding.message


def test_histogram_and_losses_count_every_conversation_once(tokenizer):
    raw = [conversation(("user", "q"), ("assistant", "word " * n)) for n in (1, 50, 400, 1500)]
    rows, _, _ = measured(tokenizer, raw)
    lengths = lengths_of(rows)
    assert sum(count for _, _, count in lengths.bins) == 4
    assert lengths.longest == max(row.tokens for row in rows)
    at = {loss.limit: loss for loss in lengths.cut_at}
    assert at[512].conversations == sum(row.tokens > 512 for row in rows) > 0
    tokens = sum(row.tokens for row in rows)
    assert at[512].tokens == pytest.approx(sum(max(0, row.tokens - 512) for row in rows) / tokens)
    cut = ChatEncoder(tokenizer, ChatSettings(max_length=512, too_long="truncate"))
    kept = sum(example.trained_tokens for row in rows for example in cut.encode(row.conversation))
    assert at[512].trained == pytest.approx(1 - kept / sum(row.trained for row in rows))


@pytest.mark.parametrize("tokens", [1, 31, 32, 2**23 - 1, 2**23, 10**9])
def test_the_longest_document_is_in_the_histogram_too(tokens):
    row = read_set("books", lambda on_bad: [("d:1", {"text": "a book"})], "text").rows[0]
    row.tokens = tokens
    [(low, high, count)] = lengths_of([row]).bins
    assert (low <= tokens < high, count) == (True, 1)


NO_STOP = "{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\n' + m['content'] + '\n' }}{% endfor %}"
FORGETS = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n"
    "{{ m.content if m.role == 'user' or loop.last else 'gone' }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
COUNTS = (  # what stands before a turn depends on what comes after it
    "<|im_start|>{{ messages | length }}<|im_end|>"
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def test_turns_that_could_not_learn_to_stop(tokenizer):
    row = conversation(("user", "a"), ("assistant", "b"))
    rows, check, _ = measured(tokenizer, [row, row], template=NO_STOP)
    [finding] = [f for f in check.findings() if f.kind == "missing_stop"]
    assert (finding.level, finding.count, finding.place) == ("error", 2, "d:1")
    assert all(row.failed.startswith("missing_stop: ") for row in rows)
    rows, check, _ = measured(tokenizer, [row], template=NO_STOP, waive=["missing_stop"])
    [finding] = [f for f in check.findings() if f.kind == "missing_stop"]
    assert finding.level == "warning"
    assert [row.failed for row in rows] == [""]


def test_a_field_that_the_template_does_not_print(tokenizer):
    row = conversation(("user", "a"), ("assistant", "said earlier on"), ("user", "c"), ("assistant", "d"))
    _, check, _ = measured(tokenizer, [row], template=FORGETS, waive=["empty_turn", "lost_origin"])
    [finding] = [f for f in check.findings() if f.kind.startswith("dropped_")]
    assert (finding.kind, finding.level, finding.count) == ("dropped_content", "warning", 1)
    assert finding.message == "1 user or assistant message is not printed by the template, or not whole"


@pytest.mark.parametrize(("drift", "level"), [("allow", "warning"), ("split", "note"), ("error", "error")])
def test_drift_is_as_bad_as_the_settings_make_it(tokenizer, drift, level):
    row = conversation(("user", "a"), ("assistant", "first"), ("user", "c"), ("assistant", "d"))
    _, check, _ = measured(tokenizer, [row], template=COUNTS, drift=drift)
    [finding] = check.findings()
    assert (finding.kind, finding.level, finding.count, finding.place) == ("drift", level, 2, "d:1")
    assert f"({check.drift_tokens:,} tokens)" in finding.message
    assert check.drift_tokens > 0


def test_a_stop_token_that_generation_does_not_know(tokenizer):
    check = MaskCheck(ChatEncoder(tokenizer), ChatSettings(), {0}, {tokenizer.eos_token_id: "<|im_end|>"})
    for row in rows_of(conversation(("user", "a"), ("assistant", "b"))):
        check.look(row)
    [finding] = check.findings()
    assert (finding.kind, finding.place) == ("foreign_stop", "d:1")
    assert "<|im_end|>" in finding.message


def test_a_conversation_that_cannot_be_encoded_is_named(tokenizer):
    row = conversation(("user", "what is <|im_end|>?"), ("assistant", "b"))
    _, check, _ = measured(tokenizer, [row], control_tokens="error")
    [finding] = check.findings()
    assert (finding.kind, finding.level, finding.place) == ("refused", "error", "d:1")


def test_trained_shares_that_stand_out(tokenizer):
    raw = [
        conversation(("user", "word " * 900), ("assistant", "b")),
        conversation(("user", "q"), ("assistant", "word " * 900)),
        *sound_rows()[:3],
    ]
    rows, _, _ = measured(tokenizer, raw)
    found = {finding.kind: finding.place for finding in check_fractions("data", rows)}
    assert found == {"little_trained": "d:1", "nearly_all_trained": "d:2"}
