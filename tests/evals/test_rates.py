"""Intervals of rates and of their paired changes: published values, both ends, and coverage with families."""

import numpy as np
import pytest

from strop.evals.rates import bonett_price, rate, rate_change, student, wilson


@pytest.mark.parametrize(
    ("solved", "n", "low", "high"),
    [  # Newcombe 1998, Statistics in Medicine 17:857-872, table I, method 3
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0, 0.1611),
        (1, 29, 0.0061, 0.1718),
        # z² / (n + z²) with z = 1.96
        (0, 164, 0.0, 0.0229),
        (164, 164, 0.9771, 1.0),
        (0, 1, 0.0, 0.7935),
    ],
)
def test_items_by_themselves_have_wilsons_interval(solved, n, low, high):
    e = rate([1] * solved + [0] * (n - solved), range(n))
    assert (e.value, e.n, e.groups) == (solved / n, n, n)
    assert (e.low, e.high) == (pytest.approx(low, abs=5e-5), pytest.approx(high, abs=5e-5))
    assert (e.low, e.high) == pytest.approx(wilson(solved / n, n))


def test_nothing_solved_in_alike_families_is_worth_the_families():
    """105 items in 21 families: as far as one can know, 21 tries."""
    e = rate([0] * 105, [i // 5 for i in range(105)])
    assert (e.low, e.n, e.groups) == (0.0, 105, 21)
    assert e.high == pytest.approx(wilson(0, 21, student(20))[1])
    assert rate([1] * 105, [i // 5 for i in range(105)]).low == pytest.approx(1 - e.high)


def test_one_success_more_never_narrows_to_less_than_independent_items():
    families = [i // 5 for i in range(105)]
    for solved in range(106):
        values = [1] * solved + [0] * (105 - solved)
        e = rate(values, families)
        low, high = wilson(solved / 105, 105)
        assert e.low <= low + 1e-12
        assert e.high >= high - 1e-12


def test_all_or_nothing_families_count_as_items():
    solved = [1] * 6 + [0] * 14
    e = rate(np.repeat(solved, 10).tolist(), np.repeat(range(20), 10).tolist())
    low, high = wilson(0.3, 20, student(19))
    assert (e.low, e.high) == (pytest.approx(low, abs=0.01), pytest.approx(high, abs=0.01))


def test_shares_of_tests_that_agree_are_narrower_than_successes():
    half = rate([0.5] * 50 + [0.4] * 50, range(100))
    assert half.value == pytest.approx(0.45)
    assert half.high - half.low < 0.06 < np.subtract(*wilson(0.45, 100)[::-1])


def test_one_family_of_several_items_has_no_interval():
    for e in (rate([1, 0], ["a", "a"]), rate_change([1, 0], [1, 1], ["a", "a"])):
        assert np.isnan([e.low, e.high]).all()


def test_what_is_no_share_is_refused():
    with pytest.raises(ValueError, match="between 0 and 1"):
        rate([0.5, 1.5], [1, 2])


def test_a_paired_change_by_hand():
    """Of 50 pairs 12 got better and 2 worse: p12 = 13/52, p21 = 3/52 (Bonett & Price 2012, their formula)."""
    before = [0] * 12 + [1] * 2 + [1] * 20 + [0] * 16
    after = [1] * 12 + [0] * 2 + [1] * 20 + [0] * 16
    better, worse = 13 / 52, 3 / 52
    half = 1.959964 * np.sqrt((better + worse - (better - worse) ** 2) / 52)
    e = rate_change(before, after, range(50))
    assert e.value == pytest.approx(0.2)
    assert (e.low, e.high) == (pytest.approx(10 / 52 - half), pytest.approx(10 / 52 + half))


def test_no_change_at_all_is_not_certainty():
    e = rate_change([0] * 164, [0] * 164, range(164))
    assert e.value == 0
    assert (e.low, e.high) == (pytest.approx(-0.0167, abs=5e-5), pytest.approx(0.0167, abs=5e-5))
    alike = rate_change([0] * 105, [0] * 105, [i // 5 for i in range(105)])
    assert (alike.low, alike.high) == pytest.approx(bonett_price(0, 0, 21, z=student(20)))


def test_a_change_stays_between_its_ends():
    e = rate_change([0] * 5, [1] * 5, range(5))
    assert (e.value, e.high) == (1, 1)
    assert 0 < e.low < 0.3


@pytest.mark.parametrize(("degrees", "expected"), [(1, 12.7062), (2, 4.3027), (3, 3.1824), (10, 2.2281), (100, 1.9840)])
def test_students_quantile(degrees, expected):
    assert student(degrees) == pytest.approx(expected, rel=0.0015)


@pytest.mark.parametrize("alike", [0.0, 0.3, 0.95])
@pytest.mark.parametrize(("families", "size"), [(8, 5), (25, 4), (40, 10)])
@pytest.mark.parametrize("true", [0.03, 0.3])
def test_the_intervals_cover(families, size, alike, true):
    """Beta-binomial families with correlation ``alike``: of 300 samples at least 92 % cover the true rate, and the true
    change of 0. (Four standard errors below 95 % would be 90 %.)"""
    random = np.random.default_rng(families)
    owner = np.repeat(range(families), size).tolist()
    scale = (1 - alike) / alike if alike else None

    def answers():
        rates = random.beta(true * scale, (1 - true) * scale, families) if scale else np.full(families, true)
        return (random.random(families * size) < np.repeat(rates, size)).astype(float)

    covered = np.zeros(2)
    for _ in range(300):
        before, after = answers(), answers()
        one, change = rate(before, owner), rate_change(before, after, owner)
        covered += [one.low <= true <= one.high, change.low <= 0 <= change.high]
    assert (covered / 300 > 0.92).all(), covered / 300


def test_weights_that_are_all_the_same_are_none():
    values, owner = [1, 0.5, 0, 1, 1, 0], [0, 0, 1, 1, 2, 2]
    for groups in (owner, range(6)):
        assert rate(values, groups, [3] * 6) == rate(values, groups)
        assert rate_change(values, values[::-1], groups, [3] * 6) == rate_change(values, values[::-1], groups)


def test_what_counts_twice_is_no_second_item():
    """All right: worth (Σw)² / Σw² items (Kish 1965), here 144 / 28, and by no means certain."""
    weights = [1, 2, 3, 1, 2, 3]
    e, change = rate([1] * 6, range(6), weights), rate_change([1] * 6, [1] * 6, range(6), weights)
    assert (e.value, e.n, e.high) == (1, 6, 1)
    assert e.low == pytest.approx(wilson(1, 144 / 28, student(4))[0])
    assert (change.low, change.high) == pytest.approx(bonett_price(0, 0, 6, 6 * 28 / 144, student(4)))
    assert rate([1, 0], range(2), [3, 1]).value == 0.75
    assert rate_change([0, 0], [1, 0], range(2), [3, 1]).value == 0.75


def test_a_family_of_several_weighted_items_is_one():
    e = rate([1] * 12, np.repeat(range(6), 2).tolist(), [1, 1, 2, 2, 3, 3, 1, 1, 2, 2, 3, 3])
    assert e.low == pytest.approx(wilson(1, 144 / 28, student(4))[0])


def test_without_any_weight_nothing_is_known():
    for e in (rate([1, 0], range(2), [0, 0]), rate_change([1, 0], [1, 1], range(2), [0, 0])):
        assert np.isnan([e.value, e.low, e.high]).all()
    with pytest.raises(ValueError, match="none below 0"):
        rate([1, 0], range(2), [1, -1])


@pytest.mark.parametrize("most", [3, 10])
@pytest.mark.parametrize("alike", [0.0, 0.3, 0.95])
@pytest.mark.parametrize(("items", "true"), [(6, 0.97), (20, 0.7), (60, 0.97)])
def test_weighted_intervals_cover(items, true, alike, most):
    """Prompts with 1 to ``most`` instructions, of which each is followed at a rate of the prompt's own: of 400 samples
    at least 92 % cover the true rate, and the true change of 0. (Four standard errors below 95 % would be 90.6 %.)"""
    random = np.random.default_rng(items)
    scale = (1 - alike) / alike if alike else None

    def answers(weights):
        rates = random.beta(true * scale, (1 - true) * scale, items) if scale else np.full(items, true)
        return random.binomial(weights, rates) / weights

    covered = np.zeros(2)
    for _ in range(400):
        weights = random.choice([1, 1, 2, most], items)
        before, after = answers(weights), answers(weights)
        one = rate(before, range(items), weights.tolist())
        change = rate_change(before, after, range(items), weights.tolist())
        covered += [one.low <= true <= one.high, change.low <= 0 <= change.high]
    assert (covered / 400 > 0.92).all(), covered / 400
