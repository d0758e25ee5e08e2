"""``strop runs``: which runs there are, what each is at, and what came of it. Without torch."""

from __future__ import annotations

import fcntl
import json
import math
import os
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import yaml
from rich.console import Console
from rich.table import Table
from rich.text import Text

from strop.common.console import duration
from strop.common.errors import InputError
from strop.common.visible import one_line
from strop.report.live import read_progress
from strop.runs.run_folder import LOCK
from strop.runs.stage_folder import NEW, OLD, STATE, read_state

LEAD = 2
"""Numbers that are shown of a run."""


def runs_in(folder: Path) -> list[dict[str, Any]]:
    """Every run in ``folder`` (or the one that it is), the newest first, as `describe` has it.

    Raises InputError where there is no such folder.
    """
    if not folder.is_dir():
        raise InputError(f"{folder}: there is no such folder; give one that holds runs (strop runs FOLDER).")
    places = [folder] if _is_run(folder) else sorted(place for place in folder.iterdir() if _is_run(place))
    return sorted(map(_described, places), key=lambda one: one["changed"], reverse=True)


def _is_run(place: Path) -> bool:
    return place.is_dir() and ((place / LOCK).is_file() or any(place.glob(f"[!.]*/{STATE}")))


def _described(place: Path) -> dict[str, Any]:
    """One run, whatever its files hold: a damaged one does not hide the others."""
    try:
        return describe(place)
    except (InputError, AttributeError, KeyError, TypeError, ValueError) as error:
        own = isinstance(error, InputError)
        shape = (
            f"{place}: summary.json, progress.json or a config.yaml is JSON or YAML, and not what strop writes there"
        )
        why = str(error) if own else f"{shape} ({error}); run the recipe again."
        nothing: dict[str, Any] = {
            "where": "",
            "stages": {},
            "model": None,
            "numbers": [],
            "bytes": 0,
            "changed": place.stat().st_mtime,
        }
        return {"name": place.name, "folder": str(place), "state": "damaged", "why": why} | nothing


def describe(place: Path) -> dict[str, Any]:
    """One run: ``state`` (running, finished, stopped, failed, cut off, not begun) and ``where`` of it, its ``stages``
    with what each is at, ``model``, headline ``numbers`` as (name, before, after, unit), ``changed`` (seconds since
    1970), ``bytes`` on the disk, and ``why`` it failed. Raises InputError for a damaged one."""
    stages = {stage.parent.name: read_state(stage.parent) for stage in _stages(place)}
    summary, progress, running = _json(place / "summary.json"), read_progress(place), _locked(place)
    config = _config(place, stages)
    order = [name for name in (config.get("stages") or {}) if name in stages] or list(stages)
    left = [name for name in (config.get("stages") or stages) if not stages.get(name, {}).get("done")]
    step = next((found for name in left if (found := _step(place, name)) is not None), None)
    if running:
        state = "running"
    elif not left and summary:
        state = "finished"
    elif progress.get("state") in ("stopped", "failed"):
        state = progress["state"]
    else:
        state = "cut off" if stages or progress else "not begun"
    files = [*_files(place)]
    changed = max((one.st_mtime for one in files), default=place.stat().st_mtime)
    return {
        "name": place.name,
        "folder": str(place),
        "state": state,
        "where": "" if state == "finished" else _where(progress, left, step, running),
        "stages": {name: "done" if stages[name].get("done") else "begun" for name in order},
        "model": summary.get("model") or _name_of(config.get("model")),
        "numbers": list(_numbers(summary)),
        "changed": changed,
        "bytes": sum(one.st_size for one in files),
        "why": str(progress.get("why") or "") if state in ("failed", "stopped") else "",
    }


def _name_of(model: Any) -> str | None:
    """What a recipe's ``model`` is called: of a new one its family, as `strop.model.settings.NewModel` says it."""
    if not isinstance(model, dict):
        return model
    new = model.get("new") or {}
    family = new.get("model_type") or new.get("architectures") or "model"
    return f"a new {family if isinstance(family, str) else family[0]}"


def table(runs: list[dict[str, Any]]) -> Table:
    """For people."""
    out = Table(title=None, pad_edge=False)
    for column in ("run", "state", "stages", "before → after", "model", "age", "size"):
        out.add_column(column, justify="right" if column in ("age", "size") else "left", overflow="fold")
    for one in runs:
        stages = ", ".join(name if state == "done" else f"({name})" for name, state in one["stages"].items())
        numbers = "; ".join(_number_text(*number) for number in one["numbers"])
        state = f"{one['state']} {one['where']}".strip()
        cells = (one["name"], state, stages, numbers, str(one["model"] or "–"))
        age = duration(max(0.0, time.time() - one["changed"]))
        out.add_row(*(Text(one_line(cell)) for cell in (*cells, _age(age), _size(one["bytes"]))))
    return out


