"""The items that two evaluations share, and what keeps the rest from being compared."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from strop.common.errors import InputError
from strop.report.sides import Result, Side, both_have

Pair = tuple[Result, Result]


@dataclass(frozen=True)
class Pairs:
    """``pairs`` of one task in the order of the first; ``only``: names that one side alone has; ``other``: names with
    another prompt, other options, another reference, other tests or other tokens there, which are left out. ``notes``
    say so in words."""

    task: str
    pairs: list[Pair]
    only: tuple[list[str], list[str]]
    other: dict[str, list[str]]
    notes: list[str] = field(default_factory=list)


def pair_up(task: str, first: Side, second: Side) -> Pairs:
    """Match a task's items by name. Raises InputError where nothing is left to compare, with the reason."""
    ours, theirs = first.tasks[task], second.tasks[task]
    only = [name for name in ours if name not in theirs], [name for name in theirs if name not in ours]
    pairs: list[Pair] = []
    other: dict[str, list[str]] = {}
    for name, one in ours.items():
        if name not in theirs:
            continue
        if reason := _difference(one, theirs[name]):
            other.setdefault(reason, []).append(name)
        else:
            pairs.append((one, theirs[name]))
    notes = [*_missing(task, first, second, only), *_left_out(task, other), *_settings(task, first, second)]
    notes += _unknown(task, pairs)
    if not pairs:
        raise InputError(
            f"{task}: no item can be compared: {'; '.join(notes) or 'both are empty'}. Measure both models with the "
            "same task file, count, seed and template."
        )
    return Pairs(task, pairs, only, other, notes)


def _difference(a: Result, b: Result) -> str | None:
    """Why two results of one name are not of the same item, where they are not."""
    if a.prompt != b.prompt:
        return "another prompt"
    if ("loss" in a.row) != ("loss" in b.row):
        return "a loss on one side and an answer on the other"
    if not a.asks_the_same(b):
        return "other turns before the last one (shots), or other options,"
    if "loss" in a.row:
        if any(a.weights[metric] == b.weights.get(metric) for metric in a.weights):
            return None
        return "another number of measured tokens (another tokenizer or template)"
    if a.row.get("total") != b.row.get("total"):
        return "another number of tests"
    if both_have("reference", a, b) and a.row["reference"] != b.row["reference"]:
        return "another reference to be graded by"
    return None


def _unknown(task: str, pairs: list[Pair]) -> Iterator[str]:
    if unknown := sum("loss" not in a.row and not both_have("asked", a, b) for a, b in pairs):
        yield (
            f"{task}: of {unknown:,} items only the last turn of the prompt could be compared, since one side was kept "
            "by an older strop; whether earlier turns (shots) and options are the same is not known"
        )


def _missing(task: str, first: Side, second: Side, only: tuple[list[str], list[str]]) -> Iterator[str]:
    for side, names in zip((first, second), only, strict=True):
        if names:
            yield f"{task}: {_counted(names)} only in {side.title} and not compared"


def _left_out(task: str, other: dict[str, list[str]]) -> Iterator[str]:
    for reason, names in other.items():
        yield f"{task}: {_counted(names)} left out: {reason} under the same name"


def _counted(names: list[str]) -> str:
    return f"1 item ({names[0]}) is" if len(names) == 1 else f"{len(names):,} items (the first: {names[0]}) are"


def _settings(task: str, first: Side, second: Side) -> Iterator[str]:
    """Differences in what was measured with, where both wrote it down."""
    a, b = first.made_from, second.made_from
    if not a or not b:
        return
    ours = (f"evals.{task}.", f"files.{task}", "chat.", "template_file", "plugins.")
    for name in sorted(a.keys() | b.keys()):
        if name in ("strop_version", "results") or name.startswith(ours):
            before, now = a.get(name), b.get(name)
            if before != now:
                yield f"{task}: measured otherwise: {_what(name, before, now)}"


def _what(name: str, before: Any, now: Any) -> str:
    if name == "strop_version":
        return f"by strop {before} and {now}, whose graders may differ; measure both with one version to be sure"
    if name == "results":
        return "what is kept of an item has changed in between; measure both with one version to be sure"
    if name.startswith(("files.", "plugins.", "template_file")):
        return f"{name} has other content"
    return f"{name} is {before} there and {now} here"
