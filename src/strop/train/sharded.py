"""Checkpoints of weights that are cut up, and going on from any checkpoint with any number of ranks.

A sharded checkpoint holds a folder ``shards`` (torch.distributed.checkpoint, which every rank writes its part of) in
the place of `strop.train.weight_files`'s two files: by the name of each trained tensor its float32 ``master`` and the
moments ``exp_avg`` and ``exp_avg_sq``, also of 8-bit ones, which come back as they were where blocks are the same; an
``ema`` where there is one; and ``steps``, how often each tensor was stepped. Nothing of it tells how many ranks wrote.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import torch
import torch.distributed.checkpoint as dcp
from safetensors import safe_open
from safetensors.torch import load_file
from torch import Tensor
from torch.distributed.checkpoint.api import CheckpointException

from strop.common.errors import InputError
from strop.train.adamw_8bit import AdamW8bit, dequantise, quantise, start_moments
from strop.train.shards import Shards
from strop.train.split_adamw import SplitAdamW
from strop.train.weight_files import MODEL, OPTIMIZER, put_back
from strop.train.weights import Weights

SHARDS = "shards"
MOMENTS = ("exp_avg", "exp_avg_sq")
Averages = Mapping[str, Mapping[str, Tensor]]
"""What else there is a number of for each weight, ``{"ema": {name: tensor}}``."""


class Moments(NamedTuple):
    """AdamW's of one tensor, float32 of its shape, and how often it was stepped."""

    step: int
    exp_avg: Tensor
    exp_avg_sq: Tensor


@dataclass(frozen=True)
class Written:
    """What all ranks have written already; as `strop.train.weight_files.Taken`."""

    folder: Path
    n_bytes: int = 0

    def write(self, folder: Path) -> None:
        self.folder.rename(folder / SHARDS)


def write_shards(weights: Shards, averages: Averages, folder: Path) -> Written:
    """Every rank writes its rows into a folder beside the checkpoints in ``folder``; called by all. Raises InputError,
    on all, where one cannot."""
    place = folder / f".{SHARDS}"
    weights.world.first(lambda: shutil.rmtree(place, ignore_errors=True))
    state: dict[str, Any] = {"steps": torch.zeros(len(weights.named), dtype=torch.int64)}
    for i, (name, tensor) in enumerate(weights.named.items()):
        state[f"master.{name}"] = weights.as_rows(name, tensor.detach())
        if found := moments_of(weights.optimizer.part_of(tensor).state.get(tensor, {}), tensor):
            state["steps"][i] = found.step
            state |= {f"{m}.{name}": weights.as_rows(name, getattr(found, m)) for m in MOMENTS}
        state |= {f"{kind}.{name}": weights.as_rows(name, of[name]) for kind, of in averages.items()}
    try:
        dcp.save(state, checkpoint_id=place)
    except CheckpointException as error:
        cause = next(iter(error.failures.values()))[0]
        raise InputError(f"{place}: cannot be written ({cause}); free some space.") from error
    return Written(place)


@torch.no_grad()
def put_back_any(folder: Path, weights: Weights, averages: Averages, state: Mapping[str, Any]) -> None:
    """Give weights, optimiser and averages the values of a checkpoint, however many ranks wrote it; called by all.

    ``state``: its ``state.pt``, where a checkpoint that is not sharded has its averages. Raises InputError where it is
    of other weights than are trained now, or of another optimiser.
    """
    if (folder / SHARDS).is_dir():
        _from_shards(folder / SHARDS, weights, averages)
    else:
        if isinstance(weights, Shards):
            _from_files(folder, weights)
        else:
            put_back(folder, weights)
        for kind, of in averages.items():
            for name, tensor in of.items():
                tensor.copy_(_own(weights, name, state[kind][name]))
    weights.push()


def trained_tensors(checkpoint: Path) -> dict[str, Tensor]:
    """The trained weights of a checkpoint by name, whole, however many ranks wrote it: in float32, or in bfloat16 where
    the optimiser has their other half."""
    folder = checkpoint / SHARDS
    if not folder.is_dir():
        return load_file(checkpoint / MODEL)
    known = dcp.FileSystemReader(folder).read_metadata().state_dict_metadata
    state = {name: torch.empty(entry.size) for name, entry in known.items() if name.startswith("master.")}
    dcp.load(state, checkpoint_id=folder, no_dist=True)
    return {name.removeprefix("master."): tensor for name, tensor in state.items()}


def _own(weights: Weights, name: str, whole: Tensor) -> Tensor:
    return weights.rows_of(name, whole) if isinstance(weights, Shards) else whole


