"""``gsm8k:limit=200,text:path=book.txt``: what to measure, in one line."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import yaml

from strop.common.errors import InputError
from strop.tasks.base import settings_class

ALIASES = {"limit": "count"}
_QUOTES = ("'", '"')
_NONE = ("null", "~")


def parse_tasks(text: str) -> dict[str, dict[str, Any]]:
    """``gsm8k:limit=200,mmlu:path=FOLDER:shots=0`` as the ``evals`` of a recipe.

    Settings that are texts or paths are taken as they are written (``null`` is none), all others as YAML. Within quotes
    after ``=`` commas and colons are text, too. ``limit`` is ``count``, and ``name`` is what the task is to be called,
    where one is measured twice. Raises InputError for what is written otherwise, and for two tasks of one name.
    """
    found: dict[str, dict[str, Any]] = {}
    for one in _split(text, ","):
        task, *settings = (part.strip() if i == 0 else part for i, part in enumerate(_split(one.strip(), ":")))
        written: dict[str, str] = {}
        for part in settings:
            key, equals, value = part.partition("=")
            key = key.strip()
            if not equals and written:  # a colon within a value
                last = list(written)[-1]
                written[last] = f"{written[last]}:{part}"
                continue
            if not equals or not key:
                raise InputError(f"--tasks {one}: {part!r} is no setting; write TASK:key=value:key=value.")
            if not value.strip():
                raise InputError(f"--tasks {one}: {key} has no value; write {key}=VALUE (null is none), or drop it.")
            key = ALIASES.get(key, key)
            if key in written:
                raise InputError(f"--tasks {one}: {key} stands there twice; keep one.")
            written[key] = value
        if not task:
            raise InputError(f"--tasks {text}: a task's name is missing; write TASK,TASK:key=value.")
        if "=" in task:
            raise InputError(
                f"--tasks {text}: {task!r} is no task; settings of a task follow a colon: TASK:key=value:{task}."
            )
        name = _as_text(written.pop("name", task), one)
        own = {} if name == task else {"task": task}
        if "task" in written:
            own["task"] = _as_text(written.pop("task"), one)
        if name in found:
            raise InputError(
                f"--tasks: two tasks are called {name!r}; give one of them another name, e.g. {task}:name={task}_2."
            )
        fields = settings_class(name, {**written, **own}).model_fields
        kinds = {key: field.annotation for key, field in fields.items()}
        found[name] = {**own, **{key: _read(value.strip(), kinds.get(key), one) for key, value in written.items()}}
    return found


def _split(text: str, by: str) -> list[str]:
    """At ``by``, but not within brackets, nor within quotes where a value begins with them. Raises InputError for a
    quote that does not end."""
    parts, depth, quote, before = [""], 0, "", ""
    for character in text:
        if quote:
            escaped = quote == '"' and before == "\\"
            quote = "" if character == quote and not escaped else quote
        elif character in _QUOTES and (before == "=" or (depth and before in "[{,:")):
            quote = character
        else:
            depth += {"[": 1, "{": 1, "]": -1, "}": -1}.get(character, 0)
        if character == by and depth == 0 and not quote:
            parts.append("")
        else:
            parts[-1] += character
        before = character if quote or not character.isspace() else before
    if quote:
        raise InputError(f"--tasks {text}: a value begins with {quote} and does not end with it; close the quote.")
    return parts


def _read(text: str, kind: Any, where: str) -> Any:
    """A value as its setting takes it; ``kind``: the setting's type, where it is known."""
    if text in _NONE and (NoneType in get_args(kind) or not _is_text(kind)):
        return None
    if _is_text(kind):
        return _as_text(text, where)
    return yaml_value(text, where, plain=_holds_texts(kind))


def _as_text(text: str, where: str) -> str:
    """As it is written, without the quotes around it."""
    text = text.strip()
    if text[:1] in _QUOTES and text[-1:] == text[:1] and len(text) > 1:
        return str(yaml_value(text, where))
    return text


def yaml_value(text: str, where: str, plain: bool = False) -> Any:
    """A value of YAML, with ``plain`` all of it as texts. Raises InputError for what is none."""
    try:
        return yaml.load(text, Loader=yaml.BaseLoader if plain else yaml.SafeLoader)
    except yaml.YAMLError:
        raise InputError(f"--tasks {where}: {text!r} is not a valid YAML value.") from None


def _is_text(kind: Any) -> bool:
    """Whether a setting of this type is a text or a path, and nothing else but none."""
    if get_origin(kind) is Annotated:
        return _is_text(get_args(kind)[0])
    if get_origin(kind) is Literal:
        return all(isinstance(one, str) for one in get_args(kind))
    if get_origin(kind) in (Union, UnionType):
        return all(one is NoneType or _is_text(one) for one in get_args(kind))
    return kind in (str, Path)


def _holds_texts(kind: Any) -> bool:
    """Whether it is a list or mapping of texts alone, or none."""
    if get_origin(kind) is Annotated:
        return _holds_texts(get_args(kind)[0])
    if get_origin(kind) in (Union, UnionType):
        return all(_holds_texts(one) or _is_text(one) for one in get_args(kind) if one is not NoneType)
    origin = get_origin(kind)
    holds = isinstance(origin, type) and issubclass(origin, list | tuple | Mapping)
    return holds and all(map(_is_text, get_args(kind)))
