"""A string that remembers where each of its characters came from, through everything that templates do to text."""

import re
import string
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, SupportsIndex

from strop.chat.origin import TEMPLATE, blend, leaves
from strop.chat.tool_calls import Written


class Traced(str):
    """Text with a trace (see `strop.chat.origin`) of the same length.

    Every method that returns text returns `Traced` text; comparing, hashing and searching are plain ``str``. Where the
    origin of single characters cannot be told (`translate`, `expandtabs`, a case change that alters lengths), the whole
    result gets the blend of the origins, so that text from a message never passes for the template's.
    """

    __slots__ = ("_trace",)
    _trace: str

    def __new__(cls, text: str, trace: str) -> "Traced":
        if len(text) != len(trace):
            raise ValueError(f"a trace of {len(trace)} characters for a text of {len(text)}")
        self = str.__new__(cls, text)
        self._trace = trace
        return self

    def __reduce__(self):
        return Traced, (plain(self), self._trace)

    def __str__(self) -> "Traced":
        return self  # `str(x)` in the code that Jinja generates must not drop the trace

    # -- pieces of it

    def __getitem__(self, key: SupportsIndex | slice) -> "Traced":
        return Traced(str.__getitem__(self, key), self._trace[key])

    def __iter__(self) -> Iterator["Traced"]:
        return map(Traced, str.__iter__(self), self._trace)

    def lstrip(self, chars: str | None = None) -> "Traced":
        return self[len(self) - len(str.lstrip(self, chars)) :]

    def rstrip(self, chars: str | None = None) -> "Traced":
        return self[: len(str.rstrip(self, chars))]

    def strip(self, chars: str | None = None) -> "Traced":
        return self.rstrip(chars).lstrip(chars)

    def removeprefix(self, prefix: str) -> "Traced":
        return self[len(prefix) :] if self.startswith(prefix) else self

    def removesuffix(self, suffix: str) -> "Traced":
        return self[: len(self) - len(suffix)] if suffix and self.endswith(suffix) else self

    def _located(self, pieces: Iterable[str], gap: int | None) -> list["Traced"]:
        """The pieces as parts of self: ``gap`` characters apart, or (None) each at the next place where it stands."""
        found, at = [], 0
        for piece in pieces:
            if gap is None:
                at = str.find(self, piece, at)
            found.append(self[at : at + len(piece)])
            at += len(piece) + (gap or 0)
        return found

    def split(self, sep: str | None = None, maxsplit: SupportsIndex = -1) -> list[str]:
        return [*self._located(str.split(self, sep, maxsplit), None if sep is None else len(sep))]

    def rsplit(self, sep: str | None = None, maxsplit: SupportsIndex = -1) -> list[str]:
        return [*self._located(str.rsplit(self, sep, maxsplit), None if sep is None else len(sep))]

    def splitlines(self, keepends: bool = False) -> list[str]:
        lines = self._located(str.splitlines(self, True), 0)
        bare = str.splitlines(self, keepends)
        return [line[: len(text)] for line, text in zip(lines, bare, strict=True)]

    def partition(self, sep: str) -> tuple["Traced", "Traced", "Traced"]:
        before, found, after = self._located(str.partition(self, sep), 0)
        return before, found, after

    def rpartition(self, sep: str) -> tuple["Traced", "Traced", "Traced"]:
        before, found, after = self._located(str.rpartition(self, sep), 0)
        return before, found, after

    # -- joined with others

    def __add__(self, other: str) -> "Traced":
        if not isinstance(other, str):
            return NotImplemented
        return Traced(str.__add__(self, other), self._trace + trace_of(other))

    def __radd__(self, other: str) -> "Traced":
        if not isinstance(other, str):
            return NotImplemented
        return Traced(str.__add__(plain(other), self), trace_of(other) + self._trace)

    def __mul__(self, count: SupportsIndex) -> "Traced":
        return Traced(str.__mul__(self, count), self._trace * count)

    __rmul__ = __mul__

    def join(self, parts: Iterable[str]) -> "Traced":
        parts = list(parts)
        return Traced(str.join(self, parts), self._trace.join(map(trace_of, parts)))

    def replace(self, old: str, new: str, count: SupportsIndex = -1) -> str:
        if not old:
            return smear(str.replace(self, old, new, count), self, new)
        return traced(new).join(self.split(old, count))

    def __mod__(self, values: Any) -> str:
        return percent(self, values)

    def __rmod__(self, form: str) -> str:
        return percent(form, self)

    def __format__(self, spec: str) -> str:
        return self if not spec else smear(str.__format__(self, spec), self)

    def center(self, width: SupportsIndex, fill: str = " ") -> "Traced":
        text = str.center(self, width, fill)
        left = str.find(text, self) if self else 0
        return Traced(text, (TEMPLATE * left + self._trace).ljust(len(text), TEMPLATE))

    def ljust(self, width: SupportsIndex, fill: str = " ") -> "Traced":
        return Traced(str.ljust(self, width, fill), self._trace.ljust(width, TEMPLATE))

    def rjust(self, width: SupportsIndex, fill: str = " ") -> "Traced":
        return Traced(str.rjust(self, width, fill), self._trace.rjust(width, TEMPLATE))


def plain(text: str) -> str:
    """The text without its trace, as an exact ``str``."""
    return "".join((text,)) if type(text) is str else str.__str__(text)


