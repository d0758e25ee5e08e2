"""Which settings can stand where: the settings classes that a path of keys leads to."""

from __future__ import annotations

import types
import typing
from collections.abc import Iterator, Sequence
from typing import Any

from pydantic import BaseModel, Tag


def fields_at(kind: type[BaseModel], keys: Sequence[str], values: Any = None) -> dict[str, str]:
    """The keys that may stand under a path, with their descriptions; ``values`` as in `at`."""
    found = [
        (info.alias or name, info) for model in at(kind, keys, values) for name, info in model.model_fields.items()
    ]
    return {name: info.description or "" for name, info in found}


def at(kind: type[BaseModel], keys: Sequence[str], values: Any = None) -> list[type[BaseModel]]:
    """Settings classes that can stand at a path; keys of mappings and list positions pass through. With the ``values``
    that were given of ``kind``, a section that says its own kind is of no other."""
    level = _of_their_kind([kind], values)
    for key in keys:
        fields = [model.model_fields[key] for model in level if key in model.model_fields]
        level = [model for field in fields for model in _models(field.annotation)] or level
        values = _inside(values, key)
        level = _of_their_kind(level, values)
    return level


def _inside(values: Any, key: str) -> Any:
    if isinstance(values, dict):
        return values.get(key)
    return values[int(key)] if isinstance(values, list) and key.isdigit() and int(key) < len(values) else None


def _of_their_kind(level: list[type[BaseModel]], values: Any) -> list[type[BaseModel]]:
    said = values.get("kind") if isinstance(values, dict) else None
    fields = [(model, model.model_fields.get("kind")) for model in level]
    return [m for m, field in fields if field and said in typing.get_args(field.annotation)] or level


def untrue(kind: type[BaseModel], values: Any) -> Iterator[tuple[str, ...]]:
    """Where in the ``values`` of ``kind`` true or false stands for a number: pydantic takes them for 1 and 0."""

    for keys, value in _leaves((), values):
        annotations = _annotations(kind, keys, values) if isinstance(value, bool) else []
        if annotations and all(map(_takes_numbers_only, annotations)):
            yield keys


def empty(kind: type[BaseModel], values: Any) -> Iterator[tuple[str, ...]]:
    """Where in the ``values`` of ``kind`` nothing stands for a section that may be left out."""
    for keys, value in _leaves((), values):
        if value is None and any(_models(annotation) for annotation in _annotations(kind, keys, values)):
            yield keys


def _leaves(keys: tuple[str, ...], value: Any) -> Iterator[tuple[tuple[str, ...], Any]]:
    if isinstance(value, dict | list):
        for key, one in value.items() if isinstance(value, dict) else enumerate(value):
            yield from _leaves((*keys, str(key)), one)
    elif keys:
        yield keys, value


def _annotations(kind: type[BaseModel], keys: Sequence[str], values: Any) -> list[Any]:
    models = at(kind, keys[:-1], values)
    return [model.model_fields[keys[-1]].annotation for model in models if keys[-1] in model.model_fields]


def kinds_at(kind: type[BaseModel], keys: Sequence[str]) -> list[str]:
    """The values that ``kind`` may have in what stands at a path, where that is a choice of several."""
    fields = [model.model_fields["kind"] for model in at(kind, keys) if "kind" in model.model_fields]
    return [str(one) for field in fields for one in typing.get_args(field.annotation)]


def tags_at(kind: type[BaseModel], keys: Sequence[str]) -> list[str]:
    """The tags of the union that stands at a path, where it is told by something else than ``kind``."""
    level, annotation = [kind], None
    for key in keys:
        if fields := [model.model_fields[key] for model in level if key in model.model_fields]:
            annotation = fields[0].annotation
            level = [model for field in fields for model in _models(field.annotation)]
    return _tags(annotation)


def paths(kind: type[BaseModel], above: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Every key of the settings with the sections that it stands in; a section of named ones is written ``<name>``."""
    for name, field in kind.model_fields.items():
        here = (*above, field.alias or name)
        yield here
        named = typing.get_origin(field.annotation) is dict
        for model in dict.fromkeys(_models(field.annotation)):
            yield from paths(model, (*here, "<name>") if named else here)


def _tags(annotation: Any) -> list[str]:
    if isinstance(annotation, Tag):
        return [annotation.tag]
    return [tag for argument in typing.get_args(annotation) for tag in _tags(argument)]


def _takes_numbers_only(annotation: Any) -> bool:
    """Whether a value may be a number, and is none of what true and false could be meant for."""
    kinds = list(_plain(annotation))
    truth = any(one is bool or one is Any or isinstance(one, bool) for one in kinds)
    return not truth and any(one is int or one is float for one in kinds)


def _plain(annotation: Any) -> Iterator[Any]:
    """What an annotation is made of: types, and the values of a Literal."""
    arguments = typing.get_args(annotation)
    yield from (one for argument in arguments for one in _plain(argument)) if arguments else (annotation,)


def _models(annotation: Any) -> list[type[BaseModel]]:
    """Every settings class that a field's annotation mentions."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    if isinstance(annotation, types.UnionType) or typing.get_origin(annotation) is not None:
        return [m for argument in typing.get_args(annotation) for m in _models(argument)]
    return []
