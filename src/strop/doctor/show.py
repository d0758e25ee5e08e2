"""Examinations on the terminal: what was read, how long it is, what is wrong, what to do next."""

from __future__ import annotations

from collections.abc import Mapping

from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from strop.common.visible import one_line
from strop.doctor.examine import Examination
from strop.doctor.findings import LEVELS, Finding
from strop.doctor.languages import Languages
from strop.doctor.lengths import Lengths

_STYLES = {"error": "red", "warning": "yellow", "note": "cyan"}
_BAR = 40
_PLACES = 5
"""Places shown of one finding; --json has ten."""


def show(found: Examination, console: Console) -> None:
    """Print all of it."""
    console.print(_sets_table(found))
    for remark in found.remarks:
        console.print(Text(one_line(remark)))
    if found.lengths:
        console.print(_length_table(found.lengths))
        console.print(_cuts(found.lengths))
    if found.languages.rows:
        console.print(_languages(found.languages))
    if found.estimate:
        console.print(Text(found.estimate.words()))
    if found.overlap_items:
        console.print(Text(f"overlap: compared with {found.overlap_items:,} items of the evaluation sets"))
    counts = {}
    for level in LEVELS:
        of_level = [finding for finding in found.findings if finding.level == level]
        if of_level:
            counts[f"{level}s" if len(of_level) > 1 else level] = len(of_level)
            console.print()
            console.print(Text(list(counts)[-1], style=f"bold {_STYLES[level]}"))
            for finding in of_level:
                console.print(_finding(finding))
    console.print()
    said = ", ".join(f"{count} {words}" for words, count in counts.items())
    console.print(said or "nothing found: no error, no warning")


def _sets_table(found: Examination) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim")
    table.add_column("data", overflow="fold")
    for name in ("rows", "rejected", "format", "tokens", "trained", "longest"):
        table.add_column(name, justify="left" if name == "format" else "right")
    for line in (data.summary() for data in found.sets):
        share = line["trained_fraction"]
        table.add_row(
            Text(line["name"]),
            f"{line['rows']:,}",
            Text(f"{line['rejected']:,}", style="red" if line["rejected"] else ""),
            Text(_formats(line["formats"])),
            f"{line['tokens']:,}",
            "–" if share is None else f"{share:.1%}",
            f"{line['longest']:,}",
        )
    return table


def _formats(formats: Mapping[str, int]) -> str:
    """The kinds of rows; with the count of each where there are several."""
    if len(formats) == 1:
        return next(iter(formats))
    return ", ".join(f"{name} {count:,}" for name, count in formats.items())


def _length_table(lengths: Lengths) -> RenderableType:
    """A histogram in text."""
    most = max(count for _, _, count in lengths.bins)
    table = Table(box=None, pad_edge=False, show_header=False)
    for justify in ("right", "left", "right"):
        table.add_column(justify=justify)
    for low, high, count in lengths.bins:
        bar = "█" * max(1, round(_BAR * count / most)) if count else ""
        table.add_row(f"{low:,}–{high - 1:,}", Text(bar, style="dim"), f"{count:,}")
    title = (
        f"\nlength in tokens: {lengths.shortest:,} … {lengths.longest:,}, median {lengths.median:,}, "
        f"99 % up to {lengths.p99:,}"
    )
    return Group(Text(title), table)


def _cuts(lengths: Lengths) -> Text:
    parts = [
        f"{loss.limit:,}: {loss.conversations:,} of the conversations, {_share(loss.tokens)} of all tokens, "
        f"{_share(loss.trained)} of the trained ones"
        for loss in lengths.cut_at
        if loss.conversations
    ]
    if not parts:
        return Text(f"cutting at {lengths.cut_at[0].limit:,} or more: nothing would be lost")
    return Text("cutting at " + "\n           ".join(parts))


def _share(share: float) -> str:
    return "less than 0.1%" if 0 < share < 0.001 else f"{share:.1%}"


def _languages(mix: Languages) -> Text:
    languages = (("user", mix.user), ("assistant", mix.assistant), ("text", mix.text))
    scripts = (("user", mix.user_scripts), ("assistant", mix.assistant_scripts), ("text", mix.text_scripts))
    line, written = ("; ".join(f"{who} {_mix(shares)}" for who, shares in by if shares) for by in (languages, scripts))
    return Text(f"language: {line}   (?: too short or unsure)\nscript: {written}")


def _mix(shares: Mapping[str, float]) -> str:
    shown = [f"{language} {share:.1%}" for language, share in list(shares.items())[:4]]
    return ", ".join(shown) + (" …" if len(shares) > 4 else "")


def _finding(finding: Finding) -> RenderableType:
    lines: list[Text] = []
    if finding.place or finding.text:
        text = f"  {finding.text}" if finding.place and finding.text else finding.text
        lines.append(Text.assemble((finding.place, "bold"), (text, "dim")))
    first, *others = finding.places or ("",)
    if others:
        file = first.rpartition(":")[0]  # others of the same file are named by their line alone
        also = ", ".join(place.removeprefix(f"{file}:") if file else place for place in others[: _PLACES - 1])
        lines.append(Text(f"also {also}{' …' if finding.count > _PLACES else ''}", style="dim"))
    lines.append(Text.assemble(("→ ", "dim"), finding.mend))
    title = Text.assemble(("● ", _STYLES[finding.level]), finding.message)
    return Group(title, *(Padding(line, (0, 0, 0, 2), expand=False) for line in lines))
