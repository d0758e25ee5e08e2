"""What is exported: a model's folder, and the run that it came from, where it came from one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from strop.model import adapter
from strop.model.names import resolve
from strop.runs.stage_folder import STATE, check_finished, states_in


@dataclass(frozen=True)
class Source:
    """``name`` as the user gave it; ``model``: the folder with the whole model; ``adapters``: that with its adapters
    alone; ``run`` and ``stage``: the folders that it was made in; ``states``: of every stage of the run."""

    name: str
    model: Path
    adapters: Path | None = None
    run: Path | None = None
    stage: Path | None = None
    states: Mapping[str, dict[str, Any]] = field(default_factory=dict)


def source_of(name: str) -> Source:
    """Raises InputError where there is no such model, and for a run with a stage that is not finished."""
    given = Path(name).expanduser()
    check_finished(given, "export")
    model = resolve(name)
    stage = next((place for place in (model.absolute().parent, given.absolute()) if (place / STATE).is_file()), None)
    if given.is_dir() and adapter.is_adapter(given):
        parent = given.absolute().parent
        beside, stage = given, parent if (parent / STATE).is_file() else None
    elif stage is not None and adapter.is_adapter(stage / "adapter"):
        beside = stage / "adapter"
    else:
        beside = None
    run = stage.parent if stage is not None else None
    return Source(name, model, beside, run, stage, states_in(run) if run else {})
