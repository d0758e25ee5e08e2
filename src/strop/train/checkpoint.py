"""Checkpoints that are either whole or not there.

A checkpoint is written under another name, synced and renamed; a folder named ``step-NNNNNN`` is therefore complete.
It holds ``model.safetensors`` (float32 weights), ``optimizer.pt`` and ``state.pt`` (step, data position, random
generators). All of it is loaded with ``weights_only=True``.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_model, save_model
from torch import nn

from strop.errors import InputError
from strop.folders import whole_folder


def save_checkpoint(folder: Path, step: int, model: nn.Module, optimizer, state: dict[str, Any], keep: int) -> Path:
    """Write ``folder/step-NNNNNN`` and drop all but the newest ``keep``. Raises InputError when it can't be written."""
    final = folder / f"step-{step:06d}"
    for left_by_a_kill in folder.glob(".step-*"):
        shutil.rmtree(left_by_a_kill)
    room = 3 * sum(p.numel() * p.element_size() for p in model.parameters())  # weights and AdamW's two moments
    try:
        with whole_folder(final, room, replace=True) as scratch:
            save_model(model, str(scratch / "model.safetensors"))
            torch.save(optimizer.state_dict(), scratch / "optimizer.pt")
            torch.save({**state, "step": step, "torch_rng": torch.get_rng_state()}, scratch / "state.pt")
    except (InputError, RuntimeError) as error:  # torch's writer turns a full disk into RuntimeError
        raise InputError(f"{error} The checkpoint of step {step} is not written; earlier ones are whole.") from error
    for old in checkpoints(folder)[:-keep]:
        shutil.rmtree(old)
    return final


def checkpoints(folder: Path) -> list[Path]:
    """Complete checkpoints in ``folder``, oldest first."""
    return sorted(folder.glob("step-[0-9]*")) if folder.is_dir() else []


def load_checkpoint(path: Path, model: nn.Module, optimizer) -> dict[str, Any]:
    """Put model, optimiser and random generator back; returns the rest of the state (``step``, ``source``, …)."""
    load_model(model, str(path / "model.safetensors"))
    optimizer.load_state_dict(torch.load(path / "optimizer.pt", weights_only=True))
    state = torch.load(path / "state.pt", weights_only=True)
    torch.set_rng_state(state["torch_rng"])
    return state
