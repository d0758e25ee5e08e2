"""Strings that were meant for a program and not for a reader: names to be filled in, other models' control tokens."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace

from strop.doctor.findings import Finding, Level, Tally
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
_KINDS: dict[str, tuple[re.Pattern[str], Level, str, str]] = {
    "placeholder": (
        _PLACEHOLDERS,
        "warning",
        "{n} ⟨conversation holds a name|conversations hold names⟩ to be filled in",
        "fill them in (sed, or your editor), or drop the rows: the model learns to write them as they stand",
    ),
    "placeholder_braces": (
        _BRACES,
        "note",
        "{n} ⟨conversation holds a word|conversations hold words⟩ in braces outside of code, as names to be filled in "
        "are written",
        "look whether they were meant to be filled in",
    ),
    "foreign_control_tokens": (
        _CONTROL,
        "warning",
        "{n} ⟨conversation holds a control string|conversations hold control strings⟩ of other models",
        "take them out where a template left them there: here they are ordinary text, and the model learns to write it",
    ),
}


def check_placeholders(rows: Sequence[ReadRow], control_tokens: Collection[str]) -> Iterator[Finding]:
    """``control_tokens``: the tokenizer's own added tokens, which the mask counts; only others' are named here."""
    for kind, (pattern, level, message, mend) in _KINDS.items():
        control = pattern is _CONTROL
        tally, strings = Tally(), Counter[str]()
        for row in rows:
            texts = (text if control else _CODE.sub(" ", text) for text in row.texts())
            found = [match for text in texts for match in pattern.finditer(text)]
            found = [match for match in found if not control or match[0] not in control_tokens]
            if found:
                first = found[0]
                tally.add(kind, row.place, first.string[max(0, first.start() - 40) : first.end() + 40])
                strings.update(match[0] for match in found)
        if strings:
            named = ", ".join(f"{string} (×{count:,})" for string, count in strings.most_common(_NAMED))
            more = f" and {len(strings) - _NAMED} others" if len(strings) > _NAMED else ""
            finding = tally.finding(kind, level, message, mend)
            yield replace(finding, message=f"{finding.message}: {named}{more}")
