"""Which answers become rows: every layout with every way to keep, on a group that is known whole."""

from dataclasses import replace

import pytest

from strop.chat.answers import parse_answers
from strop.chat.formats import parse_row
from strop.rollout.prompts import Prompt
from strop.rollout.selection import Selection, Tally
from strop.rollout.trajectory import Trajectory

PROMPT = Prompt("f.jsonl:1", [{"role": "user", "content": "Which?"}], (1, 2))


def answer(number, text, reward, reason="stop", **more):
    failed = {} if reward is not None else {"failures": {"task": "raised"}}
    given = (1, 2, 3), (0.0, 0.0, 1.0), (0.0,) * 3
    return Trajectory("f.jsonl:1", 0, number, *given, reason, text, reward, **failed, **more)


GROUP = [
    answer(0, "half", 0.5),
    answer(1, "cut", 2.0, "length"),  # the highest reward, and cut off
    answer(2, "none", None),
    answer(3, "good", 1.0),
    answer(4, "good", 1.0),
    answer(5, " \n", 1.0),
    answer(6, "bad", 0.0),
    answer(7, "fine", 1.0),
    answer(8, "poor", 0.0),
]


def rows(selection, group=GROUP):
    told = Tally()
    return selection.rows(PROMPT, group, told), told.counts


def texts(found):
    return [row["completion"][0]["content"] for row in found]


@pytest.mark.parametrize(
    ("keep", "expected"),
    [("best", ["good"]), ("passing", ["good", "fine"]), ("all", ["half", "cut", "good", "bad", "fine", "poor"])],
)
def test_conversations(keep, expected):
    found, counts = rows(Selection(keep))
    assert texts(found) == expected
    for row in found:  # every reader takes them as they are
        assert parse_row(row, "r:1", "auto").messages[-1].content == row["completion"][0]["content"]
    assert counts["left out: cut off"] == (keep != "all")
    assert counts["left out: duplicate"] == counts["left out: empty"] == counts["without a reward"] == 1
    assert (counts["answers"], counts["passing"], counts["cut off"], counts["rows"]) == (9, 5, 1, len(expected))


@pytest.mark.parametrize(
    ("keep", "margin", "expected"),
    [
        ("best", 0.0, [("good", "bad", 1.0)]),
        ("best", 1.5, []),
        ("passing", 0.0, [("good", "bad", 1.0), ("fine", "bad", 1.0)]),
        ("all", 0.0, [("half", "bad", 0.5), ("cut", "bad", 2.0), ("good", "bad", 1.0), ("fine", "bad", 1.0)]),
        ("all", 1.5, [("cut", "bad", 2.0)]),
    ],
)
def test_pairs(keep, margin, expected):
    found, counts = rows(Selection(keep, "pairs", min_margin=margin))
    assert [(r["chosen"][0]["content"], r["rejected"][0]["content"], r["margin"]) for r in found] == expected
    for row, (chosen, rejected, value) in zip(found, expected, strict=True):
        better, worse = parse_answers(row, "r:1", "auto", "pairs")
        assert (better.conversation.messages[-1].content, better.value) == (chosen, value)
        assert worse.conversation.messages[-1].content == rejected
    assert counts["prompts without a pair: too small a margin, or none passes"] == (not expected)


def test_equal_rewards_make_no_pair_and_are_said():
    found, counts = rows(Selection("best", "pairs"), [answer(0, "a", 1.0), answer(1, "b", 1.0)])
    assert found == []
    assert counts["prompts without a pair: one reward"] == counts["prompts without a row"] == 1


def test_labelled():
    best, _ = rows(Selection("best", "labelled"))
    assert [(t, r["label"]) for t, r in zip(texts(best), best, strict=True)] == [("good", True), ("bad", False)]
    found, counts = rows(Selection("all", "labelled", threshold=0.5))
    assert [row["label"] for row in found] == [True, True, True, False, True, False]
    assert counts["wanted rows"] == 4
    assert [parse_answers(row, "r:1", "auto", "labelled")[0].value for row in found] == [1, 1, 1, -1, 1, -1]


def test_most_per_prompt_is_counted():
    found, counts = rows(Selection("all", most=2))
    assert texts(found) == ["half", "cut"]
    assert counts["rows over most_per_prompt"] == 4


def test_what_choosing_brings_is_told_by_part():
    """Of all graded answers and of the rows; the one without a reward counts for neither."""
    group = [
        replace(one, parts={"right": float(one.text in ("good", "fine"))}) for one in GROUP if one.reward is not None
    ]
    told = Tally()
    Selection("best").rows(PROMPT, [*group, GROUP[2]], told)
    assert told.part_means() == {"mean of right": "0.375 of all answers, 1.000 of the rows"}
    assert Tally().part_means() == {}


def turn(text, **more):
    return {"role": "assistant", "content": text, **more}


def test_an_answer_is_not_compared_with_its_own_beginning():
    """Of what both have nothing can be made less likely."""
    result = {"role": "tool", "content": "42"}
    cut = answer(0, "b", 0.0, "turns", said=(turn("a"), result, turn("b")))
    whole = answer(1, "c", 1.0, said=(*cut.said, result, turn("c")))
    other = answer(2, "c", 1.0, said=(turn("b"), result, turn("c")))
    found, counts = rows(Selection("all", "pairs"), [cut, whole, other])
    assert [row["about_chosen"]["sample"] for row in found] == [2]
    assert counts["pairs left out: the chosen answer begins with the rejected one"] == 1


def test_turns_tell_answers_apart_and_one_without_a_turn_to_train_is_left_out():
    group = [
        answer(0, "c", 1.0, said=(turn("a"), turn("c"))),
        answer(1, "c", 1.0, said=(turn("b"), turn("c"))),
        answer(2, "c", 1.0, said=(turn("a"), turn("c"))),
        answer(3, "d", 1.0, said=(turn("<call>", train=False),)),
        answer(4, "c", 1.0, said=(turn(""), turn("c"))),
    ]
    found, counts = rows(Selection("all"), group)
    assert [row["sample"] for row in found] == [0, 1]
    left = ("duplicate", "no call that can be read", "empty")
    assert [counts[f"left out: {why}"] for why in left] == [1, 1, 1]
