"""Muon (Jordan et al. 2024, Muon: An optimizer for hidden layers in neural networks), also over stacks of matrices."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.optim._muon import _adjust_lr as adjusted_rate


class Muon(torch.optim.Muon):
    """`torch.optim.Muon` with its state and settings, for matrices and for stacks ``[E, out, in]`` of them, as mixtures
    of experts keep them: every matrix of a stack is a parameter of its own here, a view that shares the stack's memory
    and gradient.

    What differs is `orthogonalized`.
    """

    def __init__(self, groups: list[dict[str, Any]], **arguments: Any):
        self._stacks: list[tuple[Tensor, list[Tensor]]] = []
        super().__init__([{**group, "params": self._matrices(group["params"])} for group in groups], **arguments)

    def _matrices(self, named: list[tuple[str, Tensor]]) -> list[tuple[str, Tensor]]:
        flat = []
        for name, tensor in named:
            if tensor.ndim == 2:
                flat.append((name, tensor))
            else:
                views = list(tensor.detach().unbind(0))
                self._stacks.append((tensor, views))
                flat += [(f"{name}.{i}", view) for i, view in enumerate(views)]
        return flat

    @torch.no_grad()
    def step(self, closure: None = None) -> None:
        """Of every matrix with a gradient; ``closure`` is not taken."""
        if closure is not None:
            raise ValueError("this optimiser takes no closure; compute the gradients before the step.")
        for stack, views in self._stacks:
            for i, view in enumerate(views):
                view.grad = None if stack.grad is None else stack.grad[i]
        for group in self.param_groups:
            for matrix in group["params"]:
                if matrix.grad is not None:
                    self._move(matrix, group)
        for _, views in self._stacks:
            for view in views:
                view.grad = None  # else it would outlive the stack's

    def _move(self, matrix: Tensor, group: dict[str, Any]) -> None:
        state, rate, momentum = self.state[matrix], float(group["lr"]), group["momentum"]
        if "momentum_buffer" not in state:
            state["momentum_buffer"] = torch.zeros_like(matrix.grad)
        average = state["momentum_buffer"].lerp_(matrix.grad, 1 - momentum)
        update = matrix.grad.lerp(average, momentum) if group["nesterov"] else average
        update = orthogonalized(update, group["ns_coefficients"], group["ns_steps"], group["eps"])
        matrix.mul_(1 - rate * group["weight_decay"])
        matrix.add_(update, alpha=-adjusted_rate(rate, group["adjust_lr_fn"], matrix.shape))


def orthogonalized(matrix: Tensor, coefficients: tuple[float, float, float], steps: int, eps: float) -> Tensor:
    """``U·S'·Vᵀ`` of a matrix ``U·S·Vᵀ``, S' near 1: ``steps`` Newton-Schulz steps ``x ← a·x + (b·g + c·g²)·x``,
    ``g = x·xᵀ``, from ``matrix / ‖matrix‖``.

    In bfloat16 as torch's own, but on a CPU in float32: oneDNN is up to twice as fast with it, from 128 × 128
    to 1,024 × 1,024 and on a processor with AVX-512 BF16 too (``bench/muon.py``).
    """
    a, b, c = coefficients
    x = matrix.to(torch.float32 if matrix.device.type == "cpu" else torch.bfloat16)
    wide = x.size(0) <= x.size(1)
    x = x if wide else x.T
    x = x / x.norm().clamp(min=eps)
    for _ in range(steps):
        gram = x @ x.T
        x = torch.addmm(x, torch.addmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return x if wide else x.T
