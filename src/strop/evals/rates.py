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
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from statistics import NormalDist

import numpy as np
from numpy import ndarray

from strop.evals.intervals import Estimate, numbered

Z = NormalDist().inv_cdf(0.975)


def rate(shares: Sequence[float], groups: Sequence[Hashable]) -> Estimate:
    """Mean of ``shares`` (each in [0, 1]) by Wilson's interval; unknown for several items of one group."""
    owner, count = numbered(groups, len(shares))
    values = np.asarray(shares, dtype=np.float64)
    if values.min() < 0 or values.max() > 1:
        raise ValueError("a share lies between 0 and 1.")
    n, value = len(values), float(values.mean())
    if count == 1 < n:
        return Estimate(value, math.nan, math.nan, n, 1)
    centre, seen, _ = _spread(values, owner, count, (0.0, 1.0))
    effect = seen / ((n + n / count) * centre * (1 - centre))
    return Estimate(value, *wilson(value, n / effect, _quantile(n, count)), n, count)


def rate_change(before: Sequence[float], after: Sequence[float], groups: Sequence[Hashable]) -> Estimate:
    """Mean of ``after - before`` of the same items by Bonett and Price's interval; unknown for items of one group."""
    owner, count = numbered(groups, len(before))
    change = np.asarray(after, dtype=np.float64) - np.asarray(before, dtype=np.float64)
    n, value = len(change), float(change.mean())
    if count == 1 < n:
        return Estimate(value, math.nan, math.nan, n, 1)
    _, seen, independent = _spread(change, owner, count, (-1.0, 1.0))
    sums = float(change.sum()), float((change**2).sum())
    return Estimate(value, *bonett_price(*sums, n, seen / independent, _quantile(n, count)), n, count)


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


def _spread(values: ndarray, owner: ndarray, count: int, ends: tuple[float, float]) -> tuple[float, float, float]:
    """(The mean, the sum over families of (their values' sum about it)², the sum over items), half families included.

    The second is never below the third: families that differ less than items do are chance.
    """
    size = len(values) / count
    centre = (values.sum() + size * sum(ends) / 2) / (len(values) + size)
    deviations, added = values - centre, sum((end - centre) ** 2 for end in ends) / 2
    items = float((deviations**2).sum() + added * size)
    families = float((np.bincount(owner, deviations, count) ** 2).sum() + added * size**2)
    return centre, max(families, items), items


def _quantile(items: int, families: int) -> float:
    return Z if items == families else student(families - 1)


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
