"""Cut the examples of a step into flat rows of bounded length."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence

from strop.common.errors import InputError


def pack(lengths: Sequence[int], row_tokens: int) -> list[list[int]]:
    """Indices of ``lengths`` in rows of at most ``row_tokens`` tokens; every index once, ascending within its row.

    Row by row: it begins with the longest example left, and ends with the two that together fill it best; those
    between are the shortest that leave no more room than two can fill. So short examples are not used up late, as
    best-fit decreasing does (GSM8K in rows of 2048: 99.6 % full, against 98.8 %), and n examples of m different
    lengths take O(n log n + rows · m) steps.

    Raises InputError when one length is larger than a row.
    """
    order = sorted(range(len(lengths)), key=lambda i: (lengths[i], -i))  # shortest first
    left = [lengths[i] for i in order]
    if left and left[-1] > row_tokens:
        raise InputError(
            f"an example has {left[-1]} tokens and a row holds {row_tokens}; "
            f"raise micro_batch_tokens to at least {left[-1]} or lower max_length."
        )
    rows = []
    while left:
        row, room = [order.pop()], row_tokens - left.pop()
        while left and left[0] <= room:
            fitting = bisect_right(left, room)
            longest = left[fitting - 1]
            if room > 2 * longest:
                taken = [min(fitting - 1, bisect_left(left, room - 2 * longest))]
            else:
                taken = _best_two(left, fitting, room)
            for place in taken:
                room -= left.pop(place)
                row.append(order.pop(place))
        rows.append(sorted(row))
    return rows


def _best_two(left: list[int], fitting: int, room: int) -> list[int]:
    """Places in ``left`` (ascending lengths) of the one or two that fill ``room`` best, the later place first.

    The first ``fitting`` of them fit.
    """
    best, places = left[fitting - 1], [fitting - 1]
    previous = None
    for larger in range(fitting - 1, 0, -1):
        length = left[larger]
        if length == previous:
            continue
        if best == room or 2 * length <= best:
            break
        previous = length
        smaller = bisect_right(left, room - length, 0, larger) - 1
        if smaller >= 0 and length + left[smaller] > best:
            best, places = length + left[smaller], [larger, smaller]
    return places