def _from_shards(folder: Path, weights: Weights, averages: Averages) -> None:
    reader = dcp.FileSystemReader(folder)
    known = reader.read_metadata().state_dict_metadata
    there = {name.partition(".")[2]: entry for name, entry in known.items() if name.startswith("master.")}
    _check_names(folder, weights, {name: entry.size for name, entry in there.items()})
    steps = torch.zeros(len(there), dtype=torch.int64)
    _load({"steps": steps}, folder, weights)

    def read(kind: str, name: str) -> Tensor:
        """This rank's rows, or the whole tensor."""
        empty = torch.empty(weights.named[name].shape, device=weights.named[name].device)
        target = weights.as_rows(name, empty) if isinstance(weights, Shards) else empty
        _load({f"{kind}.{name}": target}, folder, weights)
        return empty

    for (name, tensor), step in zip(weights.named.items(), steps.tolist(), strict=True):
        if step:
            _set_moments(weights, tensor, Moments(step, *(read(m, name) for m in MOMENTS)))
    masters: Callable[[str], Tensor] = lambda name: read("master", name)  # noqa: E731
    if isinstance(weights, Shards):
        for name, tensor in weights.named.items():
            tensor.copy_(masters(name))
    else:
        weights.take(masters)
    for kind, of in averages.items():
        for name, tensor in of.items():
            tensor.copy_(read(kind, name))


def _load(state: dict[str, Any], folder: Path, weights: Weights) -> None:
    """Whole tensors are read by each rank for itself."""
    dcp.load(state, checkpoint_id=folder, no_dist=not isinstance(weights, Shards))


def _from_files(folder: Path, weights: Shards) -> None:
    """What one rank wrote, or each of them in the same words: whole tensors, of which this rank takes its rows."""
    saved = torch.load(folder / OPTIMIZER, map_location="cpu", weights_only=True, mmap=True)
    entries: dict[str, dict[str, Any]] = {}
    for part in saved.values():
        for group in part["param_groups"]:
            for name, i in zip(group["param_names"], group["params"], strict=True):
                entries[name] = part["state"].get(i, {})
    with safe_open(folder / MODEL, "pt") as file:
        _check_names(folder, weights, {n: file.get_slice(n).get_shape() for n in file.keys()})  # noqa: SIM118
        for name, tensor in weights.named.items():
            whole, entry = file.get_tensor(name), entries[name]
            found = moments_of(entry, whole)
            if found:
                rows = (weights.rows_of(name, getattr(found, m)).to(tensor.device, copy=True) for m in MOMENTS)
                _set_moments(weights, tensor, Moments(found.step, *rows))
            tensor.copy_(weights.rows_of(name, _joined(whole, entry.get("low"))))


def _joined(whole: Tensor, low: Tensor | None) -> Tensor:
    """The float32 master of a bfloat16 weight with the other half of its bits (`strop.train.split_adamw`)."""
    if low is None:
        return whole.float()
    return ((whole.view(torch.int16).int() << 16) + low).view(torch.float32)


def _check_names(folder: Path, weights: Weights, shapes: Mapping[str, Any]) -> None:
    for name in sorted(weights.named.keys() ^ shapes.keys()):
        lacking = "lacks" if name in weights.named else "has"
        raise InputError(f"{folder}: {lacking} {name}, unlike what this run trains; start in a new run folder.")
    for name, tensor in weights.named.items():
        mine = weights.shape(name) if isinstance(weights, Shards) else tensor.shape
        if list(mine) != list(shapes[name]):
            raise InputError(
                f"{folder}: {name} has the shape {list(shapes[name])} there and {list(mine)} in what this run trains; "
                "start in a new run folder."
            )


def moments_of(entry: Mapping[str, Any], like: Tensor) -> Moments | None:
    """Of an optimiser's state of one tensor, which has the shape of ``like``; None before its first step. Raises
    InputError for an optimiser that has none."""
    if "step" not in entry:
        return None
    step = int(entry["step"])
    if "exp_avg" in entry:
        return Moments(step, entry["exp_avg"], entry["exp_avg_sq"])
    if "v" in entry:
        return Moments(step, entry["m"], entry["v"])
    if "root_v" not in entry:
        raise InputError(
            "the checkpoint's optimiser has no moments that ranks can share; set compute.parallel=replicate."
        )
    m = dequantise(entry["m"], entry["m_scale"], True)
    v = dequantise(entry["root_v"], entry["root_v_scale"], False).square_()
    return Moments(step, *(x.view(-1)[: like.numel()].view(like.shape) for x in (m, v)))


def _set_moments(weights: Weights, tensor: Tensor, moments: Moments) -> None:
    part = weights.optimizer.part_of(tensor)
    step, m, v = moments
    if isinstance(part, torch.optim.AdamW):
        found = {"step": torch.tensor(float(step), device=m.device), "exp_avg": m, "exp_avg_sq": v}
    elif isinstance(part, AdamW8bit) or (isinstance(part, SplitAdamW) and part.eight_bit):
        found = {"step": step, **start_moments(tensor)}
        if "v" in found:
            found |= {"m": m, "v": v}
        else:
            for name, x, signed in (("m", m, True), ("root_v", v.sqrt(), False)):
                blocks = x.new_zeros(found[name].shape)
                blocks.view(-1)[: x.numel()] = x.reshape(-1)
                found[name], found[f"{name}_scale"] = quantise(blocks, signed)
    elif isinstance(part, SplitAdamW):
        found = {"step": step, "exp_avg": m, "exp_avg_sq": v}
    else:
        raise InputError("the checkpoint's optimiser is AdamW, and this run's is another; set train.optimizer=adamw.")
    part.state[tensor] = {**part.state.get(tensor, {}), **found}
