"""Reward model losses against plain floats, and what is told of a reward model."""

import math

import pytest
import torch

from strop.chat import Example
from strop.data.prefixes import make_group_batch
from strop.evals.calibration import correlation, expected_calibration_error
from strop.objectives.reward_model import BradleyTerry, Regression

SCORES = [[0.7, -0.2], [0.1, 0.9], [2.0, 1.5]]
MARGINS = [0.0, 0.5, 1.0]


def batch_of(numbers, pairs=True):
    groups = [[Example([1, 2, 3 + k, i], [0, 0, 1, 1], "t", (), ()) for k in range(2)] for i in numbers]
    streams = {
        "pair": [[n, n] for n in range(len(groups))],
        "preferred": [[1, -1] if pairs else [1, 1] for _ in groups],
        "value": [[MARGINS[i], 0.0] for i in numbers],
    }
    return make_group_batch(groups, sequence_streams=streams)


def scores_of(numbers):
    """``[N]``: of each group the shared prompt, which is no answer and has a score all the same, and both answers."""
    return torch.tensor([s for i in numbers for s in (100.0, *SCORES[i])], dtype=torch.float64).requires_grad_()


@pytest.mark.parametrize("objective", [BradleyTerry(), Regression()])
def test_value_gradient_and_micro_batches(objective):
    paired = isinstance(objective, BradleyTerry)
    [name] = objective.normalisers(batch_of([0], paired))

    def loss(cuts):
        made = [(scores_of(cut), batch_of(cut, paired)) for cut in cuts]
        count = sum(objective.normalisers(batch)[name] for _, batch in made)
        total = sum(objective.loss({"scores": scores}, batch)[name] for scores, batch in made) / count
        total.backward()
        return total.item(), torch.cat([scores.grad for scores, _ in made]).tolist()

    expected, gradient = 0.0, []
    for (c, r), margin in zip(SCORES, MARGINS, strict=True):
        if paired:
            p = 1 / (1 + math.exp(c - r - margin))
            expected -= math.log(1 - p) / 3
            gradient += [0.0, -p / 3, p / 3]
        else:
            expected += ((c - margin) ** 2 + r**2) / 6
            gradient += [0.0, 2 * (c - margin) / 6, 2 * r / 6]
    for cuts in ([[0, 1, 2]], [[0], [1], [2]]):
        value, got = loss(cuts)
        assert value == pytest.approx(expected)
        assert got == pytest.approx(gradient)


def test_calibration_and_correlation():
    # Two confidences in bins of their own: 0.9 right 1 of 2 times, 0.6 right 2 of 2; (2·0.4 + 2·0.4) / 4.
    assert expected_calibration_error([0.9, 0.1, 0.6, 0.4], [True, True, True, False]) == pytest.approx(0.4)
    assert expected_calibration_error([1.0, 0.0], [True, False]) == 0
    assert correlation([1, 2, 3], [2, 4, 6.0]) == pytest.approx(1)
    assert correlation([1, 2, 3], [1, 1, 1]) is None
