"""How far probabilities can be believed, and what a score goes along with."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

BINS = 10


def expected_calibration_error(chances: Sequence[float], happened: Sequence[bool]) -> float:
    """``Σ_b n_b/n · |share right in b - mean confidence in b|`` over `BINS` bins of equal width, for predictions of one
    of two outcomes (Naeini et al. 2015; Guo et al. 2017).

    ``chances [n]``: of an outcome that ``happened [n]`` or not. The confidence is the chance of the likelier outcome,
    in 0.5 … 1, and right is that this one came; at 0.5 either would be, which counts one half.
    """
    p, y = np.asarray(chances, np.float64), np.asarray(happened, bool)
    confidence = np.maximum(p, 1 - p)
    right = np.where(p == 0.5, 0.5, (p > 0.5) == y)
    bins = np.minimum(((confidence - 0.5) * 2 * BINS).astype(int), BINS - 1)
    off = np.abs(np.bincount(bins, right - confidence, BINS))
    return float(off.sum() / len(p))


def correlation(x: Sequence[float], y: Sequence[float]) -> float | None:
    """Pearson's; None where one of them does not vary."""
    a, b = (np.asarray(values, np.float64) for values in (x, y))
    a, b = a - a.mean(), b - b.mean()
    size = float(np.sqrt((a**2).sum() * (b**2).sum()))
    return float((a * b).sum()) / size if size > 0 else None
