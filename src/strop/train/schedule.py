"""The learning rate as a function of the step.

With ``n`` steps, of which ``w`` are warm-up, step ``s`` counts from 0, ``m`` is ``min_lr_ratio``, and progress is
``t = (s - w) / (n - 1 - w)``: 0 at the first step after warm-up, 1 at the last step. The share of the peak is

- warm-up, ``s < w``: ``(s + 1) / w``, which reaches the peak at its last step;
- ``constant``: ``1``;
- ``linear``: ``m + (1 - m)·(1 - t)``;
- ``cosine``: ``m + (1 - m)·(1 + cos πt)/2`` (Loshchilov & Hutter 2017, SGDR; with ``m`` = 0.1: ``0.1 + 0.45·(1 + cos
  πt)``);
- ``minimind``: ``m + (1 - m)·(1 + cos(π·(s + 1)/n))/2``, which ends at ``m`` in the last step too, but counts all ``n``
  steps and has no warm-up (MiniMind's ``get_lr``: ``0.1 + 0.45·(1 + cos(π·step/steps))``, steps from 1);
- ``wsd`` (Hu et al. 2024, MiniCPM): ``1`` until the last ``d = decay_ratio·n`` steps, in which
  ``u = (s + 1 - (n - d)) / d`` goes up to 1 and the share is ``m + (1 - m)·(1 - u)``, or with ``decay_shape: 1-sqrt``
  ``m + (1 - m)·(1 - √u)`` (Hägele et al. 2024).

Every rate, also that of a group, is its peak × ``init_lr_frac`` × this share.
"""

from __future__ import annotations

import math

from strop.common.errors import InputError
from strop.train.settings import OptimizerSettings


def lr_share(step: int, steps: int, settings: OptimizerSettings) -> float:
    """``init_lr_frac`` × the schedule's share of the peak (formulas above) in step ``step`` (from 0), in 0 … 1."""
    warmup = warmup_steps(steps, settings)
    if step < warmup:
        return settings.init_lr_frac * ((step + 1) / warmup)
    floor = settings.min_lr_ratio
    if settings.schedule == "constant":
        share = 1.0
    elif settings.schedule == "wsd":
        decay = decay_steps(steps, settings)
        u = max(0, step + 1 - (steps - decay)) / decay
        share = floor + (1 - floor) * (1 - (math.sqrt(u) if settings.decay_shape == "1-sqrt" else u))
    else:
        t = min(1.0, (step - warmup) / max(1, steps - 1 - warmup))
        t = (step + 1) / steps if settings.schedule == "minimind" else t
        left = 1 - t if settings.schedule == "linear" else 0.5 * (1 + math.cos(math.pi * t))
        share = floor + (1 - floor) * left
    return settings.init_lr_frac * share


def warmup_steps(steps: int, settings: OptimizerSettings) -> int:
    if settings.schedule == "minimind":
        return 0
    return round(settings.warmup_ratio * steps) if settings.warmup_steps is None else settings.warmup_steps


def decay_steps(steps: int, settings: OptimizerSettings) -> int:
    """Steps of the decay of ``wsd``: at least one, and never steps of the warm-up through rounding."""
    return max(1, min(round(settings.decay_ratio * steps), steps - warmup_steps(steps, settings)))


def check_schedule(steps: int, settings: OptimizerSettings) -> None:
    """Raises InputError where ``warmup_steps`` does not fit into the run."""
    warmup = settings.warmup_steps or 0
    if warmup >= steps and warmup:
        raise InputError(f"warmup_steps {warmup} of {steps} steps leaves none at the peak; lower it below {steps}.")
    if settings.schedule == "wsd" and settings.warmup_steps is not None:
        decay = round(settings.decay_ratio * steps)
        if warmup + decay > steps:
            raise InputError(
                f"warmup_steps {warmup} and decay_ratio {settings.decay_ratio:g} ({decay} steps) are more than the "
                f"{steps} steps of this run; lower one of them."
            )
