"""The numbers of a run, for machines (summary.json) and for people (a table)."""

from __future__ import annotations

import os
import platform
from pathlib import Path
from typing import Any

import torch
from rich.table import Table

from strop import __version__
from strop.evals.results import (
    CODE_METRICS,
    PASS_AT_1,
    ItemResult,
    LossResult,
    code_changes,
    loss_change,
    read_results,
)
from strop.model.precision import Compute
from strop.recipe import CHAT_LOSS, EvalStage, Recipe, SftStage

_PARTS = ("value", "low", "high")


def summarise(recipe: Recipe, done: dict[str, dict[str, Any]], compute: Compute) -> dict[str, Any]:
    """The summary of a finished run; ``done`` is every stage's recorded state. Before and after are the first and
    last evaluation; ``change`` is paired over the same items."""
    folder = recipe.run_folder
    evaluations = [name for name, stage in recipe.stages.items() if isinstance(stage, EvalStage)]
    trainings = [name for name, stage in recipe.stages.items() if isinstance(stage, SftStage)]
    totals = [done[name]["totals"] for name in trainings]
    summary: dict[str, Any] = {
        "name": recipe.name,
        "model": recipe.model,
        "recipe": recipe.name,
        "seed": next((s.train.seed for s in recipe.stages.values() if isinstance(s, SftStage)), None),
        "strop_version": __version__,
        "machine": describe_machine(compute),
        "minutes": {name: state["minutes"] for name, state in done.items()},
        "peak_memory_gb": max(state["peak_memory_gb"] for state in done.values()),
        "stages": {
            "before": evaluations[0] if evaluations else None,
            "after": evaluations[-1] if evaluations else None,
            "training": trainings,
        },
        "notes": [],
    }
    if evaluations:
        summary["before"] = done[evaluations[0]]["metrics"]
        summary["bounds"] = _bounds(summary["before"])
    if len(evaluations) > 1:
        summary["after"] = done[evaluations[-1]]["metrics"]
        summary["change"] = _changes(recipe, folder / evaluations[0], folder / evaluations[-1])
    if totals:
        seconds = sum(t["seconds"] for t in totals)
        summary["tokens_per_second"] = sum(t["tokens"] for t in totals) / seconds
        summary["trained_tokens_per_second"] = sum(t["trained_tokens"] for t in totals) / seconds
        summary["mask"] = done[trainings[-1]]["mask"]
    summary["notes"] = _notes(summary)
    return summary


def _bounds(before: dict[str, Any]) -> dict[str, float]:
    """How much worse the forgetting measures may get: 5 points of HumanEval pass@1, 5 % of the general chat loss."""
    bounds = {}
    if "humaneval_pass@1" in before:
        bounds["humaneval_pass@1"] = 0.05
    if "general_chat_loss" in before:
        bounds["general_chat_loss"] = 0.05 * before["general_chat_loss"]["value"]
    return bounds


def _changes(recipe: Recipe, before: Path, after: Path) -> dict[str, Any]:
    changes: dict[str, Any] = {}
    for name in recipe.evals:
        files = [folder / "evals" / f"{name}.jsonl" for folder in (before, after)]
        if name == CHAT_LOSS:
            changes["general_chat_loss"] = loss_change(*(read_results(f, LossResult) for f in files)).to_dict()
            continue
        prefix = "" if name == "code_basics" else f"{name}_"
        metrics = PASS_AT_1 if name == "humaneval" else CODE_METRICS
        results = [read_results(f, ItemResult) for f in files]
        changes.update({prefix + k: v.to_dict() for k, v in code_changes(*results, metrics).items()})
    return changes


def _notes(summary: dict[str, Any]) -> list[str]:
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


def table(summary: dict[str, Any]) -> Table:
    """Before, after and the paired change, each with its 95 % interval."""
    out = Table(title=None, pad_edge=False)
    for column in ("metric", "before", "after", "change"):
        out.add_column(column, justify="left" if column == "metric" else "right", overflow="fold")
    before, after, change = (summary.get(k, {}) for k in ("before", "after", "change"))
    for name in before:
        loss = name.endswith("loss")
        out.add_row(
            f"{name} (n {before[name]['n']})",
            _interval(before[name], loss),
            _interval(after[name], loss) if name in after else "–",
            _interval(change[name], loss, signed=True) if name in change else "–",
        )
    return out


def _interval(e: dict[str, float], loss: bool, signed: bool = False) -> str:
    form, scale, unit = (".3f", 1, "") if loss else (".1f", 100, " pts" if signed else " %")
    value, low, high = (None if e[k] is None else f"{e[k] * scale:{'+' if signed else ''}{form}}" for k in _PARTS)
    return f"{value}{unit}" if low is None else f"{value}{unit} [{low}, {high}]"
