"""What a frozen model says of the data: one pass before the first step, or by the adapters switched off.

Shapes: S trained positions of a batch.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from strop.common.console import working
from strop.common.folders import whole_folder
from strop.data.batch import Batch
from strop.data.groups import Group
from strop.data.packing import pack
from strop.data.source import fill
from strop.model.policy import Policy
from strop.train.world import World

Measure = Callable[[Batch], Mapping[str, Tensor]]
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
    examples: Sequence[Any],
    measure: Measure,
    *,
    key: Callable[[Any], Any],
    make: Callable[[Sequence[Any]], Batch],
    row_tokens: int,
    folder: Path,
    made_from: dict[str, Any],
    say: Callable[[str], None],
    world: World,
) -> Callable[[Sequence[Any]], dict[str, Tensor]]:
    """What ``measure`` gives of all ``examples``, asked once, by name ``[S,…]``; a function that gives it for a row.
    The ranks measure a share each.

    ``key``: what an example is known by, that JSON can hold. It is kept in ``folder`` for a run that goes on, and used
    where it was made of the same ``made_from`` and examples; otherwise it is made again, and said.
    """
    name, file = folder.name, folder / f"{folder.name}.safetensors"
    unique = {json.dumps(key(example)): example for example in examples}
    examples = list(unique.values())
    counts = [targets(example) for example in examples]
    made = hashlib.sha256(json.dumps([made_from, list(zip(unique, counts, strict=True))], sort_keys=True).encode())
    whole = world.first(lambda: _kept(file, made.hexdigest(), name, say))
    if whole is None:
        whole = _measured(examples, counts, measure, make, row_tokens, world)
        n_bytes = sum(tensor.nbytes for tensor in whole.values())
        if world.rank == 0:
            with whole_folder(folder, n_bytes, replace=True) as scratch:
                save_file(whole, str(scratch / file.name), metadata={"key": made.hexdigest()})
        if counts:
            say(f"{name}: log-probabilities of {sum(counts):,} tokens, computed once")
    parts = {
        one: dict(zip(whole, several, strict=True))
        for one, *several in zip(unique, *(tensor.split(counts) for tensor in whole.values()), strict=True)
    }

    def of_row(row: Sequence[Any]) -> dict[str, Tensor]:
        found = [parts[json.dumps(key(example))] for example in row]
        return {name: torch.cat([one[name] for one in found]) for name in whole}

    return of_row


def targets(example: Any) -> int:
    """Positions that a batch of an example trains; of a group, a token is one for every example that it is of."""
    return sum(int(np.count_nonzero(one.loss_weights[1:])) for one in getattr(example, "examples", [example]))


def _kept(file: Path, key: str, name: str, say: Callable[[str], None]) -> dict[str, Tensor] | None:
    if not file.is_file():
        return None
    with safe_open(file, "pt") as saved:
        if (saved.metadata() or {}).get("key") == key:
            say(f"{name}: log-probabilities kept from before are used")
            return {one: saved.get_tensor(one) for one in saved.keys()}  # noqa: SIM118 - not a mapping
    say(f"{name}: what is kept is of another model, other data or another device, so it is computed again")
    return None


def _measured(
    examples: Sequence[Any],
    counts: Sequence[int],
    measure: Measure,
    make: Callable[[Sequence[Any]], Batch],
    row_tokens: int,
    world: World,
) -> dict[str, Tensor]:
    """What is measured at the trained positions of all examples, one after another."""
    found: list[dict[str, Tensor]] = [{}] * len(examples)
    rows = pack([len(example.tokens) for example in examples], row_tokens)
    own, told_of = world.mine(rows), []
    with working("log-probabilities of the frozen model", sum(map(len, own))) as work:
        for row in own:
            told_of.append(measure(make([examples[i] for i in row])))
            work.advance(len(row))
    if len(told_of) * world.size < len(rows):
        measure(fill(make(examples[:1])))  # the ranks go through the model together
    for row, told in zip(rows, world.joined(told_of), strict=True):
        cut = {name: values.split([counts[i] for i in row]) for name, values in told.items()}
        for place, i in enumerate(row):
            found[i] = {name: parts[place] for name, parts in cut.items()}
    return {name: torch.cat([one[name] for one in found]) for name in (found[0] if found else ())}
