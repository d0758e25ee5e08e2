"""What a run was made with: code, packages, machine, and the directory in which its paths mean what they do.

``provenance.json`` of a run folder says it of the newest call that had something to do, and adds what each stage was
made from (digests of data, commits of models and data on the hub); ``stage.json`` has it of every call that worked on
the stage.
"""

from __future__ import annotations

import json
import os
import platform
import re
import subprocess
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from strop import __version__
from strop.common.errors import InputError
from strop.common.files import write_json
from strop.runs.made_from import MadeFrom

FILE = "provenance.json"
PACKAGES = ("torch", "transformers", "tokenizers", "safetensors", "datasets", "peft", "numpy")
_SETTINGS = re.compile(r"(stage|chat)\..*|strop_version|compute")
_SNAPSHOT = re.compile(r"/snapshots/([0-9a-f]{40})(/|$)")
SOURCE = Path(__file__).parents[1]


def provenance(machine: Mapping[str, Any]) -> dict[str, Any]:
    """Of this process, working on ``machine`` (see `strop.runs.summary.describe_machine`)."""
    return {
        "code": {"strop": __version__, **git_state(SOURCE)},
        "python": platform.python_version(),
        "packages": {name: found for name in PACKAGES if (found := _version(name)) is not None},
        "machine": dict(machine),
        "directory": str(Path.cwd()),
    }


def git_state(folder: Path) -> dict[str, Any]:
    """``commit`` of the checkout whose files lie in ``folder``, and whether they are as committed (``dirty``); empty
    where the folder is in none, or git is not there."""
    try:
        _git(folder, "ls-files", "--error-unmatch", "__init__.py")  # a checkout of another project may lie around it
        return {"commit": _git(folder, "rev-parse", "HEAD"), "dirty": bool(_git(folder, "status", "--porcelain", "."))}
    except (OSError, subprocess.SubprocessError):
        return {}


def _git(folder: Path, *words: str) -> str:
    outside = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    command = ["git", "-C", str(folder), *words]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=30, env=outside)
    return done.stdout.strip()


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def hub_commit(model: Path) -> str | None:
    """The commit of a model that lies in a cache of the hub."""
    found = _SNAPSHOT.search(model.absolute().as_posix())
    return found and found.group(1)


def write_provenance(folder: Path, made_with: Mapping[str, Any], model: Path, stages: Mapping[str, MadeFrom]) -> None:
    """``stages``: what each stage is made from, of which what is no setting is written."""
    inputs = {
        stage: {name: value for name, value in made_from.items() if not _SETTINGS.fullmatch(name) and value}
        for stage, made_from in stages.items()
    }
    place = {"path": str(model), "hub_commit": hub_commit(model)}
    write_json(folder / FILE, {**made_with, "model": place, "inputs": inputs})


def read_provenance(folder: Path) -> dict[str, Any]:
    """Empty where there is none. Raises InputError for a damaged file."""
    try:
        return json.loads((folder / FILE).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except ValueError as error:
        raise InputError(f"{folder / FILE}: not JSON ({error}); delete it, and run the recipe itself.") from None
