"""A comparison for people: in the terminal, and as Markdown."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from strop.common.console import heading, say
from strop.common.visible import one_line
from strop.compare.comparison import Comparison, Row, p_text
from strop.compare.flips import Flips, answer_diff, flips, outcome
from strop.compare.judge import Judged
from strop.compare.power import LEVEL
from strop.compare.votes import Agreement, WinRate
from strop.report.files import Interval
from strop.report.markdown import MARKS, escaped, table
from strop.report.metrics import UNKNOWN, change_interval_text, change_text, value_text

NAMED = 8
"""Flipped items that are named without being asked for."""
METHOD = (
    "Paired on the same items; intervals are 95 % (of rates Bonett and Price's, else bootstrap over families). p: "
    "exact McNemar test of right or wrong, else swaps of whole families; Holm's correction over all that are tested. "
    "They speak of other items of this kind, not of another training run with another seed."
)
_STYLES = {"better": "green", "worse": "red"}
_WORDS = {
    "better": "better",
    "worse": "worse",
    "moved": "changed",
    "no change": "no significant change",
    "untold": "cannot be told",
}


def titles(comparison: Comparison) -> tuple[str, str]:
    return one_line(comparison.first.title), one_line(comparison.second.title)


def cells(row: Row) -> tuple[str, ...]:
    """(metric, first, second, change with its interval, flipped, p, finding): one row of the table."""
    unit = row.metric.unit
    interval = change_interval_text(Interval.model_validate(row.change.to_dict()), unit)
    flipped = f"+{row.gained:,} \N{MINUS SIGN}{row.lost:,}" if row.gained is not None else UNKNOWN
    p = UNKNOWN if row.adjusted is None else p_text(row.adjusted).removeprefix("p ").removeprefix("= ")
    return (
        f"{row.metric.name} (n {row.change.n:,})",
        value_text(row.first.value, unit),
        value_text(row.second.value, unit),
        f"{change_text(row.change.value, unit)} ({interval or 'interval unknown'})",
        flipped,
        p,
        _WORDS[row.finding] if row.p is not None else "described only",
    )


COLUMNS = ("metric", "first", "second", "change", "flipped", "adjusted p", "finding")


def show(comparison: Comparison, console: Console, diffs: int = 0) -> None:
    """The table, what it says, the flipped items (``diffs`` of them each way with a diff), gates and notes."""
    first, second = titles(comparison)
    heading(console, f"{second} against {first}")
    table = Table(pad_edge=False)
    for column in ("metric", first, second, *COLUMNS[3:]):
        table.add_column(column, overflow="fold", justify="left" if column == "metric" else "right")
    for row in comparison.rows:
        table.add_row(*(Text(cell) for cell in cells(row)), style=_STYLES.get(row.finding if row.p is not None else ""))
    console.print(table, markup=False)
    for row in comparison.tested:
        say(console, row.verdict.sentence, _STYLES.get(row.finding))
    for one in flips(comparison):
        _show_flips(one, console, diffs)
    for verdict in comparison.gate_verdicts():
        say(console, verdict.sentence, "bold red" if verdict.tone == "worse" else None)
    for note in comparison.notes:
        say(console, note, "yellow")


def _show_flips(found: Flips, console: Console, diffs: int) -> None:
    for word, pairs in (("got better", found.better), ("got worse", found.worse)):
        if not pairs:
            continue
        names = ", ".join(one_line(pair[0].name) for pair in pairs[:NAMED])
        more = f" and {len(pairs) - NAMED:,} more" if len(pairs) > NAMED else ""
        say(console, f"{found.row.metric.name}: {len(pairs):,} {word}: {names}{more}")
        for pair in pairs[:diffs]:
            heading(console, f"{one_line(pair[0].name)}: {outcome(pair, found.row)}")
            for line in answer_diff(pair):
                say(console, line, {"+": "green", "-": "red", "@": "cyan"}.get(line[:1]))


def markdown(comparisons: list[Comparison]) -> str:
    """For a pull request or a note: a table and the verdicts of each, gates first."""
    return "\n".join(line for one in comparisons for line in _markdown(one)) + "\n"


def _markdown(comparison: Comparison) -> Iterator[str]:
    first, second = map(escaped, titles(comparison))
    yield f"### {second} against {first}\n"
    for verdict in comparison.gate_verdicts():
        yield f"- {MARKS[verdict.tone]} {escaped(verdict.sentence)}"
    yield ""
    columns = ("metric", *titles(comparison), *COLUMNS[3:])
    yield from table(columns, map(cells, comparison.rows))
    yield from (f"- {escaped(row.verdict.sentence)}" for row in comparison.tested)
    yield from (f"- {escaped(note)}" for note in comparison.notes)
    for found in flips(comparison):
        if not (found.better or found.worse):
            continue
        counts = f"{len(found.better):,} got better, {len(found.worse):,} got worse"
        yield f"\n<details><summary>{escaped(found.row.metric.name)}: {counts}</summary>\n"
        for word, pairs in (("better", found.better), ("worse", found.worse)):
            yield from (f"- {word}: {escaped(pair[0].name)} ({escaped(outcome(pair, found.row))})" for pair in pairs)
        yield "\n</details>"
    yield f"\n{METHOD}\n"


def win_text(one: WinRate, comparison: Comparison) -> str:
    """Who wins how often, by whom, and whether it may be chance."""
    first, second = titles(comparison)
    interval = "interval unknown"
    if one.share.low == one.share.low:
        interval = f"{100 * one.share.low:.1f} to {100 * one.share.high:.1f} %"
    ties = "1 tie" if one.ties == 1 else f"{one.ties:,} ties"
    wins = f"{second} wins {one.second:,}, {first} wins {one.first:,}, {ties}"
    share = f"{second} is preferred in {100 * one.share.value:.1f} % ({interval}; a tie is half)"
    found = "" if one.p <= LEVEL else "; which is better cannot be told"
    return f"{one_line(one.rater)}: {wins}: {share}; {p_text(one.p)} (sign test){found}."


def agreement_text(one: Agreement) -> str:
    """How far two raters agree."""
    a, b = map(one_line, one.raters)
    kappa = "kappa is not defined: chance alone makes all votes equal"
    if one.kappa is not None:
        ends = "interval unknown" if one.low is None else f"{one.low:.2f} to {one.high:.2f}"
        kappa = f"Cohen's kappa {one.kappa:.2f} ({ends})"
    return f"{a} and {b} agree on {100 * one.same:.1f} % of {one.items:,} items; {kappa}."


def judge_text(one: Judged) -> str:
    """How far the judge's votes hold when the answers change places."""
    spoke = one.pairs - one.silent
    cut_off = f" ({one.cut_off:,} with a reply that was cut off)" if one.cut_off else ""
    if not spoke:
        return (
            f"judge {one_line(one.rater.name)}: no pair of {one.pairs:,} got a verdict ([[A]], [[B]] or [[C]]) in both "
            f"orders{cut_off}, so it cannot judge; take a larger model."
        )
    silent = f"; {one.silent:,} pairs without a verdict{cut_off} are no votes" if one.silent else ""
    return (
        f"judge {one_line(one.rater.name)}: the same vote in both orders on {one.consistent:,} of {spoke:,} pairs "
        f"({100 * one.consistent / spoke:.0f} %); the others count as ties (the first place won {one.by_place[0]:,} of "
        f"them in both orders, the second {one.by_place[1]:,}){silent}."
    )


