"""p-values by hand, by enumeration, against scipy and by simulation; how many items would tell, by simulation."""

import itertools
import math

import numpy as np
import pytest
from scipy.stats import permutation_test

from strop.compare.power import POWER, items_for_flips, items_for_mean, power_of_flips
from strop.compare.significance import holm, mcnemar, swap_test
from strop.evals.intervals import paired_change
from strop.evals.rates import rate_change


@pytest.mark.parametrize(
    ("gained", "lost", "p"),
    [
        (0, 0, 1.0),
        (1, 0, 1.0),  # 2 · (1/2)
        (5, 0, 2 / 32),
        (0, 6, 2 / 64),
        (6, 1, 2 * (1 + 7) / 128),  # C(7,0) + C(7,1)
        (12, 2, 2 * (1 + 14 + 91) / 2**14),
        (7, 7, 1.0),
    ],
)
def test_mcnemar_by_hand(gained, lost, p):
    assert mcnemar(gained, lost) == pytest.approx(p)
    assert mcnemar(lost, gained) == pytest.approx(p)


@pytest.mark.parametrize(("gained", "lost", "same"), [(6, 1, 5), (3, 3, 2), (9, 2, 0), (0, 0, 4)])
def test_swapping_right_and_wrong_items_is_mcnemars_test(gained, lost, same):
    changes = [1.0] * gained + [-1.0] * lost + [0.0] * same
    assert swap_test(changes, range(len(changes))) == pytest.approx(mcnemar(gained, lost))


def test_swaps_go_by_whole_families():
    """Enumerated by hand: four families, of which all items are swapped or none."""
    changes, families = [0.5, 0.5, -0.25, 1.0, 0.125], ["a", "a", "b", "c", "d"]
    totals = [1.0, -0.25, 1.0, 0.125]
    sums = [
        abs(sum(s * t for s, t in zip(signs, totals, strict=True))) for signs in itertools.product((1, -1), repeat=4)
    ]
    expected = np.mean([one >= sum(totals) - 1e-12 for one in sums])
    assert swap_test(changes, families) == expected
    assert swap_test(changes, range(5)) < expected  # as if independent: too sure


def test_weights_make_it_the_test_of_a_loss_per_token():
    rng = np.random.default_rng(0)
    before, tokens = rng.normal(2, 0.3, 9), rng.integers(5, 50, 9)
    after = before + rng.normal(-0.1, 0.2, 9)
    found = permutation_test(
        (after * tokens, before * tokens), lambda x, y, axis: (x - y).sum(axis), permutation_type="samples",
        n_resamples=np.inf, vectorized=True,
    )  # fmt: skip
    assert swap_test(after - before, range(9), tokens) == pytest.approx(found.pvalue)


def test_many_families_are_drawn_and_agree_with_the_exact_binomial():
    changes = [1.0] * 30 + [-1.0] * 14 + [0.0] * 200
    assert swap_test(changes, range(244)) == pytest.approx(mcnemar(30, 14), abs=0.01)
    assert swap_test([1.0] * 40, range(40)) == 1 / 10_000  # never 0


