"""Strings that were meant for a program and not for a reader: names to be filled in, other models' control tokens."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterator, Sequence

from strop.doctor.findings import Finding, Tally
from strop.doctor.rows import ReadRow

_CODE = re.compile(r"```.*?(?:```|\Z)|`[^`\n]*`", re.DOTALL)
_WORDS = r"(?:your|my|insert|enter|add|first|last|full|user|company|customer|client|recipient|sender|product|city|date)"
_PLACEHOLDERS = re.compile(
    r"\{\{\s*[A-Za-z_][\w. -]{0,40}\s*\}\}"  # {{name}}
    r"|<[A-Z][A-Z0-9]*(?:[_ -][A-Z0-9]+)+>|<(?:NAME|AUTHOR|USER|DATE|EMAIL|COMPANY|PERSON|ORG|CITY|PHONE|MODEL)>"
    rf"|\[(?:{_WORDS}|(?i:{_WORDS})[ _-][^\]\[\n]{{1,40}})\](?!\()"  # [Your Name], but no link
    r"|\[(?:NAME|AUTHOR|DATE|EMAIL|COMPANY|PERSON|CITY|PHONE|PLACEHOLDER)\]"
)
_BRACES = re.compile(r"(?<![\w\\$^{}])\{[A-Za-z_][A-Za-z0-9_]{2,40}\}(?![}\w(])")
"""``{name}``: what a format string has, and sometimes sets and formulas."""
_CONTROL = re.compile(
    r"<\|[A-Za-z_][\w▁-]{0,40}\|>|<｜[^｜<>\n]{1,40}｜>"  # ChatML, Llama 3, Phi, gpt-oss …; DeepSeek
    r"|</?s>|<(?:bos|eos|pad|unk)>|<(?:start|end)_of_turn>|<\|(?:START|END)_OF_TURN_TOKEN\|>"
    r"|\[/?(?:INST|SYSTEM_PROMPT|TOOL_CALLS|AVAILABLE_TOOLS|TOOL_RESULTS|BOS|EOS)\]|<</?SYS>>"
)
_NAMED = 5


def check_placeholders(rows: Sequence[ReadRow], control_tokens: Collection[str]) -> Iterator[Finding]:
    """``control_tokens``: the tokenizer's own added tokens, which the mask counts; only others' are named here."""
    yield from _finding(
        _found(rows, _PLACEHOLDERS, code=False),
        "placeholder",
        "warning",
        "{n} ⟨conversation holds a name|conversations hold names⟩ to be filled in",
        "fill them in (sed, or your editor), or drop the rows: the model learns to write them as they stand",
    )
    yield from _finding(
        _found(rows, _BRACES, code=False),
        "placeholder_braces",
        "note",
        "{n} ⟨conversation holds a word|conversations hold words⟩ in braces outside of code, as names to be filled in "
        "are written",
        "look whether they were meant to be filled in",
    )
    own = frozenset(control_tokens)
    yield from _finding(
        _found(rows, _CONTROL, code=True, but=own),
        "foreign_control_tokens",
        "warning",
        "{n} ⟨conversation holds a control string|conversations hold control strings⟩ of other models",
        "take them out where a template left them there: here they are ordinary text, and the model learns to write it",
    )


def _found(
    rows: Sequence[ReadRow], pattern: re.Pattern[str], code: bool, but: Collection[str] = ()
) -> list[tuple[ReadRow, Counter[str], str]]:
    """Rows that hold the pattern, how often which string, and where the first one stands."""
    found = []
    for row in rows:
        counts, first = Counter(), ""
        for text in row.texts():
            text = text if code else _CODE.sub(" ", text)
            for match in pattern.finditer(text):
                if match[0] not in but:
                    counts[match[0]] += 1
                    first = first or text[max(0, match.start() - 40) : match.end() + 40]
        if counts:
            found.append((row, counts, first))
    return found


def _finding(
    found: list[tuple[ReadRow, Counter[str], str]], kind: str, level: str, message: str, mend: str
) -> Iterator[Finding]:
    if not found:
        return
    tally, strings = Tally(), Counter()
    for row, counts, text in found:
        tally.add(kind, row.place, text)
        strings.update(counts)
    named = ", ".join(f"{string} (×{count:,})" for string, count in strings.most_common(_NAMED))
    more = f" and {len(strings) - _NAMED} others" if len(strings) > _NAMED else ""
    finding = tally.finding(kind, level, message, mend)
    yield Finding(**{**finding.to_dict(), "message": f"{finding.message}: {named}{more}", "places": finding.places})
