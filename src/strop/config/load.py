"""Read a YAML file, apply overrides, validate."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from strop.common.errors import InputError
from strop.config.problems import Given, problems
from strop.config.yaml_file import YamlFile, read_yaml

Model = TypeVar("Model", bound=BaseModel)


def load_config(kind: type[Model], path: Path, overrides: Sequence[str] = ()) -> Model:
    """Read ``path``, apply ``section.key=value`` overrides (values are YAML) and validate.

    Raises InputError with one line for every problem: file:line (or the override), the key, what was expected and, for
    an unknown key, the one that was probably meant.
    """
    return _validated(kind, read_yaml(path), overrides)


def load_overrides(kind: type[Model], overrides: Sequence[str]) -> Model:
    """Settings from ``section.key=value`` overrides alone. Raises InputError as `load_config` does."""
    return _validated(kind, YamlFile(None, None, {}), overrides)


def load_values(kind: type[Model], values: dict[str, Any], overrides: Sequence[str], source: str) -> Model:
    """Settings from ``values``, which came from ``source``, with overrides on top. Raises InputError as `load_config`
    does."""
    return _validated(kind, YamlFile(None, None, values, source), overrides)


def _validated(kind: type[Model], file: YamlFile, overrides: Sequence[str]) -> Model:
    for override in overrides:
        apply_override(file.values, override)
    given = Given(kind, file, tuple(overrides))
    try:
        made = kind.model_validate(file.values)
    except ValidationError as error:
        raise InputError("\n".join(problems(given, error))) from error
    if wrong := problems(given):
        raise InputError("\n".join(wrong))
    return made


def apply_override(values: dict[str, Any], override: str) -> None:
    """Put what an override says into ``values``. Raises InputError for one that is none, or has no place there."""
    key, equals, text = override.partition("=")
    if not equals or not key:
        raise InputError(f"override {override!r}: write section.key=value.")
    *sections, last = key.split(".")
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise InputError(f"override {override!r}: {text!r} is not a valid YAML value.") from error
    if isinstance(value, str) and text.strip()[:1] not in ('"', "'"):  # YAML 1.1 reads 1e-4 as text
        with suppress(ValueError):
            value = float(value)
    at: Any = values
    for depth, section in enumerate(sections):
        place = _slot(at, section, override)
        if isinstance(at, dict):
            if section not in at and sections[:depth] == ["stages"]:
                raise InputError(
                    f"override {override!r}: there is no stage {section!r}; the stages are {', '.join(at)}."
                )
            if at.get(section) is None:
                at[section] = {}
        at = at[place]
    at[_slot(at, last, override)] = value


def _slot(values: Any, key: str, override: str) -> str | int:
    """``key`` as it indexes ``values``: a name in a section, a number (from 0) in a list."""
    if isinstance(values, dict):
        return key
    if isinstance(values, list):
        if key.isdigit() and int(key) < len(values):
            return int(key)
        raise InputError(f"override {override!r}: {key!r} is no position in a list of {len(values)} (counted from 0).")
    raise InputError(f"override {override!r}: {key!r} stands under a value, not a section.")
