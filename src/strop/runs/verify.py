"""Whether a finished run can be made again: the first steps of its training stages, in a scratch folder, row by row."""

from __future__ import annotations

import json
import signal
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from io import StringIO
from pathlib import Path
from typing import Any

from rich.console import Console

from strop.common.console import say
from strop.common.errors import InputError
from strop.common.flat import flat
from strop.common.scratch import scratch_folder
from strop.config.recipe import Recipe
from strop.model.names import resolve
from strop.model.precision import best_compute
from strop.runs.provenance import provenance
from strop.runs.stage_folder import read_state
from strop.runs.summary import describe_machine
from strop.sandbox import unsafe_local
from strop.stages.base import Context, Stage
from strop.train.metrics import is_timing
from strop.train.settings import StepSettings

METRICS = "metrics.jsonl"
LOOK_SECONDS = 0.05
Rows = list[dict[str, Any]]


class _Enough(BaseException):
    """The steps that were asked for are there."""


def verify(recipe: Recipe, steps: int, console: Console) -> dict[str, Any]:
    """``{"same": bool, "stages": [{stage, steps, rows, same, first, reasons}]}``: replay ``steps`` optimiser steps
    of every finished training stage of the run, each from the model that it began with, and compare the rows of
    ``metrics.jsonl`` without timings (`is_timing`).

    ``first`` is the first difference: ``step``, ``key``, ``before``, ``now`` and, of numbers, ``difference``;
    ``reasons`` are inputs, code, packages and machine that are not those of the run. Raises InputError where the run
    has no finished training stage, or one whose rows cannot be replayed.
    """
    compute = best_compute(recipe.compute.device, recipe.compute.dtype)
    base, found = resolve(recipe.model), []
    with unsafe_local(recipe.unsafe_local):
        for name, stage in recipe.stages.items():
            folder = recipe.run_folder / name
            if stage.trains and (state := read_state(folder)).get("done") and (folder / METRICS).is_file():
                if state.get("changes") or state.get("totals", {}).get("rollbacks"):
                    what = "went on with other settings" if state.get("changes") else "was rolled back by an alarm"
                    raise InputError(
                        f"{name} {what} on its way, so its rows are not those of one recipe from its start; verify "
                        "another run."
                    )
                maker = recipe.model_from(name)
                model = recipe.model_of(maker) if maker else base
                with scratch_folder("strop-verify-") as scratch:
                    quiet = Console(file=StringIO())
                    context = Context(recipe, name, model, scratch, compute, quiet)
                    now = _replayed(stage, context, steps, of=_last_step(folder))
                known = _rows(folder, steps)
                row = compared(name, known, now)
                if not row["same"]:
                    row["reasons"] = _reasons(stage, recipe, state, provenance(describe_machine(compute)))
                found.append(row)
                say(console, words(row))
    if not found:
        raise InputError(
            f"{recipe.run_folder}: holds no finished training stage to verify; run it first, or name its folder."
        )
    return {"same": all(row["same"] for row in found), "stages": found}


def _replayed(stage: Stage, context: Context, steps: int, of: int) -> Rows:
    """The rows of the first ``steps`` of ``of``, done in ``context``'s folder; all of the stage if it has no more."""
    # Checkpoints have no effect on what comes, and may be large.
    train = getattr(stage, "train", None)
    if isinstance(train, StepSettings):
        less = train.model_copy(update={"checkpoint_every": None, "profile": False})
        stage = stage.model_copy(update={"train": less})
    stage = stage.with_rows(context.recipe.rows_of).with_models(context.recipe.model_of)
    with _until(context.folder, steps) if steps < of else _whole():
        stage.run(context)
    return _rows(context.folder, steps)


@contextmanager
def _whole() -> Iterator[None]:
    yield


@contextmanager
def _until(folder: Path, steps: int) -> Iterator[None]:
    """Leaves the block when ``folder``'s metrics have so many steps: by a signal, since what trains is not asked, and
    by one that training gives no meaning of its own (`strop.train.signals`)."""

    def enough(signum: int, frame: Any) -> None:
        if not over.is_set():
            raise _Enough

    def look() -> None:
        while not over.wait(LOOK_SECONDS):
            if any("loss" in row and row["step"] >= steps for row in _rows(folder)):
                signal.pthread_kill(main, signal.SIGUSR2)
                return

    over, main, before = threading.Event(), threading.get_ident(), signal.signal(signal.SIGUSR2, enough)
    watcher = threading.Thread(target=look, name="strop verify", daemon=True)
    watcher.start()
    try:
        yield
        over.set()
    except _Enough:
        return
    finally:
        over.set()
        watcher.join()
        signal.signal(signal.SIGUSR2, before)


def _rows(folder: Path, steps: int | None = None) -> Rows:
    """Whole lines only: the last may be in the middle of being written."""
    path = folder / METRICS
    lines = path.read_text(encoding="utf-8").split("\n")[:-1] if path.is_file() else []
    rows = [json.loads(line) for line in lines]
    return [row for row in rows if steps is None or row["step"] <= steps]


def _last_step(folder: Path) -> int:
    return max((row["step"] for row in _rows(folder)), default=0)


def compared(stage: str, before: Rows, now: Rows) -> dict[str, Any]:
    """The result of one stage. An evaluation after the last step may not have been made again; a step must have."""
    steps = {name: sum("loss" in row for row in rows) for name, rows in (("before", before), ("now", now))}
    first = next(filter(None, map(_first, before, now)), None)
    if first is None and steps["before"] != steps["now"]:
        first = {"step": min(len(before), len(now)), "key": "steps", **steps}
    rows = min(len(before), len(now))
    return {"stage": stage, "steps": steps["now"], "rows": rows, "same": first is None, "first": first}


def _first(before: Mapping[str, Any], now: Mapping[str, Any]) -> dict[str, Any] | None:
    for key in dict.fromkeys([*before, *now]):
        a, b = before.get(key), now.get(key)
        if is_timing(key) or json.dumps(a) == json.dumps(b):  # NaN is NaN
            continue
        row = {"step": before.get("step"), "key": key, "before": a, "now": b}
        if isinstance(a, int | float) and isinstance(b, int | float):
            row["difference"] = b - a
        return row
    return None


def _reasons(stage: Stage, recipe: Recipe, state: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """What is not as it was when the stage was made."""
    made_from, made_with = state["made_from"], state.get("provenance", [{}])[-1]
    inputs = flat(stage.inputs(recipe))
    found = [name for name, value in sorted(inputs.items()) if made_from.get(name) != value]
    was, new = flat(dict(made_with)), flat(dict(now))
    return found + [
        f"{name} {was.get(name)} → {new.get(name)}" for name in sorted({*was, *new}) if was.get(name) != new.get(name)
    ]


def words(row: Mapping[str, Any]) -> str:
    """One stage's result in a sentence or two."""
    if row["same"]:
        return f"{row['stage']}: the same, {row['rows']} rows of {row['steps']} steps."
    first = row["first"]
    apart = f" (by {first['difference']:g})" if "difference" in first else ""
    said = f"{row['stage']}: not the same: at step {first['step']} {first['key']} was {first['before']} and is "
    said += f"{first['now']}{apart}."
    if row.get("reasons"):
        return f"{said} Not as it was: {'; '.join(row['reasons'])}."
    return f"{said} Inputs, code, packages and machine are those of the run."
