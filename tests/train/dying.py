"""A run that ends in the middle, or whose step fails there, for tests of resuming and going back."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager

import pytest

from strop.train import loop


@contextmanager
def dying_at(step: int) -> Iterator[None]:
    """Inside, a run dies at its ``step``-th optimiser step (from 1), which has to come."""
    with _raising_at(step, SystemError("the power went")), pytest.raises(SystemError):
        yield


def failing_at(step: int) -> AbstractContextManager[None]:
    """Inside, the ``step``-th optimiser step (from 1) finds no finite loss, and is skipped."""
    return _raising_at(step, FloatingPointError("the loss is nan"))


@contextmanager
def _raising_at(step: int, error: Exception) -> Iterator[None]:
    real, calls = loop.optimizer_step, []

    def step_or_raise(*args):
        calls.append(1)
        if len(calls) == step:
            raise error
        return real(*args)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop, "optimizer_step", step_or_raise)
        yield
