"""What of a conversation is trained, and how much it weighs: the settings' part of the mask."""

import re
from bisect import bisect_left, bisect_right
from collections.abc import Collection, Iterator, Sequence
from itertools import accumulate

from strop.chat.codec import Codec, Rendered
from strop.chat.conversation import Message
from strop.chat.mask import TurnSpan
from strop.chat.origin import OWN_FIELDS, Run
from strop.chat.settings import ChatSettings
from strop.chat.tokens import Tokens


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


def loss_weights(codec: Codec, rendered: Rendered, turns: Sequence[TurnSpan]) -> list[float]:
    """``[T]`` floats aligned with the tokens.

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
            for token in _matched(pattern, text, tokens, own):
                weights[token] *= factor
    silent = {i for i, message in enumerate(messages) if _is_silent(message)} if everything else ()
    for run in runs:
        if run.message in silent:
            _set(weights, tokens, run.start, run.end, 0.0)
    for start, end in inserted(runs, tokens, codec.inserted_ids):
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


def inserted(runs: Sequence[Run], tokens: Tokens, ids: Collection[int] = ()) -> Iterator[tuple[int, int]]:
    """What whoever runs a model's programs puts into its turn, as stretches ``[start, end)`` of characters: their
    output, and the tokens that open and close it. The model never generates these, so they are never trained.

    The tokens are told by where they stand: from the last control token before an output to the first one after it. A
    single one between code and its output is what ends the code, and the model does write that. ``ids``: tokens that
    are inserted wherever the template writes them, which settles it for an output without text, too.
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
        yield start, ends[after[0]] if after else runs[index].end
