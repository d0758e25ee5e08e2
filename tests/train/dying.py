"""A run that ends in the middle, for tests of resuming."""

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
