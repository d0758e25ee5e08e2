"""Intervals by resampling families."""

import tracemalloc

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


def test_many_items_need_little_memory_and_have_the_usual_interval():
    random = np.random.default_rng(3)
    values, weights = random.normal(2.5, 1, 14_042), random.integers(5, 300, 14_042)
    tracemalloc.start()
    e = estimate(values.tolist(), range(14_042), weights=weights.tolist())
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 100e6
    assert (e.n, e.groups) == (14_042, 14_042)
    share = weights / weights.sum()
    half = 1.96 * np.sqrt((share**2 * (values - e.value) ** 2).sum())
    assert e.low == pytest.approx(e.value - half, abs=0.06 * half)
    assert e.high == pytest.approx(e.value + half, abs=0.06 * half)


def test_an_interval_is_the_same_every_time():
    values = np.random.default_rng(0).normal(size=6000).tolist()
    assert estimate(values, range(6000)) == estimate(values, range(6000))
