"""A stage's folder. A stage that is done again is written beside it, as ``<stage>.new``, and takes its place when done.

So at every instant there is a whole result in ``<stage>``, or in ``<stage>.old`` for the time between two renames.
"""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from strop.errors import InputError
from strop.files import write_json

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
        """Finish what a crash cut off between the renames of `take_place`."""
        if self.path.exists():
            if self.old.exists():  # the new one is in its place
                shutil.rmtree(self.old)
            elif read_state(self.new).get("done"):
                self.take_place()
        elif read_state(self.new).get("done"):
            self.new.rename(self.path)
            shutil.rmtree(self.old, ignore_errors=True)
        elif self.old.exists():
            self.old.rename(self.path)

    def begin(self, state: dict[str, Any], place: Path, config: str) -> None:
        """An empty ``place`` (the stage's folder, or the new one beside it) for a stage that begins."""
        if place.exists():
            if any(place.iterdir()) and not (place / STATE).is_file():
                raise InputError(f"{place} holds files that strop did not write; choose another run folder (folder=…).")
            shutil.rmtree(place)
        place.mkdir(parents=True)
        (place / "config.yaml").write_text(config, encoding="utf-8")
        write_json(place / STATE, state)

    def take_place(self) -> None:
        """What was made in ``<stage>.new`` becomes ``<stage>``; the earlier one goes when that is so."""
        if self.path.exists():
            self.path.rename(self.old)
        self.new.rename(self.path)
        shutil.rmtree(self.old, ignore_errors=True)

    def copy_progress(self, source: Path) -> None:
        """Checkpoints and metrics of ``source`` into the new folder, linked where that is possible."""
        for part in ("checkpoints", "metrics.jsonl"):
            found, target = source / part, self.new / part
            if found.is_dir():
                shutil.copytree(found, target, copy_function=_link)
            elif found.is_file():
                shutil.copyfile(found, target)


def _link(source: str, target: str) -> None:
    """Checkpoints are never written to again, so both names may mean one file."""
    try:
        os.link(source, target)
    except OSError:  # another file system, or one without links
        shutil.copyfile(source, target)


def read_state(folder: Path) -> dict[str, Any]:
    """What is written down of a stage; empty where nothing is. Raises InputError for a damaged file."""
    try:
        return json.loads((folder / STATE).read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except ValueError as error:
        raise InputError(
            f"{folder / STATE}: not JSON ({error}); move the folder {folder} away to do the stage again."
        ) from None
