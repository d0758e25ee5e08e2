"""The number that an answer ends in, found in two ways, as GSM8K's graders do (Cobbe et al. 2021, arXiv:2110.14168).

``strict``: what follows ``####``. ``flexible``: the last number of the text. Of several the last counts, so a worked
example that the model recites before its own answer is never graded. Dollar signs, thousands' commas and a final full
stop are no part of a number, and numbers are compared by value: 18.00 is 18.

A digit within a word is no number (``x2``, ``H2O``, ``α3``), but after a currency (``USD18``) and in Markdown's
underscores (``__18__``) it is. Thin and no-break spaces between thousands belong to it, a plain one only where a group
begins with 0 (``1 000``): in "in 2020 100 people" or "3 500 ml bottles" nobody could tell otherwise. So, but after
``####``, do LaTeX's ``1{,}000``, ``1\\,000`` and ``1,\\!000``, and an exponent that ends the word (``1e-05``). Chinese,
Japanese, Korean, Thai, Arabic … put no space between word and number: 答案是42。 ends in 42. Digits of every script
count, full-width ones too.
"""

from __future__ import annotations

import re
from decimal import Decimal

from .reasoning import without_reasoning

_WIDE = str.maketrans("．－＄", ".-$")  # not the comma: ， ends a clause
# Hebrew, Arabic; Thai, Lao, Tibetan, Burmese; Khmer; Kana, Han, Hangul
_UNSPACED = "\u0590-\u06ff\u0e00-\u109f\u1780-\u17ff\u3005-\u30ff\u3400-\u9fff\uac00-\ud7af\uf900-\ufaff\uff66-\uff9f"
_SPACES = "\u00a0\u2009\u202f"  # no-break and thin ones, which stand between thousands alone
_BETWEEN = rf"(?:[{_SPACES}]|\{{,\}}|\\,|,\\!)"  # thousands: those, or LaTeX's 1{,}000, 1\,000 and 1,\!000
_SIGN = r"[-−]?(?:\\?\$)?[-−]?"
_DIGITS = (  # a plain space between thousands only where a later group begins with 0, as no number by itself does
    rf"\d{{1,3}}(?:[{_SPACES}]\d{{3}})+(?!\d)|\d{{1,3}}(?: [1-9]\d\d){{0,5}}(?: 0\d\d)(?: \d{{3}}){{0,5}}(?!\d)"
    r"|\d(?:[\d,]*\d)?"
)
_STRICT = re.compile(rf"#### *([-−]?\$?[-−]?(?:(?:{_DIGITS})(?:[.,]\d+)*|\.\d+))")
_IN_WORD = rf"(?<![^\W{_UNSPACED}])"
_CODES = ("USD", "EUR", "GBP", "CHF", "CAD", "AUD", "INR", "JPY", "CNY", "RMB", "Rs")
_BEGINS = (
    rf"(?:{_IN_WORD}|"
    + "|".join(rf"(?<={_IN_WORD}{marks})" for marks in ("_", "__", "___"))  # Markdown's emphasis
    + "|"
    + "|".join(rf"(?<={code})" for code in _CODES)
    + ")"
)
_EXPONENT = rf"(?:[eE][-+−]?\d{{1,3}}(?![^\W{_UNSPACED}]|\.\d))?"
_GROUPS = rf"\d{{1,3}}(?:{_BETWEEN}\d{{3}})+(?!\d)"
_NUMBER = re.compile(rf"(?<![\d.]){_BEGINS}{_SIGN}(?:(?:{_GROUPS}|{_DIGITS})(?:\.\d+)?|\.\d+){_EXPONENT}")
_PLAIN = re.compile(r"[-+]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][-+]?\d{1,3})?")
_MORE = re.compile(rf"[\d.,{_SPACES} ]*")  # may go on to another thousand
_GROUPED = re.compile(rf"{_SIGN}\d{{1,3}}(?:(?: |{_BETWEEN})\d{{3}})+(?!\d)")


def strict_number(answer: str) -> Decimal | None:
    """The number after the last ``####`` of an answer, reasoning left out; None where there is none."""
    found = _STRICT.findall(without_reasoning(answer).translate(_WIDE))
    return number(found[-1]) if found else None


def flexible_number(answer: str) -> Decimal | None:
    """The last number of an answer, reasoning left out; None where there is none."""
    found = _NUMBER.findall(without_reasoning(answer).translate(_WIDE))
    return number(found[-1]) if found else None


def number(text: str) -> Decimal | None:
    """The value of a number as people and programs write it (``$1,234.50``, ``-3``, ``18.``, ``1e-05``), or None where
    it is none."""
    text = text.strip().translate(_WIDE)
    if grouped := _GROUPED.match(text):
        text = re.sub(rf" |{_BETWEEN}", "", grouped[0]) + text[grouped.end() :]
    text = re.sub(r"\\?\$", "", text.replace("−", "-")).replace(",", "").rstrip(".")
    return Decimal(text) if _PLAIN.fullmatch(text) else None


def finished_number(answer: str) -> str:
    """Of an answer that was cut off, the part up to its last ``####`` number that something follows; else nothing.

    A number at the very end may lack digits, and one in the middle of unfinished reasoning is no answer.
    """
    found = [one for one in _STRICT.finditer(answer.translate(_WIDE)) if not _MORE.fullmatch(answer, one.end())]
    return answer[: found[-1].end()] if found else ""
