"""A file's own columns, read under the names that the formats know."""

import difflib
import re
from collections.abc import Mapping
from typing import Any

from strop.chat.conversation import printable

KNOWN = (
    "messages",
    "conversations",
    "prompt",
    "completion",
    "question",
    "answer",
    "instruction",
    "input",
    "output",
    "context",
    "history",
    "chosen",
    "rejected",
    "text",
    "system",
    "tools",
    "documents",
    "label",
    "weight",
    "chat_template_kwargs",
)
"""What ``columns`` may name: every name has one meaning, whatever else a format takes for the same."""
_STEPS = re.compile(r"[^.\[\]]+|\[-?\d+\]")


def check_columns(columns: Mapping[str, str]) -> None:
    """Raises ValueError for a name that no format knows, and for a source that is no path."""
    for name, source in columns.items():
        if name not in KNOWN:
            near = difflib.get_close_matches(name, KNOWN, 1)
            mend = f"did you mean {near[0]}?" if near else f"known: {', '.join(KNOWN)}."
            raise ValueError(f"{printable(name)} is no column that a format knows; {mend}")
        if not source:
            raise ValueError(f"{name} is given no column; write {name}: followed by a column of the file.")


def map_columns(row: Mapping[str, Any], columns: Mapping[str, str]) -> dict[str, Any]:
    """The row with ``columns``' sources under their new names; a source that it lacks gives no column.

    A source is a column, or a path into one: ``reward_model.ground_truth``, ``turns[0]``, ``tests.0.input``.
    """
    mapped = {source: value for source, value in row.items() if source not in columns.values()}
    for name, source in columns.items():
        mapped.pop(name, None)
        found, value = _look_up(row, source)
        if found:
            mapped[name] = value
    return mapped


def _look_up(row: Any, source: str) -> tuple[bool, Any]:
    if source in row:  # a column whose own name has a dot
        return True, row[source]
    value = row
    for step in _STEPS.findall(source):
        index = step.strip("[]")
        if isinstance(value, Mapping) and step in value:
            value = value[step]
        elif (
            isinstance(value, list | tuple) and re.fullmatch(r"-?\d+", index) and -len(value) <= int(index) < len(value)
        ):
            value = value[int(index)]
        else:
            return False, None
    return True, value


def _index(step: str, value: Any) -> int | None:
    if not isinstance(value, list | tuple) or not re.fullmatch(r"-?\d{1,9}", step.strip("[]")):
        return None
    index = int(step.strip("[]"))
    return index if -len(value) <= index < len(value) else None
