"""The weights of a policy while it is trained: in the compute format where they are read, in float32 where they change.

A step of AdamW changes a weight by about the learning rate. bfloat16 keeps 8 bits, so changes below 0.2 % of a weight
are rounded away: at 1e-6, nearly all. So the trained weights exist twice: in the compute format inside the model, where
every product reads them without a cast, and in float32 beside it, where gradients are summed and the optimiser steps
(Micikevicius et al. 2018, Mixed Precision Training). Where `strop.train.split_adamw` can step a tensor, the second is
only what the first lacks: the master's other 16 bits.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.autograd.graph import increment_version

from strop.model.accelerate import norm
from strop.model.policy import Policy
from strop.train.groups import tensor_kinds
from strop.train.optim import Optimizers, halvable
from strop.train.settings import OptimizerSettings
from strop.train.split_adamw import supported
from strop.train.world import World


class Weights:
    """Puts ``policy`` into its compute format for good, so that whoever reads it (an engine, a second objective) reads
    what is trained: the same memory before, during and after training.

    ``named`` are the tensors that ``optimizer`` steps, by parameter name: float32 masters; or the model's own bfloat16
    weights, whose other bits the optimiser keeps; or, where the model computes in float32, the parameters themselves.
    After `begin` and the backward passes of a step their ``.grad`` is the float32 sum of all passes' gradients.

    With ``offload_optimizer`` masters, their gradients and the optimiser's state are in the host's memory beside a GPU
    (ZeRO-Offload, Ren et al. 2021, arXiv:2101.06840), and tensors of their own in any format.

    Raises InputError for groups of the settings that match nothing, and where nothing is to be trained.
    """

    def __init__(self, policy: Policy, settings: OptimizerSettings):
        self.policy = policy
        self.named: dict[str, Tensor] = {}
        self._pairs: list[tuple[nn.Parameter, Tensor]] = []  # the model's, and a master of its own
        self._halved: list[nn.Parameter] = []
        self._alone = False
        dtype, home = policy.compute.dtype, torch.device("cpu") if settings.offload_optimizer else None
        kinds = tensor_kinds(policy)
        may_halve = halvable(policy.named_parameters(), settings, kinds) if home is None else ()
        to_split: list[Tensor] = []
        for name, parameter in policy.named_parameters():
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
            if name in may_halve and supported(parameter):
                self.named[name] = parameter
                self._halved.append(parameter)
                to_split.append(whole)
                parameter.register_post_accumulate_grad_hook(self._sum_in_float32)
            else:
                self.named[name] = whole.requires_grad_()
                self._pairs.append((parameter, whole))
                parameter.register_post_accumulate_grad_hook(_move_gradient_to(whole))
        self.optimizer = Optimizers(self.named.items(), settings, kinds)
        for parameter in self._halved:
            self.optimizer.part_of(parameter).take_master(parameter, to_split.pop(0))

    def _sum_in_float32(self, parameter: nn.Parameter) -> None:
        if not self._alone:
            parameter.grad = parameter.grad.float()  # what comes next is added to this, in this format

    def begin(self, passes: int) -> None:
        """Before the backward passes of a step, over all ranks. The gradient of a single one is no sum, and may stay in
        bfloat16."""
        self._alone = passes == 1
        for tensor in self.named.values():
            tensor.grad = None  # not 0: what gets no gradient in a step is not stepped

    def sum_gradients(self, world: World) -> None:
        """After the backward passes: every gradient becomes the sum of all ranks', which is once for each step."""
        world.sum_gradients(self.named.values())

    def gradient_norm(self) -> float:
        """The 2-norm of all gradients together."""
        return norm([tensor.grad for tensor in self.named.values() if tensor.grad is not None])

    @torch.no_grad()
    def push(self) -> None:
        """Round the masters into the model; after every change of them."""
        if self._pairs:
            parameters, masters = zip(*self._pairs, strict=True)
            torch._foreach_copy_([p.data for p in parameters], list(masters))
            increment_version(parameters)  # an engine asks whether they have changed

    def wholes(self) -> Iterator[tuple[str, Tensor]]:
        """Every trained tensor in float32, by name, each made when it is asked for where it is not there."""
        halved = {id(parameter) for parameter in self._halved}
        for name, tensor in self.named.items():
            yield name, self.optimizer.part_of(tensor).master(tensor) if id(tensor) in halved else tensor.detach()

    @torch.no_grad()
    def take(self, read: Callable[[str], Tensor]) -> None:
        """Set every trained tensor to ``read(name)``, float32, as `wholes` gave it; moments stay as they are."""
        halved = {id(parameter) for parameter in self._halved}
        for name, tensor in self.named.items():
            if id(tensor) in halved:
                self.optimizer.part_of(tensor).take_master(tensor, read(name))
            else:
                tensor.copy_(read(name))
        self.push()

    def finish(self) -> None:
        """Let go of what only a next step would need: gradients and moments."""
        self.begin(0)
        self.optimizer.forget()

    @contextmanager
    def whole(self) -> Iterator[None]:
        """Inside, the model's trained weights are the float32 ones, to be saved or merged; no step, no generation.

        Takes 4 bytes per parameter where the optimiser keeps the other half of them.
        """
        held = [(p, p.data) for p in (*self._halved, *(p for p, _ in self._pairs))]
        for parameter, master in self._pairs:
            parameter.data = master.detach().to(parameter.device)
        for parameter in self._halved:
            parameter.data = self.optimizer.part_of(parameter).master(parameter)
        try:
            yield
        finally:
            for parameter, data in held:
                parameter.data = data


def _move_gradient_to(master: Tensor):
    def move(parameter: nn.Parameter) -> None:
        if master.grad is None:
            master.grad = parameter.grad.to(master.device, torch.float32)
        else:
            master.grad.add_(parameter.grad.to(master.device))
        parameter.grad = None

    return move
