"""What a configuration of another program says: YAML, JSON, or the command line in a shell script, as names and values.

In a script what it sets itself is put in (`strop.importing._shell`); the launcher's own options (``torchrun
--nproc_per_node 8``) are kept apart from the program's; a configuration that the command names is read too, under the
command's arguments.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import date
from itertools import takewhile
from pathlib import Path
from typing import Any

import yaml

from strop.common.errors import InputError
from strop.config.yaml_file import read_yaml
from strop.importing._shell import commands

_HYDRA = re.compile(r"(?P<mark>\+{0,2}|~)(?P<name>[A-Za-z_][\w.@/-]*)=(?P<value>.*)", re.DOTALL)
# What follows is the shell's, not the program's: pipes, redirections, the next command.
_ENDS = re.compile(r"\|[|&]?|&&?|;|\d*>.*|&>.*")
# Commands that scripts have beside the one that trains.
_OTHERS = {
    *("pip", "pip3", "uv", "conda", "mkdir", "cd", "rm", "cp", "mv", "echo", "git", "wget", "curl", "hf"),
    *("huggingface-cli", "nvidia-smi", "wandb", "source", "set"),
}
_CONFIGS = (".yaml", ".yml", ".json")
PROCESSES = ("num_processes", "nproc_per_node", "nproc-per-node", "num_gpus")
NODES = ("nnodes", "num_machines", "num_nodes")
_AGENTS = ("accelerate", "torchrun", "deepspeed")


@dataclass
class Foreign:
    """``given``: settings by name, those of sections with dots between; ``program``: the script, module or verb that a
    command line starts, in words; ``world``: how many processes its launcher starts, where that is said; ``words``:
    values as they were written, of those that are texts (``"no"``, and all of a command line); ``fault``: why the
    configuration that its command names cannot be read."""

    path: Path
    given: dict[str, Any]
    program: str = ""
    world: int | None = None
    launcher: dict[str, Any] = field(default_factory=dict)
    words: dict[str, str] = field(default_factory=dict)
    fault: InputError | None = None


def read_foreign(path: Path) -> list[Foreign]:
    """What the file says; of a script every command that has settings. Raises InputError for a file that cannot be
    read, and one that holds no settings."""
    if not path.is_file():
        raise InputError(
            f"{path}: there is no such file; give a configuration (YAML, JSON) or the script with the command line."
        )
    if path.suffix.lower() in _CONFIGS:
        given, words = _config(path)
        return [Foreign(path, given, words=words)]
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read as text ({error}).") from error
    found = [one for one in _commands(path, text) if one.given or one.fault]
    if not found:
        raise InputError(f"{path}: holds no settings: neither --name value nor section.name=value.")
    return found


def flattened(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Sections within sections as names with dots between."""
    found: dict[str, Any] = {}
    for name, value in values.items():
        key = f"{prefix}{name}"
        found |= flattened(value, f"{key}.") if isinstance(value, Mapping) and value else {key: value}
    return found


def plain(text: str) -> Any:
    """A value as it was written on a command line or in a file: a number, true or false, null, a list, or text."""
    try:
        value = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError):
        return text
    if isinstance(value, date):  # a folder, a name
        return text
    if isinstance(value, str):
        if value == "None":
            return None
        with suppress(ValueError):  # YAML 1.1 reads 1e-4 as text
            return float(value) if re.fullmatch(r"[-+]?[\d.]+[eE][-+]?\d+", value) else value
    return value if not isinstance(value, dict) or text.lstrip().startswith("{") else text


def _config(path: Path) -> tuple[dict[str, Any], dict[str, str]]:
    """The settings, and of those that are texts how they are written."""
    if path.suffix.lower() == ".json":
        try:
            values = json.loads(path.read_text(encoding="utf-8-sig"))
        except FileNotFoundError:
            raise InputError(f"{path}: there is no such file; correct the path.") from None
        except (OSError, ValueError) as error:
            raise InputError(f"{path}: is not JSON ({error}).") from error
        if not isinstance(values, dict):
            raise InputError(f"{path}: expected an object with settings by name, found {type(values).__name__}.")
    else:
        values = read_yaml(path).values
    words = {str(name): value for name, value in values.items() if isinstance(value, str)}
    return {
        str(name): plain(value) if isinstance(value, str) else _dateless(value) for name, value in values.items()
    }, words


