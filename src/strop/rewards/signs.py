"""Mathematics in Unicode's own characters, as LaTeX and plain expressions write it."""

from __future__ import annotations

import re
import unicodedata

_WIDE = {code: code - 0xFEE0 for code in range(0xFF01, 0xFF5F) if chr(code) not in "，．：；！？"}
_SIGNS = _WIDE | {ord("−"): "-", ord("÷"): "/", ord("⁄"): "/", ord("∞"): r"\infty "}
_FRACTION = re.compile(r"(?:(?<![\d.,/])(\d+) ?)?([¼½¾⅐-⅞])")
_ROOT = re.compile(r"√\s*(?:\(([^()]*)\)|\{([^{}]*)\}|(\d+(?:\.\d+)?|[a-zA-Z]))")
_CHINESE = "[\u3000-\u303f\u4e00-\u9fff，．：；！？]"
_BESIDE = re.compile(rf"(?<={_CHINESE})(?=[-+.\d\\$])|(?<=[\d}}$%])(?={_CHINESE})")
_RAISED = re.compile("([⁻]?[⁰¹²³⁴-⁹]+)")
_POWERS = str.maketrans("⁻⁰¹²³⁴⁵⁶⁷⁸⁹", "-0123456789")


def plain_signs(text: str) -> str:
    """``text`` with ``−5``, ``５``, ``1½``, ``√2`` and ``x²`` as ``-5``, ``5``, ``3/2``, ``\\sqrt{2}`` and ``x^{2}``;
    and numbers apart from Chinese around them, which leaves no spaces. Marks of sentences stay as they are."""
    text = _BESIDE.sub(" ", _FRACTION.sub(_fraction, text.translate(_SIGNS)))
    text = _ROOT.sub(lambda found: rf"\sqrt{{{found[1] or found[2] or found[3] or ''}}}", text)
    return _RAISED.sub(lambda found: f"^{{{found[1].translate(_POWERS)}}}", text)


def _fraction(found: re.Match[str]) -> str:
    above, below = unicodedata.normalize("NFKC", found[2]).split("⁄")
    return f"{int(found[1] or 0) * int(below) + int(above)}/{below}"
