"""Numbers as text, what an interval allows to say, and the two sentences at the top of the page."""

import pytest

from strop.evals.rates import rate_change
from strop.report.files import Interval, Summary
from strop.report.metrics import (
    change_interval_text,
    change_text,
    count_text,
    describe,
    interval_text,
    sample_texts,
    tone,
    value_text,
)
from strop.report.verdict import ABOUT, forgetting, headline, interval_notes, sentences


def plain(text: str) -> str:
    return text.replace("\N{NO-BREAK SPACE}", " ")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (value_text(0.21, "rate"), "21.0 %"),
        (value_text(1.81239, "nats"), "1.812"),
        (value_text(None, "rate"), "–"),
        (change_text(0.21, "rate"), "+21.0 points"),
        (change_text(-0.0061, "rate"), "−0.6 points"),
        (change_text(-0.0001, "rate"), "0.0 points"),
        (change_text(0.0127, "nats"), "+0.013 nats"),
        (change_text(1.5, "number"), "+1.500"),
        (change_text(None, "nats"), "–"),
        (interval_text(Interval(low=0.13, high=0.29), "rate"), "13.0–29.0 %"),
        (interval_text(Interval(low=0.13), "rate"), ""),
        (change_interval_text(Interval(low=-0.01, high=0.02), "rate"), "−1.0 to +2.0 points"),
        (count_text(1234567), "1,234,567"),
        (count_text(0.25), "0.25"),
        (count_text(1234.56), "1,234.6"),
        (count_text(None), "–"),
        (count_text({"<think>": 1200, "</s>": 2}), "<think> 1,200, </s> 2"),
        (" in ".join(sample_texts(Interval(n=100, families=1))), "100 items in 1 family"),
        (" in ".join(sample_texts(Interval(n=1, families=1))), "1 item"),
        (" in ".join(sample_texts(Interval.model_validate({"n": 100, "groups": 25}))), "100 items in 25 families"),
    ],
)
def test_numbers_are_written_one_way(text, expected):
    assert plain(text) == expected


@pytest.mark.parametrize(
    ("metric", "low", "high", "expected"),
    [
        ("accepted@1", 0.01, 0.2, "better"),
        ("accepted@1", -0.2, -0.01, "worse"),
        ("accepted@1", 0.0, 0.2, "unclear"),
        ("general_chat_loss", 0.01, 0.2, "worse"),
        ("general_chat_loss", -0.2, -0.01, "better"),
        ("verdict/wrong_answer", 0.1, 0.2, "moved"),
        ("verdict/no_code", -0.2, -0.1, "better"),
        ("something_else", 0.1, 0.2, "moved"),
        ("accepted@1", None, 0.2, "unknown"),
    ],
)
def test_only_an_interval_without_zero_speaks(metric, low, high, expected):
    assert tone(describe(metric), Interval(low=low, high=high)) == expected


@pytest.mark.parametrize(
    ("name", "unit", "better"),
    [
        ("mine_accepted@1", "rate", 1),
        ("mine_verdict/no_code", "rate", -1),
        ("mine_exec_success_rate/a.source", "rate", 1),
        ("exec_success_rate/a.source", "rate", 1),
        ("code_loss", "nats", -1),
        ("pass@8", "rate", 0),
        ("refusal_rate", "rate", 0),
        ("answer_length", "number", 0),
    ],
)
def test_unknown_metrics_get_a_unit_from_their_name(name, unit, better):
    assert (describe(name).unit, describe(name).better) == (unit, better)


def summary(name: str, before: float, after: float, low: float | None, high: float | None, **more) -> Summary:
    fields = {
        "name": "n",
        "before": {name: {"value": before}},
        "after": {name: {"value": after, "n": 100, "families": 25}},
    }
    change = {name: {"value": after - before, "low": low, "high": high}}
    return Summary.model_validate({**fields, "change": change, **more})


