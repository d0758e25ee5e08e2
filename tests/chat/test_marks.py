"""What messages and rows say of their own worth, and what is made of it."""

import pytest

from strop.chat import LeftOut, Text, parse_conversation, parse_row
from strop.chat.notes import lines
from strop.common.errors import InputError

USER, ANSWER = {"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}
PAIR = {"prompt": "q", "completion": "a"}


def answer(**marks):
    return parse_conversation({"messages": [USER, {**ANSWER, **marks}]}, "f:1").messages[1]


@pytest.mark.parametrize("name", ["train", "trainable", "loss", "loss_mask", "train_on_turn"])
def test_every_name_for_whether_a_message_is_trained(name):
    assert [answer(**{name: value}).train for value in (True, False, 1, 0, 1.0, None)] == [
        True,
        False,
        True,
        False,
        True,
        True,
    ]
    assert answer(**{name: False}).loss_weight == 0
    for value, found in (("no", "a string"), (2, "2"), (0.5, "0.5"), ([0, 1], "a list")):
        with pytest.raises(InputError) as caught:
            answer(**{name: value})
        assert str(caught.value) == (
            f"f:1: field messages[1].{name}: expected true or false (or 1 or 0), found {found}"
        )


@pytest.mark.parametrize("name", ["weight", "loss_weight"])
def test_every_name_for_what_a_message_weighs(name):
    assert [answer(**{name: value}).loss_weight for value in (0, 0.5, 2, None)] == [0, 0.5, 2, 1]
    for value in (-1, True, "0.5", float("nan"), 1e7):
        with pytest.raises(InputError, match=rf"f:1: field messages\[1\].{name}: expected a finite number of at least"):
            answer(**{name: value})


@pytest.mark.parametrize("style", ["from", "role"])
def test_marks_of_sharegpt_turns_and_of_others(style):
    keys = ("role", "content") if style == "role" else ("from", "value")
    turns = [dict(zip(keys, pair, strict=True)) for pair in (("user", "q"), ("assistant", "a"))]
    turns[1]["loss_weight"] = 0.5
    turns.append({**turns[1], "loss_weight": 0})
    weights = [m.loss_weight for m in parse_conversation({"conversations": turns}, "f:1").messages]
    assert weights == [0, 0.5, 0]


def test_marks_that_disagree_are_refused():
    with pytest.raises(InputError, match=r"messages\[1\].loss: says the opposite of train; keep one of them"):
        answer(train=True, loss=False)
    with pytest.raises(InputError, match=r"messages\[1\].loss_weight: differs from weight; keep one of them"):
        answer(weight=1, loss_weight=0.5)
    assert answer(train=False, loss=0, weight=0.5, loss_weight=0.5).loss_weight == 0


def test_a_mark_on_a_turn_that_is_never_trained_is_told():
    row = {"messages": [{**USER, "train": True}, {**USER, "loss_weight": 0.0}, {**USER, "train": False}, ANSWER]}
    assert parse_conversation(row, "f:1").notes == {"foreign_marks": 1}


def test_fields_of_messages_that_nobody_reads_are_named():
    row = {"messages": [{**USER, "masks": 0, "id": "1"}, {**ANSWER, "masks": False, "refusal": None, "audio": {}}]}
    notes = parse_conversation(row, "f:1").notes
    assert notes == {"field:masks": 2, "field:id": 1}
    assert lines(notes) == ["fields of messages not read: masks (2 messages), id (1 message)"]


# -- rows


@pytest.mark.parametrize(
    "row",
    [
        PAIR,
        {"messages": [USER, ANSWER]},
        {"conversations": [{"from": "human", "value": "q"}, {"from": "gpt", "value": "a"}]},
        {"instruction": "q", "output": "a"},
        {"prompt": "q", "chosen": "a", "rejected": "b"},
    ],
)
def test_the_weight_of_a_row_multiplies_every_turn(row):
    for name, value, weight in (("weight", 0.25, 0.25), ("loss_weight", 3, 3), ("weight", "0.5", 0.5), ("train", 1, 1)):
        assert parse_row({**row, name: value}, "f:1").messages[-1].loss_weight == weight
    for name, value in (("weight", 0), ("loss_weight", 0.0), ("weight", "0"), ("train", False), ("train", "False")):
        assert parse_row({**row, name: value}, "f:1").notes == {"no_weight": 1}
    messages = [{**USER}, {**ANSWER, "weight": 0.5}]
    assert parse_row({"messages": messages, "weight": 3}, "f:1").messages[1].loss_weight == 1.5


def test_the_weight_of_a_text():
    assert parse_row({"text": "t", "weight": 0.5}, "f:1", "text") == Text("t", "f:1", 0.5)
    assert parse_row({"text": "t", "weight": 0}, "f:1", "text") == LeftOut("f:1", "text", {"no_weight": 1})


def test_a_weight_that_is_none_is_refused():
    with pytest.raises(
        InputError, match=r"f:1: field weight: expected a finite number of at least 0 .*, found '12 kg'"
    ):
        parse_row({**PAIR, "weight": "12 kg"}, "f:1")
    with pytest.raises(InputError, match="f:1: field train: expected true or false"):
        parse_row({**PAIR, "train": "maybe"}, "f:1")


@pytest.mark.parametrize(
    ("column", "bad", "good"),
    [
        ("label", [False, 0, 0.0, "False", "false", "0", " no "], [True, 1, "True", "1", "yes"]),
        ("kto_tag", [False, 0, "false"], [True, 1, "true"]),
        ("desirable", [False, 0], [True]),
        ("is_correct", [False, "False"], [True, "true"]),
        ("correct", [False], [True]),
        ("chosen", [False], [True]),
        ("rejected", [True], [False]),
        ("undesirable", [True], [False]),
    ],
)
@pytest.mark.parametrize("row", [PAIR, {"messages": [USER, ANSWER]}, {"instruction": "q", "output": "a"}])
def test_rows_that_say_that_they_are_bad_are_left_out(row, column, bad, good):
    for value in bad:
        left = parse_row({**row, column: value}, "f:1")
        assert isinstance(left, LeftOut)
        assert left.notes == {f"bad:{column}": 1}
        with pytest.raises(InputError, match=f"f:1: field {column}: .* says that this answer is not wanted, and it"):
            parse_conversation({**row, column: value}, "f:1")
    for value in good:
        kept = parse_row({**row, column: value}, "f:1")
        assert kept.messages[-1].content == "a"
        assert kept.notes == {}


@pytest.mark.parametrize(("column", "value"), [("label", 3), ("label", "positive"), ("label", 0.5), ("is_correct", 0)])
def test_a_label_that_is_no_mark_is_a_column_that_is_not_read(column, value):
    assert parse_row({**PAIR, column: value}, "f:1").notes == {f"column:{column}": 1}


def test_a_class_of_a_text_is_no_mark():
    """Files of texts with classes count them from 0."""
    assert parse_row({"text": "a film", "label": 0}, "f:1", "text").notes == {"column:label": 1}


@pytest.mark.parametrize(
    "row",
    [
        {"prompt": "q", "rejected": "b"},
        {"prompt": "q", "rejected": "b", "chosen": None},
        {"rejected_messages": [USER, ANSWER]},
        {"chosen": None, "rejected": [USER, ANSWER]},
    ],
)
def test_a_rejected_answer_alone_is_left_out(row):
    assert parse_row(row, "f:1").notes == {"only_rejected": 1}
    with pytest.raises(InputError, match=r"f:1: it holds a rejected answer alone"):
        parse_conversation(row, "f:1")


def test_a_rejected_answer_beside_a_conversation_is_told():
    row = {"messages": [USER, ANSWER], "rejected_response": "b"}
    assert parse_row(row, "f:1").notes == {"preference": 1}
    assert parse_row({"prompt": "q", "chosen": "a", "rejected": "b"}, "f:1").notes == {"preference": 1}
    assert parse_row({"prompt": "q", "chosen": "a"}, "f:1").notes == {}


def test_what_is_told_of_each_kind():
    counts = {"bad:label": 2, "bad:kto_tag": 1, "only_rejected": 1, "preference": 1200, "column:id": 1, "column:src": 3}
    assert lines(counts) == [
        "rows left out, because they say that their answer is not wanted: label (2 rows), kto_tag (1 row)",
        "rows left out, because they hold a rejected answer alone: 1",
        "preference pairs, of which the chosen answer is trained and the rejected one left out: 1,200",
        "columns not read: src (3 rows), id (1 row)",
    ]
    many = {f"column:c{number:02}": 1 for number in range(14)}
    assert lines(many)[0].endswith("c11 (1 row) and 2 more")
