"""Rates and their paired changes with 95 % intervals that hold near 0 and 1, and for few families.

A *share* is a value in [0, 1] per item (1: solved; or the share of tests passed), a rate the mean of shares.

- A rate: Wilson's score interval (Wilson 1927). 0 of 164 gives [0, 2.3 %], not [0, 0].
- A change of a rate on the same items: Bonett and Price's interval (2012; among those that Fagerland, Lydersen and
  Laake 2014 recommend), which counts one pair more that got better and one that got worse.

Where families have several items, answers within one are alike, and n items are worth fewer. Both intervals are then
taken of the effective number n / D (Kish 1965; for Wilson's interval Franco, Little, Louis & Slud 2019), with the
quantile of Student's t for (families - 1) degrees of freedom (Korn & Graubard 1998). The design effect D is the
variance of the mean as the families show it over that of independent items, never below 1. Where nearly all items
come out the same there is next to nothing to see it from, so half a family that came out 1 throughout and half a one
that came out 0 are added to what is seen (for changes: +1 and -1). Where nothing varies at all, D is then the number
of items of a family: as if each family were one item. What that covers is simulated in tests/evals/test_rates.py.

Items may have weights (IFEval's prompts count by their instructions). The same holds with the weights in every sum.
D is then never below Kish's n Σw² / (Σw)² where nothing varies (six items that are all right are worth six at most),
and Student's t has (Σw)² / Σw² - 1 degrees of freedom, with the weights w of families.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from statistics import NormalDist

import numpy as np
from numpy import ndarray

from strop.evals.intervals import Estimate, numbered

Z = NormalDist().inv_cdf(0.975)


def rate(shares: Sequence[float], groups: Sequence[Hashable], weights: Sequence[float] | None = None) -> Estimate:
    """(Weighted) mean of ``shares`` (each in [0, 1]) by Wilson's interval; unknown for several items of one group, and
    where no item has a weight."""
    owner, count = numbered(groups, len(shares))
    values, weight = np.asarray(shares, dtype=np.float64), _weight(weights, len(shares))
    if values.min() < 0 or values.max() > 1:
        raise ValueError("a share lies between 0 and 1.")
    n, value = len(values), _mean(values, weight)
    if count == 1 < n or math.isnan(value):
        return Estimate(value, math.nan, math.nan, n, count)
    centre, seen, _ = _spread(values, weight, owner, count, (0.0, 1.0))
    effect = seen / ((n + n / count) * centre * (1 - centre))
    return Estimate(value, *wilson(value, n / effect, _quantile(weight, owner, count)), n, count)


def rate_change(
    before: Sequence[float],
    after: Sequence[float],
    groups: Sequence[Hashable],
    weights: Sequence[float] | None = None,
) -> Estimate:
    """(Weighted) mean of ``after - before`` of the same items by Bonett and Price's interval; unknown as `rate`'s."""
    owner, count = numbered(groups, len(before))
    change, weight = np.asarray(after, np.float64) - np.asarray(before, np.float64), _weight(weights, len(before))
    n, value = len(change), _mean(change, weight)
    if count == 1 < n or math.isnan(value):
        return Estimate(value, math.nan, math.nan, n, count)
    _, seen, independent = _spread(change, weight, owner, count, (-1.0, 1.0))
    sums = float((weight * change).sum()), float((weight * change**2).sum())
    return Estimate(value, *bonett_price(*sums, n, seen / independent, _quantile(weight, owner, count)), n, count)


def _weight(weights: Sequence[float] | None, items: int) -> ndarray:
    """``[items]``, 1 in the mean unless all are 0."""
    if weights is None:
        return np.ones(items)
    weight = np.asarray(weights, dtype=np.float64)
    if len(weight) != items or weight.min() < 0:
        raise ValueError("weights must be as many as the values, and none below 0.")
    return weight / weight.mean() if weight.any() else weight


def _mean(values: ndarray, weight: ndarray) -> float:
    return float((values * weight).sum() / len(values)) if weight.any() else math.nan


def wilson(share: float, n: float, z: float = Z) -> tuple[float, float]:
    """The score interval of ``share`` seen in ``n`` independent items."""
    middle = share + z * z / (2 * n)
    half = z * math.sqrt(share * (1 - share) / n + (z / (2 * n)) ** 2)
    scale = 1 + z * z / n
    # At 0 and 1 an end is the rate itself, which rounding must not hide.
    low = 0.0 if share == 0 else max(0.0, (middle - half) / scale)
    high = 1.0 if share == 1 else min(1.0, (middle + half) / scale)
    return float(low), float(high)


def bonett_price(total: float, squares: float, n: int, effect: float = 1.0, z: float = Z) -> tuple[float, float]:
    """The interval of a mean of changes, each in [-1, 1]: their sum, the sum of their squares, how many, and D."""
    size, total, squares = n / effect + 2, total / effect, squares / effect + 2
    middle = total / size
    half = z * math.sqrt(max(0.0, squares / size - middle**2) / size)
    return float(max(-1.0, middle - half)), float(min(1.0, middle + half))


def _spread(
    values: ndarray, weight: ndarray, owner: ndarray, count: int, ends: tuple[float, float]
) -> tuple[float, float, float]:
    """(The mean, the sum over families of (their values' sum about it)², the sum over items as if each were drawn by
    itself), half families included.

    The second is never below the sum over items of their squares: families that differ less than items do are chance.
    """
    size = len(values) / count
    centre = (float((weight * values).sum()) + size * sum(ends) / 2) / (len(values) + size)
    deviations, added = values - centre, sum((end - centre) ** 2 for end in ends) / 2
    drawn = float((weight * deviations**2).sum() + added * size)
    items = float((weight**2 * deviations**2).sum() + added * (weight**2).sum() / count)
    families = float((np.bincount(owner, weight * deviations, count) ** 2).sum())
    families += float(added * (np.bincount(owner, weight, count) ** 2).sum() / count)
    return centre, max(families, items), drawn


def _quantile(weight: ndarray, owner: ndarray, families: int) -> float:
    """Of the normal distribution where D is known to be 1, which it is of single items that all count the same."""
    if float(np.ptp(weight)) == 0:
        return Z if len(weight) == families else student(families - 1)
    mass = np.bincount(owner, weight)  # few that weigh much show little of how far all differ
    return Z if families == 1 else student(max(1, int(mass.sum() ** 2 / (mass**2).sum()) - 1))


def student(degrees: int) -> float:
    """The 97.5 % quantile of Student's t, right to 0.1 %.

    Exact for 1 and 2 degrees of freedom, else by the expansion of Fisher & Cornish (1960).
    """
    if degrees == 1:
        return math.tan(math.pi * 0.475)
    if degrees == 2:
        return 0.95 * math.sqrt(2 / (1 - 0.95**2))
    z, d = Z, degrees
    return (
        z
        + (z**3 + z) / (4 * d)
        + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * d**2)
        + (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / (384 * d**3)
        + (79 * z**9 + 776 * z**7 + 1482 * z**5 - 1920 * z**3 - 945 * z) / (92160 * d**4)
    )
