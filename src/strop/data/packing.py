"""Cut the examples of a step into flat rows of bounded length."""

from __future__ import annotations

from collections.abc import Sequence

from strop.errors import InputError


def pack(lengths: Sequence[int], row_tokens: int) -> list[list[int]]:
    """Indices of ``lengths`` in rows of at most ``row_tokens`` tokens, by best fit, longest first.

    Every index comes back exactly once, ascending within its row. Best-fit decreasing needs at most 11/9 of the
    fewest possible rows plus one (Johnson 1973). Raises InputError when one length is larger than a row.
    """
    rows: list[list[int]] = []
    room: list[int] = []
    for index in sorted(range(len(lengths)), key=lambda i: (-lengths[i], i)):
        length = lengths[index]
        if length > row_tokens:
            raise InputError(
                f"an example has {length} tokens and a row holds {row_tokens}; "
                f"raise micro_batch_tokens to at least {length} or lower max_length."
            )
        fitting = [r for r in range(len(rows)) if room[r] >= length]
        if fitting:
            best = min(fitting, key=lambda r: room[r])
        else:
            best = len(rows)
            rows.append([])
            room.append(row_tokens)
        rows[best].append(index)
        room[best] -= length
    return [sorted(row) for row in rows]
