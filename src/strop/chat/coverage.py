"""Whether a given text stands in what was printed of it, perhaps written in another way."""

import html
import json
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from strop.chat.mask import common_length
from strop.chat.numbers import dumps

_MARK = re.compile(r"</?[^<>\s]+>|\[/?[A-Z_]+\]")
_ESCAPED = re.compile(r"\\u([0-9a-fA-F]{4})|\\([nrtbf])")
_INDEX = re.compile(r"\[\d+\]")
_LONG = 6
"""Letters from which on a string is hardly met by chance."""
_SPELLED = frozenset({"type", "required"})
"""Of a tool's schema: templates write types in their own way, and the names of what is required stand there already."""


@dataclass(slots=True)
class Printed:
    """The stretches that a template printed of one field, in order; of each, whether a later message came before."""

    pieces: list[str] = field(default_factory=list)
    echoes: list[bool] = field(default_factory=list)

    def add(self, piece: str, echo: bool) -> None:
        self.pieces.append(piece)
        self.echoes.append(echo)

    def __add__(self, other: "Printed") -> "Printed":
        return Printed(self.pieces + other.pieces, self.echoes + other.echoes)

    @property
    def text(self) -> str:
        return "\0".join(self.pieces)

    def without_echoes(self, names: Collection[str]) -> str:
        """Without the names that the headers of results repeat."""
        pairs = zip(self.pieces, self.echoes, strict=True)
        return "\0".join(piece for piece, echo in pairs if not (echo and piece in names))

    def has_json(self, value: Any) -> bool:
        """Whether all of a value stands there as ``tojson`` writes it."""
        text = dumps(value, ensure_ascii=False)
        return any(text in piece for piece in self.pieces)


def missing_of(given: str, printed: Printed, around: Callable[[], str]) -> str | None:
    """What of ``given`` is not printed, without white space at its ends; None where all of it is.

    Args:
        around: gives the template's text beside it. A mark such as ``<think>`` that the template cuts out of a content
            and writes itself is printed.
    """
    pieces = printed.pieces
    if len(pieces) == 1 and pieces[0] == given:
        return None
    bare = given.strip()
    if not bare or any(bare in piece for piece in pieces):
        return None
    if not pieces:
        return bare
    whole = printed.text
    if any(form in whole for form in _forms(bare)):
        return None
    covered = _cover(bare, pieces)
    if covered is None:
        return None if _written_otherwise(bare, whole) else _difference(bare, whole)
    template = around()
    for gap in _gaps(bare, covered):
        if _MARK.sub(lambda mark: "" if mark[0] in template else mark[0], gap).strip():
            return gap.strip()
    return None


def holds(whole: str, leaf: str, times: int = 1) -> bool:
    """Whether a string of a call, tool or document is printed so often, as it is or written otherwise."""
    leaf = leaf.strip()
    if not leaf or any(_count(whole, form) >= times for form in dict.fromkeys(_forms(leaf))):
        return True
    if times > 1:
        return False
    return _count(whole.casefold(), leaf.casefold()) > 0 or (
        len(_squash(leaf)) >= _LONG and _written_otherwise(leaf, whole)
    )


def holds_scalar(texts: Iterable[str], value: float | bool | None) -> bool:
    """The same of a number, true, false or null; their characters have no origin where a template prints them bare."""
    forms = {json.dumps(value), str(value), str(value).lower()}
    return any(_count(text, form) for text in texts for form in forms)


def argument_leaves(arguments: Any) -> Iterator[tuple[str, Any]]:
    """``(path, value)``: the names of a call's arguments, and every value that is no list or object, at any depth."""
    if isinstance(arguments, str):
        try:
            arguments = json.loads(arguments)
        except ValueError:
            yield "text", arguments
            return
    if arguments is not None:
        yield from _leaves(arguments, "", lambda path: True)


def text_leaves(value: Any) -> Iterator[tuple[str, Any]]:
    """``(path, string)`` of every string, at any depth; keys do not count."""
    return ((path, leaf) for path, leaf in _leaves(value, "", lambda path: False) if isinstance(leaf, str))


def tool_leaves(tool: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """The same of a tool's schema: its strings and numbers, but for types, and the names of the parameters."""
    for path, leaf in _leaves(tool, "", lambda path: path.rpartition(".")[2] == "properties"):
        *outer, key = _INDEX.sub("", path).split(".")
        spelled = key in _SPELLED and outer[-1:] != ["properties"]
        if not (spelled or key.startswith("$") or leaf is None or isinstance(leaf, bool)):
            yield path, leaf


def _leaves(value: Any, path: str, counts: Callable[[str], bool]) -> Iterator[tuple[str, Any]]:
    """``counts``: whether the keys of the mapping at a path are leaves too."""
    if isinstance(value, Mapping):
        for key, item in value.items():
            inner = f"{path}.{key}" if path else key
            if counts(path):
                yield inner, key
            yield from _leaves(item, inner, counts)
    elif isinstance(value, list | tuple):
        for index, item in enumerate(value):
            yield from _leaves(item, f"{path}[{index}]", counts)
    else:
        yield path, value


def _forms(leaf: str) -> Iterator[str]:
    yield leaf
    if leaf.isascii() and leaf.isalnum():
        return
    for ascii_only in (False, True):
        once = json.dumps(leaf, ensure_ascii=ascii_only)[1:-1]
        yield once
        yield json.dumps(once, ensure_ascii=ascii_only)[1:-1]
    yield repr(leaf)[1:-1]


def _count(whole: str, form: str) -> int:
    """How often a string stands there that is not part of a longer word."""
    if form not in whole:
        return 0
    before, after = (r"\b" if edge.isalnum() and edge.isascii() else "" for edge in (form[0], form[-1]))
    return len(re.findall(before + re.escape(form) + after, whole))


def _written_otherwise(bare: str, whole: str) -> bool:
    """As JSON, as a list prints it, as HTML, in another case or with other white space and punctuation."""
    if any(form in whole for form in _forms(bare)):
        return True
    squashed = _squash(bare)
    readings = (whole, _ESCAPED.sub(_unescaped, whole), html.unescape(whole))
    return any(squashed in _squash(reading) for reading in readings)


def _unescaped(match: re.Match[str]) -> str:
    return chr(int(match[1], 16)) if match[1] else " "


def _squash(text: str) -> str:
    """Letters and digits in one case; all that is not white space where there are none."""
    return "".join(filter(str.isalnum, text)).casefold() or "".join(text.split())


def _cover(bare: str, pieces: Iterable[str]) -> list[tuple[int, int]] | None:
    """Where the pieces stand in ``bare``; None where one does not, so that nothing can be told of the rest."""
    covered, at = [], 0
    for piece in map(str.strip, pieces):
        if not piece:
            continue
        start = bare.find(piece, at)
        start = bare.find(piece) if start < 0 else start
        if start < 0:
            return None
        covered.append((start, start + len(piece)))
        at = max(at, start + len(piece))
    return sorted(covered)


def _difference(bare: str, whole: str) -> str:
    """The middle of ``bare`` that remains when what both begin and end with is taken off."""
    start = common_length(bare, whole)
    end = common_length(bare[start:][::-1], whole[start:][::-1])
    return bare[start : len(bare) - end].strip() or bare


def _gaps(bare: str, covered: list[tuple[int, int]]) -> Iterator[str]:
    at = 0
    for start, end in covered:
        if start > at:
            yield bare[at:start]
        at = max(at, end)
    if at < len(bare):
        yield bare[at:]
