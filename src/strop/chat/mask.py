"""Which characters of a rendered conversation an assistant turn has to learn, and what its tokens weigh.

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

import re
from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any, Literal, NamedTuple

from strop.chat.codec import Codec, Rendered
from strop.chat.conversation import Message
from strop.chat.origin import OWN_FIELDS, Run
from strop.chat.rendering import traced_inputs
from strop.chat.settings import ChatSettings
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
    start = len(prompt) if same and prompt is not None else _start(codec, rendered, extent, prompt, message)
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


def is_rewritten(rendered: Rendered, turn: TurnSpan) -> bool:
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
    if prompt is None or bare is None:
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


# -- what is trained, and how much it weighs: the settings' part of the mask


def turn_weights(messages: Sequence[Message], settings: ChatSettings) -> dict[int, float]:
    """The weight of every message that is a trained turn, by its index, as ``train_on`` and ``use_weights`` say."""
    weights = {i: message.loss_weight for i, message in enumerate(messages) if message.loss_weight > 0}
    if not settings.use_weights:
        weights = dict.fromkeys(weights, 1.0)
    if settings.train_on == "last":
        last = max((i for i, message in enumerate(messages) if message.role == "assistant"), default=-1)
        weights = {i: weight for i, weight in weights.items() if i == last}
    return weights


def trains(messages: Sequence[Message], settings: ChatSettings) -> bool:
    """Whether any of it is trained: the data may say that it is not."""
    return settings.train_on == "all" or bool(turn_weights(messages, settings))


def loss_weights(
    codec: Codec, rendered: Rendered, turns: Sequence[TurnSpan], weighed: Counter[str] | None = None
) -> list[float]:
    """``[T]`` floats aligned with the tokens. ``weighed``: gets how many of them each pattern matched.

    A turn's weight stands on every token that holds a character of it which is to be learnt: all but what a program
    printed and the fields that are switched off, with what opens and closes these. It is multiplied where a pattern of
    ``token_weights`` matches the turn's own text. With ``train_on: all``, everything else weighs 1 (or its message's
    weight), but for tool results and messages with ``train: false``; ``turns`` then holds the untrained assistant
    turns too, with weight 0. A token that holds a character of a program's output or a tool's result weighs nothing,
    nor do those that open and close a program's output (`inserted`).
    """
    text, tokens, runs = rendered.text, rendered.tokens, rendered.runs
    messages, settings = rendered.conversation.messages, codec.settings
    everything = settings.train_on == "all"
    weights = [1.0 if everything else 0.0] * len(tokens.ids)
    if everything and settings.use_weights:  # those of weight 0 are silent, see below
        for run in runs:
            if run.message is not None and run.message >= 0 and messages[run.message].weight != 1:
                _set(weights, tokens, run.start, run.end, messages[run.message].weight)
    starts = [run.start for run in runs]
    off = untrained_fields(settings)
    for turn in turns:
        if turn.first == turn.last:
            continue
        inside = [
            Run(max(run.start, turn.start), min(run.end, turn.end), run.message, run.field)
            for run in runs[bisect_right(starts, turn.start) - 1 : bisect_left(starts, turn.end)]
        ]
        weights[turn.first : turn.last] = [0.0] * (turn.last - turn.first)
        for start, end in _learnt(inside, off):
            _set(weights, tokens, start, end, turn.weight)
        own = [run for run in inside if run.message == turn.message and run.field in OWN_FIELDS]
        for pattern, factor in settings.token_weights.items() if settings.use_weights else ():
            matched = _matched(pattern, text, tokens, own)
            for token in matched:
                weights[token] *= factor
            if weighed is not None:
                weighed[pattern] += len(matched)
    silent = {i for i, message in enumerate(messages) if _is_silent(message)} if everything else ()
    for run in runs:
        if run.message in silent:
            _set(weights, tokens, run.start, run.end, 0.0)
    ended = {turn.last - 1 for turn in turns if turn.ending == "stop"}
    for start, end in inserted(runs, tokens, codec.inserted_ids, ended):
        _set(weights, tokens, start, end, 0.0)
    return weights


def may_train(messages: Sequence[Message], turns: Sequence[TurnSpan], train_on: str) -> frozenset[int]:
    """The messages whose text may stand in trained tokens; -1 is the conversation's tools."""
    if train_on == "all":
        return frozenset({-1, *(i for i, message in enumerate(messages) if not _is_silent(message))})
    return frozenset(turn.message for turn in turns)


def untrained_fields(settings: ChatSettings) -> frozenset[str]:
    """The fields of assistant turns that are never or, by the settings, not trained."""
    switches = {
        "reasoning_content": settings.train_reasoning,
        "tool_calls": settings.train_tool_calls,
        "python": settings.train_python,
    }
    return frozenset({"python_output", *(field for field, trained in switches.items() if not trained)})


def _is_silent(message: Message) -> bool:
    return message.role == "tool" or not message.train or message.weight == 0


def _learnt(inside: Sequence[Run], off: frozenset[str]) -> list[tuple[int, int]]:
    """The stretches of a turn that are learnt, as ``[start, end)`` characters.

    Template text is the border of what it stands beside: it opens the field after it or closes the one before, and so
    does the stop token. It is not learnt when either of these is switched off. A program's output is not a field that
    one opens; what of the template's text belongs to it is found by `inserted`.
    """
    switched = off - {"python_output"}
    before = list(accumulate((run.field for run in inside), _latest_own, initial=""))[:-1]
    after = list(accumulate((run.field for run in reversed(inside)), _latest_own, initial=""))[-2::-1]
    stretches: list[tuple[int, int]] = []
    for run, *beside in zip(inside, before, after, strict=True):
        if run.field in off or (run.message is None and not switched.isdisjoint(beside)):
            continue
        if stretches and stretches[-1][1] == run.start:
            stretches[-1] = (stretches[-1][0], run.end)
        else:
            stretches.append((run.start, run.end))
    return stretches


def _latest_own(latest: str, field: str) -> str:
    return field if field in OWN_FIELDS else latest


def _set(weights: list[float], tokens: Tokens, start: int, end: int, weight: float) -> None:
    """``weight`` on every token that holds one of the characters."""
    first, last = tokens.within(start, end)
    weights[first:last] = [weight] * (last - first)


def _matched(pattern: str, text: str, tokens: Tokens, own: Sequence[Run]) -> set[int]:
    """The tokens that hold something that the pattern matches in a stretch of the turn's own text; each counts once,
    however many of the matches it holds."""
    found: set[int] = set()
    for run in own:
        for match in re.finditer(pattern, text[run.start : run.end]):
            if match.end() > match.start():
                found.update(range(*tokens.within(run.start + match.start(), run.start + match.end())))
    return found


def inserted(
    runs: Sequence[Run], tokens: Tokens, ids: Collection[int] = (), ended: Collection[int] = ()
) -> Iterator[tuple[int, int]]:
    """What whoever runs a model's programs puts into its turn, as stretches ``[start, end)`` of characters: their
    output, and the tokens that open and close it. The model never generates these, so they are never trained.

    The tokens are told by where they stand: from the last control token before an output to the first one after it. A
    single one between code and its output is what ends the code, and the model does write that. ``ids``: tokens that
    are inserted wherever the template writes them, which settles it for an output without text, too. ``ended``: the
    places of the tokens that end a turn, which the model writes after an output as after anything else.
    """
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
        closed = after and tokens.controls[after[0]] not in ended
        yield start, ends[after[0]] if closed else runs[index].end
