"""How the arguments of a tool call are written: as JSON, or item by item, with the literals around keys and values."""

import ast
import json
import re
import warnings
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any


def _no_number(name: str) -> None:
    raise ValueError(f"JSON has no {name}")


_JSON = json.JSONDecoder(parse_constant=_no_number)  # Python reads NaN and Infinity
_KEY = r"[^\s\"'<>=:,{}\[\]()]+"
Read = tuple[dict[str, Any], int] | None
"""The arguments and where their text ends; None where the text is not of that notation."""


@dataclass(frozen=True)
class JsonText:
    """An object in JSON, or (``quoted``) a JSON string that holds one."""

    quoted: bool = False

    def read(self, text: str, at: int, ends: Collection[str], is_text: Callable[[str], bool]) -> Read:
        try:
            value, end = _JSON.raw_decode(text, at)
            value = _JSON.decode(value) if self.quoted and isinstance(value, str) else value
        except (ValueError, RecursionError):
            return None
        return (value, end) if isinstance(value, dict) else None


@dataclass(frozen=True)
class Items:
    """``key middle value``, with ``separator`` between two and ``close`` after the last.

    A string stands between ``opening`` and ``closing`` (both empty in some families: then a text that reads as another
    value is taken for that, unless the tool's schema wants a string), as ``spelled`` (a name in `SPELLINGS`). Other
    values are in the ``notations`` of `NOTATIONS`.
    """

    middle: str
    separator: str
    close: str
    opening: str
    closing: str
    spelled: str
    notations: tuple[str, ...]

    def read(self, text: str, at: int, ends: Collection[str], is_text: Callable[[str], bool]) -> Read:
        found: dict[str, Any] = {}
        after = "|".join(map(re.escape, sorted(ends, key=len, reverse=True)))
        middle, separator, close = map(re.escape, (self.middle, self.separator, self.close))
        border = re.compile(f"{separator}(?={_KEY}{middle})|{close}(?={after})")
        start = re.compile(f"({_KEY}){middle}")
        while (key := start.match(text, at)) and key[1] not in found:
            for stop in border.finditer(text, key.end()):
                value = self._value(text[key.end() : stop.start()], is_text(key[1]))
                if value is not None:
                    break
            else:
                return None
            [found[key[1]]] = value
            at = stop.end()
            if any(text.startswith(end, at) for end in ends) and not start.match(text, at):
                return found, at
        return None

    def _value(self, text: str, is_text: bool) -> tuple[Any] | None:
        """The value in a tuple; None where the text is none."""
        bare = not self.opening and not self.closing
        inside = text.removeprefix(self.opening).removesuffix(self.closing)
        if not bare and text == f"{self.opening}{inside}{self.closing}":
            return unspelled(inside, self.spelled, self.opening)
        for name in () if bare and is_text else self.notations:
            value = tried(NOTATIONS[name], text, self.opening, self.closing)
            if value is not None and not (bare and isinstance(value[0], str)):
                return value
        return (text,) if bare else None


Arguments = JsonText | Items


# -- how values are written


def _bare_keys(text: str, opening: str, closing: str) -> Any:
    """JSON's brackets and commas with keys without quotes, and strings between the family's own marks."""
    strings: list[str] = []

    def kept(match: re.Match[str]) -> str:
        strings.append(match[1])
        return f'"{len(strings) - 1}"'

    if not opening or "\0" in text:
        raise ValueError
    marked = re.sub(f"{re.escape(opening)}(.*?){re.escape(closing)}", kept, text, flags=re.DOTALL)
    names = {"None": "null", "True": "true", "False": "false"}
    marked = re.sub(rf"({_KEY}):", lambda match: f"{json.dumps(chr(0) + match[1])}:", marked)
    marked = re.sub(r"\b(None|True|False)\b", lambda match: names[match[1]], marked)
    return _filled(_JSON.decode(marked), strings)


def _filled(value: Any, strings: list[str]) -> Any:
    if isinstance(value, dict):
        return {key.removeprefix("\0"): _filled(item, strings) for key, item in value.items()}
    if isinstance(value, list):
        return [_filled(item, strings) for item in value]
    return strings[int(value)] if isinstance(value, str) else value


NOTATIONS: dict[str, Callable[[str, str, str], Any]] = {
    "json": lambda text, opening, closing: _JSON.decode(text),
    "python": lambda text, opening, closing: ast.literal_eval(text),
    "bare keys": _bare_keys,
}


def tried(read: Callable[..., Any], *given: Any) -> tuple[Any] | None:
    """What it gives, in a tuple; None where the text is not of that notation."""
    try:
        with warnings.catch_warnings():  # Python's, of escapes that it does not know
            warnings.simplefilter("ignore")
            return (read(*given),)
    except (ValueError, SyntaxError, RecursionError, IndexError, MemoryError):
        return None


SPELLINGS: dict[str, Callable[[str, str], str]] = {
    "as it is": lambda text, quote: text,
    "as in JSON": lambda text, quote: json.loads(f'"{text}"'),
    "as in Python": lambda text, quote: ast.literal_eval(f"{quote}{text}{quote}"),
}


def unspelled(text: str, spelled: str, quote: str) -> tuple[str] | None:
    """The string in a tuple; None where the text is none."""
    value = tried(SPELLINGS[spelled], text, quote)
    return value if value is not None and isinstance(value[0], str) else None


def found_json(text: str, at: int, arguments: dict[str, Any]) -> tuple[int, int, JsonText] | None:
    """Where the arguments stand as JSON from ``at`` on: start, end and notation."""
    for start in (match.start() for match in re.compile(r'[{"]').finditer(text, at)):
        for notation in (JsonText(), JsonText(quoted=True)):
            found = notation.read(text, start, (), lambda key: False)
            if found and found[0] == arguments:
                return start, found[1], notation
    return None
