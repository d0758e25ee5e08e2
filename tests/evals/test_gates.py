"""How far a metric may fall: limits, directions, what the interval decides, and how a gate is written."""

import pytest
from pydantic import ValidationError

from strop.common.errors import InputError
from strop.evals.gates import GateSettings, decide, judge_gate, metric_named, named_gates, read_gate
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
