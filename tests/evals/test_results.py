"""Metrics of code tasks by hand, and that before and after must be the same items."""

from dataclasses import replace

import pytest

from strop.evals.gates import GateSettings, judge_gate
from strop.evals.results import (
    ItemResult,
    LossResult,
    answer_changes,
    answer_estimates,
    loss_change,
    loss_estimate,
    read_results,
    valued,
    write_results,
)
from strop.evals.run import well_formed
from strop.rollout.answers import answer_text
from strop.rollout.engine import Rollout
from strop.tasks.base import TaskSettings
from strop.tasks.code_basics import generate
from strop.tasks.functions import ProblemTask
from strop.tasks.metrics import PROGRAM_METRICS, Metric

METRICS = {metric.name: metric for metric in PROGRAM_METRICS}


def item(name, family, verdict, passed, well=True):
    return ItemResult(name, family, "p", "a", verdict, passed, 4, "", "", "stop", 5, well)


BEFORE = [
    item("1", "f", "accepted", 4),
    item("2", "f", "wrong_answer", 2),
    item("3", "g", "runtime_error", 1, well=False),
    item("4", "g", "timeout", 0),
    item("5", "h", "syntax_error", 0),
    item("6", "h", "no_code", 0, well=False),
    item("7", "i", "accepted", 4),
    item("8", "i", "wrong_answer", 0),
]


def estimates(results):
    return answer_estimates(*valued(results, METRICS))


def changes(before, after):
    return answer_changes(valued(before, METRICS)[0], *valued(after, METRICS))


def test_values_by_hand():
    values = {name: e.value for name, e in estimates(BEFORE).items()}
    assert values["exec_success_rate"] == 4 / 8  # accepted or wrong answer: it ran to its end on every test
    assert values["accepted@1"] == 2 / 8
    assert values["pass_ratio"] == (4 + 2 + 1 + 4) / 32
    assert values["format_rate"] == 6 / 8
    assert values["verdict/timeout"] == 1 / 8
    assert sum(v for name, v in values.items() if name.startswith("verdict/")) == pytest.approx(1)


def test_items_of_several_sources_are_also_measured_apart():
    mixed = [replace(r, source="a" if i < 3 else "b") for i, r in enumerate(BEFORE)]
    parts = estimates(mixed)
    assert (parts["accepted@1/a"].value, parts["accepted@1/a"].n) == (pytest.approx(1 / 3), 3)
    assert (parts["accepted@1/b"].value, parts["accepted@1/b"].n) == (1 / 5, 5)
    assert not any("/" in name for name in estimates(BEFORE) if "verdict" not in name)
    after = [replace(r, verdict="accepted") for r in mixed]
    assert changes(mixed, after)["accepted@1/b"].value == 4 / 5


def test_groups_are_families():
    e = estimates(BEFORE)["accepted@1"]
    assert (e.n, e.groups) == (8, 4)


def test_changes_are_paired_and_refuse_other_items():
    after = [item(r.name, r.family, "accepted", 4) for r in BEFORE]
    assert changes(BEFORE, after)["accepted@1"].value == 6 / 8
    with pytest.raises(ValueError, match="same items"):
        changes(BEFORE, after[::-1])


def test_a_loss_is_a_mean_over_tokens():
    before = [LossResult("a", "a", 20.0, 10), LossResult("b", "b", 30.0, 30)]
    after = [LossResult("a", "a", 10.0, 10), LossResult("b", "b", 30.0, 30)]
    assert loss_estimate(before).value == pytest.approx(50 / 40)
    assert loss_change(before, after).value == pytest.approx(-10 / 40)


def test_results_survive_their_file(tmp_path):
    write_results(tmp_path / "x.jsonl", BEFORE)
    assert read_results(tmp_path / "x.jsonl", ItemResult) == BEFORE


FENCED = "```python\nprint(1)\n```"


@pytest.mark.parametrize(
    ("answer", "reason", "expected"),
    [
        (FENCED, "stop", True),
        (f"Here it is:\n{FENCED}\nDone.", "stop", True),
        (FENCED, "length", False),
        ("```python\nprint(1)", "stop", False),
        ("print(1)", "stop", False),
        (f"{FENCED}\n{FENCED}", "stop", False),
        ("```\nprint(1)\n```", "stop", False),
    ],
)
def test_form(answer, reason, expected):
    assert well_formed(answer, reason) is expected


@pytest.mark.parametrize(
    ("tokens", "reason", "text"),
    [
        ((7, 8, 2), "stop", "78"),
        ((7, 8, 9), "length", "789"),
        ((7, 8, 9), "cancelled", "789"),
        ((7, 8, 9), "stop", "789"),  # ended by a string: its last token is text
        ((2,), "stop", ""),
        ((), "length", ""),
    ],
)
def test_only_a_stop_token_is_not_part_of_the_text(tokens, reason, text):
    decode = lambda ids: "".join(map(str, ids))  # noqa: E731
    assert answer_text(Rollout((), tokens, (0.0,) * len(tokens), reason), decode, frozenset({2, 3})) == text


def test_a_loss_of_no_tokens_cannot_be():
    with pytest.raises(ValueError, match="at least one token"):
        LossResult("a", "a", 0.0, 0)


def test_rates_keep_a_width_where_every_item_came_out_the_same():
    wrong = [item(str(i), str(i), "wrong_answer", 0) for i in range(164)]
    assert estimates(wrong)["accepted@1"].high == pytest.approx(0.02289, abs=1e-5)
    assert estimates(wrong)["pass_ratio"].high == pytest.approx(0.02289, abs=1e-5)
    change = changes(wrong, wrong)["accepted@1"]
    assert -change.low == change.high == pytest.approx(0.0167, abs=1e-4)


def test_problems_that_name_no_family_are_one_each():
    records = [replace(r, family="") for r in generate("test", 3, 0)]
    assert [i.family for i in ProblemTask("p", TaskSettings(), records).items()] == [r.name for r in records]


def test_reference_solutions_are_accepted_and_prose_is_not():
    records = generate("test", 6, 3)
    task = ProblemTask("p", TaskSettings(), records)
    judgements = task.judge(
        task.all_items, [r.response if i % 2 else "I would sort them." for i, r in enumerate(records)]
    )
    assert [j.verdict for j in judgements] == ["no_code", "accepted"] * 3


def test_answers_with_any_character_come_back(tmp_path):
    odd = [replace(BEFORE[0], answer="a\u2028b\x85c\x0b\0 \ud800"), BEFORE[1]]
    write_results(tmp_path / "mine.jsonl", odd)
    assert read_results(tmp_path / "mine.jsonl", ItemResult) == odd


def test_a_weighted_rate_of_few_items_is_never_certain():
    """IFEval's instructions: six prompts with one to three each, all of them followed twice."""
    metrics = {"followed": Metric("followed", unit="rate", better=1, weight="total")}
    results = [
        replace(item(str(n), str(n), "accepted", total), total=total, values={"followed": 1.0})
        for n, total in enumerate([1, 2, 3, 1, 2, 3])
    ]
    one, change = answer_estimates(results, metrics)["followed"], answer_changes(results, results, metrics)["followed"]
    assert (one.value, one.high) == (1, 1)
    assert 0.3 < one.low < 0.6
    assert change.value == 0
    assert change.low < -0.2
    assert change.high > 0.2
    gate = judge_gate(GateSettings(max_drop=0.0, undecided="fail"), one.value, change)
    assert (gate.outcome, gate.failed) == ("open", True)
