"""Groups of examples that begin alike (the answers to one prompt, chosen and rejected): the common part goes in once.

Nothing else changes: every trained token keeps its weight, its streams and the example that it counts for, also where
it stands in the common part. Such a token is then trained once per example, from the one position that they share, so
values and gradients are those of the examples written out (``share=False``) to rounding.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from strop.data.batch import Batch, Trainable, Trained, join

# What a shared part, which is no example, has in the sequence streams that objectives read; 0 in any other.
SHARED_VALUES = {"pair": -1.0}


def common_prefix(examples: Sequence[Trainable]) -> int:
    """Number of tokens with which all begin; at most one less than the shortest has, so that each keeps one."""
    shortest = min(len(e.tokens) for e in examples) - 1
    if shortest <= 0:
        return 0
    rows = np.stack([np.asarray(e.tokens[:shortest], np.int64) for e in examples])
    differ = (rows != rows[0]).any(0)
    return int(differ.argmax()) if differ.any() else shortest


def make_group_batch(
    groups: Sequence[Sequence[Trainable]],
    share: bool = True,
    streams: Mapping[str, Sequence[Sequence[Sequence[float]]]] | None = None,
    sequence_streams: Mapping[str, Sequence[Sequence[float]]] | None = None,
    shared_values: Mapping[str, float] = SHARED_VALUES,
) -> Batch:
    """One flat row of groups of whole examples; with ``share``, the longest common prefix of each group goes in once.

    ``streams`` and ``sequence_streams`` are nested as the groups are: per group, per example (and per token, aligned
    like ``loss_weights``). A common prefix is a sequence of its own, the parent of its group's; it has no trained
    position, and ``shared_values`` (0 for a name that is not there) in the sequence streams. A group of one shares
    nothing, nor does one whose examples differ from the first token on.
    """
    sequences: list[Sequence[int] | np.ndarray] = []
    parent: list[int] = []
    trained = []
    given = sequence_streams or {}
    values: dict[str, list[float]] = {name: [] for name in given}
    for g, group in enumerate(groups):
        shared = common_prefix(group) if share and len(group) > 1 else 0
        above = -1
        if shared:
            above = len(sequences)
            sequences.append(group[0].tokens[:shared])
            parent.append(-1)
            for name, column in values.items():
                column.append(shared_values.get(name, 0.0))
        for i, example in enumerate(group):
            own = {name: nested[g][i] for name, nested in (streams or {}).items()}
            trained.append(Trained(len(sequences), example, own))
            sequences.append(example.tokens[shared:])
            parent.append(above)
            for name, column in values.items():
                column.append(given[name][g][i])
    return join(sequences, parent, trained, values)