def trace_of(text: str) -> str:
    """The trace of any string; what has none is the template's."""
    return text._trace if type(text) is Traced else TEMPLATE * len(text)


def traced(text: str) -> Traced:
    """Any string as `Traced`; what has no trace is the template's."""
    return text if type(text) is Traced else Traced(text, TEMPLATE * len(text))


def origins_in(*values: Any) -> set[str]:
    """The origin codes, but the template's, of all traced text inside JSON-like values."""
    traces = (leaf._trace for value in values for leaf in leaves(value) if type(leaf) is Traced)
    return set().union(*traces) - {TEMPLATE}


def smear(text: str, *sources: Any) -> str:
    """``text``, computed from ``sources`` in a way that lost track: all of it gets the blend of their origins.

    A text that came out as one of the sources went in keeps that one's trace. Plain when no source is traced.
    """
    for source in sources:
        if type(source) is Traced and source == text:
            return Traced(plain(text), source._trace)
    origin = blend(origins_in(*sources))
    return plain(text) if origin == TEMPLATE else Traced(plain(text), origin * len(text))


def recased(text: str, source: str) -> str:
    """``text`` is ``source`` in another case: character for character, unless a character grew ("ß" to "SS")."""
    if type(source) is Traced and len(text) == len(source):
        return Traced(text, source._trace)
    return smear(text, source)


def _changing(change: Callable[..., str], kept: Callable[..., str]) -> Callable[..., str]:
    return lambda self, *args, **kwargs: kept(change(self, *args, **kwargs), self)


for _name in ("lower", "upper", "title", "capitalize", "swapcase", "casefold"):
    setattr(Traced, _name, _changing(getattr(str, _name), recased))
for _name in ("expandtabs", "translate", "zfill"):
    setattr(Traced, _name, _changing(getattr(str, _name), smear))


def concat(parts: Iterable[str]) -> str:
    """``"".join`` that keeps origins; the plain string when there are none."""
    parts = list(parts)
    text = str.join("", parts)
    for part in parts:
        if type(part) is Traced:
            return Traced(text, "".join([trace_of(part) for part in parts]))
    return text


def text_of(value: Any) -> str:
    """``str(value)`` with origins: a list or mapping that a template prints as it stands keeps those of its strings."""
    if isinstance(value, str):
        return value
    if isinstance(value, dict | list | tuple):
        return smear(str(value), value)
    return str(value)


_CONVERSION = re.compile(
    r"%(?:\((?P<key>[^)]*)\))?[#0\- +]*(?P<width>\*|\d+)?(?:\.(?P<precision>\*|\d+))?[hlL]?(?P<kind>.)"
)


def percent(form: str, values: Any) -> str:
    """``form % values`` that keeps origins, for the template's own ``%`` and the ``format`` filter."""
    whole = str.__mod__(plain(form), values)  # raises as Python does, and is the text to arrive at
    if not origins_in(form, values):
        return whole
    form, at = traced(form), 0
    pieces: list[str] = []
    queue = iter(values if isinstance(values, tuple) else (values,))
    for match in _CONVERSION.finditer(plain(form)):
        pieces.append(form[at : match.start()])
        at = match.end()
        if match["kind"] == "%":
            pieces.append(Traced("%", TEMPLATE))
            continue
        stars = [next(queue) for part in (match["width"], match["precision"]) if part == "*"]
        value = values[match["key"]] if match["key"] is not None else next(queue)
        argument = {match["key"]: value} if match["key"] is not None else (*stars, value)
        pieces.append(smear(str.__mod__(match[0], argument), value))
    pieces.append(form[at:])
    result = concat(pieces)
    return result if result == whole else smear(whole, form, values)


def brace_format(form: str, formatter: string.Formatter, args: tuple, kwargs: Mapping[str, Any]) -> str:
    """``form.format(*args, **kwargs)`` that keeps origins; ``formatter`` resolves the fields, as the sandbox allows."""
    whole = formatter.vformat(plain(form), args, kwargs)
    if not origins_in(form, args, kwargs):
        return whole
    pieces, automatic = [], 0
    for literal, name, spec, conversion in formatter.parse(plain(form)):
        pieces.append(literal)
        if name is None:
            continue
        if name == "" or name[0] in ".[":
            name, automatic = f"{automatic}{name}", automatic + 1
        value, _ = formatter.get_field(name, args, kwargs)
        shown = value if conversion is None else formatter.convert_field(value, conversion)
        spec = formatter.vformat(spec, args, kwargs) if spec else ""
        pieces.append(smear(format(shown, spec) if spec else text_of(shown), value))
    result = concat(pieces)
    return result if result == whole and not origins_in(form) else smear(whole, form, args, kwargs)


def relabel(value: Any, origin: str) -> Any:
    """A copy of a JSON-like value whose strings (keys too) carry ``origin``; other values are kept."""
    if isinstance(value, str):
        return Traced(value, origin * len(value))
    if isinstance(value, Mapping):
        items = {relabel(key, origin): relabel(item, origin) for key, item in value.items()}
        return Written(items, relabel(value.text, origin)) if isinstance(value, Written) else items
    if isinstance(value, list | tuple):
        return [relabel(item, origin) for item in value]
    return value
