"""How far a metric may fall: limits, directions, what the interval decides, and how a gate is written."""

import numpy as np
import pytest
from pydantic import ValidationError

from strop.common.errors import InputError
from strop.evals.gates import GateSettings, decide, items_to_decide, judge_gate, metric_named, named_gates, read_gate
from strop.evals.rates import rate_change
from strop.report.files import Interval
from strop.report.metrics import describe
from strop.report.verdict import forgetting, gate_verdict, gates, sentences
from strop.tasks.metrics import Metric

TASKS = {
    "humaneval": ["humaneval_pass@1"],
    "code_basics": ["accepted@1", "verdict/timeout"],
    "general_chat": ["general_chat_loss"],
}
LOSS = Metric("general_chat_loss", unit="nats", better=-1)


def interval(low, high):
    middle = None if low is None else (low + high) / 2
    return Interval(value=middle, low=low, high=high)


@pytest.mark.parametrize(
    ("better", "low", "high", "expected"),
    [
        (1, -0.05, 0.02, "within"),
        (1, -0.051, 0.02, "open"),
        (1, -0.2, -0.051, "out"),
        (1, -0.2, -0.05, "open"),
        (-1, -0.3, 0.05, "within"),
        (-1, 0.01, 0.06, "open"),
        (-1, 0.051, 0.06, "out"),
        (-1, None, None, "open"),
    ],
)
def test_the_interval_alone_decides(better, low, high, expected):
    assert decide(interval(low, high), better, 0.05) == expected


def test_an_interval_that_is_not_known_is_open_as_nan_too():
    assert decide(rate_change([1, 0], [0, 0], ["a", "a"]), 1, 0.05) == "open"


@pytest.mark.parametrize(
    ("undecided", "low", "high", "failed"),
    [
        ("pass", -0.04, 0.1, False),
        ("pass", -0.2, 0.1, False),
        ("pass", -0.2, -0.06, True),
        ("fail", -0.04, 0.1, False),
        ("fail", -0.2, 0.1, True),
    ],
)
def test_what_is_undecided_passes_unless_the_gate_says_otherwise(undecided, low, high, failed):
    gate = GateSettings(max_drop=0.05, undecided=undecided)
    assert judge_gate(gate, 0.5, interval(low, high)).failed is failed


def said_of(settings, change):
    gate = judge_gate(settings, 0.5, change)
    assert gate.outcome == "open"
    return gate_verdict("x", gate, Metric("x", unit="rate"), change).sentence.replace("\N{NO-BREAK SPACE}", " ")


def test_an_open_gate_says_with_how_many_items_and_how_many_would_do():
    """(1.96 + 0.84) standard errors of 0.05 / 1.96 within 0.02: 100 (2.80159 · 0.02551 / 0.02)² = 1,277.01."""
    change = Interval(value=-0.01, low=-0.06, high=0.04, n=100, families=100)
    assert said_of(GateSettings(max_drop=0.02), change) == (
        "Gate x cannot be told with 100 items, and it passes: −1.0 points (−6.0 to +4.0 points), allowed −2.0 points; "
        "1,278 would do to show in 80 % of cases that nothing changed."
    )
    narrow = Interval(value=-0.04, low=-0.06, high=-0.02, n=400, families=400)
    assert "80 % of cases that nothing changed, so measure others as well" in said_of(
        GateSettings(max_drop=0.05), narrow
    )
    assert "by no number of items: allow something" in said_of(GateSettings(max_drop=0), change)
    assert "how many items would do is not known" in said_of(GateSettings(max_drop=0.02), Interval(value=-0.1, n=9))


def test_as_many_items_as_are_said_decide():
    """One in five items flips, either way: of 400 evaluations with that many items 80 % ± 7 are within the limit."""
    random = np.random.default_rng(0)

    def change(n):
        before = random.random(n) < 0.5
        after = before ^ (random.random(n) < 0.2)
        return rate_change(before.astype(float), after.astype(float), range(n))

    needed = [items_to_decide(change(200), 200, 0.05) for _ in range(40)]
    items = int(np.median(needed))
    shown = np.mean([decide(change(items), 1, 0.05) == "within" for _ in range(400)])
    assert shown == pytest.approx(0.8, abs=0.07)


def test_what_was_not_measured_fails():
    gate = judge_gate(GateSettings(max_drop=0.05), None, None)
    assert gate.failed
    assert "not measured on both sides" in gate_verdict("x", gate, Metric("x"), Interval()).sentence


def test_limits_are_in_the_metrics_unit_or_of_the_value_before():
    assert GateSettings(max_drop="0.05").allowed(0.4) == 0.05
    assert GateSettings(max_rise="5 %").allowed(2.0) == pytest.approx(0.1)
    assert (GateSettings(max_drop=1).better, GateSettings(max_rise=1).better) == (1, -1)


