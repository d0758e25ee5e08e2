"""Means with 95 % intervals when items come in groups.

Items of one family are alike, so they are not independent draws; the bootstrap draws whole families with replacement
(cluster bootstrap, Field & Welsh 2007) and takes the 2.5th and 97.5th percentile of the resampled means.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import asdict, dataclass

import numpy as np

DRAWS = 10_000


@dataclass(frozen=True)
class Estimate:
    """A mean with its 95 % interval; ``n`` items in ``groups`` independent groups."""

    value: float
    low: float
    high: float
    n: int
    groups: int

    def to_dict(self) -> dict[str, float | int | None]:
        """For JSON: an unknown bound is None."""
        return {k: None if v != v else v for k, v in asdict(self).items()}


def estimate(
    values: Sequence[float], groups: Sequence[Hashable], weights: Sequence[float] | None = None, seed: int = 0
) -> Estimate:
    """Weighted mean of ``values`` (``weights`` default to 1) with a bootstrap over ``groups``.

    With one group only there is nothing to resample and the interval is unknown: NaN at both ends.
    """
    if not len(values) == len(groups) > 0:
        raise ValueError("values and groups must have the same length, at least one.")
    index = {group: i for i, group in enumerate(dict.fromkeys(groups))}
    owner = np.array([index[g] for g in groups])
    weight = np.ones(len(values)) if weights is None else np.asarray(weights, dtype=np.float64)
    total = np.bincount(owner, np.asarray(values, dtype=np.float64) * weight)
    mass = np.bincount(owner, weight)
    value = float(total.sum() / mass.sum())
    if len(index) == 1:
        return Estimate(value, float("nan"), float("nan"), len(values), 1)
    drawn = np.random.default_rng(seed).integers(0, len(index), (DRAWS, len(index)))
    means = total[drawn].sum(1) / mass[drawn].sum(1)
    low, high = np.percentile(means, [2.5, 97.5])
    return Estimate(value, float(low), float(high), len(values), len(index))


def paired_change(
    before: Sequence[float],
    after: Sequence[float],
    groups: Sequence[Hashable],
    weights: Sequence[float] | None = None,
    seed: int = 0,
) -> Estimate:
    """Mean of ``after - before`` on the same items; the interval is of the change, so item difficulty cancels."""
    return estimate([b - a for a, b in zip(before, after, strict=True)], groups, weights, seed)
