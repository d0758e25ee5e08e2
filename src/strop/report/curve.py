"""Training logs as curves: one value per step, smoothed, thinned, and the range worth showing."""

import numpy as np

from strop.report.files import LoggedStep

MOST_POINTS = 600  # more would only make the page heavier


def series(steps: list[LoggedStep], name: str) -> np.ndarray:
    """``[points, 2]`` of (step, value), ascending. A resumed run repeats steps; what was logged last counts."""
    values = {step.step: value for step in steps if (value := getattr(step, name)) is not None}
    return np.array(sorted(values.items()), dtype=float).reshape(-1, 2)


def smoothing_span(points: int) -> int:
    """Over how many steps the loss is averaged: a twentieth of the run, between 3 and 50."""
    return min(50, max(3, points // 20))


def smoothed(points: np.ndarray) -> np.ndarray:
    """``points`` with column 1 averaged around each step by a Hann window, ``smoothing_span`` wide at half its height.

    Centred, so that it does not lag behind a falling loss as an exponential average does; cut at the ends of the run.
    """
    window = np.hanning(2 * smoothing_span(len(points)) + 1)
    reach = len(window) // 2
    sums, weights = (np.convolve(values, window)[reach:-reach] for values in (points[:, 1], np.ones(len(points))))
    return np.column_stack([points[:, 0], sums / weights])


def thinned(points: np.ndarray) -> np.ndarray:
    """At most ``MOST_POINTS`` of the points, evenly spaced, with the first and the last."""
    if len(points) <= MOST_POINTS:
        return points
    return points[np.linspace(0, len(points) - 1, MOST_POINTS).round().astype(int)]


def loss_limits(train: np.ndarray, held_out: np.ndarray) -> tuple[float, float]:
    """Room for all but the wildest hundredth of the steps, so that one spike does not flatten the curve.

    ``train`` and ``held_out`` are losses, ``[points]`` each, the first not empty.
    """
    low = min([np.quantile(train, 0.01), train[-1], *held_out])
    high = max([np.quantile(train, 0.99), *held_out])
    margin = 0.06 * (high - low) or 0.1
    return max(0.0, low - margin), high + margin