@pytest.mark.parametrize("families", [1, 4])
def test_without_a_change_one_in_twenty_is_called_one(families):
    """600 evaluations of 24 items whose families are alike: 5 % ± 3 standard errors of false alarms."""
    rng = np.random.default_rng(families)
    found = 0
    for _ in range(600):
        shared = np.repeat(rng.normal(size=24 // families), families)
        found += swap_test(shared + 0.3 * rng.normal(size=24), np.repeat(range(24 // families), families)) <= 0.05
    assert 600 * 0.05 - 16 <= found <= 600 * 0.05 + 16


def test_holm_by_hand():
    """Four tests, Holm 1979: 4 · 0.01, then 3 · 0.02, 2 · 0.03 and 0.04, none below an earlier one."""
    assert holm({"a": 0.04, "b": 0.01, "c": 0.03, "d": 0.02}) == pytest.approx(
        {"a": 0.06, "b": 0.04, "c": 0.06, "d": 0.06}
    )
    assert holm({"a": 0.5, "b": 0.6}) == {"a": 1.0, "b": 1.0}
    assert holm({}) == {}


def test_holm_keeps_the_chance_of_any_false_claim_at_one_in_twenty():
    p = np.random.default_rng(3).uniform(size=(4000, 6))
    any_claim = sum(min(holm(dict(enumerate(one))).values()) <= 0.05 for one in p)
    assert any_claim / 4000 == pytest.approx(0.05, abs=0.011)


@pytest.mark.parametrize(("least", "flipping", "level"), [(0.05, 0.1, 0.05), (0.1, 0.4, 0.05), (0.05, 0.05, 0.05 / 3)])
def test_the_number_of_items_that_would_do_does(least, flipping, level):
    """Simulated: of 3,000 evaluations with that many items, as many find the change as were promised."""
    items = items_for_flips(least, flipping, level)
    rng = np.random.default_rng(1)
    up = (flipping + least) / 2
    drawn = rng.multinomial(items, [up, flipping - up, 1 - flipping], size=3000)
    found = np.mean([mcnemar(gained, lost) <= level for gained, lost, _ in drawn])
    assert found == pytest.approx(power_of_flips(items, least, flipping, level), abs=0.022)  # 3 standard errors
    assert POWER - 0.022 <= found <= POWER + 0.05
    assert power_of_flips(int(0.9 * items), least, flipping, level) < POWER


def test_more_items_are_needed_for_less():
    assert items_for_flips(0.02, 0.1) > 4 * items_for_flips(0.05, 0.1)
    assert items_for_flips(0.05, 0.1, 0.01) > items_for_flips(0.05, 0.1)
    assert items_for_flips(1e-4, 0.5) is None  # above ten million
    for least in (0, 1.5, float("nan")):
        with pytest.raises(ValueError, match="a rate changes by"):
            items_for_flips(least, 0.1)
    assert items_for_flips(0.2, 0.01) == items_for_flips(0.2, 0.2)  # a change of 20 points flips 20 % of items


@pytest.mark.parametrize("families", [1, 5])
def test_the_number_for_means_does_too(families):
    """From one evaluation of 200 items the number for a change of 0.1; then 300 evaluations of that many."""
    rng = np.random.default_rng(5)

    def evaluation(items, change):
        shared = np.repeat(rng.normal(0, 0.5, items // families), families)
        return change + shared + rng.normal(0, 0.4, items // families * families)

    names = np.repeat(range(200 // families), families).tolist()
    seen = paired_change(np.zeros(200), evaluation(200, 0.0), names)
    items = items_for_mean(0.1, seen)
    names = np.repeat(range(items // families), families)
    found = np.mean([swap_test(evaluation(items, 0.1), names) <= 0.05 for _ in range(120)])
    assert found == pytest.approx(POWER, abs=0.15)  # the spread is estimated from 40 or 200 families


def test_an_unknown_interval_gives_no_number():
    alone = rate_change([0, 1], [1, 1], ["a", "a"])
    assert math.isnan(alone.low)
    assert items_for_mean(0.05, alone) is None


def test_a_change_that_did_not_vary_is_not_known_to_vary_by_nothing():
    """Losses 0.4 apart, unchanged: six conversations do not show that others would not change by 0.1; 48 do."""
    few, more = (paired_change([2.0] * n, [2.0] * n, range(n)) for n in (6, 48))
    assert few.low == few.high == 0
    assert items_for_mean(0.1, few) is None
    assert items_for_mean(0.1, few, spread=0.4) == math.ceil(6 * (2.8016 * (0.4 / 7) / 0.1) ** 2) == 16
    assert items_for_mean(0.1, more, spread=0.4) <= 48
