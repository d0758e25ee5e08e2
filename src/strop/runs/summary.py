"""The numbers of a run, for machines (summary.json) and for people (a table and what it says)."""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.table import Table
from rich.text import Text

from strop import __version__
from strop.common.errors import InputError
from strop.config.recipe import Recipe
from strop.evals.gates import Gate, judge_gate, metric_named
from strop.evals.results import changes_between
from strop.model.precision import Compute
from strop.report.files import Interval, Summary
from strop.report.metrics import describe
from strop.report.verdict import sentences
from strop.tasks.metrics import Metric

UNSAFE = "programs in answers run on this machine without a sandbox, with all that the user may do"
_PARTS = ("value", "low", "high")


def summarise(recipe: Recipe, done: dict[str, dict[str, Any]], compute: Compute) -> dict[str, Any]:
    """The summary of a finished run; ``done`` is every stage's recorded state.

    Of several evaluations the first is ``before`` and the last ``after``, and ``change`` is paired over the same items;
    a single one is ``measured``.
    """
    evaluations = [name for name in recipe.stages if done[name].get("metrics")]
    trainings = [name for name, stage in recipe.stages.items() if stage.trains]
    totals = {name: done[name]["totals"] for name in trainings if "totals" in done[name]}
    memory = {name: gb for name, state in done.items() if (gb := state.get("peak_memory_gb")) is not None}
    summary: dict[str, Any] = {
        "name": recipe.name,
        "model": recipe.model_name,
        "recipe": recipe.name,
        "seed": next((s.seed for s in recipe.stages.values() if s.seed is not None), None),
        "strop_version": __version__,
        "machine": describe_machine(compute),
        "minutes": {name: state["minutes"] for name, state in done.items()},
        "memory_gb": memory,
        "peak_memory_gb": max(memory.values(), default=None),
        "stages": {
            "before": None,
            "after": None,
            "measured": None,
            "when": None,
            "training": trainings,
            "evaluations": evaluations,
        },
        "eval_loss": {name: part["eval_loss"] for name, part in totals.items() if part.get("eval_loss")},
        "facts": {name: state["facts"] for name, state in done.items() if state.get("facts")},
        "warnings": [
            *(f"{name}: unsafe_local: {UNSAFE}." for name, state in done.items() if state.get("unsafe_local")),
            *(f"{name}: {text}" for name, state in done.items() for text in state.get("warnings", ())),
        ],
        "notes": [],
    }
    if len(evaluations) == 1:
        [name] = evaluations
        summary["stages"] |= {"measured": name, "when": _when(list(recipe.stages), name, trainings)}
        summary["measured"] = done[name]["metrics"]
    elif evaluations:
        first, last = evaluations[0], evaluations[-1]
        summary["stages"] |= {"before": first, "after": last}
        summary["before"], summary["after"] = done[first]["metrics"], done[last]["metrics"]
        measures = {name: Metric(**one) for e in (first, last) for name, one in done[e]["measures"].items()}
        folders = [recipe.run_folder / name for name in (first, last)]
        summary["change"] = _changes(done[first]["tasks"], done[last]["tasks"], measures, folders)
        allowed = {name: measures[name].allowed(one["value"]) for name, one in summary["before"].items()}
        summary["bounds"] = {name: bound for name, bound in allowed.items() if bound is not None}
    gates = _gates(recipe, done, evaluations, summary)
    summary["gates"] = {name: asdict(gate) for name, gate in gates.items()}
    summary["failed_gates"] = [name for name, gate in gates.items() if gate.failed]
    if evaluations:
        summary["answered"] = done[evaluations[-1]].get("answered", [])
    # Of trainings too, which may measure other tasks than the evaluations.
    if measures := {name: one for state in done.values() for name, one in state.get("measures", {}).items()}:
        summary["measures"] = measures
    if totals:
        seconds = sum(t["seconds"] for t in totals.values())
        summary["tokens_per_second"] = sum(t["tokens"] for t in totals.values()) / seconds
        summary["trained_tokens_per_second"] = sum(t["trained_tokens"] for t in totals.values()) / seconds
    summary["mask"] = {name: mask for name, state in done.items() if (mask := state.get("mask"))}
    summary["notes"] = [*_task_notes(done, evaluations), *_notes(summary, evaluations[1:-1])]
    return summary


def _task_notes(done: dict[str, dict[str, Any]], evaluations: list[str]) -> list[str]:
    """What there is to know about the numbers of each task, once for all evaluations that say the same."""
    said = [
        f"{task}: {text}"
        for name in evaluations
        for task, texts in done[name].get("notes", {}).items()
        for text in texts
    ]
    return [f"{text}." for text in dict.fromkeys(said)]


