"""Float32 masters of weights that are multiplied in a shorter format.

A step of AdamW changes a weight by about the learning rate. bfloat16 keeps 8 bits, so changes below 0.2 % of a weight
are rounded away: at 1e-6, nearly all. So the trained weights exist twice: in the compute format inside the model, where
every product reads them without a cast, and in float32 here, where gradients are summed and the optimiser steps
(Micikevicius et al. 2018, Mixed Precision Training).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Masters:
    """Puts a model into its compute format and keeps float32 ``named`` tensors of what is trained, by parameter name.

    After a backward pass their ``.grad`` holds the float32 sum of the gradients of all passes since they were last set
    to None. Where the model computes in float32, masters and parameters are the same tensors.

    ``home``: another device for the masters, and so for their gradients and the optimiser's state (the host's memory
    beside a GPU; ZeRO-Offload, Ren et al. 2021, arXiv:2101.06840). They are then tensors of their own in any format.
    """

    def __init__(self, model: nn.Module, dtype: torch.dtype, home: torch.device | None = None):
        self.named: dict[str, Tensor] = {}
        self._pairs: list[tuple[nn.Parameter, Tensor]] = []
        self._hooks = []
        for name, parameter in model.named_parameters():
            if not parameter.is_floating_point():
                continue  # quantised
            if (parameter.dtype == torch.float32 == dtype and home is None) or not parameter.requires_grad:
                if parameter.requires_grad:
                    self.named[name] = parameter
                elif parameter.dtype == torch.float32:
                    parameter.data = parameter.data.to(dtype)
                continue
            master = parameter.detach().to(home or parameter.device, torch.float32, copy=home is not None)
            master.requires_grad_()
            parameter.data = parameter.data.to(dtype)
            self.named[name] = master
            self._pairs.append((parameter, master))
            self._hooks.append(parameter.register_post_accumulate_grad_hook(_move_gradient_to(master)))

    def tensors(self) -> list[Tensor]:
        return list(self.named.values())

    @torch.no_grad()
    def push(self) -> None:
        """Round the masters into the model; after every change of them."""
        if self._pairs:
            parameters, masters = zip(*self._pairs, strict=True)
            torch._foreach_copy_([p.data for p in parameters], list(masters))

    def release(self) -> None:
        """Give the model its float32 weights back and let go of it."""
        for hook in self._hooks:
            hook.remove()
        for parameter, master in self._pairs:
            parameter.data = master.detach().to(parameter.device)
        self._pairs, self._hooks = [], []


def _move_gradient_to(master: Tensor):
    def move(parameter: nn.Parameter) -> None:
        if master.grad is None:
            master.grad = parameter.grad.to(master.device, torch.float32)
        else:
            master.grad.add_(parameter.grad.to(master.device))
        parameter.grad = None

    return move
