"""Float32 masters of weights that are multiplied in a shorter format.

A step of AdamW changes a weight by about the learning rate. bfloat16 keeps 8 bits, so changes below 0.2 % of a weight
are rounded away: at 1e-6, nearly all. So the trained weights exist twice: in the compute format inside the model, where
every product reads them without a cast, and in float32 here, where gradients are summed and the optimiser steps
(Micikevicius et al. 2018, Mixed Precision Training). Where `strop.train.split_adamw` can step a tensor, the second is
only what the first lacks: the master's other 16 bits.
"""

from __future__ import annotations

from collections.abc import Collection

import torch
from torch import Tensor, nn

from strop.model.accelerate import norm
from strop.train.optim import Optimizers
from strop.train.split_adamw import supported


class Masters:
    """Puts a model into its compute format and keeps ``named`` tensors for the optimiser, by parameter name.

    These are float32 masters, or for names in ``halved`` (where the machine can) the model's own bfloat16 weights,
    whose other bits the optimiser gets by `hand_over`. After `begin` and the backward passes of a step their ``.grad``
    is the float32 sum of all passes' gradients. Where the model computes in float32, masters and parameters are the
    same.

    ``home``: another device for the masters, and so for their gradients and the optimiser's state (the host's memory
    beside a GPU; ZeRO-Offload, Ren et al. 2021, arXiv:2101.06840). They are then tensors of their own in any format.
    """

    def __init__(
        self,
        model: nn.Module,
        dtype: torch.dtype,
        home: torch.device | None = None,
        halved: Collection[str] = (),
    ):
        self.named: dict[str, Tensor] = {}
        self._hooks: list = []
        self._alone = False
        self._pairs: list[tuple[nn.Parameter, Tensor]] = []
        self._halved: list[nn.Parameter] = []
        self._whole: list[Tensor] = []  # of the halved ones, until they are handed over
        self._optimizer: Optimizers | None = None
        for name, parameter in model.named_parameters():
            if not parameter.is_floating_point():
                continue  # quantised
            if not parameter.requires_grad:
                if parameter.dtype == torch.float32:
                    parameter.data = parameter.data.to(dtype)
                continue
            if parameter.dtype == torch.float32 == dtype and home is None:
                self.named[name] = parameter
                continue
            whole = parameter.detach().to(home or parameter.device, torch.float32, copy=home is not None)
            parameter.data = parameter.data.to(dtype).contiguous()
            if name in halved and home is None and supported(parameter):
                self.named[name] = parameter
                self._halved.append(parameter)
                self._whole.append(whole)
                self._hooks.append(parameter.register_post_accumulate_grad_hook(self._sum_in_float32))
            else:
                self.named[name] = whole.requires_grad_()
                self._pairs.append((parameter, whole))
                self._hooks.append(parameter.register_post_accumulate_grad_hook(_move_gradient_to(whole)))

    def _sum_in_float32(self, parameter: nn.Parameter) -> None:
        if not self._alone:
            parameter.grad = parameter.grad.float()  # what comes next is added to this, in this format

    def hand_over(self, optimizer: Optimizers) -> None:
        """Give the halved masters to the optimiser that steps ``named``."""
        self._optimizer = optimizer
        for parameter in self._halved:
            optimizer.adopt(parameter, self._whole.pop(0))

    def begin(self, passes: int) -> None:
        """Before the backward passes of a step. The gradient of a single one is no sum, and may stay in bfloat16."""
        self._alone = passes == 1
        for tensor in self.tensors():
            tensor.grad = None  # not 0: what gets no gradient in a step is not stepped

    def gradient_norm(self) -> float:
        """The 2-norm of all gradients together."""
        return norm([tensor.grad for tensor in self.tensors() if tensor.grad is not None])

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
        for parameter in self._halved:
            parameter.data = self._optimizer.master(parameter)
        self._pairs, self._halved, self._hooks = [], [], []


def _move_gradient_to(master: Tensor):
    def move(parameter: nn.Parameter) -> None:
        if master.grad is None:
            master.grad = parameter.grad.to(master.device, torch.float32)
        else:
            master.grad.add_(parameter.grad.to(master.device))
        parameter.grad = None

    return move