def show(runs: list[dict[str, Any]], folder: Path, console: Console) -> None:
    """The table, and why those failed that did."""
    if not runs:
        console.print(f"{folder} holds no run; strop demo makes one.", markup=False)
        return
    console.print(table(runs), markup=False)
    for one in runs:
        if one["state"] in ("failed", "damaged") and one["why"]:
            words = f"{one['name']} {'failed' if one['state'] == 'failed' else 'is damaged'}"
            console.print(one_line(f"{words}: {one['why'].splitlines()[0]}"), markup=False, soft_wrap=True)


def _stages(place: Path) -> Iterator[Path]:
    for found in sorted(place.glob(f"[!.]*/{STATE}")):
        if not found.parent.name.endswith((NEW, OLD)):
            yield found


def _locked(place: Path) -> bool:
    """Whether a process works in the folder (`strop.runs.run_folder.claimed`): asked for a moment, and given back."""
    try:
        with (place / LOCK).open("r", encoding="utf-8") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return True
    except OSError:
        return False
    return False


def _where(progress: dict[str, Any], left: list[str], step: int | None, running: bool) -> str:
    stage = progress.get("stage") or (left[0] if left else "")
    doing = [one for one in progress.get("doing", ()) if one.get("total") is not None]
    if doing:
        first = doing[0]
        eta = f", about {duration(first['left'])} left" if running and first.get("left") is not None else ""
        return f"in {stage}: {first['title']} {first['done']:,} of {first['total']:,}{eta}"
    at = f" at step {step:,}" if step is not None else ""
    return f"in {stage}{at}" if stage else ""


def _step(place: Path, stage: str) -> int | None:
    """The last step that a stage has logged."""
    for folder in (place / f"{stage}{NEW}", place / stage):
        path = folder / "metrics.jsonl"
        if path.is_file() and path.stat().st_size:
            with path.open("rb") as file:
                file.seek(max(0, path.stat().st_size - (1 << 16)))
                lines = [line for line in file.read().splitlines() if line.endswith(b"}")]
            if lines:
                with suppress(ValueError, AttributeError):  # it only says how far a run is
                    return json.loads(lines[-1]).get("step")
    return None


def _numbers(summary: dict[str, Any]) -> Iterator[tuple[str, float | None, float | None, str]]:
    """What leads the run's report: its leading metrics, else the first ones, else the evaluation loss."""
    measures = summary.get("measures", {})
    after = summary.get("after") or summary.get("measured") or {}
    before = summary.get("before") or {}
    leading = sorted(
        (one["lead"], name) for name, one in measures.items() if name in after and one.get("lead") is not None
    )
    for name in ([name for _, name in leading] or list(after))[:LEAD]:
        values = [_number((side.get(name) or {}).get("value")) for side in (before, after)]
        yield name, values[0], values[1], measures.get(name, {}).get("unit", "")
    if not after:
        for stage, one in list(summary.get("eval_loss", {}).items())[:LEAD]:
            yield f"{stage} eval_loss", _number(one.get("start")), _number(one.get("end")), ""


def _number(value: float | None) -> float | None:
    """None for NaN and infinity, which are no measurements. Raises TypeError for what is no number."""
    return None if value is None or not math.isfinite(value) else value


def _number_text(name: str, before: float | None, after: float | None, unit: str) -> str:
    scale, form, mark = (100, ".1f", " %") if unit == "rate" else (1, ".3f", "")
    values = [f"{value * scale:{form}}{mark}" for value in (before, after) if value is not None]
    return f"{name} {' → '.join(values)}"


def _config(place: Path, stages: dict[str, Any]) -> dict[str, Any]:
    """The recipe as the last stage had it; empty where it cannot be read."""
    for name in reversed(stages):
        try:
            found = yaml.safe_load((place / name / "config.yaml").read_text(encoding="utf-8"))
        except (OSError, ValueError, yaml.YAMLError):
            continue
        if isinstance(found, dict):
            return found
    return {}


def _json(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _files(place: Path) -> Iterator[os.stat_result]:
    """Of every file, once where it has several names; those that go away meanwhile are left out."""
    seen = set()
    for folder, _, names in os.walk(place):
        for name in names:
            try:
                one = os.lstat(os.path.join(folder, name))
            except OSError:
                continue
            if (one.st_dev, one.st_ino) not in seen and name != LOCK:
                seen.add((one.st_dev, one.st_ino))
                yield one


def _size(n_bytes: int) -> str:
    return f"{n_bytes / 1e9:.1f} GB" if n_bytes >= 1e9 else f"{n_bytes / 1e6:.1f} MB"


def _age(text: str) -> str:
    number, unit = text.split(" ")
    return f"{float(number) / 24:.0f} d" if unit == "h" and float(number) >= 48 else text
