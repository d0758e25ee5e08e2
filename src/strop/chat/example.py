"""What comes out: tokens with their loss weights, and the text that they are, for people to look at."""

from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import groupby
from typing import NamedTuple

from strop.chat.losses import Loss, losses
from strop.chat.mask import TurnSpan
from strop.chat.rendered import Rendered
from strop.chat.tokens import Tokens


class Violation(NamedTuple):
    """A check that failed: its name in the settings, what is wrong and how to mend it, and the characters concerned."""

    name: str
    message: str
    start: int
    end: int
    message_index: int | None = None


@dataclass(frozen=True, slots=True)
class Example:
    """``tokens[T]`` and ``loss_weights[T]``: entry t of the weights is about token t itself, nothing is shifted."""

    tokens: list[int]
    loss_weights: list[float]
    place: str
    turns: tuple[TurnSpan, ...]
    pieces: tuple[tuple[str, float], ...]
    """The rendered text in stretches of equal weight: ``(text, weight)``, which joined are the whole text."""

    @property
    def trained_tokens(self) -> int:
        return len(self.loss_weights) - self.loss_weights.count(0.0)


@dataclass
class Encoded:
    """A rendered conversation with its mask, and the example made of it.

    ``turns``: the trained ones. ``weights [T]``: of all tokens, those that the example lacks (too long) included.
    ``found``: the checks that failed and did not stop it.
    """

    rendered: Rendered
    turns: list[TurnSpan]
    weights: list[float]
    example: Example
    found: list[Violation] = field(default_factory=list)

    @cached_property
    def losses(self) -> list[Loss]:
        """What the template did not print."""
        rendered = self.rendered
        return list(losses(rendered.text, rendered.runs, rendered.conversation, rendered.since))


def build_example(text: str, tokens: Tokens, weights: list[float], turns: list[TurnSpan], place: str) -> Example:
    return Example(tokens.ids, weights, place, tuple(turns), _pieces(text, tokens, weights))


def cut_example(
    text: str, tokens: Tokens, weights: list[float], turns: list[TurnSpan], place: str, length: int
) -> Example:
    """The first ``length`` tokens. A turn that the cut goes through ends without a stop token: none is invented."""
    kept = [
        replace(turn, last=length, end=tokens.ends[length - 1], ending="truncated") if turn.last > length else turn
        for turn in turns
        if turn.first < length
    ]
    tokens = Tokens(tokens.ids[:length], tokens.starts[:length], tokens.ends[:length], [], tokens.control_strings)
    return build_example(text[: tokens.ends[-1]], tokens, weights[:length], kept, place)


def _pieces(text: str, tokens: Tokens, weights: list[float]) -> tuple[tuple[str, float], ...]:
    pieces, token, at = [], 0, 0
    for weight, group in groupby(weights):
        token += len(list(group))
        end = tokens.starts[token] if token < len(weights) else len(text)
        pieces.append((text[at:end], weight))
        at = end
    return tuple(pieces)
