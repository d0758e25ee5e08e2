"""The span of an assistant turn in a rendered conversation, and how far its prompt is what inference would feed."""

from bisect import bisect_left
from collections.abc import Sequence

from strop.chat.codec import Codec
from strop.chat.mask import TurnSpan, common_length, extent_of, turn_end, turn_start
from strop.chat.origin import OWN_FIELDS, Run
from strop.chat.rendered import Rendered
from strop.chat.rendering import traced_inputs


def turn_span(codec: Codec, rendered: Rendered, message: int, weight: float) -> TurnSpan:
    """The rules of `strop.chat.mask` on one message; an empty span where the template prints nothing to learn."""
    runs, tokens = rendered.runs, rendered.tokens
    extent = extent_of(runs, message)
    if extent is None:
        return TurnSpan(message, 0, 0, 0, 0, "none", weight)
    prompt = rendered.prompt_before(codec, message, True)
    start, same = turn_start(
        rendered.text,
        tokens,
        extent,
        prompt,
        lambda: rendered.prompt_before(codec, message, False),
        lambda text: codec.tokens(text, rendered.writers, rendered.conversation.place),
    )
    end, ending = turn_end(tokens, extent, codec.stop_ids)
    if start >= end:
        return TurnSpan(message, start, start, 0, 0, "none", weight)
    first, last = tokens.within(start, end)
    differing = 0
    if prompt is not None:
        differing = _drift(codec, rendered, message, first, start, same and start <= extent.first_own)
    return TurnSpan(
        message,
        start,
        end,
        first,
        last,
        ending,
        weight,
        drift_tokens=differing,
        drifted=differing > 0 or prompt is None,
        cut=_is_cut(rendered.text, runs, message, start, end),
        straddling=(tokens.starts[first] < start) + (tokens.ends[last - 1] > end and last - 1 > first),
    )


def is_rewritten(codec: Codec, rendered: Rendered, turn: TurnSpan) -> bool:
    """Whether the turn, or what is before it, is not what was served when it was the last: history is rewritten."""
    if turn.drifted or turn.first >= turn.last:
        return True
    if turn.message == len(rendered.messages) - 1:
        return False
    served = rendered.prompt_before(codec, turn.message + 1, False)
    # A turn that stops at the next one's header has less text when it is the last.
    return served is not None and not rendered.text[: turn.end].startswith(served[: turn.end])


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


def _is_cut(text: str, runs: Sequence[Run], message: int, start: int, end: int) -> bool:
    """Whether own text follows the turn's end, maybe after other messages, and does not just repeat what is in it."""
    return any(
        text[run.start : run.end] not in text[start:end]
        for run in runs
        if run.message == message and run.field in OWN_FIELDS and end <= run.start
    )
