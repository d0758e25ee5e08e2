"""Checkpoints that are either whole or not there.

A checkpoint is written under another name, synced and renamed; a folder named ``step-NNNNNN`` is therefore complete.
It holds ``model.safetensors`` (the weights that are trained, in float32, or in bfloat16 where the optimiser keeps their
other half; frozen ones are where they came from), ``optimizer.pt``, ``state.pt`` (step, data position, random
generators) and ``checkpoint.json`` (step, steps, and of which model, adapters and chat settings it is). All of it is
loaded with ``weights_only=True``.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from strop.errors import InputError
from strop.files import write_json
from strop.folders import whole_folder
from strop.train.optim import tensor_bytes

_STEP = re.compile(r"step-\d+")


def save_checkpoint(
    folder: Path,
    step: int,
    model: nn.Module | Mapping[str, Tensor],
    optimizer,
    state: dict[str, Any],
    keep: int,
    about: Mapping[str, Any] | None = None,
) -> Path:
    """Write ``folder/step-NNNNNN`` and drop all but the newest ``keep``. Raises InputError when it can't be written.

    ``model``: the module, or its trained tensors by name where they are kept apart (float32 masters). ``about``: what
    ``checkpoint.json`` says besides the step.
    """
    final = folder / f"step-{step:06d}"
    for left_by_a_kill in folder.glob(".step-*"):
        shutil.rmtree(left_by_a_kill)
    weights = trained(model)
    room = tensor_bytes([weights, optimizer.state_dict(), state])
    try:
        with whole_folder(final, room, replace=True) as scratch:
            save_file({name: p.contiguous() for name, p in weights.items()}, str(scratch / "model.safetensors"))
            torch.save(optimizer.state_dict(), scratch / "optimizer.pt")
            torch.save({**state, "step": step, **_random_state()}, scratch / "state.pt")
            write_json(scratch / "checkpoint.json", {"step": step, **(about or {})})
    except (InputError, RuntimeError) as error:  # torch's writer turns a full disk into RuntimeError
        raise InputError(f"{error} The checkpoint of step {step} is not written; earlier ones are whole.") from error
    for old in checkpoints(folder)[:-keep]:
        shutil.rmtree(old)
    return final


def checkpoints(folder: Path) -> list[Path]:
    """Complete checkpoints in ``folder``, oldest first: by the number, since names have as many digits as they need."""
    found = [path for path in folder.glob("step-*") if _STEP.fullmatch(path.name)] if folder.is_dir() else []
    return sorted(found, key=lambda path: int(path.name.removeprefix("step-")))


def load_checkpoint(path: Path, model: nn.Module | Mapping[str, Tensor], optimizer) -> dict[str, Any]:
    """Put model, optimiser and random generators back; returns the rest of the state (``step``, ``source``, …).

    Raises InputError when the checkpoint holds other weights than ``model`` trains.
    """
    weights = trained(model)
    with safe_open(path / "model.safetensors", "pt") as saved:
        names = set(saved.keys())
    for name in sorted(weights.keys() ^ names):
        lacking = "lacks" if name in weights else "has"
        raise InputError(f"{path}: {lacking} {name}, unlike what this run trains; start in a new run folder.")
    for name, parameter in weights.items():  # one at a time: all at once would be a second copy of the model
        with safe_open(path / "model.safetensors", "pt") as saved:
            parameter.copy_(saved.get_tensor(name))
    # Mapped, not read: what the optimiser copies or takes is in memory once.
    optimizer.load_state_dict(torch.load(path / "optimizer.pt", weights_only=True, mmap=True))
    state = torch.load(path / "state.pt", weights_only=True)
    torch.set_rng_state(state["torch_rng"])
    if "cuda_rng" in state and torch.cuda.is_available():
        torch.cuda.set_rng_state_all(state["cuda_rng"])
    return state


def trained(model: nn.Module | Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The weights that training changes, by name; a tied one under its first name."""
    named = model.items() if isinstance(model, Mapping) else model.named_parameters()
    return {name: tensor.detach() for name, tensor in named if tensor.requires_grad}


def _random_state() -> dict[str, Any]:
    cuda = {"cuda_rng": torch.cuda.get_rng_state_all()} if torch.cuda.is_initialized() else {}
    return {"torch_rng": torch.get_rng_state(), **cuda}
