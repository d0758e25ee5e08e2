"""The checkpoint that a user names, whichever folder around it is given."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from strop.common.errors import InputError
from strop.train.checkpoint import checkpoints, newest_whole
from strop.train.manifest import RECORD, Damaged, check_whole


def named_checkpoint(path: Path, stage: str) -> Path:
    """``path`` itself, or the newest whole one of a stage's folder or of the run's folder with that ``stage``. Raises
    InputError where there is none, or the one named is damaged or foreign."""
    if not path.is_dir():
        raise InputError(f"train.resume: there is no folder {path}; name a checkpoint, or the folder of a stage.")
    around = [path / stage / "checkpoints", path / "checkpoints", *([path] if path.name == "checkpoints" else [])]
    for folder in around:
        if checkpoints(folder) and (newest := newest_whole(folder, lambda line: None)):
            return newest
    try:
        check_whole(path)
    except Damaged as error:
        others = [one.name for one in checkpoints(path.parent) if one != path]
        mend = f"beside it are {', '.join(others)}" if others else "put it back from a copy"
        raise InputError(f"train.resume: {error}. This checkpoint is damaged; {mend}.") from None
    return path


def recorded(checkpoint: Path) -> dict[str, Any]:
    """What a whole checkpoint says of itself: ``step``, ``made_from`` …"""
    found = json.loads((checkpoint / RECORD).read_text(encoding="utf-8"))
    if not found.get("made_from"):
        raise InputError(
            f"{checkpoint}: does not say which settings and data it was made from, so it cannot be gone on from here."
        )
    return found
