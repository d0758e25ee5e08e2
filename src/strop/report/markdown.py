"""A run as Markdown, for a pull request or a note: what happened, numbers with intervals, how to do it again."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from strop.common.visible import visible
from strop.report import metrics
from strop.report.files import Interval, RunFiles, Summary, read_run
from strop.report.page import machine, replay
from strop.report.verdict import eval_losses, forgetting, gates, headline, interval_notes

MARKS = {"worse": "❌", "better": "✅", "unclear": "❔"}


def markdown(run_folder: Path) -> str:
    """The run in ``run_folder``. Raises InputError as `read_run` does."""
    return "\n".join(_lines(read_run(run_folder))) + "\n"


def _lines(run: RunFiles) -> Iterator[str]:
    summary = run.summary
    top = headline(summary)
    yield f"### {escaped(summary.name)}: {escaped(top.sentence)}\n"
    said = [*eval_losses(summary), forgetting(summary), *gates(summary)]
    yield from (f"- {MARKS[one.tone]} {escaped(one.sentence)}" for one in said if one not in (None, top))
    yield from (f"- ⚠️ {escaped(text)}" for text in summary.warnings)
    yield ""
    yield from numbers(summary)
    yield from (f"- {escaped(note)}" for note in summary.notes)
    yield ""
    yield from how(run)
    yield from interval_notes(summary)


def numbers(summary: Summary) -> Iterator[str]:
    """A table of every metric: before, after and the change, or what was measured once, with intervals."""
    parts = ("measured",) if summary.measured else ("before", "after")
    names = metrics.in_order({name for part in parts for name in getattr(summary, part)}, summary.measures)
    if not names:
        return
    rows = []
    for name in names:
        unit, change = metrics.describe(name, summary.measures).unit, summary.change.get(name, Interval())
        found = [getattr(summary, part).get(name, Interval()) for part in parts]
        rows.append([name, *(with_interval(one, unit) for one in found)])
        if not summary.measured:
            interval = metrics.change_interval_text(change, unit)
            rows[-1].append(metrics.change_text(change.value, unit) + (f" ({interval})" if interval else ""))
        rows[-1].append(next((" in ".join(said) for one in found if (said := metrics.sample_texts(one))), ""))
    yield from table(["metric", *parts, *([] if summary.measured else ["change"]), "measured on"], rows)


def with_interval(one: Interval, unit: str) -> str:
    interval = metrics.interval_text(one, unit)
    return metrics.value_text(one.value, unit) + (f" ({interval})" if interval else "")


def how(run: RunFiles) -> Iterator[str]:
    """Model, machine, time and the recipe, folded away, and the command that does the run again."""
    summary = run.summary
    facts: dict[str, object] = {"model": summary.model, "seed": summary.seed, **dict(machine(summary))}
    minutes = ", ".join(f"{stage} {time:.1f}" for stage, time in summary.minutes.items() if time is not None)
    facts = facts | {"minutes": minutes} | {f"{stage}": metrics.count_text(one) for stage, one in summary.facts.items()}
    yield "<details><summary>How it was made</summary>\n"
    yield from (f"- {escaped(name)}: {escaped(str(value))}" for name, value in facts.items() if value not in (None, ""))
    if command := replay(run):
        yield from ("", *fenced(command, "bash"))
    for name, text in run.configs.items():
        yield from ("", f"`{name}`", "", *fenced(text, "yaml"))
    yield "\n</details>\n"


def fenced(text: str, language: str) -> Iterator[str]:
    """A block of code, fenced by more backticks than any in it."""
    longest = max(map(len, re.findall("`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    yield from (fence + language, visible(text.rstrip("\n"), strict=False), fence)


def table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    """A table, the first column to the left and the others to the right, and an empty line."""
    yield "| " + " | ".join(map(escaped, columns)) + " |"
    yield "|---|" + "---:|" * (len(columns) - 1)
    yield from ("| " + " | ".join(map(escaped, row)) + " |" for row in rows)
    yield ""


def escaped(text: str) -> str:
    """Text that Markdown shows as it stands, in one line."""
    text = visible(text, strict=False).replace("\n", " ").replace("&", "&amp;").replace("<", "&lt;")
    return "".join("\\" + c if c in "\\|`*_[]" else c for c in text)
