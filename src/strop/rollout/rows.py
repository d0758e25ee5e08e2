"""Trajectories to flat rows, and what is known of every sampled token before the first update on them.

Shapes: S trained positions of all rows together, N trajectories.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from strop.data.batch import Batch
from strop.data.packing import pack
from strop.data.prefixes import make_group_batch
from strop.model.policy import Policy
from strop.rollout.trajectory import Trajectory

_OWNER = "trajectory"
NOTHING = Trajectory("nothing", -1, 0, (0, 0), (0.0, 0.0), (0.0, 0.0), "stop", "")


@dataclass(frozen=True)
class Rows:
    """``batches`` in order; ``owner [S]``: the number of the trajectory that a trained position is of."""

    batches: list[Batch]
    owner: Tensor

    def stream(self, name: str) -> Tensor:
        """A stream of all rows, ``[S]``."""
        return torch.cat([batch.streams[name] for batch in self.batches])

    def with_streams(self, streams: dict[str, Tensor]) -> list[Batch]:
        """The batches with more streams, each ``[S]`` over all rows."""
        sizes = [len(batch.labels) for batch in self.batches]
        cut = {name: values.float().cpu().split(sizes) for name, values in streams.items()}
        return [
            replace(batch, streams={**batch.streams, **{name: parts[i] for name, parts in cut.items()}})
            for i, batch in enumerate(self.batches)
        ]


def rows_of(groups: Sequence[Sequence[Trajectory]], number: dict[int, int], row_tokens: int) -> Rows:
    """Rows of at most ``row_tokens`` tokens in which a prompt stands once, with its group's answers after it.

    A group that is longer than a row is cut up, and its prompt stands once in each piece. ``number``: of each
    trajectory, by its identity. Raises InputError where one trajectory alone does not fit.
    """
    pieces = [piece for group in groups for piece in _pieces(group, row_tokens)]
    lengths = [_length(piece) for piece in pieces]
    batches, owners = [], []
    for row in pack(lengths, row_tokens):
        chosen = [pieces[i] for i in row]
        batch = make_group_batch(
            chosen,
            streams={"rollout_logprobs": [[one.rollout_logprobs for one in piece] for piece in chosen]},
            sequence_streams={_OWNER: [[number[id(one)] for one in piece] for piece in chosen]},
        )
        owners.append(batch.sequence_streams[_OWNER][batch.seq_index].long())
        batches.append(replace(batch, sequence_streams={}))
    return Rows(batches, torch.cat(owners) if owners else torch.empty(0, dtype=torch.long))


def _pieces(group: Sequence[Trajectory], row_tokens: int) -> list[list[Trajectory]]:
    pieces: list[list[Trajectory]] = []
    for one in group:
        if pieces and _length([*pieces[-1], one]) <= row_tokens:
            pieces[-1].append(one)
        else:
            pieces.append([one])
    return pieces


def _length(piece: Sequence[Trajectory]) -> int:
    """Tokens of a row that holds the prompt once and every answer; what answers have in common may save some more."""
    prompt = piece[0].loss_weights.index(1.0)
    return prompt + sum(len(one.tokens) - prompt for one in piece)


@torch.no_grad()
def measure(policy: Policy, batches: Sequence[Batch], want: Sequence[str], temperature: float) -> dict[str, Tensor]:
    """Outputs of the policy as it is at the trained positions of all rows, ``[S]`` each, on the host; no dropout."""
    training = policy.training
    policy.eval()
    found = []
    for batch in batches:
        outputs = policy(batch.to(policy.compute.device), want, None, temperature)
        found.append({name: outputs[name].float().cpu() for name in want})
    policy.train(training)
    return {name: torch.cat([one[name] for one in found]) for name in want}


def packed(batch: Batch) -> dict[str, Any]:
    """A batch as a checkpoint holds it."""
    return dict(vars(batch))


def unpacked(state: dict[str, Any]) -> Batch:
    return Batch(**state)
