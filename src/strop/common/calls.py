"""Whether somebody's function can be called as strop calls it, told before it is."""

from __future__ import annotations

from collections.abc import Callable
from inspect import Parameter, Signature, isfunction, ismethod, signature
from typing import Any

STROP = "strop."
_PLACED = (Parameter.POSITIONAL_ONLY, Parameter.POSITIONAL_OR_KEYWORD)


def refuses(function: Callable[..., Any], *arguments: str, **named: str) -> str | None:
    """Why ``function`` cannot be called with these arguments (their names), in a sentence's end; None where it can be,
    or does not tell what it takes."""
    try:
        own = signature(function)
    except (TypeError, ValueError):  # some of those that are written in C
        return None
    try:
        own.bind(*arguments, **named)
    except TypeError:
        called = ", ".join([*arguments, *(f"{name}=" for name in named)])
        return f"takes {_taken(own)}, and is called with ({called})"
    return None


def unlike(thing: type) -> str | None:
    """Of a class that is not strop's: the first of its methods that takes other arguments than the method of strop's
    class that it stands for, and what to do. None where there is none."""
    order = thing.__mro__
    ours = [cls for cls in order if cls.__module__.startswith(STROP)]
    for cls in order:
        if cls in ours:
            continue
        for name in vars(cls):
            home = next((one for one in ours if name in vars(one)), None)
            if home is None or (name.startswith("__") and name.endswith("__")):
                continue
            own, wanted = getattr(thing, name), getattr(home, name)
            if not all(isfunction(one) or ismethod(one) for one in (own, wanted)):
                continue
            if ismethod(wanted) and isfunction(own) and not isinstance(vars(cls)[name], staticmethod):
                return f"{name} is of an object; write @classmethod above it"
            if (why := refuses(own, *_placed(wanted), **_named(wanted))) is not None:
                return f"{name} {why}; let it take these"
    return None


def _parameters(function: Callable[..., Any]) -> list[Parameter]:
    return list(signature(function).parameters.values())


def _placed(function: Callable[..., Any]) -> list[str]:
    return [one.name for one in _parameters(function) if one.kind in _PLACED]


def _named(function: Callable[..., Any]) -> dict[str, str]:
    return {one.name: one.name for one in _parameters(function) if one.kind is Parameter.KEYWORD_ONLY}


def _taken(own: Signature) -> str:
    bare = [one.replace(annotation=Parameter.empty) for one in own.parameters.values()]
    return str(Signature(bare))
