"""Numbers as text, what an interval allows to say, and the two sentences at the top of the page."""

import pytest

from strop.report.files import Estimate, Summary
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
from strop.report.verdict import forgetting, headline


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
        (interval_text(Estimate(low=0.13, high=0.29), "rate"), "13.0–29.0 %"),
        (interval_text(Estimate(low=0.13), "rate"), ""),
        (change_interval_text(Estimate(low=-0.01, high=0.02), "rate"), "−1.0 to +2.0 points"),
        (count_text(1234567), "1,234,567"),
        (count_text(0.25), "0.25"),
        (count_text(1234.56), "1,234.6"),
        (count_text(None), "–"),
        (count_text({"<think>": 1200, "</s>": 2}), "<think> 1,200, </s> 2"),
        (" in ".join(sample_texts(Estimate(n=100, families=1))), "100 items in 1 family"),
        (" in ".join(sample_texts(Estimate(n=1, families=1))), "1 item"),
        (" in ".join(sample_texts(Estimate.model_validate({"n": 100, "groups": 25}))), "100 items in 25 families"),
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
    assert tone(describe(metric), Estimate(low=low, high=high)) == expected


@pytest.mark.parametrize(
    ("name", "unit", "better"),
    [
        ("mine_accepted@1", "rate", 1),
        ("mine_verdict/no_code", "rate", -1),
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
            Summary(name="n", before={"accepted@1": Estimate(value=0.1, n=5)}),
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
            summary("humaneval_pass@1", 0.12, 0.11, -0.05, 0.03),
            "Forgetting is in bounds by the estimates, but the interval of humaneval_pass@1 does not rule out more: "
            "humaneval_pass@1 −1.0 points (−5.0 to +3.0 points), allowed −3.0 points.",
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
            "Forgetting is in bounds by the estimates, but the interval of general_chat_loss does not rule out more: "
            "general_chat_loss +0.010 nats, allowed +0.050 nats.",
            "unclear",
        ),
    ],
)
def test_forgetting(run, sentence, feeling):
    verdict = forgetting(run)
    assert (plain(verdict.sentence), verdict.tone) == (sentence, feeling)


def test_forgetting_is_silent_where_it_was_not_measured():
    assert forgetting(summary("accepted@1", 0, 1, 0.5, 1)) is None
