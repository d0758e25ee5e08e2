"""An encoded conversation laid open for people: every stretch of its text, where it came from and what is wrong."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from itertools import groupby, pairwise
from typing import Any, NamedTuple

from strop.chat.codec import Codec, Rendered
from strop.chat.drift import MENDS, drift_words
from strop.chat.losses import Warning, losses
from strop.chat.mask import TurnSpan
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
    ``found``: the checks that failed and did not stop it. ``weighed``: tokens that each of ``token_weights`` matched.
    """

    rendered: Rendered
    turns: list[TurnSpan]
    weights: list[float]
    example: Example
    found: list[Violation] = field(default_factory=list)
    weighed: Counter[str] = field(default_factory=Counter)

    @cached_property
    def losses(self) -> list[Warning]:
        """What the template did not print."""
        rendered = self.rendered
        return list(losses(rendered.text, rendered.runs, rendered.conversation, rendered.since))


def build_example(
    text: str, tokens: Tokens, weights: list[float], turns: list[TurnSpan], place: str, length: int | None = None
) -> Example:
    """Of the first ``length`` tokens. A turn that the cut goes through ends without a stop token: none is invented."""
    if length is not None:
        text, weights = text[: tokens.ends[length - 1]], weights[:length]
        kept = [turn for turn in turns if turn.first < length]
        turns = [replace(t, last=length, end=len(text), ending="truncated") if t.last > length else t for t in kept]
    pieces, token, at = [], 0, 0
    for weight, group in groupby(weights):
        token += len(list(group))
        end = tokens.starts[token] if token < len(weights) else len(text)
        pieces.append((text[at:end], weight))
        at = end
    return Example(tokens.ids[:length], weights, place, tuple(turns), tuple(pieces))


@dataclass(frozen=True, slots=True)
class Segment:
    """Characters ``[start, end)`` of one origin that are all trained, or all not.

    ``message`` and ``role`` are None for the template's own text; the field is then ``template``. The conversation's
    tools are message -1 with role ``tools``.
    """

    start: int
    end: int
    text: str
    message: int | None
    role: str | None
    field: str
    trained: bool


@dataclass(frozen=True, slots=True)
class Inspection:
    """One example, with its text and what each part of that is.

    ``starts`` and ``ends`` [T]: the characters of each token. ``stops``: indices of the trained tokens that end turns.
    ``example`` is what training would get; with a violation among the warnings it would get nothing but an error.
    """

    place: str
    text: str
    example: Example
    starts: list[int]
    ends: list[int]
    stops: list[int]
    segments: list[Segment]
    warnings: list[Warning]

    def pieces(self) -> tuple[list[tuple[str, float]], list[int]]:
        """``(text, weight)`` of each token, which joined are the whole text, and which of them are trained stops.

        Of the tokens that share one character, the last has it and the others are not there.
        """
        pieces: list[tuple[str, float]] = []
        stops: list[int] = []
        borders = [0, *self.starts[1 : len(self.example.tokens)], len(self.text)]
        for token, (start, end) in enumerate(pairwise(borders)):
            if start < end:
                if token in self.stops:
                    stops.append(len(pieces))
                pieces.append((self.text[start:end], self.example.loss_weights[token]))
        return pieces, stops

    def to_dict(self, index: int) -> dict[str, Any]:
        """For JSON; character offsets are into ``text``."""
        return {
            "index": index,
            "place": self.place,
            "text": self.text,
            "tokens": self.example.tokens,
            "loss_weights": self.example.loss_weights,
            "segments": [asdict(segment) for segment in self.segments],
            "warnings": [asdict(warning) for warning in self.warnings],
        }


def inspection(codec: Codec, made: Encoded) -> Inspection:
    """An encoded conversation laid open; a truncated one is shown whole, the cut-off part untrained."""
    rendered, example = made.rendered, made.example
    text, tokens = rendered.text, rendered.tokens
    weights = example.loss_weights + [0.0] * (len(tokens.ids) - len(example.tokens))
    stops = [t.last - 1 for t in example.turns if t.ending in ("stop", "control") and weights[t.last - 1]]
    shown, place = list(_segments(rendered, weights)), rendered.conversation.place
    return Inspection(place, text, example, tokens.starts, tokens.ends, stops, shown, list(_warnings(codec, made)))


def _warnings(codec: Codec, made: Encoded) -> Iterator[Warning]:
    example, settings = made.example, codec.settings
    for violation in made.found:
        yield Warning(violation.name, violation.message_index, violation.message)
    for turn in example.turns:
        if turn.drifted and settings.drift == "allow":
            yield Warning("drift", turn.message, drift_words(turn), MENDS.get(turn.mend, ""))
        if turn.ending == "control":
            token = codec.controls[example.tokens[turn.last - 1]]
            yield Warning("inferred_stop", turn.message, f"ends with {token}, which is not in the stop set")
        elif turn.ending == "truncated":
            yield Warning("truncated", turn.message, "cut off by max_length, so it has no stop token")
        if turn.straddling:
            detail = f"{turn.straddling} tokens lie across the border of this turn and are trained"
            yield Warning("straddling", turn.message, detail)
    yield from made.losses
    for string, count in Counter(made.rendered.tokens.control_strings).items():
        times = "1 time" if count == 1 else f"{count} times"
        detail = f"{string} stands {times} in message text, encoded as: {settings.control_tokens}"
        yield Warning("control_tokens", None, detail)


def _segments(rendered: Rendered, weights: Sequence[float]) -> Iterator[Segment]:
    """The text in stretches of one origin and one fate, in order, covering all of it."""
    text, runs = rendered.text, rendered.runs
    fates = _trained_borders(rendered.tokens, weights, len(text))
    borders = sorted({0, len(text), *(run.start for run in runs), *(at for at, _ in fates)})
    run, fate = 0, 0
    for start, end in pairwise(borders):
        while runs[run].end <= start:
            run += 1
        while fate + 1 < len(fates) and fates[fate + 1][0] <= start:
            fate += 1
        message, field = runs[run].message, runs[run].field
        role = field if message == -1 else None
        if message is not None and message >= 0:
            role = rendered.conversation.messages[message].role
        yield Segment(start, end, text[start:end], message, role, field, fates[fate][1])


def _trained_borders(tokens: Tokens, weights: Sequence[float], length: int) -> list[tuple[int, bool]]:
    """``(character, trained from here on)``. A character in several tokens is trained when one of them is."""
    stretches: list[list[int]] = []
    before = False
    for start, end, weight in zip(tokens.starts, tokens.ends, weights, strict=True):
        if weight > 0:
            if stretches and (before or start <= stretches[-1][1]):
                stretches[-1][1] = end
            else:
                stretches.append([start, end])
        before = weight > 0
    borders = [(0, False)]
    for start, end in stretches:
        borders += [(start, True), (end, False)]
    return [border for border in borders if border[0] < length]
