"""Going back to an earlier checkpoint: what came after it is kept aside, so that metrics tell of one course alone."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

from strop.common.files import atomic_writer
from strop.train.checkpoint import checkpoints, remove_checkpoint, step_of

FOLDER, RECORD = "rolled-back", "rollbacks.jsonl"
_OF_STEP = re.compile(r"step-(\d+)(\..*)?")


def set_aside(folder: Path, step: int, number: int) -> Path:
    """Move what a stage wrote of the steps after ``step`` to ``folder/rolled-back/NNN``: rows of metrics.jsonl, and
    what is called after a step in rollouts/ and evals/. Checkpoints of those steps go."""
    aside = folder / FOLDER / f"{number:03d}"
    shutil.rmtree(aside, ignore_errors=True)
    aside.mkdir(parents=True)
    lines = (folder / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    with atomic_writer(aside / "metrics.jsonl") as file:
        file.writelines(f"{line}\n" for line in lines if json.loads(line)["step"] > step)
    for place in sorted((*folder.glob("rollouts/step-*"), *folder.glob("evals/step-*"))):
        found = _OF_STEP.fullmatch(place.name)
        if found and int(found[1]) > step:
            (aside / place.parent.name).mkdir(exist_ok=True)
            place.rename(aside / place.parent.name / place.name)
    for path in checkpoints(folder / "checkpoints"):
        if step_of(path) > step:
            remove_checkpoint(path)
    return aside


def record(folder: Path, rollbacks: list[dict[str, Any]]) -> None:
    """Write every going back of the run so far, one a line."""
    with atomic_writer(folder / RECORD) as file:
        file.writelines(json.dumps(one) + "\n" for one in rollbacks)
