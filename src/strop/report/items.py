"""Every evaluated item as data of a page's browser: the answers of every side together, as many as fit."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from markupsafe import Markup

from strop.common.files import to_json
from strop.common.visible import one_line
from strop.report.metrics import leading
from strop.report.sides import Result, Side
from strop.tasks.metrics import VERDICTS, Metric
from strop.web import packed, script_data

MOST_BYTES = 64 * 2**20
"""Of items, as text: about what a browser opens in two seconds."""
MOST_CHARACTERS = 50_000
"""Of one answer or prompt; what is longer is cut there, which the page says."""
MOST_SAID = 100
"""Of a prompt, in the list."""
PART_BYTES = 2**20
_LOOKS = {**{name: name for name in VERDICTS}, "no_answer": "no_code"}
"""The colour of each verdict; any other has one that is no verdict's."""
_TEXTS = ("answer", "detail", "stderr_tail")


@dataclass
class Entry:
    """One item of a task: its ``results``, one for each side that has it, else None."""

    task: str
    metric: Metric
    results: list[Result | None]

    @property
    def first(self) -> Result:
        return next(result for result in self.results if result is not None)

    @property
    def values(self) -> list[float | None]:
        """Of the task's leading metric; None also where a loss is of another number of tokens, and for NaN."""
        metric, weight = self.metric.name, self.first.weights.get(self.metric.name)
        same = [one if one is not None and one.weights.get(metric) == weight else None for one in self.results]
        return [None if one is None else _number(one.values.get(metric)) for one in same]

    @property
    def change(self) -> float:
        """From the first to the last side, above 0 where it got better; 0 where it is not known."""
        first, *_, last = [*self.values, *self.values]
        return 0.0 if first is None or last is None else (self.metric.better or 1) * (last - first)


@dataclass
class Items:
    """The items of ``sides``; those that fit into ``most_bytes``, changed ones first, are the page's."""

    sides: Sequence[Side]
    most_bytes: int = MOST_BYTES
    entries: list[Entry] = field(init=False)

    def __post_init__(self) -> None:
        self.entries = list(_entries(self.sides))

    @cached_property
    def _shown(self) -> dict[int, tuple[str, str]]:
        """What a list needs of an entry and what is read when it is looked at, as JSON, by its place."""
        found, size = {}, 0
        for at in sorted(range(len(self.entries)), key=lambda at: self.entries[at].change == 0):
            told, texts = (to_json(part, separators=(",", ":")) for part in _parts(self.entries[at]))
            size += len(told.encode()) + len(texts.encode())
            if size > self.most_bytes:
                break
            found[at] = told, texts
        return dict(sorted(found.items()))

    @property
    def meta(self) -> Markup:
        tasks = {one.task: one.metric for one in self.entries}
        known = {task: {"metric": m.name, "unit": m.unit, "better": m.better} for task, m in tasks.items()}
        sides = [one_line(side.title) for side in self.sides]
        return script_data({"sides": sides, "tasks": known, "looks": _LOOKS})

    @property
    def index(self) -> str:
        """What the list and its filters need of every entry: read at once."""
        return packed(f"[{','.join(told for told, _ in self._shown.values())}]")

    @property
    def texts(self) -> Iterator[str]:
        """Prompts and answers, in the same order, in parts of about `PART_BYTES`: read one by one."""
        part, size = [], 0
        for _, texts in self._shown.values():
            part.append(texts)
            size += len(texts)
            if size > PART_BYTES:
                yield packed(f"[{','.join(part)}]")
                part, size = [], 0
        if part:
            yield packed(f"[{','.join(part)}]")

    @property
    def left_out(self) -> str:
        """What is not on the page; empty where everything is."""
        missing, every = len(self.entries) - len(self._shown), len(self.entries)
        if not missing:
            return ""
        limit = f"{self.most_bytes / 2**20:.3g} MB"
        return f"{missing:,} of {every:,} items are not on this page, which holds {limit} of them, changed ones first."

    @property
    def files(self) -> list[str]:
        return [str(file) for side in self.sides for file in side.files.values()]

    def verdicts(self) -> list[dict[str, Any]]:
        """Of each task and side that has verdicts: ``task``, ``side``, ``answers`` and the ``parts`` of the whole."""
        found = []
        for task in dict.fromkeys(one.task for one in self.entries):
            for side in self.sides:
                rows = [row for result in side.tasks.get(task, {}).values() for row in result.rows]
                counts = Counter(str(row["verdict"]) for row in rows if row.get("verdict"))
                order = [*VERDICTS, *sorted(counts.keys() - VERDICTS.keys())]
                parts = [
                    {"verdict": name, "look": _LOOKS.get(name, "other"), "count": counts[name]}
                    for name in order
                    if counts[name]
                ]
                if parts:
                    found.append({"task": task, "side": side.title, "answers": counts.total(), "parts": parts})
        return found

    def changes(self) -> list[dict[str, Any]]:
        """Of each task that the first and the last side share: how many items got better and worse, and stayed."""
        found = []
        for task in dict.fromkeys(one.task for one in self.entries) if len(self.sides) > 1 else ():
            both = [e for e in self.entries if e.task == task and None not in (e.values[0], e.values[-1])]
            if both:
                better, worse = sum(e.change > 0 for e in both), sum(e.change < 0 for e in both)
                same = len(both) - better - worse
                counts = {"items": len(both), "better": better, "worse": worse, "same": same}
                found.append({"task": task, "metric": both[0].metric.name, **counts})
        return found


