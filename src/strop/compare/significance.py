"""Whether a change on the same items may be chance, and what looking at several metrics costs.

- Right or wrong on independent items: McNemar's test, exact (McNemar 1947; the binomial form). Only items that flipped
  count; under the null each went either way with probability 1/2.
- Anything else (shares of tests, losses, several items of a family): the same idea for numbers. Under the null the two
  models may be swapped, family by family, so the sum of changes is compared with those under swapped signs
  (Fisher's randomisation test for pairs; clustered by family). On independent right-or-wrong items it is McNemar's.
- Several metrics: Holm's step-down correction (Holm 1979).
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import TypeVar

import numpy as np
from numpy import ndarray
from scipy.stats import binomtest

from strop.evals.intervals import numbered

SWAPS = 9_999
"""Random swaps, where there are too many to try all."""
ENUMERATED = 13
"""Up to so many families that differ, all of the 2^13 swaps are tried."""
_BLOCK = 1 << 22
_EQUAL = 1e-9
Key = TypeVar("Key", bound=Hashable)


def mcnemar(gained: int, lost: int) -> float:
    """Two-sided p of so many items gained and lost, exact; 1 where none flipped."""
    return float(binomtest(gained, gained + lost).pvalue) if gained + lost else 1.0


def swap_test(
    changes: Sequence[float], groups: Sequence[Hashable], weights: Sequence[float] | None = None, seed: int = 0
) -> float:
    """Two-sided p of the (weighted) mean of ``changes``, each item's after less before, by swapping whole ``groups``.

    Exact for at most `ENUMERATED` groups that differ; else of `SWAPS` random swaps, the one seen counted among them, so
    that p is never too small (Phipson & Smyth 2010). Raises ValueError as `numbered` does.
    """
    owner, count = numbered(groups, len(changes))
    weight = np.ones(len(changes)) if weights is None else np.asarray(weights, dtype=np.float64)
    totals = np.bincount(owner, np.asarray(changes, dtype=np.float64) * weight, count)
    scale = np.abs(totals).max()
    totals = totals[np.abs(totals) > _EQUAL * scale] / (scale or 1.0)
    if not len(totals):
        return 1.0
    seen = abs(totals.sum()) - _EQUAL * len(totals)  # rounding makes no difference of what is none
    if len(totals) <= ENUMERATED:
        bits = np.arange(1 << len(totals))[:, None] >> np.arange(len(totals)) & 1
        return float((np.abs(_signed(bits, totals)) >= seen).mean())
    random, rows, beyond = np.random.default_rng(seed), max(1, _BLOCK // len(totals)), 1
    for first in range(0, SWAPS, rows):
        bits = random.integers(0, 2, (min(rows, SWAPS - first), len(totals)), dtype=np.int8)
        beyond += int((np.abs(_signed(bits, totals)) >= seen).sum())
    return beyond / (SWAPS + 1)


def _signed(bits: ndarray, totals: ndarray) -> ndarray:
    """``[rows]``: the sums of ``totals`` where a bit of 1 keeps the sign and one of 0 turns it."""
    return 2 * (bits @ totals) - totals.sum()


def holm(p: Mapping[Key, float]) -> dict[Key, float]:
    """p-values adjusted for their number: compare each with 0.05, and the chance of any false claim is at most that."""
    adjusted, highest = {}, 0.0
    for rank, key in enumerate(sorted(p, key=p.__getitem__)):
        highest = max(highest, min(1.0, (len(p) - rank) * p[key]))
        adjusted[key] = highest
    return {key: adjusted[key] for key in p}
