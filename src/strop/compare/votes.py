"""Votes of people and judge models: who wins how often, and how far two of them agree."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from strop.common.errors import InputError
from strop.compare.blind import key_beside, read_key
from strop.compare.pairs import Pair
from strop.compare.significance import mcnemar, swap_test
from strop.evals.intervals import Estimate
from strop.evals.rates import rate

Vote = Literal["first", "second", "tie"]
VOTES: tuple[Vote, ...] = ("first", "second", "tie")
KAPPAS = 2_000
"""Draws for the interval of a kappa."""
_WORTH = {"first": 0.0, "tie": 0.5, "second": 1.0}


@dataclass(frozen=True)
class Rater:
    """Whoever voted; ``votes`` by the item's name, for the first or the second side or for neither."""

    name: str
    task: str
    votes: dict[str, Vote]


@dataclass(frozen=True)
class WinRate:
    """How often the ``second`` side wins: ``share`` counts a tie as half (interval: Wilson's, families respected);
    ``p`` is the exact sign test of the votes that are no ties (swaps of families where items have some)."""

    rater: str
    second: int
    first: int
    ties: int
    share: Estimate
    p: float


@dataclass(frozen=True)
class Agreement:
    """Two raters on the items that both voted on: the share of equal votes, and Cohen's kappa (1960) with its 95 %
    interval (bootstrap over items); None where chance alone would make all votes equal."""

    raters: tuple[str, str]
    items: int
    same: float
    kappa: float | None
    low: float | None
    high: float | None


def read_votes(path: Path, key_file: Path | None = None) -> Rater:
    """Votes from a blind page (left and right, told by its key), or of a judge (first and second).

    Of several votes on one item the last counts. Raises InputError for a row that is no vote, and where the key is
    missing or of another page.
    """
    rows = []
    try:
        lines = path.read_text(encoding="utf-8").split("\n")
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}); give the votes that the page saved.") from None
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: is not UTF-8 ({error.reason}); give the votes that the page saved.") from None
    for number, line in enumerate(lines, start=1):
        if line.strip():
            rows.append((f"{path}:{number}", _row(f"{path}:{number}", line)))
    if not rows:
        raise InputError(f"{path}: holds no votes; save them from the page first.")
    if len(tasks := {row["task"] for _, row in rows}) > 1:
        raise InputError(f"{path}: votes on several tasks ({', '.join(sorted(tasks))}); give a file for each.")
    left: dict[str, Vote] = {}
    if pages := sorted({row["page"] for _, row in rows if "page" in row}):
        key = read_key(key_file) if key_file is not None else key_beside(path, pages)
        if pages != [key["page"]]:
            raise InputError(f"{path}: votes on another page ({', '.join(pages)}) than its key's ({key['page']}).")
        left = {one["name"]: one["left"] for one in key["order"]}
    votes: dict[str, Vote] = {}
    for place, row in rows:
        votes[row["name"]] = _vote(place, row, left)
    return Rater(path.name, rows[0][1]["task"], votes)


def _row(place: str, line: str) -> dict[str, Any]:
    try:
        row = json.loads(line)
        if not all(isinstance(row[name], str) for name in ("task", "name", "vote")):
            raise ValueError("task, name and vote are texts")
        if not isinstance(row.get("page", ""), str):
            raise ValueError("page is a text")
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"{place}: is no vote ({error}); give the file that the page or the judge saved.") from None
    return row


def _vote(place: str, row: Mapping[str, Any], left: Mapping[str, Vote]) -> Vote:
    vote = row["vote"]
    if vote in VOTES:
        return vote
    if vote not in ("left", "right") or row["name"] not in left:
        raise InputError(f"{place}: {vote!r} on {row['name']!r} is no vote of this page; give its own key.")
    other: dict[Vote, Vote] = {"first": "second", "second": "first"}
    return left[row["name"]] if vote == "left" else other[left[row["name"]]]


def win_rate(rater: Rater, pairs: Sequence[Pair]) -> WinRate:
    """Of the votes on ``pairs``. Raises InputError where there are none, or one is on an item that is not there."""
    families = {a.name: a.family for a, _ in pairs}
    if unknown := [name for name in rater.votes if name not in families]:
        raise InputError(
            f"{rater.name}: {len(unknown):,} votes are on items that these evaluations of {rater.task} do not share "
            f"(the first: {unknown[0]}); give the folders that the page was made from."
        )
    counts = Counter(rater.votes.values())
    groups = [families[name] for name in rater.votes]
    worth = [_WORTH[vote] for vote in rater.votes.values()]
    if len(set(groups)) == len(groups):
        p = mcnemar(counts["second"], counts["first"])  # the sign test: the same binomial
    else:
        p = swap_test([one - 0.5 for one in worth], groups)
    return WinRate(rater.name, counts["second"], counts["first"], counts["tie"], rate(worth, groups), p)


def agreement(a: Rater, b: Rater, seed: int = 0) -> Agreement | None:
    """Of two raters; None where they share no item."""
    shared = [name for name in a.votes if name in b.votes]
    if not shared:
        return None
    table = np.zeros((3, 3))
    for name in shared:
        table[VOTES.index(a.votes[name]), VOTES.index(b.votes[name])] += 1
    drawn = np.random.default_rng(seed).multinomial(len(shared), table.ravel() / len(shared), KAPPAS)
    kappas = [kappa for one in drawn if (kappa := cohens_kappa(one.reshape(3, 3))) is not None]
    value = cohens_kappa(table)
    low, high = np.percentile(kappas, [2.5, 97.5]).tolist() if value is not None and len(shared) > 1 else (None, None)
    return Agreement((a.name, b.name), len(shared), float(np.trace(table) / len(shared)), value, low, high)


def cohens_kappa(table: np.ndarray) -> float | None:
    """Agreement beyond chance of a square table of counts ``[k,k]``; None where chance gives all of it."""
    total = table.sum()
    chance = float(table.sum(0) @ table.sum(1)) / total**2
    return None if chance == 1 else (float(np.trace(table)) / total - chance) / (1 - chance)
