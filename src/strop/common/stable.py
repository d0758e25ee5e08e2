"""Values as text that is the same in every process, for digests.

``repr`` is not: the order of a set changes from process to process, an object without one of its own shows its address,
and one with it may leave out what matters. Here sets and dictionaries are sorted, and objects are what pickle keeps of
them.
"""

from __future__ import annotations

import hashlib
import pickle
from collections.abc import Iterable
from copyreg import dispatch_table
from types import BuiltinFunctionType, FunctionType, ModuleType
from typing import Any

from pydantic import BaseModel

_PLAIN = frozenset({int, float, str, bool, bytes, complex, type(None)})


class Unstable(TypeError):
    """What is said of a value that has no such text: of which type it is."""


def digest(*values: Any) -> str:
    """Sixteen hexadecimal digits of the values. Raises Unstable where one has no stable text."""
    return hashlib.sha256(stable(values).encode("utf-8", "surrogatepass")).hexdigest()[:16]


def stable(value: Any) -> str:
    """The value as text: equal for equal content, and other for other. Raises Unstable."""
    return _text(value, ())


def _text(value: Any, within: tuple[int, ...]) -> str:
    kind = type(value)
    if kind in _PLAIN:
        return repr(value)
    if kind in (list, tuple) and _PLAIN.issuperset(map(type, value)):  # of ids, say, of which there are millions
        return repr(value)
    if isinstance(value, type | FunctionType) or (
        isinstance(value, BuiltinFunctionType) and isinstance(value.__self__, ModuleType)
    ):
        if "<" in value.__qualname__:  # one of several of that name
            raise Unstable(f"a function or class without a name of its own ({value.__qualname__})")
        return value.__qualname__
    if id(value) in within:
        raise Unstable(f"a {kind.__qualname__} that holds itself")
    within = (*within, id(value))
    if kind is list or kind is tuple:
        return f"{kind.__name__}({_listed(value, within)})"
    if kind is set or kind is frozenset:
        return f"{kind.__name__}({', '.join(sorted(_text(one, within) for one in value))})"
    if kind is dict:
        return f"dict({', '.join(_pairs(value.items(), within))})"
    if isinstance(value, BaseModel):  # its private attributes are no part of what it says
        return f"{kind.__qualname__}({_text(dict(value), within)})"
    return f"{kind.__qualname__}({_reduced(value, within)})"


def _listed(values: Iterable[Any], within: tuple[int, ...]) -> str:
    return ", ".join(_text(one, within) for one in values)


def _reduced(value: Any, within: tuple[int, ...]) -> str:
    """What pickle would keep of an object."""
    try:
        own = dispatch_table.get(type(value))
        made = value.__reduce_ex__(4) if own is None else own(value)
    except (TypeError, AttributeError, pickle.PickleError):
        raise Unstable(f"a {type(value).__qualname__}") from None
    if isinstance(made, str):
        return made
    call, arguments, *rest = made
    state, items, pairs = [*rest[:3], None, None, None][:3]
    return _listed([call, list(arguments), state, list(items or ()), _pairs(pairs, within)], within)


def _pairs(pairs: Iterable[tuple[Any, Any]] | None, within: tuple[int, ...]) -> list[str]:
    return sorted(f"{_text(key, within)}: {_text(one, within)}" for key, one in pairs or ())
