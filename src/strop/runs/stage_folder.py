"""A stage's folder. A stage that is done again is written beside it, as ``<stage>.new``, and takes its place when done.

So at every instant there is a whole result in ``<stage>``, or in ``<stage>.old`` for the time between two renames.
"""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from shlex import quote
from typing import Any

from strop.common.errors import InputError
from strop.common.files import atomic_writer, write_json

STATE = "stage.json"
NEW, OLD = ".new", ".old"


@dataclass(frozen=True)
class StageFolder:
    """``path`` is the stage's folder."""

    path: Path

    @property
    def new(self) -> Path:
        return self.path.with_name(self.path.name + NEW)

    @property
    def old(self) -> Path:
        return self.path.with_name(self.path.name + OLD)

    def recover(self) -> None:
        """Finish what a crash cut off between the renames of `take_place`, and clear away what `begin` left."""
        for place in (self.path, self.new):
            for leftover in (_beside(place, "begun"), _beside(place, "gone")):
                shutil.rmtree(leftover, ignore_errors=True)
        if self.path.exists() and self.old.exists():  # the new one is in its place
            shutil.rmtree(self.old)
        elif read_state(self.new).get("done"):
            self.take_place()
        elif self.old.exists():
            self.old.rename(self.path)

    def begin(
        self,
        state: dict[str, Any],
        place: Path,
        config: str,
        progress: Path | None = None,
        checkpoint: tuple[Path, str] | None = None,
    ) -> None:
        """``place`` (the stage's folder, or the new one beside it) for a stage that begins: ``state`` and ``config``
        alone, or with checkpoints and metrics of the stage's folder ``progress`` (which may be ``place``) as well; of
        the checkpoints only ``checkpoint``, where one is given with its name here.

        Made beside it and renamed, so that a crash leaves no folder that says less or more than is in it.
        """
        if place.exists() and any(place.iterdir()) and not (place / STATE).is_file():
            raise InputError(f"{place} holds files that strop did not write; choose another run folder (folder=…).")
        made, gone = _beside(place, "begun"), _beside(place, "gone")
        shutil.rmtree(made, ignore_errors=True)
        made.mkdir(parents=True)
        write_config(made, config)
        write_json(made / STATE, state)
        if progress is not None:
            for folder in ("best", "evals", *(() if checkpoint else ("checkpoints",))):  # what is compared with, too
                if (progress / folder).is_dir():
                    shutil.copytree(progress / folder, made / folder, copy_function=_link)
            if (progress / "metrics.jsonl").is_file():
                shutil.copyfile(progress / "metrics.jsonl", made / "metrics.jsonl")
        if checkpoint is not None:
            shutil.copytree(checkpoint[0], made / "checkpoints" / checkpoint[1], copy_function=_link)
        if place.exists():
            place.rename(gone)
        made.rename(place)
        shutil.rmtree(gone, ignore_errors=True)

    def take_place(self) -> None:
        """What was made in ``<stage>.new`` becomes ``<stage>``; the earlier one goes when that is so."""
        if self.path.exists():
            self.path.rename(self.old)
        self.new.rename(self.path)
        shutil.rmtree(self.old, ignore_errors=True)


def write_config(folder: Path, config: str) -> None:
    """The settings with which the stage works from now on."""
    with atomic_writer(folder / "config.yaml") as file:
        file.write(config)


def _beside(place: Path, mark: str) -> Path:
    return place.with_name(f".{place.name}.{mark}")


def _link(source: str, target: str) -> None:
    """Without a second copy where possible: checkpoints are never written to again, so both names may mean one file."""
    try:
        os.link(source, target)
    except OSError:  # another file system, or one without links
        shutil.copyfile(source, target)


def read_state(folder: Path) -> dict[str, Any]:
    """What is written down of a stage; empty where nothing is. Raises InputError for a damaged file."""
    try:
        state = json.loads((folder / STATE).read_text(encoding="utf-8"))
        if not isinstance(state, dict):
            raise ValueError("no object")
        return state
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except ValueError as error:
        raise InputError(
            f"{folder / STATE}: not JSON ({error}); move the folder {folder} away to do the stage again."
        ) from None


def states_in(run: Path) -> dict[str, dict[str, Any]]:
    """What is written down of every stage in a run's folder, in the order in which they were done."""
    found = [path.parent for path in run.glob(f"*/{STATE}") if not path.parent.name.endswith((NEW, OLD))]
    return {place.name: read_state(place) for place in sorted(found, key=lambda one: (one / STATE).stat().st_mtime_ns)}


def check_finished(given: Path, verb: str, training: bool = False) -> None:
    """Raises InputError where the folder is that of a run or a stage that is not finished; with ``training`` that of
    one whose model is not: an earlier stage's would be taken for it."""
    stages = {given.name: read_state(given)} if (given / STATE).is_file() else states_in(given)
    at_work = [
        name for name, state in stages.items() if not state.get("done") and not (training and not _trains(state))
    ]
    if not at_work:
        return
    if (given / STATE).is_file():
        raise InputError(f"{given}: this stage is not finished; finish the run with `strop run` first.")
    done = [str(given / name) for name in stages if (given / name / "model" / "config.json").is_file()]
    instead = f", or {verb} the folder of a stage that is done ({', '.join(done)})" if done else " first"
    raise InputError(
        f"{given}: stage {at_work[0]} is not finished; finish the run with `strop run {quote(str(given))}`{instead}."
    )


def _trains(state: dict[str, Any]) -> bool:
    return any(name.startswith("stage.train.") for name in state.get("made_from", ()))
