"""The numbers of a run, for machines (summary.json) and for people (a table and what it says)."""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.table import Table
from rich.text import Text

from strop import __version__
from strop.evals.results import METRICS, ItemResult, LossResult, code_changes, loss_change, read_results
from strop.evals.settings import CHAT_LOSS
from strop.model.precision import Compute
from strop.recipe import EvalStage, Recipe, SftStage
from strop.report.files import Summary
from strop.report.verdict import sentences

_PARTS = ("value", "low", "high")


def summarise(recipe: Recipe, done: dict[str, dict[str, Any]], compute: Compute) -> dict[str, Any]:
    """The summary of a finished run; ``done`` is every stage's recorded state.

    Of several evaluations the first is ``before`` and the last ``after``, and ``change`` is paired over the same items;
    a single one is ``measured``.
    """
    evaluations = [name for name, stage in recipe.stages.items() if isinstance(stage, EvalStage)]
    trainings = [name for name, stage in recipe.stages.items() if isinstance(stage, SftStage)]
    totals = {name: done[name]["totals"] for name in trainings}
    memory = {name: gb for name, state in done.items() if (gb := state.get("peak_memory_gb")) is not None}
    summary: dict[str, Any] = {
        "name": recipe.name,
        "model": recipe.model,
        "recipe": recipe.name,
        "seed": next((s.train.seed for s in recipe.stages.values() if isinstance(s, SftStage)), None),
        "strop_version": __version__,
        "machine": describe_machine(compute),
        "minutes": {name: state["minutes"] for name, state in done.items()},
        "memory_gb": memory,
        "peak_memory_gb": max(memory.values(), default=None),
        "stages": {"before": None, "after": None, "measured": None, "when": None, "training": trainings},
        "eval_loss": {name: part["eval_loss"] for name, part in totals.items() if part.get("eval_loss")},
        "warnings": [f"{name}: {text}" for name, state in done.items() for text in state.get("warnings", ())],
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
        summary["change"] = _changes(recipe, done[last]["tasks"], [recipe.run_folder / name for name in (first, last)])
        summary["bounds"] = _bounds(summary["before"])
    if evaluations:
        summary["answered"] = list(done[evaluations[-1]]["tasks"])
    if totals:
        seconds = sum(t["seconds"] for t in totals.values())
        summary["tokens_per_second"] = sum(t["tokens"] for t in totals.values()) / seconds
        summary["trained_tokens_per_second"] = sum(t["trained_tokens"] for t in totals.values()) / seconds
        summary["mask"] = done[trainings[-1]]["mask"]
    summary["notes"] = _notes(summary, evaluations[1:-1])
    return summary


def _when(stages: list[str], evaluation: str, trainings: list[str]) -> str | None:
    """Where a single evaluation stands; None where nothing is trained."""
    at = stages.index(evaluation)
    sides = {"after" if stages.index(name) < at else "before" for name in trainings}
    if len(sides) == 2:
        return "between the trainings"
    return f"{sides.pop()} training" if sides else None


def _bounds(before: dict[str, Any]) -> dict[str, float]:
    """How much worse the forgetting measures may get: 5 points of HumanEval pass@1, 5 % of the general chat loss."""
    bounds = {}
    if "humaneval_pass@1" in before:
        bounds["humaneval_pass@1"] = 0.05
    if "general_chat_loss" in before:
        bounds["general_chat_loss"] = 0.05 * before["general_chat_loss"]["value"]
    return bounds


def _changes(recipe: Recipe, tasks: Mapping[str, dict[str, Any]], folders: list[Path]) -> dict[str, Any]:
    """Paired changes of all metrics; ``tasks`` says what each task's answers were measured by."""
    changes: dict[str, Any] = {}
    for name in recipe.evals:
        files = [folder / "evals" / f"{name}.jsonl" for folder in folders]
        if name == CHAT_LOSS:
            changes["general_chat_loss"] = loss_change(*(read_results(f, LossResult) for f in files)).to_dict()
            continue
        metrics = {metric: METRICS[metric] for metric in tasks[name]["metrics"]}
        results = [read_results(f, ItemResult) for f in files]
        changes.update({tasks[name]["prefix"] + k: v.to_dict() for k, v in code_changes(*results, metrics).items()})
    return changes


def _notes(summary: dict[str, Any], between: list[str]) -> list[str]:
    """Sentences that keep a reader from reading too much into a number."""
    notes = []
    if human := summary.get("before", {}).get("humaneval_pass@1"):
        percent = 100 * human["value"]
        solved = round(human["value"] * human["n"])
        notes.append(
            f"HumanEval before: {solved} of {human['n']} ({percent:.1f} %). "
            + (
                "A fall of 5 points was possible, so its absence says something."
                if percent >= 5
                else f"A fall of 5 points was not possible from there (at most {percent:.1f}), so this measure cannot "
                "show forgetting of that size; the general chat loss can."
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
        "torch": torch.__version__,
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
    for column in ("metric", *parts):
        out.add_column(column, justify="left" if column == "metric" else "right", overflow="fold")
    for name, one in summary[parts[0]].items():
        cells = [
            _interval(summary[part][name], name.endswith("loss"), signed=part == "change")
            if name in summary.get(part, {})
            else "–"
            for part in parts
        ]
        out.add_row(*(Text(cell) for cell in (f"{name} (n {one['n']})", *cells)))
    return out


def _interval(e: dict[str, float], loss: bool, signed: bool = False) -> str:
    form, scale, unit = (".3f", 1, "") if loss else (".1f", 100, " pts" if signed else " %")
    value, low, high = (None if e[k] is None else f"{e[k] * scale:{'+' if signed else ''}{form}}" for k in _PARTS)
    return f"{value}{unit}" + (" [unknown]" if low is None else f" [{low}, {high}]")
