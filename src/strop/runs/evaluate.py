"""``strop eval``: models on tasks by one command, and kept answers graded again.

Each model is a run of one ``eval`` stage in a folder of its own, named after the model and what is measured: the same
command goes on where it was, and another one writes elsewhere.
"""

from __future__ import annotations

import difflib
import hashlib
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from strop.common.console import heading, say, speaking_on
from strop.common.errors import InputError
from strop.common.files import write_json
from strop.config import load_values
from strop.config.recipe import Recipe, check_said_once, load_recipe, named_model, recipe_with
from strop.evals.regrade import changed_words, regrade_task
from strop.model.names import resolve
from strop.model.precision import best_compute
from strop.report import write_report
from strop.runs.pipeline import run_recipe
from strop.runs.run_folder import claimed
from strop.runs.stage_folder import STATE, check_finished, read_state
from strop.runs.summary import UNSAFE, summarise
from strop.runs.task_line import ALIASES, parse_tasks, yaml_value
from strop.sandbox import unsafe_local
from strop.stages.base import Context
from strop.tasks.base import TASKS, UnknownTask, settings_class, unknown_task
from strop.tasks.files import task_of

STAGE = "eval"
HOW = """\
write TASK:key=value:key=value, several with commas between them. Texts and paths are taken as they are written, other
values are YAML. A value with commas or colons of its own stands in quotes:
  --tasks 'text:path="a,b.txt",answers:path=q.jsonl:suffix="Answer: yes"'"""


def evaluation(
    models: Sequence[str],
    tasks: str | None,
    shared: dict[str, Any],
    overrides: Sequence[str],
    folder: Path | None,
    regraded: Path | None,
    console: Console,
) -> dict[str, Any]:
    """The verb: grade again, list the tasks, or measure. Raises InputError for what does not go together."""
    if regraded is not None:
        if models or tasks:
            raise InputError("--regrade grades the answers of a run that is there; leave models and --tasks out.")
        return regrade(regraded, console, overrides)
    if tasks == "help" or not tasks:
        lines = [f"  {name:16} {kind.source or 'a file'}" for name, kind in TASKS.items()]
        if tasks:
            say(console, "\n".join(["tasks:", *lines, HOW]))
            return {"tasks": {name: {"source": k.source, "licence": k.licence} for name, k in TASKS.items()}}
        raise InputError(f"name what to measure: --tasks {', '.join(TASKS)} (strop eval --tasks help says more).")
    if not models:
        raise InputError("name a model: strop eval MODEL --tasks TASK.")
    return evaluate(models, tasks, shared, overrides, folder, console)


def evaluate(
    models: Sequence[str],
    tasks: str,
    shared: dict[str, Any],
    overrides: Sequence[str],
    folder: Path | None,
    console: Console,
) -> dict[str, Any]:
    """Measure each model on the tasks; ``shared``: settings for every task that has them.

    Gives ``{"results": [{model, folder, report, tasks: {name: {metrics, measures, notes, source, licence}}}]}``. What
    is wrong with any model or task is found before the first is measured. Raises InputError for it.
    """
    said = {"model": named_model(STAGE), "stages": f"strop {STAGE} is one stage of kind eval; leave this out."}
    if folder is not None:
        said["folder"] = "the folder is given by --out; name it there."
    check_said_once(overrides, said)
    _with_plugins(overrides)  # whose settings are read as they are
    wanted = parse_tasks(tasks)
    if repeated := [model for model in models if list(models).count(model) > 1]:
        raise InputError(f"{repeated[0]} is named twice; name every model once.")
    for model in models:
        check_finished(Path(model).expanduser(), "measure", training=True)
    places = [folder] * len(models)
    if folder is not None and len(models) > 1:
        places = [folder / name for name in _folder_names(models)]
    recipes = [
        evaluation_recipe(model, wanted, shared, overrides, place) for model, place in zip(models, places, strict=True)
    ]
    for recipe in recipes if len(recipes) > 1 else ():  # one alone is looked at by its run
        place = resolve(recipe.model)
        compute = best_compute(recipe.compute.device, recipe.compute.dtype)
        context = Context(recipe, STAGE, place, recipe.run_folder / STAGE, compute, console)
        with unsafe_local(recipe.unsafe_local):
            recipe.stages[STAGE].preflight(context)
    results = []
    for recipe in recipes:
        if len(recipes) > 1:
            heading(console, recipe.model_name)
        summary = run_recipe(recipe, console)
        results.append(_result(recipe, summary["report"]))
    return {"results": results}


def evaluation_recipe(
    model: str,
    tasks: dict[str, Any],
    shared: dict[str, Any],
    overrides: Sequence[str],
    folder: Path | None,
) -> Recipe:
    """A recipe of one eval stage in ``folder``: ``tasks`` with their settings, ``shared`` ones for every task that has
    them.

    Raises InputError for a shared setting that no task has, and as `load_values`.
    """
    evals, unread = {}, set(shared)
    kind = _with_plugins(overrides)
    for name, given in tasks.items():
        if (settings := settings_class(name, given)) is UnknownTask:
            raise InputError(f"--tasks: {unknown_task(given.get('task', name), given.get('path'), given=True)}")
        known = settings.model_fields
        for key in given.keys() - known:
            if near := difflib.get_close_matches(key, (*ALIASES, *known), n=1):
                raise InputError(f"--tasks: {name} has no setting {key!r}; did you mean {near[0]!r}?")
        evals[name] = {**{key: value for key, value in shared.items() if key in known}, **given}
        unread -= set(known)
    if unread:
        option = sorted(unread)[0]
        raise InputError(f"--{option.replace('_', '-')}: none of the tasks ({', '.join(tasks)}) has it; leave it out.")
    # With and without a sandbox is one evaluation: what it did so far knows which.
    differing = sorted(one for one in overrides if one.partition("=")[0] != "unsafe_local")
    described = json.dumps([model, evals, differing], sort_keys=True, default=str)
    digest = hashlib.sha256(described.encode()).hexdigest()[:8]
    values = _values(f"eval-{_slug(model)}-{digest}"[-200:], model, evals)
    if folder is not None:
        values["folder"] = str(folder)
    return load_values(kind, values, overrides, "--tasks")


