"""A file's own columns, read under the names that the formats know."""

import difflib
import re
from collections.abc import Mapping
from typing import Any, Literal

from strop.chat.field import Field, kind_of, printable
from strop.common.errors import InputError

_NEEDED = "messages conversations conversation prompt question query completion response answer instruction output"
NEEDED = (*_NEEDED.split(), "chosen", "text")
"""What ``columns`` may name and every row must have then."""
_OTHERS = "input context history reasoning_content rejected system tools documents label margin score train weight"
KNOWN = (*NEEDED, *_OTHERS.split(), "chat_template_kwargs")
"""All that ``columns`` may name; what is not needed may be missing in some of the rows."""
_QUESTIONS = ("question", "prompt", "instruction", "problem", "query", "input", "title", "source", "user", "text")
_ANSWERS = ("answer", "completion", "response", "output", "solution", "code", "reply", "target", "assistant", "body")
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
    mapped = dict(row)
    found = {name: _look_up(row, source) for name, source in columns.items()}
    for name, source in columns.items():
        if found[name][0] and source not in columns:
            mapped.pop(source if source in mapped else _STEPS.findall(source)[0], None)
    mapped.update({name: value for name, (there, value) in found.items() if there})
    return mapped


def has_column(row: Mapping[str, Any], source: str) -> bool:
    """Whether the row has what a source of ``columns`` names."""
    return _look_up(row, source)[0]


def implied_format(
    columns: Mapping[str, str],
) -> Literal["auto", "preference", "alpaca", "prompt_completion"]:
    """The format of a row that has these columns: ``auto`` where they leave it open."""
    if "chosen" in columns:
        return "preference"
    if any(name in columns for name in ("completion", "response", "answer", "output")):
        return "alpaca" if "instruction" in columns and "prompt" not in columns else "prompt_completion"
    return "auto"


def misfit(row: Mapping[str, Any], place: str, expected: str, wanted: str) -> InputError:
    """That the row's columns are none that a format knows: what they are, and a mapping to copy."""
    found = [f"{printable(str(name))} ({kind_of(value)})" for name, value in row.items()]
    columns = ", ".join(found[:20]) + (", …" if len(found) > 20 else "") or "nothing"
    return Field(place).fail(f"expected {expected}{wanted}, but the row has {columns}; {_offer(row)}")


def _offer(row: Mapping[str, Any]) -> str:
    """Which columns may be meant, by their names, or else by their order."""
    texts = [str(name) for name, value in row.items() if isinstance(value, str)]
    paths = texts + [
        f"{name}.{inner}"
        for name, value in row.items()
        if isinstance(value, Mapping)
        for inner, text in value.items()
        if isinstance(text, str)
    ]
    if not paths:
        return "rename its columns, or map them: columns: {prompt: COLUMN, completion: COLUMN}"
    if len(paths) == 1:
        return f"to train on all of its text, set format: text and columns: {{text: {_quoted(paths[0])}}}"
    paths = texts if len(texts) > 1 else paths
    answer = _like(paths, _ANSWERS) or paths[-1]
    others = [path for path in paths if path != answer]
    question = _like(others, _QUESTIONS) or others[0]
    return f"map them, e.g. columns: {{prompt: {_quoted(question)}, completion: {_quoted(answer)}}}"


def _like(paths: list[str], words: tuple[str, ...]) -> str | None:
    return next((path for word in words for path in paths if word in path.lower()), None)


def _quoted(path: str) -> str:
    """As YAML's flow style takes it."""
    return path if re.fullmatch(r"[\w.\[\]-]+", path) and "[" not in path else repr(path)


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
