"""Weights, gradients and moments in parts: each rank holds its rows of every tensor (FSDP2, ZeRO-3).

Rajbhandari et al. 2020, ZeRO (arXiv:1910.02054); Zhao et al. 2023, PyTorch FSDP (arXiv:2304.11277). Each block of the
model is gathered in the compute format before it computes and let go after it, forward and backward; what is in no
block stays gathered from the forward pass to the end of the backward pass. Gradients go to the rank whose rows they
are of after every micro-batch, in float32, and are summed there: to wait for the last one would need 4 bytes for every
weight on every rank, which is what sharding is to save. Larger rows (``micro_batch_tokens``) make this cheaper.

What an optimiser steps are a rank's own rows as plain tensors, so AdamW, its 8-bit form, clipping and averages do what
they always do. What needs whole matrices (Muon, Adafactor) cannot: `strop.train.settings.unshardable`.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FSDPModule, MixedPrecisionPolicy, fully_shard
from torch.distributed.tensor import DTensor

from strop.model.accelerate import norm
from strop.model.blocks import decoder_blocks
from strop.model.policy import Policy
from strop.train.groups import tensor_kinds
from strop.train.optim import Optimizers
from strop.train.settings import OptimizerSettings, Parallel, unshardable
from strop.train.weights import Weights
from strop.train.world import World

STATE_BYTES = 18
"""Of a weight that is trained: itself, its master, its gradient and two moments. Of a frozen one: 2."""


def make_weights(
    policy: Policy, settings: OptimizerSettings, parallel: Parallel, world: World, quantised: bool = False
) -> Weights:
    """The weights of a training by ``world``: every rank's own whole ones, or its part of all ranks'."""
    if world.size > 1 and _shards(policy, settings, parallel, quantised):
        return Shards(policy, settings, world)
    return Weights(policy, settings)


def _shards(policy: Policy, settings: OptimizerSettings, parallel: Parallel, quantised: bool) -> bool:
    if parallel != "auto":
        return parallel == "shard"
    n_bytes = sum(p.numel() * (STATE_BYTES if p.requires_grad else 2) for p in policy.parameters())
    return n_bytes > _device_bytes(policy.compute.device) / 2 and not unshardable(settings, quantised)


def _device_bytes(device: torch.device) -> float:
    """Memory of this rank: a device's, or its share of the host's."""
    if device.type == "cuda":
        return torch.cuda.get_device_properties(device).total_memory
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / int(os.environ.get("LOCAL_WORLD_SIZE", 1))


def shard(policy: Policy, world: World) -> Policy:
    """Cut up the parameters of ``policy``, each by its rows, among all ranks, which from here on go through it at the
    same time. It computes in the compute format; the rows of what is trained are float32."""
    dtype = policy.compute.dtype
    how = {
        "mesh": init_device_mesh(policy.compute.device.type, (world.size,)),
        "mp_policy": MixedPrecisionPolicy(
            param_dtype=None if dtype == torch.float32 else dtype, reduce_dtype=torch.float32, cast_forward_inputs=False
        ),
    }
    networks = [part.model for part in (policy, policy.critic) if part is not None]
    for module in (*(block for network in networks for block in decoder_blocks(network)), policy):
        for parameter in module.parameters():  # of one block after the other: no device holds all in float32
            if isinstance(parameter, DTensor):
                continue
            if parameter.requires_grad:
                parameter.data = parameter.data.float()
            elif parameter.dtype == torch.float32:
                parameter.data = parameter.data.to(dtype)
        fully_shard(module, **how)
    for part in _parts(policy):
        part.set_gradient_divide_factor(1.0)  # the loss is divided by what all ranks train on: gradients are summed
        part.set_force_sum_reduction_for_comms(True)
        part.set_reduce_scatter_unused_params(True, recurse=False)  # a rank with nothing to train has no gradients
    return policy


def _parts(policy: nn.Module) -> list[FSDPModule]:
    return [module for module in policy.modules() if isinstance(module, FSDPModule)]


@contextmanager
def whole_on_each(policy: Policy) -> Iterator[None]:
    """Inside, every rank has all of a policy in the compute format and may go through it by itself: to generate. Takes
    2 bytes per parameter, and one gathering of each. All ranks enter and leave together; of one that is not cut up,
    nothing changes."""
    parts = _parts(policy)
    with torch.no_grad():
        for part in parts:
            part.unshard()
    for block in parts[1:]:
        block.set_reshard_after_forward(False, recurse=False)
    try:
        yield
    finally:
        for block in parts[1:]:
            block.set_reshard_after_forward(True, recurse=False)
        for part in parts:
            part.reshard()


class Shards(Weights):
    """As `Weights`, of which each rank has its rows: ``named`` are float32 masters that FSDP gathers in the compute
    format. There are no halves of masters here (`strop.train.split_adamw`): a rank has 16 bytes for each of its rows'
    numbers, and gathered blocks. Every method is called by all ranks."""

    def __init__(self, policy: Policy, settings: OptimizerSettings, world: World):
        self.policy, self.world = policy, world
        kinds = tensor_kinds(policy)
        shard(policy, world)
        self._sharded = {name: p for name, p in policy.named_parameters() if p.requires_grad}
        self.named = {name: p.detach().to_local().requires_grad_() for name, p in self._sharded.items()}
        self.optimizer = Optimizers(self.named.items(), settings, kinds)

    def begin(self, passes: int) -> None:
        for name, tensor in self.named.items():
            tensor.grad = self._sharded[name].grad = None

    def sum_gradients(self, world: World) -> None:
        """They are summed already, each where its rows are."""
        for name, tensor in self.named.items():
            gradient = self._sharded[name].grad
            tensor.grad = None if gradient is None else gradient.to_local()

    def gradient_norm(self) -> float:
        own = norm([tensor.grad for tensor in self.named.values() if tensor.grad is not None])
        return self.world.sum({"square": own**2})["square"] ** 0.5

    def push(self) -> None:
        """Let go of what was gathered of the weights before."""
        for part in _parts(self.policy):
            part.reshard()

    def shape(self, name: str) -> torch.Size:
        """Of a trained tensor with all ranks' rows."""
        return self._sharded[name].shape

    def as_rows(self, name: str, rows: Tensor) -> DTensor:
        """What has the shape of a trained tensor, and of which each rank has ``rows``."""
        like = self._sharded[name]
        given = {"run_check": False, "shape": like.shape, "stride": like.stride()}
        return DTensor.from_local(rows, like.device_mesh, like.placements, **given)

    def rows_of(self, name: str, whole: Tensor) -> Tensor:
        """This rank's rows of what has the shape of a trained tensor."""
        each = -(-len(whole) // self.world.size)
        return whole[self.world.rank * each : (self.world.rank + 1) * each]

    def wholes(self) -> Iterator[tuple[str, Tensor]]:
        return ((name, p.detach().full_tensor()) for name, p in self._sharded.items())

    @torch.no_grad()
    def take(self, read: Callable[[str], Tensor]) -> None:
        for name, tensor in self.named.items():
            tensor.copy_(self.rows_of(name, read(name)))
        self.push()

    @contextmanager
    def whole(self) -> Iterator[None]:
        """Inside, the first rank's modules hold all of every tensor, in the host's memory, the trained ones in float32,
        to be saved or merged. Each is gathered by itself, so there is one at a time on a device."""
        self.push()
        owners = [
            (module, name, p)
            for module in self.policy.modules()
            for name, p in module.named_parameters(recurse=False)
            if isinstance(p, DTensor)
        ]
        made: dict[int, nn.Parameter] = {}  # a tied tensor is one
        for _, _, p in owners:
            if id(p) not in made:
                full = p.detach().full_tensor()
                made[id(p)] = nn.Parameter(full.cpu(), p.requires_grad) if self.world.rank == 0 else p
                del full
        _put(owners, [made[id(p)] for _, _, p in owners])
        try:
            yield
        finally:
            _put(owners, [p for _, _, p in owners])


def _put(owners: Sequence[tuple[nn.Module, str, nn.Parameter]], parameters: Sequence[nn.Parameter]) -> None:
    for (module, name, _), parameter in zip(owners, parameters, strict=True):
        module._parameters[name] = parameter
