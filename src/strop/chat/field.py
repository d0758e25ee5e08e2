"""A place inside a row: what messages about the data name, and where it is kept what of the row was not used."""

import json
import math
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from strop.chat.numbers import number
from strop.common.errors import InputError

_LONE_SURROGATE = re.compile("[\ud800-\udfff]")
_PYTHON = re.compile(r"\s*[\[{]\s*[{]?\s*'")
_DEEPEST = 100
"""Levels of nesting in tool calls and schemas; templates walk through them recursively."""
_DIGITS = 1000
"""Of a whole number; Python writes none of more than 4,300."""


class Twice(ValueError):
    """A field that a JSON object has twice: Python would take the last, and not say so."""


def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """For ``json.loads(…, object_pairs_hook=once)``. Raises `Twice`."""
    made = dict(pairs)
    if len(made) < len(pairs):
        [(name, _)] = Counter(name for name, _ in pairs).most_common(1)
        raise Twice(said_twice(name))
    return made


def said_twice(name: str) -> str:
    return f"the field {printable(name)} stands twice in one object; keep one of them"


@dataclass(frozen=True, slots=True)
class Field:
    """A place inside a row, for messages that say where to look: ``field.item("content")``, ``field.fail("…")``.

    Without a ``path`` it is the whole row. ``notes`` counts what is to be told of the row (see `strop.chat.notes`); all
    places in a row share it.
    """

    place: str
    path: str = ""
    notes: Counter[str] | None = field(default=None, compare=False, repr=False)

    def item(self, key: str | int) -> "Field":
        step = f"[{key}]" if isinstance(key, int) else f".{key}" if self.path else key
        return Field(self.place, self.path + step, self.notes)

    def fail(self, mend: str) -> InputError:
        field = f"field {printable(self.path)}: " if self.path else ""
        return InputError(f"{self.place}: {field}{mend}")

    def note(self, kind: str, count: int = 1) -> None:
        """Have it told of the row; see `strop.chat.notes` for the kinds."""
        if self.notes is not None:
            self.notes[kind] += count

    def text(self, value: Any) -> str:
        if not isinstance(value, str):
            mend = "; write null where there is no value" if value != value else ""
            raise self.fail(f"expected a string, found {kind_of(value)}{mend}")
        if _LONE_SURROGATE.search(value):
            raise self.fail("the text holds half of a surrogate pair, which cannot be encoded; repair the file")
        return value

    def sequence(self, value: Any) -> list:
        if not isinstance(value, list | tuple):
            raise self.fail(f"expected a list, found {kind_of(value)}")
        return list(value)

    def mapping(self, value: Any) -> Mapping[str, Any]:
        if not isinstance(value, Mapping):
            raise self.fail(f"expected an object, found {kind_of(value)}")
        return value

    def json(self, value: Any, as_written: bool = False) -> Any:
        """``value`` itself, or what it says where it is JSON text (columnar files cannot hold free-form objects).

        ``as_written``: numbers remember their text, see `strop.chat.numbers`.
        """
        if not isinstance(value, str):
            return value
        try:
            return json.loads(value, parse_float=number if as_written else None, object_pairs_hook=once)
        except json.JSONDecodeError as error:
            mend = "; it looks as if Python had printed it: write it with json.dumps" if _PYTHON.match(value) else ""
            found = f"expected JSON, but {error.msg} at character {error.pos} of {shown(value)}{mend}"
            raise self.fail(found) from error
        except RecursionError as error:
            raise self.fail(f"the JSON is nested too deep; at most {_DEEPEST} levels are taken") from error
        except Twice as error:
            raise self.fail(str(error)) from error
        except ValueError as error:  # Python reads no integer of more than 4,300 digits
            raise self.fail(f"expected JSON with numbers of a usual size: {error}") from error

    def check_json(self, value: Any) -> None:
        """Refuse what is not JSON, text with lone surrogates, and what is nested too deep, anywhere inside ``value``.

        Anything else than JSON would be printed by templates as text without an origin.
        """
        queue = [(value, self, 0)]
        while queue:
            value, at, depth = queue.pop()
            if depth > _DEEPEST:
                raise self.fail(f"nested too deep; at most {_DEEPEST} levels are taken")
            if isinstance(value, str):
                at.text(value)
            elif isinstance(value, Mapping):
                for key, item in value.items():
                    if not isinstance(key, str) or _LONE_SURROGATE.search(key):
                        raise at.fail(f"expected keys that are strings of whole characters, found {shown(key)}")
                    queue.append((item, at.item(key), depth + 1))
            elif isinstance(value, list | tuple):
                queue += ((item, at.item(index), depth + 1) for index, item in enumerate(value))
            elif isinstance(value, int) and abs(value) >= 10**_DIGITS:
                raise at.fail(f"a number of more than {_DIGITS} digits; write it as a string")
            elif isinstance(value, float) and not math.isfinite(value):
                raise at.fail(f"JSON has no number {value}; leave the field out, or write null")
            elif value is not None and not isinstance(value, bool | int | float):
                raise at.fail(f"expected a JSON value, found {kind_of(value)}")


class Seen(dict):
    """A row, or a message, that knows which of its entries were read: by ``[…]`` and ``get``, not by ``in``."""

    def __init__(self, values: Mapping[str, Any]):
        super().__init__(values)
        self.read: set[str] = set()

    def __getitem__(self, key: str) -> Any:
        self.read.add(key)
        return super().__getitem__(key)

    def get(self, key: str, default: Any = None) -> Any:
        self.read.add(key)
        return super().get(key, default)

    def has(self, key: str) -> bool:
        """Whether there is something under the key; it does not count as read."""
        return not is_empty(super().get(key))

    def note_unread(self, at: Field) -> None:
        """Have it told of the entries that nobody read and that are not empty."""
        for name in (str(key) for key in self if key not in self.read and self.has(key)):
            at.note(f"column:{name}")


def is_empty(value: Any) -> bool:
    """Whether it is what files write for "nothing": null, an empty text, list or object."""
    return value is None or (isinstance(value, str | list | tuple | Mapping) and not value)


def is_blank(value: Any) -> bool:
    """Whether it is empty, or a text of white space alone."""
    return not value.strip() if isinstance(value, str) else is_empty(value)


def kind_of(value: Any) -> str:
    """The type of a JSON value, in words."""
    names = {type(None): "null", bool: "true or false", int: "a number", float: "a number", str: "a string"}
    if isinstance(value, float) and math.isnan(value):
        return "NaN"
    names |= {list: "a list", tuple: "a list", dict: "an object"}
    return names.get(type(value), type(value).__name__)


def shown(value: Any) -> str:
    """A value as messages quote it: printable, on one line, and short however long it is."""
    if isinstance(value, str | bytes):
        return repr(value[:60])
    small = isinstance(value, bool | float) or (isinstance(value, int) and abs(value) < 10**12)
    return repr(value) if small or value is None else kind_of(value)


def printable(name: str) -> str:
    """A name out of the data, for a message: as it is where it can be printed on one line, quoted where not."""
    name = name if len(name) <= 200 else f"{name[:100]}…{name[-100:]}"
    return name if name.isprintable() else repr(name)
