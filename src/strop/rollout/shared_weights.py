"""Tensors in memory that two processes see: the trainer writes, the sampler reads.

The memory has no name (memfd, or a file that is unlinked), so nothing of it is left when both processes are gone,
however they end.
"""

from __future__ import annotations

import mmap
import os
import tempfile
from collections.abc import Mapping
from multiprocessing.reduction import DupFd
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

ALIGNMENT = 64


class Place(NamedTuple):
    """Where a tensor lies in the memory, in bytes."""

    shape: tuple[int, ...]
    dtype: torch.dtype
    begin: int


class Memory:
    """Room for tensors of the names, shapes and formats of ``tensors``; not their values. Goes to a process that is
    being spawned."""

    def __init__(self, tensors: Mapping[str, Tensor]):
        self.places: dict[str, Place] = {}
        end = 0
        for name, tensor in tensors.items():
            self.places[name] = Place(tuple(tensor.shape), tensor.dtype, end)
            end += -(-tensor.numel() * tensor.element_size() // ALIGNMENT) * ALIGNMENT
        self.descriptor = _without_a_name()
        os.ftruncate(self.descriptor, max(end, 1))

    def tensors(self) -> dict[str, Tensor]:
        """The memory itself, no copies. They live on when it is closed."""
        memory = torch.frombuffer(mmap.mmap(self.descriptor, 0), dtype=torch.uint8)
        found = {}
        for name, place in self.places.items():
            end = place.begin + torch.Size(place.shape).numel() * place.dtype.itemsize
            found[name] = memory[place.begin : end].view(place.dtype).view(place.shape)
        return found

    def close(self) -> None:
        os.close(self.descriptor)

    def __reduce__(self):
        return _received, (self.places, DupFd(self.descriptor))


def _received(places: dict[str, Place], sent: Any) -> Memory:
    memory = Memory.__new__(Memory)
    memory.places, memory.descriptor = places, sent.detach()
    return memory


def _without_a_name() -> int:
    if hasattr(os, "memfd_create"):
        return os.memfd_create("strop-weights")
    with tempfile.TemporaryFile() as file:
        return os.dup(file.fileno())


def adopt(module: nn.Module, tensors: Mapping[str, Tensor], frozen: torch.dtype) -> None:
    """Give parameters of ``module`` the ``tensors`` of their names, whose values change from outside; the others are
    held in the format ``frozen`` where they are float32, as `strop.train.weights.Weights` holds them.

    Raises ValueError where the module has other parameters, or other shapes.
    """
    own = dict(module.named_parameters())
    for name, tensor in tensors.items():
        if name not in own or own[name].shape != tensor.shape:
            raise ValueError(f"the sampler's model has no {name} of the shape {tuple(tensor.shape)}.")
        own.pop(name).data = tensor
    for parameter in own.values():
        if parameter.dtype == torch.float32:
            parameter.data = parameter.data.to(frozen)
