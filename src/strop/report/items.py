"""Which answers are shown side by side, by a rule that leaves no room to pick the flattering ones."""

from collections import Counter
from dataclasses import dataclass

from strop.report.files import GradedAnswer

FIXED, FAILING, WORSE, KEPT = "fixed by training", "still failing", "got worse", "right before and after"
RULE = (
    "In the order of the test file: the first item that training fixed, the first that still fails and the first that "
    "got worse (where none did, one more that was fixed), each from a family not yet shown where there is one."
)


@dataclass(frozen=True)
class Pair:
    """The two answers to one item."""

    before: GradedAnswer
    after: GradedAnswer

    @property
    def kind(self) -> str:
        """What training did to this item."""
        was, now = self.before.verdict == "accepted", self.after.verdict == "accepted"
        return {(False, True): FIXED, (False, False): FAILING, (True, False): WORSE, (True, True): KEPT}[was, now]


def pair_up(before: list[GradedAnswer], after: list[GradedAnswer]) -> list[Pair]:
    """Items answered both times, in the order of ``before``."""
    answered = {item.name: item for item in after}
    return [Pair(item, answered[item.name]) for item in before if item.name in answered]


def count_kinds(pairs: list[Pair]) -> Counter[str]:
    """How many items training fixed, left, broke and kept."""
    return Counter(pair.kind for pair in pairs)


def pick(pairs: list[Pair], count: int = 3) -> list[Pair]:
    """At most ``count`` pairs by ``RULE``; kinds that do not occur are filled up with failing, then with kept items."""
    wanted = [FIXED, FAILING, WORSE]
    shown: list[Pair] = []
    for kinds in [(kind,) for kind in wanted] + [(FIXED,), (FAILING,), (KEPT,), (WORSE,)] * count:
        left = [pair for pair in pairs if pair.kind in kinds and pair not in shown]
        families = {pair.before.family for pair in shown}
        new = [pair for pair in left if pair.before.family not in families]
        if left and len(shown) < count:
            shown.append((new or left)[0])
    return shown
