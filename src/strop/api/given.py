"""What a program hands in, as a recipe says it: rows become a file, functions and classes become files too.

They go into the run's own folder, so that its ``config.yaml`` does the run again by itself.
"""

from __future__ import annotations

import hashlib
import inspect
import json
import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, get_args

from strop.common.errors import InputError
from strop.common.files import to_json
from strop.common.given import importable, write_given
from strop.common.registry import plugin_file
from strop.environments import base as environments
from strop.tasks import base as tasks

_PART = {"path", "hub", "task", "stage"}
"""What the settings of a part of a mixture begin with, and no row has as its only origin."""


class Handed:
    """Writes what is handed in into ``folder`` and collects the files that the recipe has to name as ``plugins``."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.plugins: list[str] = []

    def data(self, data: Any) -> Any:
        """A path, a name, settings of parts, or a list of these, as they stand; rows (mappings) as a file of them."""
        if isinstance(data, Path):
            return str(data)
        if isinstance(data, str | Mapping):
            return data if isinstance(data, str) or _is_part(data) else self._rows([data])
        given = list(data)
        if not given:
            raise InputError("data has no rows; give some.")
        if all(isinstance(one, str | Path) or (isinstance(one, Mapping) and _is_part(one)) for one in given):
            return [str(one) if isinstance(one, Path) else one for one in given]
        if not all(isinstance(one, Mapping) and not _is_part(one) for one in given):
            raise InputError("data mixes rows with names of files; write the rows to a file, or read the files.")
        return self._rows(given)

    def _rows(self, rows: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
        try:
            text = "".join(to_json(dict(row)) + "\n" for row in rows)
        except TypeError as error:
            raise InputError(
                f"data: a row holds what JSON cannot ({error}); give text, numbers, lists and dicts."
            ) from error
        path = self.folder / "rows" / f"{hashlib.sha256(text.encode()).hexdigest()[:16]}.jsonl"
        if not path.is_file():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        return [{"path": str(path)}]

    def function(self, function: str | Callable[..., Any]) -> str:
        """``module:name`` of what is installed, else of a file that holds the function by value."""
        if isinstance(function, str):
            return function
        name = re.sub(r"\W+", "_", getattr(function, "__name__", type(function).__name__)).strip("_") or "function"
        return importable(function) or f"{write_given(self.folder / 'functions', function, name)}:{name}"

    def rewards(self, rewards: Any) -> dict[str, Any]:
        """Functions, names of kinds (``exact``) and settings, by the names of the parts."""
        if callable(rewards):
            rewards = {getattr(rewards, "__name__", "reward").strip("<>"): rewards}
        return {name: self._reward(one) for name, one in rewards.items()}

    def _reward(self, one: Any) -> Any:
        if isinstance(one, Mapping) and callable(one.get("function")):
            return {**one, "function": self.function(one["function"])}
        if callable(one) or (isinstance(one, str) and ":" in one):
            return {"kind": "function", "function": self.function(one)}
        return {"kind": one} if isinstance(one, str) else one

    def environment(self, given: Any) -> Any:
        """The name of a kind, settings (whose ``tools`` may be functions), or a class of one's own, or one of it."""
        if isinstance(given, type):
            return {"kind": self._class(given, environments.__name__, _kind_of(given))}
        if isinstance(given, environments.Environment):
            self._class(type(given), environments.__name__, given.kind)
            return given.model_dump(mode="json")
        if isinstance(given, Mapping) and "tools" in given:
            tools = given["tools"] if isinstance(given["tools"], list | tuple) else [given["tools"]]
            return {**given, "tools": [self.function(one) for one in tools]}
        return given

    def tasks(self, given: Any) -> dict[str, dict[str, Any]]:
        """Names, classes of one's own, or settings by name."""
        if isinstance(given, str):
            from strop.runs.evaluate import parse_tasks

            return parse_tasks(given)
        if isinstance(given, type):
            given = [given]
        if not isinstance(given, Mapping):
            found: dict[str, dict[str, Any]] = {}
            for one in given:
                found |= {self._task(one): {}} if isinstance(one, type) else self.tasks(one)
            return found
        return {
            name: {"task": self._task(one)} if isinstance(one, type) else dict(one or {}) for name, one in given.items()
        }

    def _task(self, task: type) -> str:
        known = next((name for name, one in tasks.TASKS.items() if one is task), None)
        name = known or re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", task.__name__).lower()
        return self._class(task, tasks.__name__, name)

    def _class(self, thing: type, registry: str, name: str) -> str:
        if thing.__module__.startswith("strop."):
            return name
        if (file := plugin_file(thing)) is not None and file.suffix == ".py":
            self.plugins.append(str(file))
            return name
        if inspect.isabstract(thing):
            lacking = ", ".join(sorted(getattr(thing, "__abstractmethods__", ())))
            raise InputError(f"{thing.__name__} has no {lacking}; define it.")
        self.plugins.append(str(write_given(self.folder / "classes", thing, name, beside=(registry, name))))
        return name


def _kind_of(environment: type) -> str:
    annotated = getattr(environment, "model_fields", {}).get("kind")
    names = get_args(annotated.annotation) if annotated is not None else ()
    if len(names) != 1:
        raise InputError(f'{environment.__name__} has no kind; give it one: kind: Literal["mine"] = "mine".')
    return names[0]


def _is_part(given: Mapping[str, Any]) -> bool:
    return bool(given.keys() & (_PART | {"parts"})) and not given.keys() & {"messages", "prompt", "conversations"}


def override(key: str, value: Any) -> str:
    """``key=value`` as the command line takes it."""
    return f"{key}={json.dumps(value, default=str)}"
