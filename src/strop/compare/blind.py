"""Pairs of answers for a person who does not know whose they are: one page, and beside it the key that says.

The page holds neither the models' names nor the seed. Votes are saved from it as JSON lines, one item each.
"""

from __future__ import annotations

import hashlib
import json
import random
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from strop.common.errors import InputError
from strop.common.files import atomic_writer, check_output, write_json
from strop.compare.comparison import Comparison
from strop.compare.pairs import Pair
from strop.web import render, script_data

HERE = Path(__file__).parent
_KEY = re.compile(r'\{\s*"page": ')


@dataclass(frozen=True)
class Chosen:
    """Pairs of one task to be judged, in a random order; ``same`` had equal answers and are no question."""

    task: str
    pairs: list[Pair]
    same: int


def choose(comparison: Comparison, task: str | None, count: int, seed: int) -> Chosen:
    """``count`` items of ``task`` (by default the first with answers) whose answers differ, drawn with ``seed``.

    Raises InputError where there are none.
    """
    answered = [
        name for name, one in comparison.tasks.items() if any(a.answer is not None for pair in one.pairs for a in pair)
    ]
    if task is not None and task not in answered:
        raise InputError(f"--task {task}: no task with answers; those of both are {', '.join(answered) or 'none'}.")
    if not answered:
        raise InputError("neither evaluation has answers to be judged, only losses; measure a task of answers.")
    name = task or answered[0]
    pairs = [pair for pair in comparison.tasks[name].pairs if pair[0].answer != pair[1].answer]
    same = len(comparison.tasks[name].pairs) - len(pairs)
    if not pairs:
        raise InputError(f"{name}: all {same:,} answers are the same on both sides, so there is nothing to judge.")
    return Chosen(name, random.Random(f"{seed} items").sample(pairs, min(count, len(pairs))), same)


def write_blind(path: Path, chosen: Chosen, comparison: Comparison, seed: int) -> Path:
    """Write the page to ``path`` and the key to ``<stem>.key.json`` beside it; returns the key's path. Raises
    InputError where something that is no key has its name."""
    key = path.with_name(f"{path.stem}.key.json")
    check_output(key, _KEY)
    flips = random.Random(f"{seed} sides")
    left = [flips.choice(("first", "second")) for _ in chosen.pairs]
    entries = [
        {
            "name": a.name,
            "prompt": a.prompt,
            "answers": [a.answer, b.answer] if side == "first" else [b.answer, a.answer],
        }
        for (a, b), side in zip(chosen.pairs, left, strict=True)
    ]
    page = hashlib.sha256(json.dumps([chosen.task, entries], sort_keys=True).encode()).hexdigest()[:16]
    html = render(
        [HERE],
        "blind.html",
        styles=["blind.css"],
        scripts=["browser.js", "blind.js"],
        task=chosen.task,
        data=script_data({"page": page, "task": chosen.task, "file": f"{path.stem}.votes.jsonl", "items": entries}),
    )
    with atomic_writer(path) as file:
        file.write(html)
    order = [{"name": pair[0].name, "left": side} for pair, side in zip(chosen.pairs, left, strict=True)]
    sides = {"first": comparison.first.title, "second": comparison.second.title}
    write_json(key, {"page": page, "task": chosen.task, **sides, "seed": seed, "order": order})
    return key


def read_key(path: Path) -> dict[str, Any]:
    """A key as `write_blind` writes it. Raises InputError for anything else."""
    try:
        key = json.loads(path.read_text(encoding="utf-8"))
        if not (isinstance(key["page"], str) and {one["left"] for one in key["order"]} <= {"first", "second"}):
            raise ValueError("it names other sides")
        if not all(isinstance(one["name"], str) for one in key["order"]):
            raise ValueError("its items have no names")
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path}: is no key of a blind page ({error}); give the .key.json beside it.") from None
    return key


def key_beside(votes: Path, pages: Sequence[str]) -> dict[str, Any]:
    """The key of these pages among the ``.key.json`` in the votes' folder. Raises InputError where it is not there."""
    for path in sorted(votes.parent.glob("*.key.json")):
        if (key := read_key(path))["page"] in pages:
            return key
    raise InputError(f"{votes}: its key is not beside it; name it with --key FILE (it was written beside the page).")
