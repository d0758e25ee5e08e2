"""Means with 95 % intervals when items come in groups (families).

Items of one family are alike, so they are not independent draws. The bootstrap draws whole families with replacement
(cluster bootstrap, Field & Welsh 2007) and takes the 2.5th and 97.5th percentile of the resampled means. That is for
losses; rates and their changes are in `strop.evals.rates`, since of a rate at 0 or 1 a bootstrap sees no spread.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import asdict, dataclass

import numpy as np
from numpy import ndarray

DRAWS = 10_000
MOST_UNITS = 2048
"""More families than these are dealt at random into as many bundles, which are resampled whole (random groups, Wolter
2007, chapter 2): an interval then costs the same for a million items, and its width is known to about 2 %."""
_BLOCK = 1 << 20
"""Draws of a family that are held at once."""


@dataclass(frozen=True)
class Estimate:
    """A mean with its 95 % interval; ``n`` items in ``groups`` independent groups. NaN ends: unknown."""

    value: float
    low: float
    high: float
    n: int
    groups: int

    def to_dict(self) -> dict[str, float | int | None]:
        """For JSON: an unknown bound is None."""
        return {k: None if v != v else v for k, v in asdict(self).items()}


def estimate(
    values: Sequence[float],
    groups: Sequence[Hashable],
    weights: Sequence[float] | None = None,
    seed: int = 0,
    of_mean: Callable[[ndarray], ndarray] | None = None,
) -> Estimate:
    """Weighted mean of ``values`` (``weights`` default to 1) with a bootstrap over ``groups``.

    ``of_mean``: what is given is this function of the mean, e.g. the exponential, and its interval. With one group only
    there is nothing to resample and the interval is unknown: NaN at both ends.
    """
    return _change([], values, groups, weights, seed, of_mean)


def paired_change(
    before: Sequence[float],
    after: Sequence[float],
    groups: Sequence[Hashable],
    weights: Sequence[float] | None = None,
    seed: int = 0,
    of_mean: Callable[[ndarray], ndarray] | None = None,
) -> Estimate:
    """Mean of ``after - before`` on the same items; the interval is of the change, so item difficulty cancels.

    With ``of_mean``, the change of that function of the mean: the same groups are drawn for both sides.
    """
    if of_mean is None:
        return estimate([b - a for a, b in zip(before, after, strict=True)], groups, weights, seed)
    return _change([before], after, groups, weights, seed, of_mean)


def _change(
    before: Sequence[Sequence[float]],
    after: Sequence[float],
    groups: Sequence[Hashable],
    weights: Sequence[float] | None,
    seed: int,
    of_mean: Callable[[ndarray], ndarray] | None,
) -> Estimate:
    """A function of the mean of ``after``, less that of ``before`` where there is one."""
    owner, count = numbered(groups, len(after))
    weight = np.ones(len(after)) if weights is None else np.asarray(weights, dtype=np.float64)
    mass = np.bincount(owner, weight)
    sides = [np.bincount(owner, np.asarray(values, dtype=np.float64) * weight) for values in (after, *before)]
    value = float(_difference([total.sum(keepdims=True) / mass.sum() for total in sides], of_mean)[0])
    if count == 1:
        return Estimate(value, float("nan"), float("nan"), len(after), 1)
    random = np.random.default_rng(seed)
    if count > MOST_UNITS:
        bundle = random.permutation(count) % MOST_UNITS
        sides, mass = [np.bincount(bundle, total) for total in sides], np.bincount(bundle, mass)
    low, high = np.percentile(_difference(_resampled_means(sides, mass, random), of_mean), [2.5, 97.5])
    return Estimate(value, float(low), float(high), len(after), count)


def _difference(means: Sequence[ndarray], of_mean: Callable[[ndarray], ndarray] | None) -> ndarray:
    first, *second = means if of_mean is None else map(of_mean, means)
    return first - second[0] if second else first


def numbered(groups: Sequence[Hashable], items: int) -> tuple[ndarray, int]:
    """Which group every item is of, ``[items]`` counted from 0 in order of appearance, and how many groups there are.

    Raises ValueError when there are no items, or not as many as groups are given for.
    """
    if not len(groups) == items > 0:
        raise ValueError("values and groups must have the same length, at least one.")
    index = {group: i for i, group in enumerate(dict.fromkeys(groups))}
    return np.array([index[group] for group in groups]), len(index)


def _resampled_means(sides: Sequence[ndarray], mass: ndarray, random: np.random.Generator) -> list[ndarray]:
    """For each side ``DRAWS`` means, each of as many units drawn with replacement, the same for all sides; a block at a
    time, so that memory stays small."""
    units = len(mass)
    rows = max(1, _BLOCK // units)
    means = [np.empty(DRAWS) for _ in sides]
    for first in range(0, DRAWS, rows):
        drawn = random.integers(0, units, (min(rows, DRAWS - first), units), dtype=np.int32)
        for found, total in zip(means, sides, strict=True):
            found[first : first + rows] = total[drawn].sum(1) / mass[drawn].sum(1)
    return means
