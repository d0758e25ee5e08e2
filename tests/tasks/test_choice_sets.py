"""Multiple choice to train on: the prompt that is measured by letters, and the letter."""

import json

import pytest

from strop.common.errors import InputError
from strop.tasks import open_task
from strop.tasks.base import named_sets
from strop.tasks.multiple_choice import ChoiceSettings


@pytest.fixture
def questions(tmp_path):
    def row(i):
        choices = [{"text": f"option {i}{letter}", "label": letter} for letter in "ABCDE"]
        return {"question": {"stem": f"Which of them, {i}?", "choices": choices}, "answerKey": "ABCDE"[i % 5]}

    file = tmp_path / "questions.jsonl"
    file.write_text("".join(json.dumps(row(i)) + "\n" for i in range(20)))
    return file


@pytest.mark.parametrize("name", ["arc_easy", "arc_challenge", "choice"])
def test_conversations_are_what_is_asked_when_letters_are_scored(questions, name):
    rows = dict(named_sets()[name].of(questions)(None, 0))
    task = open_task(name, ChoiceSettings(task=name, path=questions, options="letters", style="chat"))
    measured = {q.messages[-1]["content"]: q.options[q.answer] for q in task.all_questions}
    assert {row["prompt"]: row["completion"] for row in rows.values()} == measured
    assert set(measured.values()) == set("ABCDE")


def test_the_seed_decides_the_order_and_a_longer_list_begins_with_the_shorter(questions):
    rows = named_sets()["arc_easy"].of(questions)
    assert rows(5, 1) == rows(None, 1)[:5] != rows(None, 2)[:5]
    assert sorted(place for place, _ in rows(None, 1)) == sorted(place for place, _ in rows(None, 2))


def test_without_a_path_or_a_hub_it_says_what_it_needs():
    with pytest.raises(InputError, match="path"):
        named_sets()["choice"](3, 0)
