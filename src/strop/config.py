"""Settings from a YAML file and dotted overrides; an unknown key is an error that names the nearest one."""

from __future__ import annotations

import difflib
import types
import typing
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from strop.errors import InputError

Model = TypeVar("Model", bound=BaseModel)


def load_config(kind: type[Model], path: Path, overrides: Sequence[str] = ()) -> Model:
    """Read ``path``, apply ``section.key=value`` overrides (values are YAML) and validate.

    Raises InputError naming file:line (or the override), the key, what was expected and, for an unknown key, the
    nearest known one.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise InputError(f"{path}: there is no such file; give the path of a recipe (YAML).") from None
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read as text ({error}).") from error
    try:
        tree = yaml.compose(text, Loader=yaml.SafeLoader)
        values = yaml.safe_load(text)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f":{mark.line + 1}" if mark else ""
        raise InputError(f"{path}{line}: not valid YAML: {getattr(error, 'problem', error)}.") from error
    if not isinstance(values, dict):
        raise InputError(f"{path}: expected `key: value` lines, found {type(values).__name__}.")
    for override in overrides:
        _apply(values, override)
    try:
        return kind.model_validate(values)
    except ValidationError as error:
        raise InputError(_readable(error, kind, path, tree, values, overrides)) from error


def load_overrides(kind: type[Model], overrides: Sequence[str]) -> Model:
    """Settings from ``section.key=value`` overrides alone. Raises InputError as `load_config` does."""
    values: dict[str, Any] = {}
    for override in overrides:
        _apply(values, override)
    try:
        return kind.model_validate(values)
    except ValidationError as error:
        raise InputError(_readable(error, kind, None, None, values, overrides)) from error


def _apply(values: dict[str, Any], override: str) -> None:
    key, equals, text = override.partition("=")
    if not equals or not key:
        raise InputError(f"override {override!r}: write section.key=value.")
    *sections, last = key.split(".")
    try:
        value = _scalar(text)
    except yaml.YAMLError as error:
        raise InputError(f"override {override!r}: {text!r} is not a valid YAML value.") from error
    for section in sections:
        place = _slot(values, section, override)
        if isinstance(values, dict):
            values.setdefault(section, {})
        values = values[place]
    values[_slot(values, last, override)] = value


def _slot(values: Any, key: str, override: str) -> str | int:
    """``key`` as it indexes ``values``: a name in a section, a number (from 0) in a list."""
    if isinstance(values, dict):
        return key
    if isinstance(values, list):
        if key.isdigit() and int(key) < len(values):
            return int(key)
        raise InputError(f"override {override!r}: {key!r} is no position in a list of {len(values)} (counted from 0).")
    raise InputError(f"override {override!r}: {key!r} stands under a value, not a section.")


def _scalar(text: str) -> Any:
    value = yaml.safe_load(text)
    if isinstance(value, str):  # YAML 1.1 reads 1e-4 as text
        try:
            return float(value)
        except ValueError:
            return value
    return value


def _readable(
    error: ValidationError, kind: type[BaseModel], path: Path | None, tree, values, overrides: Sequence[str]
) -> str:
    first = error.errors()[0]
    keys = _keys(first["loc"], values, kind)
    dotted = ".".join(keys)
    given = next((o for o in overrides if o.partition("=")[0] == dotted), None)
    place = f"override {given!r}" if given else f"{path}:{_line(tree, keys)}" if path else "overrides"
    more = f" ({error.error_count() - 1} more problems)" if error.error_count() > 1 else ""
    if first["type"] == "extra_forbidden":
        known = _fields(kind, keys[:-1])
        near = difflib.get_close_matches(keys[-1], known, n=1, cutoff=0.5)
        hint = f"did you mean {near[0]!r}?" if near else f"known keys: {', '.join(known)}."
        return f"{place}: unknown key {dotted!r}; {hint}{more}"
    message = first["msg"].removeprefix("Value error, ")
    return f"{place}: {dotted}: {message}{more}"


def _keys(location: tuple[int | str, ...], values: Any, kind: type[BaseModel]) -> list[str]:
    """The path of an error as it stands in the file: a tagged union adds its tag, which is no key there."""
    keys: list[str] = []
    for part in location:
        inside = part in values if isinstance(values, dict) else isinstance(values, list) and isinstance(part, int)
        if not inside and part in _tags(kind, keys):
            continue
        keys.append(str(part))
        values = values[part] if inside and not (isinstance(values, list) and part >= len(values)) else None
    return keys


def _line(tree, keys: list[str]) -> int:
    """Line (from 1) of the deepest key of the path that stands in the file."""
    line, node = 1, tree
    for key in keys:
        if isinstance(node, yaml.MappingNode):
            match = next(((k, v) for k, v in node.value if k.value == key), None)
            if match is None:
                break
            line, node = match[0].start_mark.line + 1, match[1]
        elif isinstance(node, yaml.SequenceNode) and key.isdigit() and int(key) < len(node.value):
            node = node.value[int(key)]
            line = node.start_mark.line + 1
        else:
            break
    return line


def _models(annotation: Any) -> list[type[BaseModel]]:
    """Every settings class that a field's annotation mentions."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    if isinstance(annotation, types.UnionType) or typing.get_origin(annotation) is not None:
        return [m for argument in typing.get_args(annotation) for m in _models(argument)]
    return []


def _at(kind: type[BaseModel], keys: list[str]) -> list[type[BaseModel]]:
    """Settings classes that can stand at a path; keys of mappings and list positions pass through."""
    level = [kind]
    for key in keys:
        deeper = [
            m for model in level if key in model.model_fields for m in _models(model.model_fields[key].annotation)
        ]
        level = deeper or level
    return level


def _fields(kind: type[BaseModel], keys: list[str]) -> list[str]:
    return sorted({name for model in _at(kind, keys) for name in model.model_fields})


def _tags(kind: type[BaseModel], keys: list[str]) -> set[str]:
    tags: set[str] = set()
    for model in _at(kind, keys):
        field = model.model_fields.get("kind")
        if field is not None:
            tags.update(map(str, typing.get_args(field.annotation)))
    return tags
