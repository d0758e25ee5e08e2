"""Where a character came from, as one small number per character.

A rendered chat is a text and, beside it, a *trace*: a string of the same length whose characters are origin codes. As a
string, it is cut, joined and searched by the same C code as the text. The codes are

====================  =======================================================================
``TEMPLATE`` (0)      written by the chat template itself (literals, roles, special tokens, settings)
``MIXED`` (1)         from several messages at once, past telling which; treated as nobody's own text
``code(slot, field)`` slot 0: the conversation (its tools); slot i + 1: message i
====================  =======================================================================
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

_NAMES = "content reasoning_content tool_calls name tool_call_id python python_output tools documents several"
FIELDS = tuple(_NAMES.split())
OWN_FIELDS = frozenset({"content", "reasoning_content", "tool_calls", "python", "several"})
"""The fields that an assistant writes: its name is part of the header, and a program's output was not written by it."""

TEMPLATE = "\0"
MIXED = "\1"
_FIRST = 2
_FIELD_INDEX = {field: index for index, field in enumerate(FIELDS)}


class Run(NamedTuple):
    """A stretch ``[start, end)`` of characters with one origin. ``message`` is None for the template, -1 for the
    conversation's tools and -2 for mixed text."""

    start: int
    end: int
    message: int | None
    field: str


def code(message: int, field: str) -> str:
    """The origin code of one field of one message (``message`` -1: the conversation itself)."""
    return chr(_FIRST + len(FIELDS) * (message + 1) + _FIELD_INDEX[field])


def decode(origin: str) -> tuple[int | None, str]:
    """``(message, field)`` of a code; see `Run` for the special messages."""
    if origin == TEMPLATE:
        return None, "template"
    if origin == MIXED:
        return -2, "mixed"
    slot, field = divmod(ord(origin) - _FIRST, len(FIELDS))
    return slot - 1, FIELDS[field]


def runs(trace: str) -> list[Run]:
    """The trace as runs of equal origin, in order, covering it all."""
    found, start = [], 0
    while start < len(trace):
        other = _anything_but(trace[start]).search(trace, start)
        end = other.start() if other else len(trace)
        found.append(Run(start, end, *decode(trace[start])))
        start = end
    return found


@lru_cache(4096)
def _anything_but(origin: str) -> re.Pattern:
    return re.compile(f"[^{re.escape(origin)}]", re.DOTALL)


def blend(origins: set[str]) -> str:
    """One code for text made out of several: theirs if it is one, the message's if it is one, else ``MIXED``.

    The template's part does not count: braces and keys that a filter prints around a value belong to the value.
    """
    origins = origins - {TEMPLATE}
    if not origins:
        return TEMPLATE
    if len(origins) == 1:
        return next(iter(origins))
    if MIXED in origins:
        return MIXED
    message, *others = {decode(origin)[0] for origin in origins}
    return MIXED if message is None or others else code(message, "several")


def leaves(value: Any) -> Iterator[str]:
    """Every string inside a JSON-like value, keys included."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for key, item in value.items():
            yield from leaves(key)
            yield from leaves(item)
    elif isinstance(value, Sequence | set | frozenset) and not isinstance(value, bytes):
        for item in value:
            yield from leaves(item)
