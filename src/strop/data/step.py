"""What a training loop asks of its data: the micro-batches of one optimiser step after the other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from strop.data.batch import Batch


@dataclass(frozen=True)
class Step:
    """One optimiser step of this rank.

    ``batches``: its micro-batches, as many as on every other rank (a row with no trained token fills up). ``metrics``:
    numbers of the source's own (rewards, lengths, shares), logged beside the loop's as their mean over the ranks.
    ``ends_epoch``: a whole pass over the data ends with this step.
    """

    batches: Sequence[Batch]
    metrics: Mapping[str, float] = field(default_factory=dict)
    ends_epoch: bool = False


class Source(Protocol):
    """Gives the steps of one rank, which it knows with the number of ranks from its making, and can be put back.

    ``steps``: how many there are, None where there is no end. The state holds everything that decides what comes next.
    """

    @property
    def steps(self) -> int | None: ...

    def next_step(self) -> Step: ...

    def state_dict(self) -> dict[str, Any]: ...

    def load_state_dict(self, state: dict[str, Any]) -> None: ...