def _dateless(value: Any) -> Any:
    """With dates as they are written, as in ``output_dir: 2025-06-01``."""
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, dict):
        return {name: _dateless(one) for name, one in value.items()}
    return [_dateless(one) for one in value] if isinstance(value, list) else value


def _commands(path: Path, text: str) -> Iterator[Foreign]:
    for words in commands(path, text):
        runs = any(word == "-m" or word.endswith(".py") for word in words)  # uv run …
        told = any(
            word.startswith("--") or _HYDRA.fullmatch(word) or Path(word).suffix in _CONFIGS for word in words[1:]
        )
        if (told or words[0].startswith("--")) and (runs or words[0] not in _OTHERS):
            yield _read_words(path, words)


def _read_words(path: Path, words: list[str]) -> Foreign:
    split = next((n for n, word in enumerate(words) if word.endswith(".py")), None)
    module = next((n + 1 for n, word in enumerate(words[:-1]) if word == "-m"), None)
    if split is None or (module is not None and module < split):
        split = module
    if split is None and words[0].startswith("-"):
        split = -1  # arguments alone
    elif split is None:  # trl sft …, llamafactory-cli train …, accelerate launch -m axolotl.cli.train …
        split = next((n for n, word in enumerate(words) if n and not word.startswith("-")), 0)
        split = split if words[0] not in _AGENTS else 0
    launcher, _ = _options(words[: max(split, 0)])
    found = Foreign(path, {}, " ".join(words[: split + 1]), launcher=launcher)
    rest = list(takewhile(lambda word: not _ENDS.fullmatch(word), words[split + 1 :]))
    named = _positional_config(rest, one_value="axolotl" in found.program)
    arguments, written = _options([word for word in rest if word != named])
    named = arguments.pop("config", None) or named
    if isinstance(named, str) and Path(named).suffix in _CONFIGS:
        places = (Path(named), path.parent / named)
        file = next((place for place in places if place.is_file()), None)
        try:
            if file is None:
                raise InputError(f"{path}: its command reads {named}, which is not there; put it beside the script.")
            found.given, found.words = _config(file)
        except InputError as error:  # of a command that may not be the one that is imported
            found.fault = error
    elif named is not None:
        arguments["config"] = named
    found.given |= arguments
    found.words = {name: word for name, word in found.words.items() if name not in arguments} | written
    found.world = _world(launcher)
    return found


def _world(launcher: Mapping[str, Any]) -> int | None:
    processes = next((launcher[name] for name in PROCESSES if isinstance(launcher.get(name), int)), None)
    nodes = next((launcher[name] for name in NODES if isinstance(launcher.get(name), int)), 1)
    per_node = "num_processes" not in launcher  # accelerate counts them over all machines
    return None if processes is None else processes * (nodes if per_node else 1)


def _positional_config(words: list[str], one_value: bool) -> str | None:
    """The configuration that stands for itself, before all options; an option's value is none, whatever its name ends
    in (``--deepspeed ds_z3.json``). ``one_value``: options have one value at most, so a second word is no value."""
    for n, word in enumerate(words):
        stands = not any(one.startswith("-") for one in words[:n]) or (one_value and words[n - 1][:1] != "-")
        if stands and Path(word).suffix in _CONFIGS and "=" not in word and word[:1] != "-":
            return word
    return None


def _options(words: list[str]) -> tuple[dict[str, Any], dict[str, str]]:
    """``--name value``, ``--name=value``, ``--flag``, ``--list a b`` and Hydra's ``section.name=value``; and the values
    as they are written."""
    found: dict[str, Any] = {}
    written: dict[str, str] = {}

    def take(name: str, value: str) -> None:
        found[name], written[name] = plain(value), value

    values: list[str] = []
    name = None
    for word in [*words, "--"]:
        hydra = None if word.startswith("-") else _HYDRA.fullmatch(word)
        if not word.startswith("--") and not hydra:
            if name is not None:
                values.append(word)
            continue
        if name is not None and len(values) == 1:
            take(name, values[0])
        elif name is not None:
            found[name] = [plain(value) for value in values] or True
        name, values = None, []
        if hydra and hydra["mark"] == "~":
            found[hydra["name"]] = None
        elif hydra:
            take(hydra["name"], hydra["value"])
        elif word != "--":
            name, equals, value = word[2:].partition("=")
            if equals:
                take(name, value)
                name = None
    return found, {
        name: word for name, word in written.items() if not isinstance(found[name], list) and found[name] is not None
    }
