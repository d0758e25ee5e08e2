"""What whoever runs a model's programs puts into its turn: their output, and the tokens that open and close it.

The model never generates these, so they are never trained. The template writes the tokens, so they are told by where
they stand: from the last control token before an output to the first one after it. A single control token between code
and its output is what ends the code, and the model does write that.
"""

from bisect import bisect_left
from collections.abc import Collection, Iterator, Sequence

from strop.chat.origin import Run
from strop.chat.tokens import Tokens


def inserted(runs: Sequence[Run], tokens: Tokens, ids: Collection[int] = ()) -> Iterator[tuple[int, int]]:
    """Stretches ``[start, end)`` of characters. ``ids``: tokens that are inserted wherever the template writes them,
    which settles it for an output without text, too."""
    if ids:
        yield from ((tokens.starts[i], tokens.ends[i]) for i in tokens.controls if tokens.ids[i] in ids)
    outputs = [index for index, run in enumerate(runs) if run.field == "python_output"]
    if not outputs:
        return
    starts = [tokens.starts[i] for i in tokens.controls]
    ends = [tokens.ends[i] for i in tokens.controls]

    def controls_in(index: int) -> range:
        """Which control tokens stand in a run, if it is the template's text."""
        if not 0 <= index < len(runs) or runs[index].message is not None:
            return range(0)
        return range(bisect_left(starts, runs[index].start), bisect_left(starts, runs[index].end))

    for index in outputs:
        before, after = controls_in(index - 1), controls_in(index + 1)
        enough = 2 if index > 1 and runs[index - 2].field == "python" else 1
        start = starts[before[-1]] if len(before) >= enough else runs[index].start
        yield start, ends[after[0]] if after else runs[index].end