def _when(stages: list[str], evaluation: str, trainings: list[str]) -> str | None:
    """Where a single evaluation stands; None where nothing is trained."""
    at = stages.index(evaluation)
    sides = {"after" if stages.index(name) < at else "before" for name in trainings}
    if len(sides) == 2:
        return "between the trainings"
    return f"{sides.pop()} training" if sides else None


def _changes(
    before: Mapping[str, list[str]], after: Mapping[str, list[str]], measures: Mapping[str, Metric], folders: list[Path]
) -> dict[str, Any]:
    """Paired changes of the metrics of every task that both evaluations measured."""
    changes: dict[str, Any] = {}
    for task in (task for task in before if task in after):
        metrics = {name: measures[name] for name in before[task] if name in after[task]}
        first, last = (folder / "evals" / f"{task}.jsonl" for folder in folders)
        changes |= {name: change.to_dict() for name, change in changes_between(first, last, metrics).items()}
    return changes


def _gates(
    recipe: Recipe, done: Mapping[str, Mapping[str, Any]], evaluations: list[str], summary: Mapping[str, Any]
) -> dict[str, Gate]:
    """What became of the recipe's gates, by metric."""
    tasks = {task: names for e in evaluations for task, names in done[e]["tasks"].items()}
    before, changes = summary.get("before", {}), summary.get("change", {})
    found = {}
    for given, gate in recipe.gates.items():
        try:
            name = metric_named(given, tasks)
        except InputError:  # a part by source of which there was no item; not measured, it fails
            name = given
        change = Interval.model_validate(changes[name]) if name in changes else None
        found[name] = judge_gate(gate, before.get(name, {}).get("value"), change)
    return found


def _notes(summary: dict[str, Any], between: list[str]) -> list[str]:
    """Sentences that keep a reader from reading too much into a number."""
    notes = []
    for name, bound in summary.get("bounds", {}).items():
        one = summary["before"][name]
        if summary["measures"][name]["unit"] != "rate":
            continue
        fall, percent = f"A fall of {100 * bound:g} points", 100 * one["value"]
        notes.append(
            f"{name} before: {round(one['value'] * one['n'])} of {one['n']} ({percent:.1f} %). "
            + (
                f"{fall} was possible, so its absence says something."
                if one["value"] >= bound
                else f"{fall} was not possible from there (at most {percent:.1f}), so this measure cannot show "
                "forgetting of that size; another one must (general_chat_loss can)."
            )
        )
    if between:
        notes.append(
            f"Measured between the first and the last evaluation as well, and not shown: {', '.join(between)} (the "
            "numbers are in stage.json of each)."
        )
    return notes


def describe_machine(compute: Compute) -> dict[str, Any]:
    """What the numbers were measured on."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9
    name = torch.cuda.get_device_name(compute.device) if compute.device.type == "cuda" else ""
    features = torch.cpu.get_capabilities()
    return {
        "cpu": str(features.get("cpu_name") or platform.processor() or platform.machine()),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "memory_gb": memory,
        "python": platform.python_version(),
        **{name: version(name) for name in ("torch", "transformers")},
        "device": name or str(compute.device),
        "precision": str(compute.dtype).removeprefix("torch."),
    }


def show(summary: dict[str, Any], console: Console) -> None:
    """The table, where something was measured, and in words what the page says too."""
    if "before" in summary or "measured" in summary:
        console.print(table(summary), markup=False)
    for sentence in sentences(Summary.model_validate(summary)):
        console.print(sentence, markup=False, highlight=False, soft_wrap=not console.is_terminal)


def table(summary: dict[str, Any]) -> Table:
    """Before, after and the paired change, or what was measured once, each with its 95 % interval."""
    out = Table(title=None, pad_edge=False)
    parts = ("measured",) if "measured" in summary else ("before", "after", "change")
    measures = {name: Metric(**one) for name, one in summary.get("measures", {}).items()}
    for column in ("metric", *parts):
        out.add_column(column, justify="left" if column == "metric" else "right", overflow="fold")
    for name, one in summary[parts[0]].items():
        cells = [
            _interval(summary[part][name], describe(name, measures).unit, signed=part == "change")
            if name in summary.get(part, {})
            else "–"
            for part in parts
        ]
        out.add_row(*(Text(cell) for cell in (f"{name} (n {one['n']})", *cells)))
    return out


def _interval(e: dict[str, float], unit: str, signed: bool = False) -> str:
    form, scale, mark = (".1f", 100, " pts" if signed else " %") if unit == "rate" else (".3f", 1, "")
    value, low, high = (None if e[k] is None else f"{e[k] * scale:{'+' if signed else ''}{form}}" for k in _PARTS)
    return f"{value}{mark}" + (" [unknown]" if low is None else f" [{low}, {high}]")
