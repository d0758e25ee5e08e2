"""How a conversation is shown token by token, and the curve of the loss."""

import re

import numpy as np
import pytest

from strop.report.charts import (
    MOST_POINTS,
    loss_chart,
    loss_limits,
    metrics_chart,
    series,
    smoothed,
    text_width,
    thinned,
)
from strop.report.files import Interval, LoggedStep, ShownExample
from strop.report.loss_mask import view


def test_tokens_show_what_is_trained_and_what_is_a_stop():
    pieces = [("<|im_start|>", 0), ("user", 0), ("\n", 0), (" a  b", 0), ("<|im_end|>", 0), ("ok", 0.5)]
    pieces += [("<|im_end|>", 1), ("\n", 0), ("open", 2)]
    views = view(ShownExample(place="x", pieces=pieces))
    assert [token.is_control for token in views] == [True, False, False, False, True, False, True, False, False]
    assert [index for index, token in enumerate(views) if token.is_stop] == [6]
    assert [token.strength for token in views] == [0, 0, 0, 0, 0, 50, 100, 0, 100]
    assert views[2].runs == [("↵\n", True)]
    assert views[3].runs == [("·", True), ("a", False), ("·", True), ("·", True), ("b", False)]


@pytest.mark.parametrize("text", ["</s>", "<end_of_turn>", "<｜Assistant｜>", "[/INST]", "<think>", "<|eot_id|>"])
def test_control_tokens_of_other_families(text):
    assert view(ShownExample(place="x", pieces=[(text, 1)]))[0].is_stop


@pytest.mark.parametrize("text", ["<", "<|", " < b >", "a<b>", "[0]", "[i]", "<>", "=>"])
def test_ordinary_tokens_that_look_a_little_alike(text):
    assert not view(ShownExample(place="x", pieces=[(text, 1)]))[0].is_control


def test_a_resumed_log_counts_each_step_once():
    steps = [
        LoggedStep(step=1, loss=3),
        LoggedStep(step=2, loss=9),
        LoggedStep(step=2, eval_loss=1),
        LoggedStep(step=2, loss=2),
    ]
    assert series(steps, "loss").tolist() == [[1, 3], [2, 2]]
    assert series(steps, "eval_loss").tolist() == [[2, 1]]
    assert series(steps, "lr").shape == (0, 2)


@pytest.mark.parametrize("points", [1, 2, 5, 1000])
def test_smoothing_keeps_a_constant_and_the_steps(points):
    curve = np.column_stack([np.arange(points), np.full(points, 2.5)])
    np.testing.assert_allclose(smoothed(curve), curve)


def test_smoothing_does_not_lag_behind_a_straight_line():
    curve = np.column_stack([np.arange(100.0), np.arange(100.0)])
    np.testing.assert_allclose(smoothed(curve)[10:-10], curve[10:-10])


def test_thinning_keeps_both_ends():
    curve = np.column_stack([np.arange(5000.0)] * 2)
    assert thinned(curve).shape == (MOST_POINTS, 2)
    assert thinned(curve)[[0, -1], 0].tolist() == [0, 4999]


def test_one_spike_does_not_flatten_the_curve():
    train = np.linspace(2, 1, 1000)
    train[500] = 80
    low, high = loss_limits(train, np.array([1.5]))
    assert 0.9 < low < 1
    assert 2 < high < 2.2


@pytest.mark.parametrize(
    "steps",
    [
        [LoggedStep(step=1, loss=2.0)],
        [LoggedStep(step=0, eval_loss=2.0)],
        [LoggedStep(step=1, loss=2.0, lr=0.0), LoggedStep(step=2, loss=2.0, lr=0.0)],
    ],
)
def test_the_shortest_logs_are_drawn(steps):
    chart = loss_chart(steps)
    assert chart.count("<svg") == chart.count("</svg>") == 2
    assert "nan" not in chart


def test_long_names_of_metrics_stay_inside_the_chart():
    names = ["pass@1", "humaneval_truncation_rate", "humaneval_plus_syntax_error_rate"]
    chart = metrics_chart({"after": {name: Interval(value=0.5, low=0.4, high=0.6) for name in names}}, names)
    ends = re.findall(r'text-anchor: end; [^>]* x="([0-9.]+)"[^>]*>([a-z@_1]+)<', chart)
    assert [name for _, name in ends] == names
    assert text_width(names[1]) > 150  # the least margin would not hold it
    assert all(float(end) > text_width(name) for end, name in ends)


def test_charts_use_the_colours_of_the_page():
    chart = loss_chart([LoggedStep(step=step, loss=1 / step, lr=1e-4) for step in range(1, 9)])
    assert "var(--after)" in chart
    assert "#a1b0" not in chart  # no placeholder is left
    assert "<style" not in chart
