"""A recipe's stages in order, each resumable, then the summary and the report.

A stage whose settings and inputs are the same as when it was done is skipped; one that was cut off goes on from its
newest checkpoint; one whose settings or inputs changed is done afresh.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import time
from pathlib import Path
from typing import Any

import yaml
from rich.console import Console

from strop import __version__
from strop.chat.builtin import template_text
from strop.data.files import data_files
from strop.data.keys import files_digest
from strop.errors import InputError
from strop.files import atomic_writer, write_json
from strop.model.memory import keep_freed_memory
from strop.model.names import resolve
from strop.model.precision import Compute, best_compute
from strop.recipe import EvalStage, Recipe, SftStage
from strop.report import write_report
from strop.summary import show, summarise
from strop.train.metrics import peak_memory_gb

STATE = "stage.json"
_WITHOUT_EFFECT = {"train": {"profile"}}
"""Settings of a stage that do not change its result."""


def run_recipe(recipe: Recipe, console: Console) -> dict[str, Any]:
    """Run every stage, write ``summary.json`` and ``report.html`` and return the summary.

    Raises InputError for bad input, Interrupted when a signal stopped a stage with its checkpoint written.
    """
    folder = recipe.run_folder
    _check_writable(folder)
    keep_freed_memory()
    compute = best_compute(recipe.compute.device, recipe.compute.dtype)
    model: Path = resolve(recipe.model)
    fingerprint = _model_fingerprint(model)
    console.print(f"[bold]{recipe.name}[/]: {recipe.model} on {compute}, into {folder}")
    done: dict[str, dict[str, Any]] = {}
    checked = False
    for name, stage in recipe.stages.items():
        stage_folder = folder / name
        key = _stage_key(recipe, stage, fingerprint, compute)
        state = _read_state(stage_folder)
        if state.get("key") == key and state.get("done"):
            console.print(f"{name}: done before with the same settings and inputs, skipped.")
        else:
            if not checked:
                _preflight(recipe, model, compute)
                checked = True
            if state.get("key") != key:
                _start_afresh(stage_folder, key, recipe)
            state = _run_stage(name, stage, recipe, model, stage_folder, key, compute, console)
        done[name] = state
        fingerprint = key if isinstance(stage, SftStage) else fingerprint
        model = stage_folder / "model" if isinstance(stage, SftStage) else model
    started = time.perf_counter()
    summary = summarise(recipe, done, compute)
    write_json(folder / "summary.json", summary)
    summary["report"] = str(write_report(folder))
    summary["minutes"]["report"] = (time.perf_counter() - started) / 60
    write_json(folder / "summary.json", summary)
    show(summary, console)
    console.print(f"report: {summary['report']}\nnumbers: {folder / 'summary.json'}", highlight=False)
    if any(isinstance(s, SftStage) for s in recipe.stages.values()):
        console.print(f"next: strop chat {folder}", highlight=False)
    return summary


def _preflight(recipe: Recipe, model: Path, compute: Compute) -> None:
    from strop import stages  # as below

    stages.preflight(recipe, model, compute)


def _run_stage(name, stage, recipe, model, folder, key, compute: Compute, console) -> dict[str, Any]:
    from strop import stages  # transformers' models take two seconds, which a run that is all done does without

    console.rule(f"[bold]{name}", align="left")
    started = time.perf_counter()
    if isinstance(stage, EvalStage):
        result = stages.run_eval(recipe, model, folder, compute, console)
    else:
        result = stages.run_sft(stage, recipe, model, folder, compute, console)
    minutes = (time.perf_counter() - started) / 60
    state = {"key": key, "done": True, "minutes": minutes, "peak_memory_gb": peak_memory_gb(), **result}
    write_json(folder / STATE, state)
    console.print(f"{name}: done in {minutes:.1f} min.", highlight=False)
    return state


def _start_afresh(folder: Path, key: str, recipe: Recipe) -> None:
    """Clear what an earlier run with other settings left in a stage's folder; never touch a folder that is not ours."""
    if folder.exists():
        if any(folder.iterdir()) and not (folder / STATE).is_file():
            raise InputError(f"{folder} holds files that strop did not write; choose another run folder (folder=…).")
        shutil.rmtree(folder)
    folder.mkdir(parents=True)
    with atomic_writer(folder / "config.yaml") as file:
        yaml.safe_dump(recipe.model_dump(mode="json"), file, sort_keys=False, allow_unicode=True)
    write_json(folder / STATE, {"key": key, "done": False})


def _read_state(folder: Path) -> dict[str, Any]:
    try:
        return json.loads((folder / STATE).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except json.JSONDecodeError as error:
        raise InputError(
            f"{folder / STATE}: not JSON ({error}); delete the folder {folder} to do the stage again."
        ) from None


def _stage_key(recipe: Recipe, stage: EvalStage | SftStage, model: str, compute: Compute) -> str:
    """Hash of all that the stage's result depends on: settings, model, data files, strop's version, number format."""
    settings = {
        "stage": stage.model_dump(mode="json", exclude=_WITHOUT_EFFECT),
        "chat": recipe.chat.model_dump(mode="json"),
    }
    if isinstance(stage, EvalStage):
        settings["evals"] = {k: v.model_dump(mode="json") for k, v in recipe.evals.items()}
        files = [[task.path] for task in recipe.evals.values() if task.path is not None]
    else:
        parts = (*stage.mixture.parts, *stage.eval_mixture.parts)
        files = [data_files(part.path, part.split, part.subset) for part in parts if part.path is not None]
    template = template_text(recipe.chat.template)  # of a file, what it says now
    content = [__version__, str(compute), model, settings, template, [files_digest(found) for found in files]]
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _model_fingerprint(folder: Path) -> str:
    """Names, sizes and times of a model's files: cheap for any size, and changes when a file is replaced."""
    files = sorted(p for p in folder.iterdir() if p.is_file())
    return hashlib.sha256(repr([(p.name, p.stat().st_size, p.stat().st_mtime_ns) for p in files]).encode()).hexdigest()


def _check_writable(folder: Path) -> None:
    """Find out before the first minute of work, not after the last."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with atomic_writer(folder / ".writable"):
            pass
        (folder / ".writable").unlink()
    except OSError as error:
        raise InputError(
            f"{folder}: cannot be written to ({error.strerror}); give another one with folder=PATH."
        ) from error
