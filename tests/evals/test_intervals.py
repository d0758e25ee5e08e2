"""Intervals by resampling families."""

import numpy as np
import pytest

from strop.evals.intervals import estimate, paired_change


def test_value_counts_and_order():
    e = estimate([1, 0, 1, 1], ["a", "a", "b", "b"])
    assert (e.value, e.n, e.groups) == (0.75, 4, 2)
    assert e.low == 0.5
    assert e.high == 1.0


def test_one_family_has_no_interval():
    e = estimate([1, 0], ["a", "a"])
    assert e.value == 0.5
    assert np.isnan(e.low)
    assert e.to_dict()["low"] is None


def test_alike_items_widen_the_interval():
    values = [1] * 20 + [0] * 20
    families = [i // 10 for i in range(40)]  # four families, each all right or all wrong
    alone = estimate(values, range(40))
    grouped = estimate(values, families)
    assert grouped.high - grouped.low > 2 * (alone.high - alone.low)


def test_independent_items_agree_with_the_normal_approximation():
    values = [1.0] * 30 + [0.0] * 70
    e = estimate(values, range(100))
    half = 1.96 * np.sqrt(0.3 * 0.7 / 100)
    assert e.low == pytest.approx(0.3 - half, abs=0.015)
    assert e.high == pytest.approx(0.3 + half, abs=0.015)


def test_weights_make_a_token_mean():
    assert estimate([2.0, 1.0], ["a", "b"], weights=[1, 3]).value == 1.25


def test_a_constant_change_has_no_width_whatever_the_items():
    e = paired_change([0.1, 0.9, 0.4], [0.2, 1.0, 0.5], ["a", "b", "c"])
    assert e.low == pytest.approx(0.1)
    assert e.high == pytest.approx(0.1)
