"""Examinations on the terminal: what was read, how long it is, what is wrong, what to do next."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from strop.common.visible import one_line
from strop.doctor.examine import Examination, set_summary
from strop.doctor.findings import LEVELS, Finding
from strop.doctor.languages import Languages
from strop.doctor.lengths import Lengths
from strop.doctor.machine import MEMORY_BAND, TIME_BAND, Cost

_STYLES = {"error": "red", "warning": "yellow", "note": "cyan"}
_BAR = 40
_PLACES = 5
"""Places shown of one finding; --json has ten."""


def show(found: Examination, console: Console) -> None:
    """Print all of it."""
    console.print(sets_table(found))
    facts = [
        *(Text(one_line(remark)) for remark in found.remarks),
        *([length_table(found.lengths), *_cuts(found.lengths)] if found.lengths else []),
        *([_languages(found.languages)] if found.languages and found.languages.rows else []),
        *([Text(estimate_words(found.estimate))] if found.estimate else []),
    ]
    if found.overlap_items:
        facts.append(Text(f"overlap: compared with {found.overlap_items:,} items of the evaluation sets"))
    console.print(Group(*facts))
    for level in LEVELS:
        of_level = [finding for finding in found.findings if finding.level == level]
        if of_level:
            console.print()
            console.print(Text(f"{level}s" if len(of_level) > 1 else level, style=f"bold {_STYLES[level]}"))
            for finding in of_level:
                console.print(_finding(finding))
    console.print()
    console.print(summary(found.findings))


def sets_table(found: Examination) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim")
    table.add_column("data", overflow="fold")
    for name in ("rows", "rejected", "format", "tokens", "trained", "longest"):
        table.add_column(name, justify="left" if name == "format" else "right")
    for line in map(set_summary, found.sets):
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


def length_table(lengths: Lengths) -> RenderableType:
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


def _cuts(lengths: Lengths) -> Iterator[Text]:
    parts = [
        f"{loss.limit:,}: {loss.conversations:,} of the conversations, {_share(loss.tokens)} of all tokens, "
        f"{_share(loss.trained)} of the trained ones"
        for loss in lengths.losses
        if loss.conversations
    ]
    if parts:
        yield Text("cutting at " + "\n           ".join(parts))
    else:
        yield Text(f"cutting at {lengths.losses[0].limit:,} or more: nothing would be lost")


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


def estimate_words(guess: Cost) -> str:
    """Time and memory of a run as ranges, in one line."""
    low, high = (_duration(guess.minutes / TIME_BAND), _duration(guess.minutes * TIME_BAND))
    least, most = guess.memory_gb / MEMORY_BAND, guess.memory_gb * MEMORY_BAND
    have = "" if guess.total_gb is None else f" of {guess.total_gb:.0f} GB here"
    return (
        f"estimate: {guess.parameters / 1e6:,.1f}M parameters, {guess.tokens:,} tokens; "
        f"{low} to {high} at {guess.rate / 1e9:,.0f} GFLOP/s measured; {least:.1f} to {most:.1f} GB{have}"
    )


def _duration(minutes: float) -> str:
    if minutes < 1:
        return f"{minutes * 60:.0f} s"
    if minutes < 120:
        return f"{minutes:.0f} min"
    return f"{minutes / 60:.0f} h" if minutes < 2880 else f"{minutes / 1440:.0f} days"


def _finding(finding: Finding) -> RenderableType:
    lines: list[Text] = [Text.assemble(("● ", _STYLES[finding.level]), finding.message)]
    if finding.place or finding.text:
        text = f"  {finding.text}" if finding.place and finding.text else finding.text
        lines.append(Text.assemble((finding.place, "bold"), (text, "dim")))
    if len(finding.places) > 1:
        more = " …" if finding.count > _PLACES else ""
        lines.append(Text(f"also {', '.join(_short_places(finding.places[:_PLACES]))}{more}", style="dim"))
    lines.append(Text.assemble(("→ ", "dim"), finding.mend))
    return Group(lines[0], *(Padding(line, (0, 0, 0, 2), expand=False) for line in lines[1:]))


def _short_places(places: Sequence[str]) -> list[str]:
    """The places after the first; those of the same file by their line alone."""
    file, _, _ = places[0].rpartition(":")
    return [place.removeprefix(f"{file}:") if file else place for place in places[1:]]


def summary(findings: Sequence[Finding]) -> str:
    """``1 error, 2 warnings, 3 notes``."""
    counts = {level: sum(f.level == level for f in findings) for level in LEVELS}
    said = [f"{n} {level}{'s' if n > 1 else ''}" for level, n in counts.items() if n]
    return ", ".join(said) or "nothing found: no error, no warning"
