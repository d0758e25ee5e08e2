"""Numbers that are printed as they were written: ``1E5`` is the float 100000.0, and JSON would print it as that."""

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

_MARK = "\0number\0"  # a NUL is escaped by every encoder, and stands in no text
_MARKED = re.compile(r'"\\u0000number\\u0000([^"\\]*)\\u0000number\\u0000"')


class Number(float):
    """A float that remembers how it was written; ``json`` and arithmetic see a float, ``str`` gives the text."""

    text: str

    def __new__(cls, text: str):
        number = super().__new__(cls, text)
        number.text = text
        return number

    def __str__(self) -> str:
        return self.text

    __repr__ = __str__

    def __reduce__(self) -> tuple[type["Number"], tuple[str]]:
        return Number, (self.text,)


def number(text: str) -> float:
    """For ``json.loads(…, parse_float=number)``: a float, or a `Number` where that would be printed as other text."""
    value = float(text)
    return value if repr(value) == text else Number(text)


def has_numbers(value: Any) -> bool:
    """Whether there is a `Number` anywhere in a JSON-like value."""
    if isinstance(value, Mapping):
        return any(map(has_numbers, value.values()))
    if isinstance(value, Sequence) and not isinstance(value, str):
        return any(map(has_numbers, value))
    return isinstance(value, Number)


def rounded(value: Any) -> Any:
    """A copy of a JSON-like value with plain floats instead."""
    return _mapped(value, float)


def dumps(value: Any, **options: Any) -> str:
    """``json.dumps``, with every `Number` as it was written."""
    if not has_numbers(value):
        return json.dumps(value, **options)
    marked = json.dumps(_mapped(value, lambda number: f"{_MARK}{number.text}{_MARK}"), **options)
    return _MARKED.sub(r"\1", marked)


def _mapped(value: Any, change: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _mapped(item, change) for key, item in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_mapped(item, change) for item in value]
    return change(value) if isinstance(value, Number) else value
