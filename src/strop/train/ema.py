"""A running average of the weights, which evaluates and is saved in their place."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor


class EMA:
    """``a = decay·a + (1 - decay)·w`` after every step, from ``a = w`` at the start; 4 bytes per trained parameter.

    ``named`` are the float32 tensors that the optimiser steps; ``publish`` is called after this class wrote to them, to
    bring the model up to date. Source: Polyak & Juditsky 1992; Morales-Brotons et al. 2024, Exponential Moving Average
    of Weights in Deep Learning.
    """

    def __init__(self, named: Mapping[str, Tensor], decay: float, publish: Callable[[], None] = lambda: None):
        self._weights = dict(named)
        self._average = {name: w.detach().clone() for name, w in named.items()}
        self._decay = decay
        self._publish = publish

    @torch.no_grad()
    def update(self) -> None:
        """After an optimiser step."""
        torch._foreach_lerp_(list(self._average.values()), list(self._weights.values()), 1 - self._decay)

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """Inside, the model is the average; after it, what it was, bit for bit. No step and no `update` inside."""
        self.swap()
        try:
            yield
        finally:
            self.swap()

    @torch.no_grad()
    def swap(self) -> None:
        """Exchange the weights and their average."""
        for name, weight in self._weights.items():  # by content: others hold these tensors, or views of them
            average = self._average[name]
            held = weight.clone()
            weight.copy_(average)
            average.copy_(held)
        self._publish()

    def state_dict(self) -> dict[str, Tensor]:
        return dict(self._average)

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        for name, average in self._average.items():
            average.copy_(state[name])
