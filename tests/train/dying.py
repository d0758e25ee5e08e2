"""A run that ends in the middle, or whose step fails there, for tests of resuming and going back."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from strop.train import loop


@contextmanager
def dying_at(step: int) -> Iterator[None]:
    """Inside, a run dies at its ``step``-th optimiser step (from 1), which has to come."""
    real, calls = loop.optimizer_step, []

    def step_then_die(*args):
        calls.append(1)
        if len(calls) == step:
            raise SystemError("the power went")
        return real(*args)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop, "optimizer_step", step_then_die)
        with pytest.raises(SystemError):
            yield


@contextmanager
def failing_at(step: int) -> Iterator[None]:
    """Inside, the ``step``-th optimiser step (from 1) finds no finite loss, and is skipped."""
    real, calls = loop.optimizer_step, []

    def step_or_fail(*args):
        calls.append(1)
        if len(calls) == step:
            raise FloatingPointError("the loss is nan")
        return real(*args)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop, "optimizer_step", step_or_fail)
        yield
