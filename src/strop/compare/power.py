"""How many items would tell: as many as find a change of a given size in 80 % of evaluations, at the 5 % level."""

from __future__ import annotations

import math
from statistics import NormalDist

import numpy as np
from scipy.stats import binom

from strop.evals.gates import POWER
from strop.evals.intervals import Estimate
from strop.evals.rates import Z

LEVEL = 0.05
MOST_ITEMS = 10_000_000


def items_for_flips(least: float, flipping: float, level: float = LEVEL) -> int | None:
    """Items with which McNemar's exact test finds a change of a rate by ``least`` with a power of `POWER`.

    ``flipping``: the share of items that flip, either way (at least ``least`` of them must). The power is computed, not
    approximated: of m items a binomial number flips, of those a binomial number one way. None above `MOST_ITEMS`.
    Raises ValueError for a ``least`` that no rate can change by.
    """
    if not 0 < least <= 1:
        raise ValueError(f"a rate changes by more than 0 and at most 1, not by {least}.")
    flipping = min(1.0, max(flipping, least))
    low, high = 1, 16
    while power_of_flips(high, least, flipping, level) < POWER:
        low, high = high, 2 * high
        if high > MOST_ITEMS:
            return None
    while high - low > 1:
        middle = (low + high) // 2
        if power_of_flips(middle, least, flipping, level) < POWER:
            low = middle
        else:
            high = middle
    return high


def power_of_flips(items: int, least: float, flipping: float, level: float = LEVEL) -> float:
    """The probability that McNemar's exact test finds a change of ``least`` in ``items`` of which ``flipping`` flip."""
    first, last = binom.ppf([1e-9, 1 - 1e-9], items, flipping)
    flips = np.arange(int(first), int(last) + 1)
    bound = binom.ppf(level / 2, flips, 0.5)  # the smallest whose tail reaches level / 2
    bound = np.where(binom.cdf(bound, flips, 0.5) <= level / 2, bound, bound - 1)
    up = (flipping + least) / (2 * flipping)
    found = binom.cdf(bound, flips, up) + binom.sf(flips - bound - 1, flips, up)
    return float((binom.pmf(flips, items, flipping) * np.where(bound < 0, 0.0, found)).sum())


def items_for_mean(least: float, change: Estimate, level: float = LEVEL, spread: float = 0.0) -> int | None:
    """Items, in families like those seen, with which a mean that varies as ``change`` did shows a change of ``least``.

    m = n ((z_{1-level/2} + z_{power}) s / least)^2 with s the standard error of the change, read off its 95 % interval.
    ``spread``: how far families differ; s is never below ``spread`` / (families + 1), as if one more had changed by as
    much, since a few that did not change at all do not show that others would not. None where s is not known, or is 0,
    or m is above `MOST_ITEMS`.
    """
    error = max((change.high - change.low) / (2 * Z), spread / (change.groups + 1))
    if math.isnan(change.low) or error == 0:
        return None
    normal = NormalDist()
    needed = change.n * ((normal.inv_cdf(1 - level / 2) + normal.inv_cdf(POWER)) * error / least) ** 2
    return max(2, math.ceil(needed)) if needed <= MOST_ITEMS else None
