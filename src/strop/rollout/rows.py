"""Trajectories to flat rows, and what is known of every sampled token before the first update on them.

Shapes: S trained positions of all rows together, N trajectories.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from strop.common.console import working
from strop.data.batch import Batch
from strop.data.packing import pack
from strop.data.prefixes import common_prefix, make_group_batch
from strop.model.policy import Policy
from strop.rollout.trajectory import Trajectory

_OWNER = "trajectory"
NOTHING = Trajectory("nothing", -1, 0, (0, 0), (0.0, 0.0), (0.0, 0.0), "stop", "")


@dataclass(frozen=True)
class Rows:
    """``batches`` in order; ``owner [S]``: the number of the trajectory that a trained position is of; ``end [S]``: the
    place of that trajectory's last token in its row."""

    batches: list[Batch]
    owner: Tensor
    end: Tensor

    @classmethod
    def joined(cls, several: Sequence[Rows]) -> Rows:
        """All rows of several, in order."""
        owner, end = (torch.cat(each) for each in ([one.owner for one in several], [one.end for one in several]))
        return cls([batch for one in several for batch in one.batches], owner, end)

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

    A group that is longer than a row is cut up, and its prompt stands once in each piece. All segments of a trajectory
    stand in one row, in order of time, and count as one sequence. ``number``: of each trajectory, by its identity.
    Raises InputError where one trajectory alone does not fit.
    """
    pieces = [piece for group in groups for piece in _pieces(group, row_tokens)]
    batches, owners, ends = [], [], []
    for row in pack([piece.length for piece in pieces], row_tokens):
        chosen = [pieces[i].trajectories for i in row]
        segments = [[part for one in piece for part in one.segments] for piece in chosen]
        batch = make_group_batch(
            segments,
            streams={"rollout_logprobs": [[part.rollout_logprobs for part in piece] for piece in segments]},
            sequence_streams={_OWNER: [[number[id(one)] for one in piece for _ in one.segments] for piece in chosen]},
        )
        owners.append(batch.sequence_streams[_OWNER][batch.seq_index].long())
        ends.append(_end_of_owner(batch, owners[-1]))
        several = any(one.earlier for piece in chosen for one in piece)
        index = _first_of_owner(batch.seq_index, owners[-1]) if several else batch.seq_index
        batches.append(replace(batch, seq_index=index, sequence_streams={}))
    owner, end = (torch.cat(each) if each else torch.empty(0, dtype=torch.long) for each in (owners, ends))
    return Rows(batches, owner, end)


def _end_of_owner(batch: Batch, owner: Tensor) -> Tensor:
    """``[S]``: the place of the last token of the trajectory that a position is of, which ends its last sequence."""
    inverse = owner.unique(return_inverse=True)[1]
    last = torch.zeros_like(batch.seq_index).scatter_reduce(0, inverse, batch.seq_index, "amax", include_self=False)
    return torch.tensor(batch.seq_lens).cumsum(0)[last[inverse]] - 1


def with_ends(rows: Rows, which: Tensor) -> tuple[Rows, Tensor]:
    """The rows with more positions behind the trained ones of each batch: those of the last tokens of the trajectories
    ``which`` (bool ``[N]``); and whether each position of all rows is one of these. To be measured, not trained."""
    batches, owners, ends, added = [], [], [], []
    sizes = [len(batch.labels) for batch in rows.batches]
    for batch, owner, end in zip(rows.batches, rows.owner.split(sizes), rows.end.split(sizes), strict=True):
        numbers, inverse = owner.unique(return_inverse=True)
        first = torch.zeros_like(numbers)  # of each trajectory's positions
        first = first.scatter_reduce(0, inverse, torch.arange(len(owner)), "amin", include_self=False)[which[numbers]]
        place = end[first]
        batches.append(
            replace(
                batch,
                trained_index=torch.cat([batch.trained_index, place]),
                labels=torch.cat([batch.labels, batch.tokens[place]]),
                weights=torch.cat([batch.weights, torch.zeros(len(place))]),
                seq_index=torch.cat([batch.seq_index, batch.seq_index[first]]),
                streams={},
            )
        )
        owners.append(torch.cat([owner, owner[first]]))
        ends.append(torch.cat([end, place]))
        added.append(torch.arange(len(owner) + len(place)) >= len(owner))
    return Rows(batches, torch.cat(owners), torch.cat(ends)), torch.cat(added)


def _first_of_owner(seq_index: Tensor, owner: Tensor) -> Tensor:
    """``[S]``: the first sequence of the trajectory that a position is of, which stands for all its segments."""
    inverse = owner.unique(return_inverse=True)[1]
    return torch.zeros_like(seq_index).scatter_reduce(0, inverse, seq_index, "amin", include_self=False)[inverse]


@dataclass
class _Piece:
    """Answers of one group; ``shared`` tokens at least are common to all their segments, of which there are ``count``
    with ``tokens`` tokens in all."""

    trajectories: list[Trajectory]
    shared: int
    count: int
    tokens: int

    @property
    def length(self) -> int:
        """Tokens of a row that holds what is common once; answers that begin alike may save some more."""
        return self.tokens - (self.count - 1) * self.shared

    def with_(self, other: _Piece) -> _Piece:
        shared = min(self.shared, other.shared)
        return _Piece(
            self.trajectories + other.trajectories, shared, self.count + other.count, self.tokens + other.tokens
        )


def _pieces(group: Sequence[Trajectory], row_tokens: int) -> list[_Piece]:
    pieces: list[_Piece] = []
    for one in group:
        own = one.segments
        shared = len(own[0].prompt)
        if one.earlier:
            shared = min(shared, *(common_prefix([own[0], other]) for other in own[1:]))
        piece = _Piece([one], shared, len(own), sum(len(part.tokens) for part in own))
        joined = pieces[-1].with_(piece) if pieces else None
        if joined and joined.length <= row_tokens:
            pieces[-1] = joined
        else:
            pieces.append(piece)
    return pieces


@torch.no_grad()
def measure(policy: Policy, batches: Sequence[Batch], want: Sequence[str], temperature: float) -> dict[str, Tensor]:
    """Outputs of the policy as it is at the trained positions of all rows, ``[S]`` each, on the host; no dropout."""
    training = policy.training
    policy.eval()
    found = []
    with working("rollouts: log-probabilities of rows", len(batches)) as work:
        for batch in batches:
            outputs = policy(batch.to(policy.compute.device), want, None, temperature)
            found.append({name: outputs[name].float().cpu() for name in want})
            work.advance()
    policy.train(training)
    return {name: torch.cat([one[name] for one in found]) for name in want}


def packed(batch: Batch) -> dict[str, Any]:
    """A batch as a checkpoint holds it."""
    return dict(vars(batch))


def unpacked(state: dict[str, Any]) -> Batch:
    return Batch(**state)
