"""Which option of a multiple-choice question an answer in words names."""

from __future__ import annotations

import re
from collections.abc import Sequence

from .reasoning import without_reasoning

LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
_MARK = r"[*_$({\[\"'`]*(?:\\text\{|\\boxed\{)?[*_(\[]*"
_SAID = r"(?:answer|option|choice)(?:\s+is)?\s*(?:[:=]|is)?\s*(?:option\s+|choice\s+)?"
_NOT = r"(?<![不別别未备備])(?<!不[应應该該])(?<!不应该)(?<!不應該)"
_SAID_IN_CHINESE = (
    rf"(?:答案|正解|正[确確]的|{_NOT}[选選](?:[择擇]|[项項])?)[】》」]?\s*(?:应该|應該|应|應)?[是为為选選]?\s*[:：]?"
    r"\s*(?:[选選][项項]\s*)?[（「【《“]?"
)
_WIDE = {ord(letter) + 0xFEE0: letter for letter in LETTERS}  # Ｂ
_ENDED = ".):]*_。．、，：）】"
_ENDS = re.escape(_ENDED)
_NO_WORD = r"(?=[\u4e00-\u9fff]|[^\w']|$)"  # goes on; Chinese has no spaces


def chosen_letter(answer: str, options: Sequence[str]) -> int | None:
    """The index of the option that ``answer`` names: by letter, or by its whole text; None where it names none.

    Looked for in this order, each time the last one in the text: a letter in ``\\boxed{}``; one after "answer",
    "option", "choice", 答案, 选 or the like; an answer or a last line that is a letter alone, or begins with one and a
    mark (``B.``, ``(B)``); an answer or a last line that is an option's text. Upper case only, since "a" is a word.
    """
    text = without_reasoning(answer).strip().translate(_WIDE)
    letters = LETTERS[: len(options)]
    one = rf"([{letters}])"
    for pattern in (
        rf"\\boxed\{{\s*(?:\\text\{{)?\(?{one}\)?\s*\}}",
        rf"(?:(?i:{_SAID})|{_SAID_IN_CHINESE}){_MARK}{one}{_NO_WORD}",
    ):
        if said := re.findall(pattern, text):
            return letters.index(said[-1])
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    for line in dict.fromkeys((text, *lines[-1:])):
        if found := re.match(rf"{_MARK}[（【]?{one}(?:[{_ENDS}\s]|$)", line):
            rest = line[found.end() :].strip(" .*_)]")
            if not rest or line[found.end() - 1] in _ENDED or _same(rest, options[letters.index(found[1])]):
                return letters.index(found[1])
    for line in dict.fromkeys((text, *lines[-1:])):
        if same := [i for i, option in enumerate(options) if _same(line, option)]:
            return same[0]
    return None


def _same(text: str, option: str) -> bool:
    return text.strip(" .*_\"'`").casefold() == option.strip(" .*_\"'`").casefold()