def _with_plugins(overrides: Sequence[str]) -> type[Recipe]:
    plugins = [override for override in overrides if override.partition("=")[0] == "plugins"]
    return recipe_with(yaml_value(plugins[-1].partition("=")[2], plugins[-1]) if plugins else None)


def _slug(model: str) -> str:
    return re.sub(r"[^\w.-]+", "-", model).strip("-.") or "model"


def _folder_names(models: Sequence[str]) -> list[str]:
    """A name for each model's folder: ``a/b`` and ``a-b`` are both a-b, and then have a digest each."""
    slugs = [_slug(model) for model in models]
    return [
        f"{slug}-{hashlib.sha256(model.encode()).hexdigest()[:8]}" if _alike(slug, slugs) > 1 else slug
        for model, slug in zip(models, slugs, strict=True)
    ]


def _alike(slug: str, slugs: Sequence[str]) -> int:
    """How many are the same folder, also where a file system knows no capitals."""
    return sum(slug.casefold() == one.casefold() for one in slugs)


def _values(name: str, model: str, evals: dict[str, Any]) -> dict[str, Any]:
    return {"name": name, "model": model, "evals": evals, "stages": {STAGE: {"kind": "eval"}}}


def _result(recipe: Recipe, report: str) -> dict[str, Any]:
    state = read_state(recipe.run_folder / STAGE)
    tasks = {}
    for name, names in state["tasks"].items():
        kind = task_of(name, recipe.evals[name])
        tasks[name] = {
            "metrics": {metric: state["metrics"][metric] for metric in names},
            "measures": {metric: state["measures"][metric] for metric in names},
            "settings": recipe.evals[name].model_dump(mode="json"),
            "notes": state.get("notes", {}).get(name, []),
            "source": kind.source if kind else str(recipe.evals[name].path),
            "licence": kind.licence if kind else "",
        }
    return {"model": recipe.model_name, "folder": str(recipe.run_folder), "report": report, "tasks": tasks}


def regrade(run: Path, console: Console, overrides: Sequence[str] = ()) -> dict[str, Any]:
    """Grade the kept answers of every evaluation of a run again, and write its numbers and its report anew.

    Raises InputError where the folder holds no finished evaluation, or other items were answered.
    """
    states = {path.parent.name: read_state(path.parent) for path in sorted(run.glob(f"[!.]*/{STATE}"))}
    found = [name for name, state in states.items() if state.get("done") and state.get("tasks")]
    if not found:
        raise InputError(f"{run}: holds no finished evaluation; give the folder of a run (runs/NAME).")
    if not any(states[name].get("answered") for name in found):
        raise InputError(f"{run}: holds no answers to be graded, only losses; there is nothing to grade again.")
    recipe = load_recipe(run / found[0] / "config.yaml", [*overrides, f"folder={run}"])
    changes: dict[str, Any] = {}
    if recipe.unsafe_local:
        say(console, f"unsafe_local: {UNSAFE}.", style="bold red")
    with claimed(run), unsafe_local(recipe.unsafe_local), speaking_on(console):
        for name in found:
            state = states[name]
            for task in state.get("answered", ()):
                settings = recipe.evals.get(task)
                if settings is None:
                    raise InputError(f"{run / name}: has answers to {task!r}, which its recipe does not name.")
                done = regrade_task(task, settings, run / name / "evals" / f"{task}.jsonl")
                words = changed_words(state["metrics"], done.estimates)
                state["metrics"] |= done.estimates
                state["measures"] |= {metric: one.to_dict() for metric, one in done.metrics.items()}
                state["tasks"][task] = list(done.metrics)
                # Verdicts are given anew; what tools ran while the model answered is as it was.
                played = any(getattr(recipe.evals.get(one), "environment", None) for one in state["answered"])
                state["unsafe_local"] = recipe.unsafe_local or bool(played and state.get("unsafe_local"))
                write_json(run / name / STATE, state)
                told = "; ".join([f"{done.changed:,} verdicts changed", *words])
                say(console, f"{name}: {task}: {told if done.changed or words else 'as it was'}")
                for note in done.notes:
                    say(console, f"{name}: {task}: {note}")
                changes.setdefault(name, {})[task] = {
                    "changed": done.changed, "metrics": done.estimates, "notes": done.notes
                }  # fmt: skip
        finished = {name: states[name] for name in recipe.stages if name in states}
        if set(finished) == set(recipe.stages):
            compute = best_compute(recipe.compute.device, recipe.compute.dtype)
            write_json(run / "summary.json", summarise(recipe, finished, compute))
            say(console, f"report: {write_report(run)}")
    return {"regraded": str(run), "stages": changes}