@pytest.mark.parametrize(
    ("run", "sentence", "feeling"),
    [
        (
            summary("accepted@1", 0, 0.21, 0.14, 0.28),
            "accepted@1 rose from 0.0 % to 21.0 % "
            "(95 % interval of the change +14.0 to +28.0 points, 100 items in 25 families).",
            "better",
        ),
        (
            summary("accepted@1", 0.5, 0.4, -0.15, -0.05),
            "accepted@1 fell from 50.0 % to 40.0 % "
            "(95 % interval of the change −15.0 to −5.0 points, 100 items in 25 families).",
            "worse",
        ),
        (
            summary("accepted@1", 0.20, 0.21, -0.03, 0.05),
            "No measurable change: accepted@1 went from 20.0 % to 21.0 % "
            "(95 % interval of the change −3.0 to +5.0 points, 100 items in 25 families).",
            "unclear",
        ),
        (
            summary("accepted@1", 0.20, 0.21, None, None),
            "accepted@1 went from 20.0 % to 21.0 % "
            "(100 items in 25 families; the interval of the change was not measured).",
            "unclear",
        ),
        (
            summary("general_chat_loss", 2.0, 1.9, -0.12, -0.08),
            "general_chat_loss fell from 2.000 to 1.900 "
            "(95 % interval of the change −0.120 to −0.080 nats, 100 items in 25 families).",
            "better",
        ),
        (
            Summary(name="n", before={"accepted@1": Interval(value=0.1, n=5)}),
            "Before training, accepted@1 is 10.0 % (5 items; there is nothing to compare it with).",
            "unclear",
        ),
        (Summary(name="n"), "Nothing was measured in this run.", "unclear"),
    ],
)
def test_headline(run, sentence, feeling):
    verdict = headline(run)
    assert (plain(verdict.sentence), verdict.tone) == (sentence, feeling)


@pytest.mark.parametrize(
    ("run", "sentence", "feeling"),
    [
        (
            summary("general_chat_loss", 1.80, 1.81, 0.005, 0.015),
            "Forgetting stayed in bounds: general_chat_loss +0.010 nats (+0.005 to +0.015 nats), allowed +0.050 nats.",
            "better",
        ),
        (
            summary("humaneval_pass@1", 0.12, 0.11, -0.06, 0.03),
            "Whether forgetting is in bounds is not decided: the interval does not rule out more in humaneval_pass@1: "
            "humaneval_pass@1 −1.0 points (−6.0 to +3.0 points), allowed −5.0 points.",
            "unclear",
        ),
        (
            summary("general_chat_loss", 1.80, 1.90, 0.09, 0.11),
            "Forgetting is out of bounds in general_chat_loss: "
            "general_chat_loss +0.100 nats (+0.090 to +0.110 nats), allowed +0.050 nats.",
            "worse",
        ),
        (
            summary("general_chat_loss", 1.80, 1.90, 0.09, 0.11, bounds={"general_chat_loss": 0.2}),
            "Forgetting stayed in bounds: general_chat_loss +0.100 nats (+0.090 to +0.110 nats), allowed +0.200 nats.",
            "better",
        ),
        (
            summary("general_chat_loss", 1.80, 1.81, None, None),
            "Whether forgetting is in bounds is not decided: the interval does not rule out more in general_chat_loss: "
            "general_chat_loss +0.010 nats (interval not known), allowed +0.050 nats.",
            "unclear",
        ),
    ],
)
def test_forgetting(run, sentence, feeling):
    verdict = forgetting(run)
    assert (plain(verdict.sentence), verdict.tone) == (sentence, feeling)


def test_one_item_of_twelve_is_neither_a_change_nor_forgetting():
    """One more failure of twelve: the estimate is past the bound of 5 points, its interval allows anything."""
    change = rate_change([1] + [0] * 11, [0] * 12, range(12))
    run = summary("humaneval_pass@1", 1 / 12, 0, change.low, change.high, bounds={"humaneval_pass@1": 0.05})
    assert change.value < -0.05
    assert headline(run).claim.startswith("No measurable change")
    verdict = forgetting(run)
    assert verdict.claim.startswith("Whether forgetting is in bounds is not decided")
    assert verdict.tone == "unclear"


