"""Which settings can stand where: the settings classes that a path of keys leads to."""

from __future__ import annotations

import types
import typing
from collections.abc import Iterator, Sequence
from typing import Any

from pydantic import BaseModel, Tag


def fields_at(kind: type[BaseModel], keys: Sequence[str]) -> dict[str, str]:
    """The keys that may stand under a path, with their descriptions."""
    found = [(info.alias or name, info) for model in at(kind, keys) for name, info in model.model_fields.items()]
    return {name: info.description or "" for name, info in found}


def at(kind: type[BaseModel], keys: Sequence[str]) -> list[type[BaseModel]]:
    """Settings classes that can stand at a path; keys of mappings and list positions pass through."""
    level = [kind]
    for key in keys:
        fields = [model.model_fields[key] for model in level if key in model.model_fields]
        level = [model for field in fields for model in _models(field.annotation)] or level
    return level


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


def _models(annotation: Any) -> list[type[BaseModel]]:
    """Every settings class that a field's annotation mentions."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    if isinstance(annotation, types.UnionType) or typing.get_origin(annotation) is not None:
        return [m for argument in typing.get_args(annotation) for m in _models(argument)]
    return []
