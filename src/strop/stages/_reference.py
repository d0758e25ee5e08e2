"""Log-probabilities of the frozen reference: one pass before the first step, or by the adapters switched off.

Shapes: S trained positions of a batch.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from strop.common.folders import whole_folder
from strop.data.batch import Batch
from strop.data.groups import Group
from strop.data.packing import pack
from strop.model.policy import Policy

FILE = "reference.safetensors"
Reference = Callable[[Batch, Sequence[Group]], Batch]
"""Gives a row of groups the stream ``ref_logprobs``."""


def with_reference(batch: Batch, logprobs: Tensor) -> Batch:
    return replace(batch, streams={**batch.streams, "ref_logprobs": logprobs.to(batch.weights.device)})


def adapters_off(policy: Policy) -> Reference:
    """Each row is computed when it is made; the reference is the model that the adapters stand beside."""

    def attach(batch: Batch, groups: Sequence[Group]) -> Batch:
        with policy.measuring(), policy.reference():
            return with_reference(batch, policy(batch.to(policy.compute.device))["logprobs"].cpu())

    return attach


def stored(
    policy: Policy,
    groups: Sequence[Group],
    make: Callable[[Sequence[Group]], Batch],
    row_tokens: int,
    folder: Path,
    made_from: dict[str, Any],
    say: Callable[[str], None],
) -> Reference:
    """The policy as it is now, asked once for all ``groups``; kept in ``folder`` for a run that goes on.

    What is kept is used where it was made of the same ``made_from``, groups and device; otherwise it is made again, and
    said. Float32, 4 bytes per trained token.
    """
    groups = list({group.key: group for group in groups}.values())
    counts = [group.targets for group in groups]
    said = [made_from, str(policy.compute), [[*group.key, n] for group, n in zip(groups, counts, strict=True)]]
    key = hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()
    flat = _kept(folder / "reference" / FILE, key, say)
    if flat is None:
        flat = _measured(policy, groups, counts, make, row_tokens)
        with whole_folder(folder / "reference", flat.nbytes, replace=True) as scratch:
            save_file({"logprobs": flat}, str(scratch / FILE), metadata={"key": key})
        say(f"reference: log-probabilities of {len(flat):,} tokens, computed once")
    parts = dict(zip((group.key for group in groups), flat.split(counts), strict=True))

    def attach(batch: Batch, row: Sequence[Group]) -> Batch:
        return with_reference(batch, torch.cat([parts[group.key] for group in row]))

    return attach


def _kept(file: Path, key: str, say: Callable[[str], None]) -> Tensor | None:
    if not file.is_file():
        return None
    with safe_open(file, "pt") as saved:
        if (saved.metadata() or {}).get("key") == key:
            say("reference: log-probabilities kept from before are used")
            return saved.get_tensor("logprobs")
    say("reference: what is kept is of another model, other data or another device, so it is computed again")
    return None


def _measured(
    policy: Policy,
    groups: Sequence[Group],
    counts: Sequence[int],
    make: Callable[[Sequence[Group]], Batch],
    row_tokens: int,
) -> Tensor:
    """The policy's log-probabilities at the trained positions of all groups, one after another, float32."""
    found: list[Tensor] = [torch.empty(0)] * len(groups)
    with policy.measuring():
        for row in pack([len(group.tokens) for group in groups], row_tokens):
            batch = make([groups[i] for i in row]).to(policy.compute.device)
            values = policy(batch)["logprobs"].cpu().split([counts[i] for i in row])
            for i, own in zip(row, values, strict=True):
                found[i] = own
    return torch.cat(found) if found else torch.empty(0)
