"""Which characters of a rendered conversation an assistant turn has to learn.

The rules, for the turn of message i (its *own* characters are its content, reasoning and tool calls, as printed):

1. it starts where the prompt that inference would feed ends;
2. it holds everything up to its end, template text in between included;
3. it ends with the first token of the stop set that the template wrote after the turn's first own character: there the
   model stops, so what follows is never generated. Where no such token comes before the next message's text, and the
   turn's last own character is content, it ends with the first control token after that (some models stop at the next
   turn's header). After a tool call or reasoning that token may just as well be what closes these (``</tool_call>``),
   so it is not taken for a stop;
4. without either, it ends with its last own character, and the model could not learn to stop.
"""

from bisect import bisect_left
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from strop.chat.origin import OWN_FIELDS, Run
from strop.chat.tokens import Tokens

Ending = Literal["stop", "control", "none", "truncated"]

_CONTENT = frozenset({"content", "python", "python_output"})


@dataclass(frozen=True, slots=True)
class TurnSpan:
    """A trained turn: characters ``[start, end)``, tokens ``[first, last)``, and how it came out."""

    message: int
    start: int
    end: int
    first: int
    last: int
    ending: Ending
    weight: float = 1.0
    drift_tokens: int = 0
    """Tokens, before and at the start, in which the training prompt differs from what inference would feed."""
    drifted: bool = False
    mend: str = ""
    """What would make the two equal, where that was found out: see `strop.chat.drift`."""
    cut: bool = False
    """The template printed more of the turn after its stop token, where the model would not get to."""
    straddling: int = 0
    """Tokens that lie across the turn's borders; they are trained."""


@dataclass(frozen=True, slots=True)
class Extent:
    """Where a turn's own characters lie, and how far on either side the text is nobody else's."""

    before: int
    first_own: int
    last_own: int
    after: int
    last_field: str
    """The field of the last own character."""


def extent_of(runs: Sequence[Run], message: int) -> Extent | None:
    """None when the template printed nothing of the message.

    ``before`` ends the last text of another message (or of anything not the template's) ahead of the first own
    character; ``after`` starts the next text of another message. Own text beyond that is an echo, not the turn: some
    templates repeat a call's name in the header of its result.
    """
    own = (index for index, run in enumerate(runs) if run.message == message and run.field in OWN_FIELDS)
    first = next(own, None)
    if first is None:
        return None
    before = next((run.end for run in reversed(runs[:first]) if run.message is not None), 0)
    last_own = after = runs[-1].end
    last_field = runs[first].field
    for run in runs[first:]:
        if run.message == message:
            last_own = run.end
            last_field = run.field if run.field in OWN_FIELDS else last_field
        elif run.message is not None:
            after = run.start
            break
    return Extent(before, runs[first].start, last_own, after, last_field)


def turn_start(
    text: str,
    tokens: Tokens,
    extent: Extent,
    prompt: str | None,
    unprompted: Callable[[], str | None],
    encode: Callable[[str], Tokens],
) -> tuple[int, bool]:
    """Rule 1: the first character to generate, and whether the text before it is exactly ``prompt``.

    ``prompt`` is the rendering of the messages before the turn with the generation prompt, ``unprompted()`` the same
    without it (None: the template refused). Where the text does not begin with ``prompt``, the generation prompt, which
    is what the two differ in, is looked for in the template text before the turn, whole or (`header_end`) in part;
    where it is not there, the turn starts at its first own character.
    """
    if prompt is not None and text.startswith(prompt) and len(prompt) >= extent.before:
        return len(prompt), True
    bare = None if prompt is None else unprompted()
    if prompt is not None and bare is not None:
        header = prompt[common_length(prompt, bare) :]
        at = text.rfind(header, extent.before, extent.first_own) if header else -1
        if at >= 0:
            return at + len(header), False
        return header_end(tokens, extent, encode(header)), False
    return extent.first_own, False


def header_end(tokens: Tokens, extent: Extent, header: Tokens) -> int:
    """Where the longest beginning of ``header`` ends that stands, token by token, in the template text before the turn.

    A generation prompt that opens the reasoning is followed, in the same template's past turns, by none or by a tool
    call, and what opens that is the model's to write. A beginning without a control token proves nothing: the first
    own character it is, then.
    """
    first, last = tokens.within(extent.before, extent.first_own)
    matches = [(common_length(header.ids, tokens.ids[at:last]), at) for at in range(first, last)]
    length, at = max(matches, default=(0, 0))
    if not header.controls or header.controls[0] >= length:
        return extent.first_own
    return min(tokens.ends[at + length - 1], extent.first_own)


def common_length(a: Sequence[Any], b: Sequence[Any]) -> int:
    """How many items the two begin with alike."""
    pairs = zip(a, b, strict=False)
    return next((index for index, (x, y) in enumerate(pairs) if x != y), min(len(a), len(b)))


def turn_end(tokens: Tokens, extent: Extent, stop_ids: Collection[int]) -> tuple[int, Ending]:
    """Rules 3 and 4: the character after the last one to generate, and what stands there."""
    at = bisect_left(tokens.starts, extent.first_own)
    controls = tokens.controls[bisect_left(tokens.controls, at) :]
    for index in controls:
        if tokens.starts[index] >= extent.after:
            break
        if tokens.ids[index] in stop_ids:
            return tokens.ends[index], "stop"
    for index in controls if extent.last_field in _CONTENT else ():
        if extent.last_own <= tokens.starts[index] < extent.after:
            return tokens.ends[index], "control"
    return extent.last_own, "none"
