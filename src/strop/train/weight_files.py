"""Weights and optimiser as a checkpoint's files: taken at a step, written, and put back.

``model.safetensors`` holds the weights that are trained, in float32, or in bfloat16 where the optimiser keeps their
other half; frozen ones are where they came from. ``optimizer.pt`` is read with ``weights_only=True``.
"""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor
from torch.utils._pytree import TreeSpec, tree_flatten, tree_map, tree_unflatten

from strop.common.errors import InputError
from strop.train.optim import tensor_bytes

if TYPE_CHECKING:
    from strop.train.weights import Weights

MODEL, OPTIMIZER = "model.safetensors", "optimizer.pt"


@dataclass(frozen=True)
class Taken:
    """What is to be written of a step."""

    model: dict[str, Tensor]
    optimizer: dict[str, Any]

    @property
    def n_bytes(self) -> int:
        return tensor_bytes([self.model, self.optimizer])

    def write(self, folder: Path) -> None:
        """The two files; raises OSError, RuntimeError or SafetensorError where they cannot be written."""
        save_file({name: tensor.contiguous() for name, tensor in self.model.items()}, str(folder / MODEL))
        torch.save(self.optimizer, folder / OPTIMIZER)


def take(weights: Weights, *, copy: bool) -> Taken:
    """Weights and optimiser as they are now. ``copy``: in memory of their own (the host's), so that the next step may
    change the originals: as many bytes again as the trained weights and the optimiser's state have."""
    taken = {name: tensor.detach() for name, tensor in weights.named.items()}, weights.optimizer.state_dict()
    return Taken(*(copied(taken) if copy else taken))


def copied(tree: Any) -> Any:
    """Nested dicts and lists with memory of their own, tensors in the host's."""
    own = tree_map(lambda leaf: leaf.detach().to("cpu", copy=True) if isinstance(leaf, Tensor) else leaf, tree)
    return copy.deepcopy(own, {id(leaf): leaf for leaf in tree_flatten(own)[0] if isinstance(leaf, Tensor)})


@torch.no_grad()
def put_back(folder: Path, weights: Weights) -> None:
    """Give weights and optimiser the values of ``folder``'s files. Raises InputError, with nothing changed, where these
    are of other weights than are trained now."""
    file = folder / MODEL
    try:
        with safe_open(file, "pt") as saved:
            shapes = {name: saved.get_slice(name).get_shape() for name in saved.keys()}  # noqa: SIM118 (no mapping)
    except (OSError, SafetensorError) as error:
        raise InputError(f"{file}: cannot be read ({error}).") from None
    for name in sorted(weights.named.keys() ^ shapes.keys()):
        lacking = "lacks" if name in weights.named else "has"
        raise InputError(f"{folder}: {lacking} {name}, unlike what this run trains; start in a new run folder.")
    for name, tensor in weights.named.items():
        if list(tensor.shape) != shapes[name]:
            raise InputError(
                f"{folder}: {name} has the shape {shapes[name]} there and {list(tensor.shape)} in what this run "
                "trains; start in a new run folder."
            )
    weights.optimizer.load_state_dict(read_once(folder / OPTIMIZER))  # which may refuse
    for name, tensor in weights.named.items():  # one at a time: all at once would be a second copy of the model
        with safe_open(file, "pt") as saved:
            tensor.copy_(saved.get_tensor(name))
    weights.push()


def read_once(path: Path, parts: int = 8) -> Any:
    """What ``torch.save`` wrote, with no more of it in memory twice than one of ``parts`` parts.

    A file that is read is in memory a second time while its tensors are made, and one that is mapped is so as far as it
    was touched, until the mapping goes. So it is mapped once for each part, from which that part is copied.
    """

    def mapped() -> tuple[list[Any], TreeSpec]:
        return tree_flatten(torch.load(path, map_location="cpu", weights_only=True, mmap=True))

    leaves, tree = mapped()  # of this mapping nothing is touched
    room, taken = tensor_bytes(leaves) / parts, math.inf
    source: list[Any] = []
    for i, leaf in enumerate(leaves):
        if isinstance(leaf, Tensor):
            if taken > room:
                del source[:]  # the mapping before goes first
                taken, source = 0, mapped()[0]
            leaves[i] = source[i].clone()
            taken += leaves[i].nbytes
    return tree_unflatten(leaves, tree)
