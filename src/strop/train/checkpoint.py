"""Checkpoints that are either whole or not there, and are known to be so when they are read.

A checkpoint is written under another name, hashed into its manifest (`strop.train.manifest`), synced and renamed;
what happens to it afterwards is told when it is to be gone on from. Beside weights and optimiser
(`strop.train.weight_files`) it holds ``state.pt`` (step, totals, data position, random generators; every other rank's
in ``state-rank-N.pt``; read with ``weights_only=True``) and ``checkpoint.json`` (step, steps, best, of which model,
adapters and chat settings it is, and the settings and inputs that it was made from).
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import torch

from strop.common.errors import InputError
from strop.common.files import write_json
from strop.common.folders import whole_folder
from strop.train.manifest import FORMAT, RECORD, Damaged, check_whole, write_manifest
from strop.train.optim import tensor_bytes
from strop.train.random_state import seed_everything, set_random_state
from strop.train.sharded import SHARDS, Averages, Written, put_back_any
from strop.train.sharded import trained_tensors as trained_tensors  # for who reads checkpoints alone
from strop.train.weight_files import MODEL, Taken

if TYPE_CHECKING:
    from strop.train.weights import Weights

_STEP = re.compile(r"step-\d+")
_DAMAGED = ".damaged"
_NONE: Averages = MappingProxyType({})


@dataclass(frozen=True)
class Keep:
    """Which checkpoints stay when another is written: the newest ``last``, those of every ``every``-th step, and the
    newest up to step ``trusted``."""

    last: int = 1
    every: int | None = None
    trusted: int | None = None

    def drop_others(self, folder: Path) -> None:
        known = checkpoints(folder)
        trusted = [path for path in known if self.trusted is not None and step_of(path) <= self.trusted][-1:]
        for old in known[: -self.last]:
            if old not in trusted and not (self.every and step_of(old) % self.every == 0):
                remove_checkpoint(old)


def remove_checkpoint(checkpoint: Path) -> None:
    """Under another name first: a kill in the middle would leave half of one under its own."""
    gone = checkpoint.with_name(f".{checkpoint.name}.gone")
    shutil.rmtree(gone, ignore_errors=True)
    checkpoint.rename(gone)
    shutil.rmtree(gone)


def save_checkpoint(
    folder: Path,
    step: int,
    taken: Taken | Written,
    states: Sequence[dict[str, Any]],
    keep: Keep,
    about: Mapping[str, Any] | None = None,
) -> Path:
    """Write ``folder/step-NNNNNN`` and drop what is not to be kept. Raises InputError when it can't be written.

    ``states``: of every rank, with its `random_state`; what is the same on all stands in the first. ``about``: what
    ``checkpoint.json`` says besides the step.
    """
    final = folder / f"step-{step:06d}"
    for left_by_a_kill in folder.glob(".step-*"):
        shutil.rmtree(left_by_a_kill)
    try:
        with whole_folder(final, taken.n_bytes + tensor_bytes(list(states)), replace=True) as scratch:
            taken.write(scratch)
            for rank, state in enumerate(states):
                torch.save({"step": step, **state}, scratch / _state_of(rank))
            write_json(scratch / RECORD, {"format": FORMAT, "step": step, **(about or {})})
            write_manifest(scratch)
    except (InputError, RuntimeError) as error:  # torch's writer turns a full disk into RuntimeError
        raise InputError(f"{error} The checkpoint of step {step} is not written; earlier ones are whole.") from error
    keep.drop_others(folder)
    return final


def checkpoints(folder: Path) -> list[Path]:
    """Checkpoints in ``folder``, oldest first: by the number, since names have as many digits as they need. They were
    whole when they were written; `check_whole` says whether they are."""
    found = [path for path in folder.glob("step-*") if _STEP.fullmatch(path.name)] if folder.is_dir() else []
    return sorted(found, key=step_of)


def is_checkpoint(folder: Path) -> bool:
    """Whether it looks like one, of one rank or of several that share the weights."""
    return (folder / "state.pt").is_file() and ((folder / MODEL).is_file() or (folder / SHARDS).is_dir())


def step_of(checkpoint: Path) -> int:
    return int(checkpoint.name.removeprefix("step-"))


def best_step(checkpoint: Path) -> int | None:
    """The step whose weights were the best until this checkpoint (`strop.train.best.Best`); None where it names none,
    or cannot be read."""
    try:
        found = json.loads((checkpoint / RECORD).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return found.get("best") if isinstance(found, dict) else None


def newest_whole(folder: Path, say: Callable[[str], None], up_to: int | None = None) -> Path | None:
    """The newest checkpoint (of step ``up_to`` or earlier) that is as it was written; None where there is none at all.
    Damaged ones that are passed over are named to ``say``, and stay as they are.

    Raises InputError where all are damaged, or one is of another program or an older format.
    """
    damaged = []
    for path in reversed(checkpoints(folder)):
        if up_to is not None and step_of(path) > up_to:
            continue
        try:
            check_whole(path)
        except Damaged as error:
            say(f"{error}. This checkpoint is damaged and passed over.")
            damaged.append(path)
            continue
        return path
    if damaged:
        raise InputError(
            f"{folder}: every checkpoint is damaged ({', '.join(path.name for path in reversed(damaged))}); put them "
            "back from a copy, or do the stage again with --fresh."
        )
    return None


def set_damaged_aside(folder: Path, after: int) -> None:
    """Give checkpoints of steps after ``after``, which were passed over, another name: they count no longer."""
    for path in checkpoints(folder):
        if step_of(path) > after:
            aside = path.with_name(path.name + _DAMAGED)
            shutil.rmtree(aside, ignore_errors=True)
            path.rename(aside)


def load_checkpoint(path: Path, weights: Weights, rank: int = 0, averages: Averages = _NONE) -> dict[str, Any]:
    """Put weights, optimiser, ``averages`` and random generators back; returns the rest of the rank's state (``step``,
    ``source`` …). Of another number of ranks a new one has random generators of its own, which the first one's decide.

    Raises InputError when the checkpoint holds other weights than are trained now.
    """
    state = torch.load(path / _state_of(0), map_location="cpu", weights_only=True)
    put_back_any(path, weights, averages, state)
    known = has_state_of(path, rank)
    if rank and known:  # what is not a rank's own is the first one's
        state |= torch.load(path / _state_of(rank), map_location="cpu", weights_only=True)
    set_random_state(state)
    if not known:
        seed_everything(int(torch.randint(2**40, ())) + rank)
    return state


def has_state_of(path: Path, rank: int) -> bool:
    """Whether as many ranks wrote this checkpoint."""
    return (path / _state_of(rank)).is_file()


def _state_of(rank: int) -> str:
    return f"state-rank-{rank}.pt" if rank else "state.pt"
