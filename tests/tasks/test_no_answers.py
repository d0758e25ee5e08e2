"""Answers in which nothing was found, and questions that could not be asked, are a number of their own."""

import pytest

from strop.evals.choices import chosen_option
from strop.evals.results import answer_estimates, valued
from strop.evals.run import kept_as
from strop.rewards import Judgement
from strop.tasks.base import TASKS, AnswerTask, ChoiceTask, Item, Question
from strop.tasks.facts import Facts, FactsSettings

ANSWERED = [name for name, kind in TASKS.items() if issubclass(kind, AnswerTask | ChoiceTask)]
EVERY_TEXT_IS_ONE = {"reverse"}


@pytest.mark.parametrize("name", [name for name in ANSWERED if name not in EVERY_TEXT_IS_ONE])
def test_every_task_says_how_many(name):
    metrics = {metric.name: metric for metric in TASKS[name].metrics}
    metric = metrics.get("no_answer_rate") or metrics["verdict/no_code"]
    none = Judgement("no_code" if metric.name == "verdict/no_code" else "no_answer", 0, 1)
    results = [
        kept_as(Item(str(n), str(n), [{"role": "user", "content": "?"}], None), "", judgement, "stop", 0)
        for n, judgement in enumerate([none, Judgement("wrong_answer", 0, 1)])
    ]
    found = answer_estimates(*valued(results, {metric.name: metric}))
    assert found[metric.name].value == 0.5


def test_an_empty_answer_about_a_fact_is_none():
    task = Facts("facts", FactsSettings(count=1))
    [item] = task.all_items
    said = ["", "<think>\nIt may be " + item.data.b, "I do not know."]
    assert [Facts.grade(item, one).verdict for one in said] == ["no_answer", "no_answer", "wrong_answer"]


def test_a_question_longer_than_the_window_has_no_answer():
    question = Question("q", "q", [], ("a", "b"), 0, (1, 1), text="?")
    metrics = {metric.name: metric for metric in TASKS["choice"].metrics}
    results = [chosen_option(question, [], "too long"), chosen_option(question, [-1.0, -2.0])]
    found = answer_estimates(*valued(results, metrics))
    assert (found["no_answer_rate"].value, found["acc"].value) == (0.5, 0.5)
