"""``strop import``: a configuration of another program as a recipe, with the account of what was mapped."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import yaml

from strop import __version__
from strop.common.console import make_console, say
from strop.common.errors import InputError
from strop.common.files import atomic_writer
from strop.common.visible import one_line
from strop.config import load_values
from strop.config.recipe import Recipe
from strop.importing.draft import Draft, NoNumber
from strop.importing.programs import chosen
from strop.importing.reading import NODES, PROCESSES, read_foreign

_ORDER = ("name", "model", "folder", "chat", "compute", "evals", "stages", "gates")
_STAGE_ORDER = ("kind", "data", "eval_data", "rollout", "rewards", "objective", "critic", "train", "lora")


def import_recipe(
    path: Path, overrides: Sequence[str], said: str | None, out: Path, fresh: bool, as_json: bool
) -> dict[str, Any]:
    """Write the recipe of ``path`` to ``out``; gives the account.

    Raises InputError for what cannot be read, what no recipe can be made of, data that are not there, and for an
    ``out`` that is there (but with ``fresh``) or cannot be written.
    """
    if out.exists() and not fresh:
        raise InputError(f"{out}: is there already; say --fresh to replace it, or give another name with --out.")
    name, program, stage, foreign, left = chosen(read_foreign(path), said)
    try:
        draft = program.draft(foreign, stage)
    except NoNumber as error:  # inside of a setting: a weight, a share
        raise InputError(f"{path}: {error}") from None
    draft.notes += left
    for option, value in foreign.launcher.items():
        counted = option in (*PROCESSES, *NODES)
        reason = "the batch has it in it" if counted else "is the launcher's; of it the number of processes counts here"
        place = draft.not_needed if counted else draft.unmapped
        place.append({"setting": option, "value": value, "reason": reason})
    values = _values(draft, stage)
    _check_whole(values, overrides, str(path))
    recipe = load_values(Recipe, values, overrides, f"{path}, as imported")  # which writes the overrides into them
    _check_data(recipe, values, path)
    account = {
        "from": name,
        "stage": stage,
        "recipe": str(out),
        "mapped": draft.mapped,
        "unmapped": draft.unmapped,
        "not_needed": draft.not_needed,
        "notes": draft.notes,
    }
    head = "".join(f"# {line}".rstrip() + "\n" for line in _head(account, program.title, path))
    text = yaml.safe_dump(values, sort_keys=False, allow_unicode=True, width=110)
    try:
        with atomic_writer(out) as file:
            file.write(f"{head}{text}")
    except OSError as error:
        raise InputError(f"{out}: cannot be written ({error.strerror}); give another place with --out.") from error
    _show(account, program.title, as_json)
    return account


def _values(draft: Draft, stage: str) -> dict[str, Any]:
    made = {key: draft.stage[key] for key in _STAGE_ORDER if key in draft.stage}
    made |= {key: value for key, value in draft.stage.items() if key not in made}
    values = {**draft.recipe, "stages": {stage: made}}
    return json.loads(
        json.dumps({key: values[key] for key in _ORDER if key in values})
    )  # nothing shared: no YAML anchors


def _check_whole(values: dict[str, Any], overrides: Sequence[str], path: str) -> None:
    said = [override.partition("=")[0] for override in overrides]
    stage, made = next(iter(values["stages"].items()))
    if "model" not in values and "model" not in said:
        raise InputError(f"{path}: names no model; give it with model=FOLDER.")
    if "data" not in made and not any(key.startswith(f"stages.{stage}.data") for key in said):
        raise InputError(f"{path}: names no data; give them with stages.{stage}.data=[{{path: FILE}}].")


def _check_data(recipe: Recipe, values: dict[str, Any], path: Path) -> None:
    """Raises InputError for parts that are not there, by their places in ``values``, as they stand in the file."""
    absent: dict[str, Path] = {}
    for name, stage in recipe.stages.items():
        for key in ("data", "eval_data"):
            parts = getattr(stage, key, None)
            parts = parts if isinstance(parts, list) else getattr(parts, "parts", [])
            at = f"stages.{name}.{key}"
            at += ".parts" if isinstance(values["stages"][name].get(key), dict) else ""
            absent |= {f"{at}.{n}.path": one.path for n, one in enumerate(parts)
                       if one.path is not None and not one.path.exists()}  # fmt: skip
    if absent:
        shown = ", ".join(map(str, dict.fromkeys(absent.values())))
        said = " ".join(f"{key}=FILE" for key in absent)
        raise InputError(f"{path}: its data {shown} are not there; put them there, or say where they are with {said}.")


def _head(account: dict[str, Any], title: str, path: Path) -> Iterator[str]:
    """What stands above the recipe."""
    yield f"Made by `strop import` {__version__} from {path} ({title}, {account['stage']})."
    for what, heading in (
        ("unmapped", "Not mapped:"),
        ("notes", "To know:"),
        ("not_needed", "Not needed here:"),
    ):
        if account[what]:
            yield from ("", heading)
            yield from (f"  {line}" for line in _lines(account[what]))


def _lines(entries: Sequence[Any]) -> list[str]:
    return [
        one if isinstance(one, str) else f"{one['setting']}: {one_line(str(one['value']))[:80]} ({one['reason']})"
        for one in entries
    ]


def _show(account: dict[str, Any], title: str, as_json: bool) -> None:
    console = make_console(stderr=as_json)
    say(console, f"{title}, {account['stage']}:", style="bold")
    given = [one for one in account["mapped"] if not one["default"]]
    for one in given:
        becomes = one_line(str(one["becomes"]))[:60]
        say(console, f"  {one['setting']} → {one['to']}: {becomes}")
    others = len(account["mapped"]) - len(given)
    if others:
        say(console, f"  and {others} that {title} has by default, which are written out")
    for what, heading, style in (
        ("unmapped", "not mapped:", "yellow"),
        ("notes", "to know:", "yellow"),
        ("not_needed", "not needed here:", None),
    ):
        if account[what]:
            say(console, heading, style=style)
            for line in _lines(account[what]):
                say(console, f"  {line}")
    say(console, f"recipe: {account['recipe']}\nnext: strop doctor {account['recipe']}; strop run {account['recipe']}")
