"""What comes out: tokens with their loss weights, and the text that they are, for people to look at."""

from dataclasses import dataclass, replace
from itertools import groupby

from strop.chat.mask import Turn
from strop.chat.tokens import Tokens


@dataclass(frozen=True, slots=True)
class Example:
    """``tokens[T]`` and ``loss_weights[T]``: entry t of the weights is about token t itself, nothing is shifted."""

    tokens: list[int]
    loss_weights: list[float]
    place: str
    turns: tuple[Turn, ...]
    pieces: tuple[tuple[str, float], ...]
    """The rendered text in stretches of equal weight: ``(text, weight)``, which joined are the whole text."""

    @property
    def trained_tokens(self) -> int:
        return len(self.loss_weights) - self.loss_weights.count(0.0)


def build_example(text: str, tokens: Tokens, weights: list[float], turns: list[Turn], place: str) -> Example:
    return Example(tokens.ids, weights, place, tuple(turns), _pieces(text, tokens, weights))


def cut_example(text: str, tokens: Tokens, weights: list[float], turns: list[Turn], place: str, length: int) -> Example:
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