@pytest.mark.parametrize(
    "settings",
    [{}, {"max_drop": 1, "max_rise": 1}, {"max_drop": -1}, {"max_drop": "x"}, {"max_rise": "nan"}, {"min": 1}],
)
def test_what_is_no_gate_is_refused(settings):
    with pytest.raises(ValidationError):
        GateSettings.model_validate(settings)


@pytest.mark.parametrize(
    ("given", "name"),
    [
        ("humaneval.pass@1", "humaneval_pass@1"),
        ("humaneval_pass@1", "humaneval_pass@1"),
        ("code_basics.accepted@1", "accepted@1"),
        ("general_chat.loss", "general_chat_loss"),
        ("chat_loss", "general_chat_loss"),
        ("verdict/timeout", "verdict/timeout"),
    ],
)
def test_a_metric_is_named_in_full_or_by_its_task(given, name):
    assert metric_named(given, TASKS) == name


def test_what_is_not_measured_is_refused_with_the_nearest():
    with pytest.raises(InputError, match=r"gates.chat_los: .* did you mean 'general_chat_loss'"):
        named_gates({"chat_los": GateSettings(max_rise=1)}, TASKS, {})
    with pytest.raises(InputError, match=r"has a gate already"):
        named_gates(dict.fromkeys(("humaneval.pass@1", "humaneval_pass@1"), GateSettings(max_drop=1)), TASKS, {})
    with pytest.raises(InputError, match=r"gets worse the other way; write max_rise"):
        named_gates({"general_chat_loss": GateSettings(max_drop=1)}, TASKS, {LOSS.name: LOSS})


@pytest.mark.parametrize(
    ("gate", "said"),
    [
        ({"max_drop": 5}, "gates.p: max_drop is 5, and p is a rate, from 0 to 1; 5 points is 0.05"),
        ({"max_rise": "1.5"}, "gates.p: max_rise is 1.5, and p is a rate, from 0 to 1; 1.5 points is 0.015"),
        ({"max_drop": "500%"}, "gates.p: max_drop is 500% of what it was before; give at most 100%"),
    ],
)
def test_a_limit_that_no_rate_can_reach_is_refused(gate, said):
    """Such a gate lets a fall to nothing pass."""
    settings = GateSettings.model_validate(gate)
    with pytest.raises(InputError, match=said):
        named_gates({"p": settings}, {"t": ["p"]}, {"p": Metric("p", unit="rate", better=settings.better)})
    named_gates({"p": settings}, {"t": ["p"]}, {"p": Metric("p", unit="nats", better=settings.better)})
    named_gates({"p": GateSettings(max_drop=1)}, {"t": ["p"]}, {"p": Metric("p", unit="rate", better=1)})


def test_a_gate_on_the_command_line():
    assert read_gate("a.pass@1:max_drop=0.05,undecided=fail") == (
        "a.pass@1", GateSettings(max_drop=0.05, undecided="fail"),
    )  # fmt: skip
    assert read_gate("verdict/x:y:max_rise=5%")[0] == "verdict/x:y"
    for text, said in (("a", "write METRIC"), ("a:max_drop", "write METRIC"), ("a:max_drop=x", "expected a number")):
        with pytest.raises(InputError, match=said):
            read_gate(text)


def test_a_gate_takes_the_place_of_the_tasks_own_bound(summary_of):
    """One mechanism: the same interval, another limit, and one sentence."""
    run = summary_of("humaneval_pass@1", 0.5, 0.4, -0.14, -0.06, {"humaneval_pass@1": 0.05})
    assert forgetting(run).claim == "Forgetting is out of bounds in humaneval_pass@1:"
    gate = judge_gate(GateSettings(max_drop=0.2), 0.5, run.change["humaneval_pass@1"])
    gated = run.model_copy(update={"gates": {"humaneval_pass@1": gate}})
    assert forgetting(gated) is None
    [verdict] = gates(gated)
    said = "Gate humaneval_pass@1 passed: −10.0 points (−14.0 to −6.0 points), allowed −20.0 points."
    assert verdict.sentence.replace("\N{NO-BREAK SPACE}", " ") == said
    assert verdict.sentence in sentences(gated)


@pytest.fixture
def summary_of():
    from strop.report.files import Summary

    def make(name, before, after, low, high, bounds):
        change = Interval(value=after - before, low=low, high=high)
        values = ({name: Interval(value=v, n=100)} for v in (before, after))
        return Summary(name="n", before=next(values), after=next(values), change={name: change}, bounds=bounds)

    return make


def test_directions_of_known_metrics_are_those_of_their_bounds():
    for name in ("humaneval_pass@1", "general_chat_loss"):
        metric = describe(name)
        assert metric.bound == 0.05
        assert metric.better == (1 if "pass" in name else -1)