def as_json(comparison: Comparison) -> dict[str, Any]:
    """Everything, for machines; unknown numbers are null."""
    return {
        "first": comparison.first.title,
        "second": comparison.second.title,
        "metrics": {row.metric.name: _row_json(row) for row in comparison.rows},
        "gates": {
            name: {"allowed": gate.allowed, "outcome": gate.outcome, "failed": gate.failed, "sentence": said.sentence}
            for (name, gate), said in zip(comparison.gates.items(), comparison.gate_verdicts(), strict=True)
        },
        "flipped": {
            found.row.metric.name: {
                "task": found.row.task,
                "better": [pair[0].name for pair in found.better],
                "worse": [pair[0].name for pair in found.worse],
            }
            for found in flips(comparison)
        },
        "items": {
            task: {
                "compared": len(one.pairs),
                "only_first": one.only[0],
                "only_second": one.only[1],
                "left_out": one.other,
            }
            for task, one in comparison.tasks.items()
        },
        "notes": comparison.notes,
    }


def _row_json(row: Row) -> dict[str, Any]:
    return {
        "task": row.task,
        "unit": row.metric.unit,
        "better": row.metric.better,
        "first": row.first.to_dict(),
        "second": row.second.to_dict(),
        "change": row.change.to_dict(),
        "gained": row.gained,
        "lost": row.lost,
        "p": row.p,
        "adjusted_p": row.adjusted,
        "tests": row.tests,
        "least": row.least,
        "needed": row.needed,
        "finding": row.finding if row.p is not None else None,
        "sentence": row.verdict.sentence if row.p is not None else None,
    }
