"""What of a conversation is trained, and how much it weighs: the settings' part of the mask."""

import re
from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence

from strop.chat.conversation import Message
from strop.chat.mask import Turn
from strop.chat.origin import OWN_FIELDS, Run
from strop.chat.settings import ChatSettings
from strop.chat.tokens import Tokens


def turn_weights(messages: Sequence[Message], train_on: str) -> dict[int, float]:
    """The weight of every message that is a trained turn, by its index; ``last``: of the last assistant turn alone."""
    weights = {i: message.loss_weight for i, message in enumerate(messages) if message.loss_weight > 0}
    if train_on == "last":
        last = max((i for i, message in enumerate(messages) if message.role == "assistant"), default=-1)
        weights = {i: weight for i, weight in weights.items() if i == last}
    return weights


def loss_weights(
    text: str,
    tokens: Tokens,
    turns: Sequence[Turn],
    runs: Sequence[Run],
    messages: Sequence[Message],
    settings: ChatSettings,
) -> list[float]:
    """``[T]`` floats aligned with the tokens.

    A turn's weight stands on all its tokens, but for what a program printed, the fields that are switched off and what
    opens and closes these, and multiplied where a pattern of ``token_weights`` matches the turn's own text. With
    ``train_on: all``, everything else weighs 1, but for tool results and assistant turns with ``train: false``.
    """
    weights = [1.0 if settings.train_on == "all" else 0.0] * len(tokens.ids)
    if settings.train_on == "all":
        silent = {
            i for i, m in enumerate(messages) if m.role == "tool" or (m.role == "assistant" and not m.loss_weight)
        }
        _zero(weights, tokens, (run for run in runs if run.message in silent or run.field == "python_output"))
    first_run_ends = [run.end for run in runs]
    off = untrained_fields(settings)
    for turn in turns:
        weights[turn.first : turn.last] = [turn.weight] * (turn.last - turn.first)
        inside = runs[bisect_right(first_run_ends, turn.start) :]
        inside = [
            Run(max(run.start, turn.start), min(run.end, turn.end), run.message, run.field)
            for run in inside
            if run.start < turn.end
        ]
        _zero(weights, tokens, _silent(inside, off))
        _weigh_patterns(weights, text, tokens, turn, inside, settings.token_weights)
    return weights


def untrained_fields(settings: ChatSettings) -> frozenset[str]:
    """The fields of assistant turns that are never or, by the settings, not trained."""
    switches = {
        "reasoning_content": settings.train_reasoning,
        "tool_calls": settings.train_tool_calls,
        "python": settings.train_python,
    }
    return frozenset({"python_output", *(field for field, trained in switches.items() if not trained)})


def trains_nothing(turn: Turn, weights: Sequence[float]) -> bool:
    return not any(weights[turn.first : turn.last])


def _silent(inside: Sequence[Run], off: frozenset[str]) -> Iterator[Run]:
    """The runs of a turn that are not trained.

    Template text is the border of what it stands beside: it opens the field after it or closes the one before. It is
    not trained when either of these is switched off. A program's output is not a field that one opens: the template's
    text around that stays trained.
    """
    switched = off - {"python_output"}
    for index, run in enumerate(inside):
        if run.message is not None:
            if run.field in off:
                yield run
        elif switched:
            before = next((r.field for r in reversed(inside[:index]) if r.field in OWN_FIELDS), None)
            after = next((r.field for r in inside[index + 1 :] if r.field in OWN_FIELDS), None)
            if before in switched or after in switched:
                yield run


def _zero(weights: list[float], tokens: Tokens, runs: Iterator[Run]) -> None:
    """No weight on tokens that lie within the runs. One that also holds a character beside them keeps its own."""
    merged: list[list[int]] = []
    for run in runs:
        if merged and merged[-1][1] == run.start:
            merged[-1][1] = run.end
        else:
            merged.append([run.start, run.end])
    for start, end in merged:
        first, last = tokens.within(start, end)
        while first < last and tokens.starts[first] < start:
            first += 1
        while first < last and tokens.ends[last - 1] > end:
            last -= 1
        weights[first:last] = [0.0] * (last - first)


def _weigh_patterns(
    weights: list[float],
    text: str,
    tokens: Tokens,
    turn: Turn,
    inside: Sequence[Run],
    patterns: Mapping[str, float],
) -> None:
    """Multiply what the patterns match in each stretch of the turn's own text; a token counts when any of it does."""
    for pattern, factor in patterns.items():
        for run in inside:
            if run.message != turn.message or run.field not in OWN_FIELDS:
                continue
            for match in re.finditer(pattern, text[run.start : run.end]):
                first, last = tokens.within(run.start + match.start(), run.start + match.end())
                if match.end() > match.start():
                    weights[first:last] = [weight * factor for weight in weights[first:last]]
