"""What is shown of a run as it stands: a few answers side by side, and one conversation token by token."""

import re
from dataclasses import dataclass

from strop.report.files import GradedAnswer, ShownExample

FIXED, FAILING, WORSE, KEPT = "fixed by training", "still failing", "got worse", "right before and after"
RULE = (
    "In the order of the test file: the first item that training fixed, the first that still fails and the first that "
    "got worse (where none did, one more that was fixed), each from a family not yet shown where there is one."
)

# A whole token that looks like <|im_end|>, </s>, <end_of_turn>, <｜User｜> or [/INST]. Text that merely spells one is
# cut into several ordinary tokens before training, so a single token of this form is the real thing.
_CONTROL = re.compile(r"<[|｜/]?[^\s<>]+[|｜]?>|\[/?[A-Z_]+\]")
_MARKS = {" ": "·", "\n": "↵", "\t": "⇥", "\r": "␍"}


@dataclass(frozen=True)
class Pair:
    """The two answers to one item."""

    before: GradedAnswer
    after: GradedAnswer

    @property
    def kind(self) -> str:
        """What training did to this item."""
        was, now = self.before.verdict == "accepted", self.after.verdict == "accepted"
        return (KEPT if now else WORSE) if was else (FIXED if now else FAILING)


def pair_up(before: list[GradedAnswer], after: list[GradedAnswer]) -> list[Pair]:
    """Items answered both times, in the order of ``before``."""
    answered = {item.name: item for item in after}
    return [Pair(item, answered[item.name]) for item in before if item.name in answered]


def pick(pairs: list[Pair]) -> list[Pair]:
    """At most three pairs by ``RULE``; kinds that do not occur are filled up with failing, then with kept items."""
    shown: list[Pair] = []
    for kind in (FIXED, FAILING, WORSE, *(FIXED, FAILING, KEPT, WORSE) * 3):
        left = [pair for pair in pairs if pair.kind == kind and pair not in shown]
        families = {pair.before.family for pair in shown}
        new = [pair for pair in left if pair.before.family not in families]
        if left and len(shown) < 3:
            shown.append((new or left)[0])
    return shown


@dataclass(frozen=True)
class TokenView:
    """One token: ``runs`` are (text, is_mark) pairs, marks standing for white space; ``weight`` 0 = not trained."""

    runs: list[tuple[str, bool]]
    weight: float
    is_control: bool
    is_stop: bool

    @property
    def strength(self) -> int:
        """How strongly it is coloured, in percent; every trained token stays visible, however small its weight."""
        return 0 if self.weight == 0 else round(100 * min(1.0, max(0.25, abs(self.weight))))


def view(example: ShownExample) -> list[TokenView]:
    """A view of each token; the control token that ends a trained stretch is the stop token that the model learns."""
    pieces = example.pieces
    views = []
    for index, (text, weight) in enumerate(pieces):
        is_control = _CONTROL.fullmatch(text) is not None
        ends_stretch = weight != 0 and (index + 1 == len(pieces) or pieces[index + 1][1] == 0)
        is_stop = is_control and ends_stretch if example.stops is None else index in example.stops
        views.append(TokenView(_runs(text), weight, is_control or is_stop, is_stop))
    return views


def _runs(text: str) -> list[tuple[str, bool]]:
    runs: list[tuple[str, bool]] = []
    for part in re.split(r"([ \n\t\r])", text):
        if part in _MARKS:
            runs.append((_MARKS[part] + ("\n" if part == "\n" else ""), True))
        elif part:
            runs.append((part, False))
    return runs
