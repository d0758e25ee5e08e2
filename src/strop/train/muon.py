"""torch's Muon, also over stacks of matrices ``[E, out, in]``, as mixtures of experts keep them.

``B = μB + (1-μ)g``, ``O = NS5((1-μ)g + μB)`` (five Newton-Schulz steps in bfloat16, which bring the singular values
near 1), ``W = W·(1 - lr·wd) - lr·c·O``, with ``c = 0.2·√max(out, in)`` for ``match_rms_adamw`` and
``√max(1, out/in)`` for ``original``. Sources: Jordan et al. 2024, Muon: An optimizer for hidden layers in neural
networks; torch.optim.Muon.
"""

from __future__ import annotations

from typing import Any

import torch


class Muon(torch.optim.Muon):
    """Every matrix of a stack is a parameter of its own here: a view that shares the stack's memory and gradient."""

    def __init__(self, groups: list[dict[str, Any]], **arguments: Any):
        self._stacks: list[tuple[torch.Tensor, list[torch.Tensor]]] = []
        super().__init__([{**group, "params": self._matrices(group["params"])} for group in groups], **arguments)

    def _matrices(self, named: list[tuple[str, torch.Tensor]]) -> list[tuple[str, torch.Tensor]]:
        flat = []
        for name, tensor in named:
            if tensor.ndim == 2:
                flat.append((name, tensor))
            else:
                views = list(tensor.detach().unbind(0))
                self._stacks.append((tensor, views))
                flat += [(f"{name}.{i}", view) for i, view in enumerate(views)]
        return flat

    def step(self, closure=None) -> None:
        for stack, views in self._stacks:
            for i, view in enumerate(views):
                view.grad = None if stack.grad is None else stack.grad[i]
        super().step(closure)
        for _, views in self._stacks:
            for view in views:
                view.grad = None  # else it would outlive the stack's