def _entries(sides: Sequence[Side]) -> Iterator[Entry]:
    """In the order of the sides' files. Another prompt under the same name is an entry of its own."""
    for task in dict.fromkeys(task for side in sides for task in side.tasks):
        known = {m.name: m for side in sides for m in side.metrics.get(task, {}).values() if not m.exp}
        if not known:
            continue
        metric = leading(known.values())
        made: dict[str, list[Entry]] = {}
        for at, side in enumerate(sides):
            for name, result in side.tasks.get(task, {}).items():
                entry = next((one for one in made.get(name, ()) if one.first.asks_the_same(result)), None)
                if entry is None:
                    entry = Entry(task, metric, [None] * len(sides))
                    made.setdefault(name, []).append(entry)
                entry.results[at] = result
        yield from (entry for several in made.values() for entry in several)


def _parts(entry: Entry) -> tuple[dict[str, Any], dict[str, Any]]:
    """What the script reads of an item: at first, and when it is looked at."""
    first = entry.first
    samples = [None if one is None else [_sample(row) for row in one.rows] for one in entry.results]
    told: dict[str, Any] = {"task": entry.task, "name": one_line(first.name), "values": entry.values}
    told["sides"] = [None if side is None else [numbers for numbers, _ in side] for side in samples]
    if first.prompt:
        told["says"] = first.prompt[:MOST_SAID]
    return told, {
        "prompt": first.prompt[:MOST_CHARACTERS],
        "sides": [None if side is None else [texts for _, texts in side] for side in samples],
    }


def _sample(row: dict[str, Any]) -> tuple[dict[str, Any], dict[str, str]]:
    texts = {name: str(row[name])[:MOST_CHARACTERS] for name in _TEXTS if row.get(name) or row.get(name) == ""}
    numbers = {name: row.get(name) for name in ("verdict", "finish_reason", "passed", "total", "tokens")}
    parts = {name: _number(value) for name, value in (row.get("parts") or {}).items()}
    numbers["parts"] = {name: value for name, value in parts.items() if value is not None}
    numbers["cut"] = max(0, len(str(row.get("answer") or "")) - MOST_CHARACTERS)
    return {name: value for name, value in numbers.items() if value not in (None, "", {}, 0)}, texts


def _number(value: Any) -> float | None:
    """None for what the page's script cannot read as a number: NaN and infinity are not JSON."""
    return float(value) if isinstance(value, int | float) and math.isfinite(value) else None
