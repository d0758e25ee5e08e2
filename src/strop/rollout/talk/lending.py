"""Which tools a model is lent in a conversation: those that are named, or those that it was trained with."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from strop.chat import ChatEncoder
from strop.common.errors import InputError
from strop.environments.base import Environment, read_environment
from strop.sandbox.choice import confinement

INLINE = "inline"
"""What the calculator within the text is called among tools."""


def lent(
    trained_with: dict[str, Any] | str | None, named: Sequence[str] | None, encoder: ChatEncoder
) -> tuple[Environment | None, str]:
    """What answers between the model's turns, and what is to be said of it. ``named`` None: what it was
    ``trained_with`` (the ``environment`` of its saved settings), if that is strop's own; an empty list: nothing.

    A model's folder may be anybody's, so functions that it names are never called because of it alone. Raises
    InputError for tools that are named and are not there, do not go with the model's template, or need a sandbox where
    none works.
    """
    if named is not None:
        return (_named(list(named), encoder) if named else None), ""
    if trained_with is None:
        return None, ""
    try:
        made = read_environment(trained_with)
        if made.kind not in ("tools", INLINE):
            return None, f"the model was trained with the environment {made.kind} of a plug-in, which is not lent"
        tools = list(getattr(made, "tools", [INLINE]))
        if own := [name for name in tools if ":" in name]:
            lend = " ".join(f"--tool {name}" for name in tools)
            return None, f"the model was trained with {own[0]}, which nobody here has named; lend it with {lend}"
        made.check(encoder)
        _check_sandbox(made)
    except ValueError as error:  # InputError is one: a plug-in's kind, another template since
        why = str(error).splitlines()[-1].strip()
        return None, f"the tools of the training cannot be lent: {why}"
    return made, f"lent as in the training: {', '.join(tools)} (--no-tools goes without)"


def _check_sandbox(environment: Environment) -> None:
    if environment.needs_sandbox():
        confinement()


def _named(names: list[str], encoder: ChatEncoder) -> Environment:
    if INLINE in names and len(names) > 1:
        raise InputError(f"--tool {INLINE} is a calculator within the text and stands alone; leave the others out.")
    made = read_environment(INLINE if names == [INLINE] else {"kind": "tools", "tools": names})
    try:
        made.schemas()
    except InputError as error:
        raise InputError(f"--tool: {error} {INLINE} is a calculator within the text.") from error
    try:
        made.check(encoder)
    except InputError as error:
        raise InputError(
            f"--tool {names[0]}: calls are written in the notation of the chat template, and this model's has none "
            f"that can be read; take --tool {INLINE}, a calculator within the text, or a model whose template has one."
        ) from error
    _check_sandbox(made)
    return made
