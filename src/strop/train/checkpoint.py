"""Checkpoints that are either whole or not there.

A checkpoint is written under another name, synced and renamed; a folder named ``step-NNNNNN`` is therefore complete.
It holds ``model.safetensors`` (the weights that are trained, in float32, or in bfloat16 where the optimiser keeps their
other half; frozen ones are where they came from), ``optimizer.pt``, ``state.pt`` (step, data position, random
generators; every other rank's in ``state-rank-N.pt``) and ``checkpoint.json`` (step, steps, and of which model,
adapters and chat settings it is). All of it is loaded with ``weights_only=True``.
"""

from __future__ import annotations

import math
import re
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor
from torch.utils._pytree import TreeSpec, tree_flatten, tree_unflatten

from strop.common.errors import InputError
from strop.common.files import write_json
from strop.common.folders import whole_folder
from strop.train.optim import tensor_bytes

if TYPE_CHECKING:
    from strop.train.weights import Weights

_STEP = re.compile(r"step-\d+")


def save_checkpoint(
    folder: Path,
    step: int,
    weights: Weights,
    states: Sequence[dict[str, Any]],
    keep: int,
    about: Mapping[str, Any] | None = None,
    spare: int | None = None,
) -> Path:
    """Write ``folder/step-NNNNNN`` and drop all but the newest ``keep``, and the newest up to step ``spare``. Raises
    InputError when it can't be written.

    ``states``: of every rank, with its `random_state`; what is the same on all stands in the first. ``about``: what
    ``checkpoint.json`` says besides the step.
    """
    final = folder / f"step-{step:06d}"
    for left_by_a_kill in folder.glob(".step-*"):
        shutil.rmtree(left_by_a_kill)
    optimizer = weights.optimizer.state_dict()
    room = tensor_bytes([weights.named, optimizer, list(states)])
    try:
        with whole_folder(final, room, replace=True) as scratch:
            named = {name: tensor.detach().contiguous() for name, tensor in weights.named.items()}
            save_file(named, str(scratch / "model.safetensors"))
            torch.save(optimizer, scratch / "optimizer.pt")
            for rank, state in enumerate(states):
                torch.save({"step": step, **state}, scratch / _state_of(rank))
            write_json(scratch / "checkpoint.json", {"step": step, **(about or {})})
    except (InputError, RuntimeError) as error:  # torch's writer turns a full disk into RuntimeError
        raise InputError(f"{error} The checkpoint of step {step} is not written; earlier ones are whole.") from error
    spared = [path for path in checkpoints(folder) if spare is not None and step_of(path) <= spare][-1:]
    for old in checkpoints(folder)[:-keep]:
        if old not in spared:
            shutil.rmtree(old)
    return final


def checkpoints(folder: Path) -> list[Path]:
    """Complete checkpoints in ``folder``, oldest first: by the number, since names have as many digits as they need."""
    found = [path for path in folder.glob("step-*") if _STEP.fullmatch(path.name)] if folder.is_dir() else []
    return sorted(found, key=step_of)


def step_of(checkpoint: Path) -> int:
    return int(checkpoint.name.removeprefix("step-"))


@torch.no_grad()
def load_checkpoint(path: Path, weights: Weights, rank: int = 0, size: int = 1) -> dict[str, Any]:
    """Put weights, optimiser and random generators back; returns the rest of the rank's state (``step``, ``source`` …).

    Raises InputError when the checkpoint holds other weights than are trained now, or was written by another number
    of ranks.
    """
    written_by = len(list(path.glob("state*.pt")))
    if written_by != size:
        raise InputError(
            f"{path}: was written by {written_by} processes and this run has {size}; start as many, or start in a new "
            "run folder."
        )
    with safe_open(path / "model.safetensors", "pt") as saved:
        names = set(saved.keys())
    for name in sorted(weights.named.keys() ^ names):
        lacking = "lacks" if name in weights.named else "has"
        raise InputError(f"{path}: {lacking} {name}, unlike what this run trains; start in a new run folder.")
    for name, tensor in weights.named.items():  # one at a time: all at once would be a second copy of the model
        with safe_open(path / "model.safetensors", "pt") as saved:
            tensor.copy_(saved.get_tensor(name))
    weights.push()
    weights.optimizer.load_state_dict(_read_once(path / "optimizer.pt"))
    state = torch.load(path / _state_of(0), weights_only=True)
    if rank:  # what is not a rank's own is the first one's
        state |= torch.load(path / _state_of(rank), weights_only=True)
    set_random_state(state)
    return state


def _read_once(path: Path, parts: int = 8) -> Any:
    """What ``torch.save`` wrote, with no more of it in memory twice than one of ``parts`` parts.

    A file that is read is in memory a second time while its tensors are made, and one that is mapped is so as far as it
    was touched, until the mapping goes. So it is mapped once for each part, from which that part is copied.
    """

    def mapped() -> tuple[list[Any], TreeSpec]:
        return tree_flatten(torch.load(path, weights_only=True, mmap=True))

    leaves, tree = mapped()  # of this mapping nothing is touched
    room, taken, source = tensor_bytes(leaves) / parts, math.inf, []
    for i, leaf in enumerate(leaves):
        if isinstance(leaf, Tensor):
            if taken > room:
                del source[:]  # the mapping before goes first
                taken, source = 0, mapped()[0]
            leaves[i] = source[i].clone()
            taken += leaves[i].nbytes
    return tree_unflatten(leaves, tree)


def random_state() -> dict[str, Any]:
    """Where this process's random generators are."""
    cuda = {"cuda_rng": torch.cuda.get_rng_state_all()} if torch.cuda.is_initialized() else {}
    return {"torch_rng": torch.get_rng_state(), **cuda}


@contextmanager
def kept_random_state() -> Iterator[None]:
    """After it this process's random generators are where they were before."""
    state = random_state()
    try:
        yield
    finally:
        set_random_state(state)


def set_random_state(state: Mapping[str, Any]) -> None:
    torch.set_rng_state(state["torch_rng"])
    if "cuda_rng" in state and torch.cuda.is_available():
        torch.cuda.set_rng_state_all(state["cuda_rng"])


def _state_of(rank: int) -> str:
    return f"state-rank-{rank}.pt" if rank else "state.pt"
