"""A training example token by token: what is trained, with which weight, and where it ends."""

import re
from dataclasses import dataclass

from strop.report.files import ShownExample

# A whole token that looks like <|im_end|>, </s>, <end_of_turn>, <｜User｜> or [/INST]. Text that merely spells one is
# cut into several ordinary tokens before training, so a single token of this form is the real thing.
_CONTROL = re.compile(r"<[|｜/]?[^\s<>]+[|｜]?>|\[/?[A-Z_]+\]")
_MARKS = {" ": "·", "\n": "↵", "\t": "⇥", "\r": "␍"}


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