def test_out_of_bounds_in_one_and_undecided_in_another_are_both_said():
    run = summary("humaneval_pass@1", 0.5, 0.3, -0.3, -0.1)
    change = run.change | {"general_chat_loss": Interval(value=0.04, low=0.0, high=0.09)}
    verdict = forgetting(run.model_copy(update={"change": change}))
    assert verdict.claim == ("Forgetting is out of bounds in humaneval_pass@1, and not decided in general_chat_loss:")


def loss_run(**stages):
    return Summary.model_validate({"name": "n", "eval_loss": stages})


@pytest.mark.parametrize(
    ("loss", "sentence"),
    [
        (
            {"start": 1.454, "end": 0.98, "best": 0.9512, "best_step": 1040},
            "The evaluation loss of sft fell from 1.454 to 0.980 "
            "(nats per token of eval_data; the lowest was 0.951 at step 1,040).",
        ),
        (
            {"start": 0.9, "end": 1.2, "best": 0.9, "best_step": 0},
            "The evaluation loss of sft rose from 0.900 to 1.200 "
            "(nats per token of eval_data; the lowest was 0.900 at step 0).",
        ),
        (
            {"start": 1.0, "end": 1.0, "best": 1.0},
            "The evaluation loss of sft stayed at 1.000 (nats per token of eval_data).",
        ),
        ({"end": 1.0}, "The evaluation loss of sft is 1.000 (nats per token of eval_data)."),
    ],
)
def test_the_evaluation_loss_leads_where_nothing_else_was_measured(loss, sentence):
    run = loss_run(sft=loss)
    assert headline(run).sentence == sentence
    assert sentences(run) == [sentence]  # once, though it is headline and evaluation loss


def test_the_evaluation_loss_stands_beside_a_metric():
    run = summary("accepted@1", 0, 0.21, 0.14, 0.28, eval_loss={"sft": {"start": 2.0, "end": 1.0}})
    said = sentences(run)
    assert said[0].startswith("accepted@1 rose")
    assert said[1].startswith("The evaluation loss of sft fell from 2.000 to 1.000")
    assert said[2] == ABOUT


def test_a_single_evaluation_says_where_it_stands_and_has_its_interval():
    fields = {"measured": {"mine_accepted@1": {"value": 0.0, "low": 0.0, "high": 0.0229, "n": 164, "families": 164}}}
    run = Summary.model_validate({"name": "n", "stages": {"measured": "e", "when": "after training"}, **fields})
    assert plain(headline(run).sentence) == (
        "After training, mine_accepted@1 is 0.0 % "
        "(95 % interval 0.0–2.3 %; 164 items; there is nothing to compare it with)."
    )


def test_any_metric_can_lead_so_that_nothing_is_said_only_of_nothing():
    assert "refusals is 3.000" in headline(Summary(name="n", before={"refusals": Interval(value=3.0)})).sentence
    run = Summary(name="n", before={"mine_pass@1": Interval(value=0.1), "mine_format_rate": Interval(value=0.2)})
    assert "mine_pass@1 is" in headline(run).sentence
    run = Summary(name="n", before={"general_chat_loss": Interval(value=2.0), "mine_accepted@1": Interval(value=0.2)})
    assert "mine_accepted@1 is" in headline(run).sentence


def test_an_unknown_interval_is_said():
    known, unknown = Interval(value=0.1, low=0.0, high=0.2), Interval(value=0.1)
    assert interval_notes(Summary(name="n", before={"a_rate": known})) == [ABOUT]
    notes = interval_notes(Summary(name="n", before={"a_rate": known, "b_rate": unknown}))
    assert notes[1] == "Not known is the interval of b_rate: it rests on a single family or conversation."


def test_forgetting_is_silent_where_it_was_not_measured():
    assert forgetting(summary("accepted@1", 0, 1, 0.5, 1)) is None
