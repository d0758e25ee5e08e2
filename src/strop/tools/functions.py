"""A Python function of the user's own as a tool: ``module:function`` or ``mine.py:function``; tools by name."""

from __future__ import annotations

import inspect
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, get_args, get_type_hints

from strop.common.errors import InputError, raised
from strop.common.given import SUFFIX
from strop.rewards.kinds import load_function
from strop.tools.base import TOOLS, Tool

_TYPES = {str: "string", int: "integer", float: "number", bool: "boolean", list: "array", dict: "object"}


class FunctionTool(Tool):
    """Name, parameters and description are those of the function: of its signature, its annotations and the first
    paragraph of its docstring. What it gives is shown as text, or as JSON where it is none.

    Raises InputError for a function that is not there, takes ``*arguments``, or tells no signature or annotations.
    """

    def __init__(self, function: str):
        self.function = function
        made = load_function(function)
        self.name = function.rpartition(":")[2]
        self.description = (inspect.getdoc(made) or self.name).partition("\n\n")[0].replace("\n", " ")
        try:
            hints, signature = get_type_hints(made), inspect.signature(made)
        except (Exception, SystemExit) as error:  # annotations are code, and may raise anything
            raise InputError(
                f"{function}: what it takes cannot be read ({raised(error)}); a tool is a Python function whose "
                "annotations can be evaluated."
            ) from error
        self.parameters, optional = {}, set()
        for name, one in signature.parameters.items():
            if one.kind not in (one.POSITIONAL_OR_KEYWORD, one.KEYWORD_ONLY):
                raise InputError(f"{function}: a tool takes named arguments, and {one} is none; give each a name.")
            self.parameters[name] = _schema(hints.get(name))
            optional |= {name} if one.default is not one.empty else set()
        self.optional = frozenset(optional)

    @property
    def file(self) -> Path | None:
        place = Path(self.function.rpartition(":")[0])
        return place if place.suffix in (".py", SUFFIX) else None

    def call(self, arguments: Mapping[str, Any], seconds: float) -> str:
        value = load_function(self.function)(**arguments)
        return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)


def open_tool(name: str) -> Tool:
    """The tool of that name, or the function ``module:function``. Raises InputError where there is none."""
    if ":" in name:
        return FunctionTool(name)
    if name not in TOOLS:
        raise InputError(
            f"{name!r} is no tool; there are {', '.join(TOOLS)}, and functions of your own: mine.py:function."
        )
    return TOOLS[name]()


def _schema(hint: Any) -> dict[str, str]:
    plain = next((one for one in (hint, getattr(hint, "__origin__", None), *get_args(hint)) if one in _TYPES), None)
    return {} if plain is None else {"type": _TYPES[plain]}
