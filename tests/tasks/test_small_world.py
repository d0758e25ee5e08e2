"""The small world: what is measured is not trained on, and what is trained on is right."""

import re

import pytest

from strop.chat import parse_conversation
from strop.common.errors import InputError
from strop.data.readers import rows_of_part
from strop.data.settings import DataSettings
from strop.tasks.base import TASKS, named_sets
from strop.tasks.small_world.world import facts
from strop.tasks.spelling import made_up, words
from strop.tools.calculator import calculate


def rows(name, count=400, seed=0):
    return [row for _, row in named_sets()[name](count, seed)]


def task(name, **settings):
    return TASKS[name](name, TASKS[name].Settings(**settings))


@pytest.mark.parametrize("language", ["en", "zh"])
def test_held_out_facts_stand_in_texts_and_are_asked_in_no_conversation(language):
    talks = [row["messages"] for name in ("facts", "small_talk") for row in rows(f"{name}_{language}", 3000)]
    asked = {turns[i]["content"] for turns in talks for i in range(0, len(turns), 2)}
    answers = {row["messages"][1]["content"] for row in rows(f"facts_{language}", 3000)}
    held_out = [fact for fact in facts(language) if fact.held_out]
    items = task("facts", language=language).all_items
    assert len(items) == len(held_out) > 15
    assert not asked & {item.shown for item in items}
    texts = "".join(row["text"] for row in rows(f"stories_{language}", 3000))
    for fact in held_out:
        if fact.relation == "capitals":
            assert not any(fact.b in answer for answer in answers)
        assert fact.b in texts


def test_the_grade_of_a_fact_wants_the_object_and_no_other():
    [item] = [one for one in task("facts").all_items if one.data[3:] == ("Italy", "Rome")]
    grade = task("facts").grade
    assert grade(item, "The capital of Italy is Rome.").verdict == "accepted"
    assert grade(item, "The capital of Italy is Oslo.").verdict == "wrong_answer"
    assert grade(item, "Rome, Oslo, Paris").verdict == "wrong_answer"


@pytest.mark.parametrize("language", ["en", "zh"])
def test_sums_are_right_and_held_out(language):
    train = {row["prompt"]: row["completion"] for row in rows(f"sums_{language}", 2000)}
    for text in train.values():
        expression, value = re.match(r"<<(.*)=(.*)>>", text).groups()
        assert calculate(expression) == value
        assert value in text.partition(">>")[2]
    tested = task("sums", language=language, count=200)
    assert not {i.data.expression for i in tested.all_items} & {i.data.expression for i in tested.train_items(2000, 0)}
    item = tested.all_items[0]
    assert tested.grade(item, item.data.answer).verdict == "accepted"
    assert tested.grade(item, f"{item.data.value}1").verdict == "wrong_answer"


def test_calls_in_turns_are_conversations_with_a_tool():
    read = parse_conversation(rows("sums_tools_zh", 1)[0], "here")
    assert [m.role for m in read.messages] == ["user", "assistant", "tool", "assistant"]
    assert calculate(read.messages[1].tool_calls[0]["function"]["arguments"]["expression"]) == read.messages[2].content
    assert read.tools


def test_made_up_words_are_none_that_are_tested():
    made = made_up(3000, 0)
    assert len(made) == 3000
    assert made == made_up(3000, 0) != made_up(3000, 1)
    assert not set(made) & set(words("test"))
    [row] = rows("simple_spelling_made_up", 1)
    assert row["completion"].replace(", ", "") in row["prompt"]


def test_python_docs_are_not_measured_where_they_are_trained():
    trained = {row["text"] for row in rows("python_docs", None)}
    measured = {document.text for document in task("python_docs").all_documents}
    assert len(trained) > 100
    assert len(measured) > 10
    assert not trained & measured


def test_a_set_that_there_is_not_is_refused_with_those_that_there_are():
    with pytest.raises(InputError, match=r"no data set named 'stories'; known: .*stories_en"):
        rows_of_part(DataSettings(task="stories"), named_sets())
