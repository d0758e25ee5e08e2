"""The processes (ranks) that train one model together."""

from __future__ import annotations

import operator
import os
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor

T = TypeVar("T")
Name = TypeVar("Name", bound=Hashable)


def added(each: Iterable[Mapping[Name, T]], join: Callable[[T, T], T] = operator.add) -> dict[Name, T]:
    """The sums by name (or what ``join`` makes of two), in order; what one does not name counts nothing there."""
    totals: dict[Name, T] = {}
    for named in each:
        for name, value in named.items():
            totals[name] = join(totals[name], value) if name in totals else value
    return totals


class World:
    """``size`` ranks, of which this process is number ``rank``. Where there is one, every method is the identity.

    Each method is called by all ranks at the same point. With several it goes through torch.distributed's ``group``, by
    default all of them, whose backend must serve the device of the gradients (``cpu:gloo,cuda:nccl`` serves both).
    """

    def __init__(self, rank: int = 0, size: int = 1, group: dist.ProcessGroup | None = None):
        self.rank, self.size, self.group = rank, size, group

    @classmethod
    def current(cls) -> World:
        """torch.distributed's where it is initialised (by torchrun and ``init_process_group``), else one rank."""
        up = dist.is_available() and dist.is_initialized()
        return cls(dist.get_rank(), dist.get_world_size()) if up else cls()

    def beside(self) -> World:
        """The same ranks by another group, for a thread: calls of both may come in any order."""
        return World(self.rank, self.size, dist.new_group(backend="gloo")) if self.size > 1 else self

    def mine(self, several: Sequence[T]) -> Sequence[T]:
        """This rank's share of what all ranks have: every ``size``-th from its own number on (`joined` undoes it)."""
        return several[self.rank :: self.size]

    def joined(self, mine: Sequence[T]) -> list[T]:
        """All ranks' shares, in the order that they had before `mine` cut them."""
        parts = self.gather(list(mine))
        return [parts[i % self.size][i // self.size] for i in range(sum(map(len, parts)))]

    def first(self, make: Callable[[], T]) -> T:
        """What ``make`` gives on rank 0, on every rank; the others do not call it."""
        if self.size == 1:
            return make()
        box: list[Any] = [make() if self.rank == 0 else None]
        dist.broadcast_object_list(box, 0, self.group)
        return box[0]

    def in_turn(self, make: Callable[[], T]) -> T:
        """``make()`` on every rank: one of each machine before its others, which find in a cache what that one made."""
        leads = int(os.environ.get("LOCAL_RANK", self.rank)) == 0
        if leads:
            value = make()
        self.barrier()
        return value if leads else make()

    def gather(self, value: T) -> list[T]:
        """Every rank's ``value``, in the ranks' order, on every rank."""
        if self.size == 1:
            return [value]
        values: list[T] = [value] * self.size
        dist.all_gather_object(values, value, self.group)
        return values

    def sum(self, numbers: Mapping[Name, float]) -> dict[Name, float]:
        """By name; what a rank does not name counts 0 there."""
        return added(self.gather(dict(numbers)))

    def max(self, numbers: Mapping[Name, float]) -> dict[Name, float]:
        """By name, over the ranks that name it."""
        return added(self.gather(dict(numbers)), max)

    def mean(self, numbers: Mapping[Name, float]) -> dict[Name, float]:
        """By name, over the ranks that name it."""
        counts = self.sum(dict.fromkeys(numbers, 1))
        return {name: total / counts[name] for name, total in self.sum(numbers).items()}

    def agree(self, flag: object) -> bool:
        """Whether any rank says so."""
        return any(self.gather(bool(flag)))

    def barrier(self) -> None:
        if self.size > 1:
            dist.barrier(self.group)

    @torch.no_grad()
    def sum_gradients(self, tensors: Iterable[Tensor]) -> None:
        """Every ``.grad`` becomes the sum of all ranks', in float32; it stays None where no rank has one."""
        if self.size == 1:
            return
        tensors = list(tensors)
        theirs = self.gather([tensor.grad is not None for tensor in tensors])
        for tensor, there in zip(tensors, zip(*theirs, strict=True), strict=True):
            if any(there):
                own = torch.zeros_like(tensor, dtype=torch.float32) if tensor.grad is None else tensor.grad.float()
                dist.all_reduce(own, group=self.group)
                tensor.grad = own
