"""A comparison as one HTML page that needs no network: the table, and every item in a list that stays fast."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from markupsafe import Markup

from strop.common.visible import one_line
from strop.compare.comparison import Comparison, Row
from strop.compare.flips import leading
from strop.compare.show import METHOD, cells
from strop.web import browser_script, environment, script_data, script_hash

HERE = Path(__file__).parent
MOST_BYTES = 64 * 2**20
_KEPT = ("answer", "verdict", "passed", "total", "detail", "finish_reason", "tokens")


def render(comparisons: Sequence[Comparison], most_bytes: int = MOST_BYTES) -> str:
    """The page. It holds at most ``most_bytes`` of items, those that flipped first, and says how many it leaves out."""
    entries, left_out, size = [], 0, 0
    found = [entry for number, one in enumerate(comparisons) for entry in _entries(number, one)]
    for entry in sorted(found, key=lambda entry: entry["change"] == 0):
        text = str(script_data(entry))
        size += len(text.encode())
        if size > most_bytes:
            left_out += 1
        else:
            entries.append((entry["at"], text))
    entries.sort(key=lambda entry: entry[0])
    script = browser_script(HERE / "script.js")
    pages = [
        {
            "first": one_line(one.first.title),
            "second": one_line(one.second.title),
            "tasks": {task: _task(one, task) for task in one.tasks},
        }
        for one in comparisons
    ]
    return (
        environment(HERE)
        .get_template("page.html")
        .render(
            style=Markup((HERE / "style.css").read_text(encoding="utf-8")),
            script=Markup(script),
            script_hash=script_hash(script),
            title=f"{pages[0]['first']} and {', '.join(page['second'] for page in pages)}",
            comparisons=[_shown(one) for one in comparisons],
            method=METHOD,
            n_items=len(entries),
            left_out=left_out,
            meta=script_data(pages),
            entries=Markup(",\n".join(text for _, text in entries)),
        )
    )


def _shown(one: Comparison) -> dict[str, Any]:
    """What the head of the page says of a comparison."""
    return {
        "first": one.first.title,
        "second": one.second.title,
        "gates": one.gate_verdicts(),
        "verdicts": [row.verdict for row in one.tested],
        "rows": [(cells(row), row.finding if row.p is not None else "described", row.metric.about) for row in one.rows],
        "notes": one.notes,
    }


def _task(one: Comparison, task: str) -> dict[str, Any]:
    row = _leading(one, task)
    return {"metric": row.metric.name, "unit": row.metric.unit, "better": row.metric.better}


def _leading(one: Comparison, task: str) -> Row:
    rows = [row for row in one.rows if row.task == task]
    return leading([row for row in rows if row.metric.better] or rows)


def _entries(number: int, one: Comparison) -> Iterator[dict[str, Any]]:
    """Every item as the script reads it; ``change``: of the leading metric, above 0 where it got better."""
    for task, matched in one.tasks.items():
        metric = _leading(one, task).metric
        for at, pair in enumerate(matched.pairs):
            values = [side.values.get(metric.name) for side in pair]
            known = None not in values
            yield {
                "at": [number, list(one.tasks).index(task), at],
                "in": number,
                "task": task,
                "name": one_line(pair[0].name),
                "prompt": pair[0].prompt,
                "values": values,
                "change": (metric.better or 1) * (values[1] - values[0]) if known else 0,
                "sides": [
                    {key: side.row[key] for key in _KEPT if side.row.get(key) not in (None, "")} for side in pair
                ],
            }
