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
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

from strop.chat.codec import Codec, Rendered
from strop.chat.origin import OWN_FIELDS, Run
from strop.chat.rendering import traced_inputs
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


def turn_span(codec: Codec, rendered: Rendered, message: int, weight: float) -> TurnSpan:
    """The rules above on one message; an empty span where the template prints nothing to learn."""
    tokens = rendered.tokens
    extent = _extent(rendered.runs, message)
    if extent is None:
        return TurnSpan(message, 0, 0, 0, 0, "none", weight)
    prompt = rendered.prompt_before(message, True)
    same = prompt is not None and rendered.text.startswith(prompt) and len(prompt) >= extent.before
    start = len(prompt) if same else _start(codec, rendered, extent, prompt, message)
    end, ending = _end(tokens, extent, codec.stop_ids)
    if start >= end:
        return TurnSpan(message, start, start, 0, 0, "none", weight)
    first, last = tokens.within(start, end)
    differing = 0
    if prompt is not None:
        differing = _drift(codec, rendered, message, first, start, same and start <= extent.first_own)
    drifted = differing > 0 or prompt is None
    own = (run for run in rendered.runs if run.message == message and run.field in OWN_FIELDS)
    after = (rendered.text[run.start : run.end] for run in own if end <= run.start)
    cut = any(text not in rendered.text[start:end] for text in after)  # what just repeats the turn does not count
    across = (tokens.starts[first] < start) + (tokens.ends[last - 1] > end and last - 1 > first)
    found = message, start, end, first, last, ending, weight, differing, drifted
    return TurnSpan(*found, cut=cut, straddling=across)


def is_rewritten(codec: Codec, rendered: Rendered, turn: TurnSpan) -> bool:
    """Whether the turn, or what is before it, is not what was served when it was the last: history is rewritten."""
    if turn.drifted or turn.first >= turn.last:
        return True
    if turn.message == len(rendered.messages) - 1:
        return False
    served = rendered.prompt_before(turn.message + 1, False)
    # A turn that stops at the next one's header has less text when it is the last.
    return served is not None and not rendered.text[: turn.end].startswith(served[: turn.end])


class _Extent(NamedTuple):
    """Where a turn's own characters lie, and how far on either side the text is nobody else's."""

    before: int
    first_own: int
    last_own: int
    after: int
    last_field: str
    """The field of the last own character."""


def _extent(runs: Sequence[Run], message: int) -> _Extent | None:
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
    return _Extent(before, runs[first].start, last_own, after, last_field)


def _start(codec: Codec, rendered: Rendered, extent: _Extent, prompt: str | None, message: int) -> int:
    """Rule 1 where the text does not begin with ``prompt`` (None: the template refused to make one).

    The generation prompt, which is what the prompts with and without it differ in, is looked for in the template's text
    before the turn: whole, or else its longest beginning that stands there token by token. (One that opens the
    reasoning is followed, in the same template's past turns, by none or by a tool call, and what opens that is the
    model's to write.) A beginning without a control token proves nothing: the first own character it is, then.
    """
    bare = None if prompt is None else rendered.prompt_before(message, False)
    if bare is None:
        return extent.first_own
    header = prompt[common_length(prompt, bare) :]
    at = rendered.text.rfind(header, extent.before, extent.first_own) if header else -1
    if at >= 0:
        return at + len(header)
    tokens, begun = rendered.tokens, codec.tokens(header, rendered.writers, rendered.conversation.place)
    first, last = tokens.within(extent.before, extent.first_own)
    matches = [(common_length(begun.ids, tokens.ids[at:last]), at) for at in range(first, last)]
    length, at = max(matches, default=(0, 0))
    if not begun.controls or begun.controls[0] >= length:
        return extent.first_own
    return min(tokens.ends[at + length - 1], extent.first_own)


def _end(tokens: Tokens, extent: _Extent, stop_ids: Collection[int]) -> tuple[int, Ending]:
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


def _drift(codec: Codec, rendered: Rendered, message: int, first: int, start: int, same_text: bool) -> int:
    """How many tokens before the turn differ from the ids that inference would feed."""
    tokens, writers, place = rendered.tokens, rendered.writers, rendered.conversation.place
    if same_text:
        # Text is split at control tokens before anything else, so only what follows the last one can differ.
        last_control = bisect_left(tokens.controls, first) - 1
        since = tokens.controls[last_control] if last_control >= 0 else 0
        tail = rendered.traced_text[tokens.starts[since] if last_control >= 0 else 0 : start]
        served, trained = codec.tail_ids(tail, writers, place), tokens.ids[since:first]
    else:
        text = codec.renderer.render(rendered.traced[:message], traced_inputs(rendered.inputs), True)
        served, trained = codec.tokens(text, writers, place).ids, tokens.ids[:first]
    # From the first difference on, in the longer of the two.
    return 0 if served == trained else max(len(served), len(trained)) - common_length(served, trained)


def common_length(a: Sequence[Any], b: Sequence[Any]) -> int:
    """How many items the two begin with alike."""
    pairs = zip(a, b, strict=False)
    return next((index for index, (x, y) in enumerate(pairs) if x != y), min(len(a), len(b)))
