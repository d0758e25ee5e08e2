"""Kept answers graded again: only by the questions that were asked, and never what nobody answered."""

import json
from dataclasses import replace

import pytest

from strop.common.errors import InputError
from strop.evals.choices import chosen_option
from strop.evals.partial import Partial
from strop.evals.regrade import regrade_task
from strop.evals.results import FAULT, ItemResult, read_results, valued, write_results
from strop.evals.run import Answered, judge_answers
from strop.tasks import open_task
from strop.tasks.gsm8k import Gsm8kSettings
from strop.tasks.multiple_choice import ChoiceSettings

SUMS = [{"question": "What is 1 + 1?", "answer": "#### 2"}, {"question": "What is 2 + 3?", "answer": "#### 5"}]
CAPITALS = [
    {"question": "The capital of Italy?", "choices": ["Paris", "Rome"], "answer": 1},
    {"question": "The capital of Spain?", "choices": ["Madrid", "Lima"], "answer": 0},
]


def write(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@pytest.fixture
def sums(tmp_path):
    """A function that answers the rows, right and wrong, and gives (the settings, the file of results)."""

    def answered(*said, **settings):
        made = Gsm8kSettings(path=write(tmp_path / "sums.jsonl", SUMS), **settings)
        task = open_task("gsm8k", made)
        results = judge_answers(task, dict(enumerate(said)), {}, Partial(tmp_path / "partial", "k"))
        file = tmp_path / "gsm8k.jsonl"
        write_results(file, valued(results, task.measures())[0])
        return made, file

    return answered


def said(text, **fields):
    return Answered(text, "stop", 3, **fields)


@pytest.fixture
def capitals(tmp_path):
    settings = ChoiceSettings(path=write(tmp_path / "capitals.jsonl", CAPITALS))
    task = open_task("choice", settings)
    results = [chosen_option(question, [-1.0, -2.0]) for question in task.all_questions]
    file = tmp_path / "choice.jsonl"
    write_results(file, valued(results, task.measures())[0])
    return settings, file


def test_the_same_questions_are_graded_again(sums, capitals):
    for name, (settings, file) in (("gsm8k", sums(said("#### 2"), said("#### 4"))), ("choice", capitals)):
        before = read_results(file, ItemResult)
        done = regrade_task(name, settings, file)
        assert (done.changed, done.notes) == (0, [])
        assert read_results(file, ItemResult) == before
        assert [one.verdict for one in before].count("accepted") == 1


def test_other_questions_under_the_same_names_are_refused(sums):
    settings, file = sums(said("#### 2"), said("#### 5"))
    kept = file.read_bytes()
    write(settings.path, SUMS[::-1])
    with pytest.raises(InputError, match=r"the answer to 'gsm8k/0' is to another prompt"):
        regrade_task("gsm8k", settings, file)
    assert file.read_bytes() == kept


def test_other_shots_before_the_same_question_are_refused(sums):
    settings, file = sums(said("#### 2"), said("#### 5"), shots=0)
    with pytest.raises(InputError, match=r"'gsm8k/0' is to another prompt"):
        regrade_task("gsm8k", settings.model_copy(update={"shots": 2}), file)


@pytest.mark.parametrize("older", [False, True])
def test_other_options_are_refused(capitals, older):
    settings, file = capitals
    if older:
        write_results(file, [replace(one, asked="", reference="") for one in read_results(file, ItemResult)])
    write(settings.path, [CAPITALS[0] | {"choices": ["Milan", "Rome"]}, CAPITALS[1]])
    with pytest.raises(InputError, match=r"'choice/0' is to another prompt, or other options"):
        regrade_task("choice", settings, file)


def test_an_item_too_many_is_refused(sums):
    settings, file = sums(said("#### 2"), said("#### 5"))
    write(settings.path, [*SUMS, {"question": "What is 0 + 0?", "answer": "#### 0"}])
    with pytest.raises(InputError, match=r"other items than evals.gsm8k has now: 2, and 1 to each of 3 items"):
        regrade_task("gsm8k", settings, file)


def test_a_mended_reference_is_what_it_is_for(sums):
    settings, file = sums(said("#### 2"), said("#### 6"))
    write(settings.path, [SUMS[0], SUMS[1] | {"answer": "#### 6"}])
    done = regrade_task("gsm8k", settings, file)
    assert done.changed == 1
    assert [one.verdict for one in read_results(file, ItemResult)] == ["accepted", "accepted"]
    assert done.notes == ["1 of 2 answers are graded by another reference than before"]


def test_what_an_older_strop_did_not_keep_is_said_again_and_again(sums):
    settings, file = sums(said("#### 2"), said("#### 5"))
    write_results(file, [replace(one, asked="", reference="") for one in read_results(file, ItemResult)])
    for _ in range(2):
        [note] = regrade_task("gsm8k", settings, file).notes
        assert note.startswith("of 2 of 2 answers only the last turn of the prompt")
    write(settings.path, SUMS[::-1])
    with pytest.raises(InputError, match="another prompt"):
        regrade_task("gsm8k", settings, file)


@pytest.mark.parametrize("older", [False, True])
def test_where_the_environment_failed_there_is_nothing_to_be_judged(sums, older):
    died = {"failure": "the tool server died", "finish_reason": "cancelled"}
    settings, file = sums(replace(said("#### 2"), **died), replace(said(""), **died))
    if older:
        write_results(file, [replace(one, failure="", asked="") for one in read_results(file, ItemResult)])
    done = regrade_task("gsm8k", settings, file)
    assert done.changed == 0
    results = read_results(file, ItemResult)
    assert [(one.verdict, one.passed, one.detail) for one in results] == [(FAULT, 0, "the tool server died")] * 2
    assert done.estimates["gsm8k_flexible_extract"]["value"] == 0
    assert [one.failure for one in results] == ["the tool server died"] * 2
