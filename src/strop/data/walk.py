"""A mixture gone through without end: which example stands at a position, counted over all epochs."""

from __future__ import annotations

from bisect import bisect_right
from typing import Generic, TypeVar

import numpy as np

from strop.data.mixture import Mixture

Item = TypeVar("Item")


class Walk(Generic[Item]):
    """Position -> example. The order within an epoch is drawn from (seed, epoch) alone."""

    def __init__(self, mixture: Mixture[Item]):
        self.mixture = mixture
        self._starts = [0]  # position at which each epoch begins, as far as known
        self._order: tuple[int, np.ndarray] = (-1, np.empty(0, np.int64))

    def __getitem__(self, position: int) -> Item:
        epoch = self.epoch_of(position)
        if self._order[0] != epoch:
            self._order = (epoch, self.mixture.order(epoch))
        return self.mixture[int(self._order[1][position - self._starts[epoch]])]

    def start_of(self, epoch: int) -> int:
        while len(self._starts) <= epoch:
            self._starts.append(self._starts[-1] + self.mixture.length(len(self._starts) - 1))
        return self._starts[epoch]

    def epoch_of(self, position: int) -> int:
        while self._starts[-1] <= position:
            self.start_of(len(self._starts))
        return bisect_right(self._starts, position) - 1
