"""Checks of single fields that every reader of task files makes, each with the sentence that goes to the user."""

from __future__ import annotations

import ast
import re
import sys
from typing import Any

from strop.common.errors import InputError
from strop.rewards import parse_program

_HALF_PAIR = re.compile("[\ud800-\udfff]")
_NAMES = {str: "text", int: "a number", float: "a number", bool: "true or false", list: "a list", dict: "an object"}


def check_text(value: Any, field: str, place: str, empty: bool = True) -> str:
    """``value`` itself. Raises InputError unless it is text that UTF-8 can hold (and, without ``empty``, some)."""
    if not isinstance(value, str):
        found = "missing" if value is None else _NAMES.get(type(value), f"a {type(value).__name__}")
        raise InputError(f"{place}: '{field}' is {found}; give it as text.")
    if (half := _HALF_PAIR.search(value)) is not None:
        raise InputError(
            f"{place}: '{field}' holds {half[0]!r}, half of a surrogate pair, which is no character; repair the text."
        )
    if not empty and not value.strip():
        raise InputError(f"{place}: '{field}' is empty; fill it in or drop the row.")
    return value


def check_texts(values: Any, field: str, place: str) -> list[str]:
    """``values`` itself. Raises InputError unless it is a list of texts."""
    if not isinstance(values, list):
        found = "missing" if values is None else _NAMES.get(type(values), f"a {type(values).__name__}")
        raise InputError(f"{place}: '{field}' is {found}; give a list of texts.")
    for number, value in enumerate(values):
        check_text(value, f"{field}[{number}]", place)
    return values


def check_imports(source: str, field: str, place: str) -> None:
    """Raises InputError where Python ``source`` imports what the sandbox does not have: every answer would fail."""
    tree = parse_program(source)
    imports = [node for node in (ast.walk(tree) if tree else ()) if isinstance(node, ast.Import | ast.ImportFrom)]
    names = [a.name for node in imports if isinstance(node, ast.Import) for a in node.names]
    names += [node.module or "" for node in imports if isinstance(node, ast.ImportFrom)]
    if foreign := sorted({name.partition(".")[0] for name in names} - sys.stdlib_module_names):
        raise InputError(
            f"{place}: '{field}' imports {', '.join(foreign) or 'a package of its own'}, and tests are run where the "
            "standard library alone is; rewrite them without it (evalplus's own HumanEvalPlus.jsonl can be "
            "measured as it is)."
        )
