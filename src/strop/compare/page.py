"""Several evaluations as one HTML page that needs no network: side by side, each against the first, and every item; of
runs also their curves, settings and commands."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from strop import __version__
from strop.common.errors import InputError
from strop.common.flat import flat
from strop.common.visible import one_line
from strop.compare.comparison import Comparison
from strop.compare.show import METHOD, cells
from strop.report import items, metrics
from strop.report.curves import RUN_LOOKS, curves_of_runs
from strop.report.files import Interval, RunFiles, Summary
from strop.report.page import HERE as OF_A_RUN
from strop.report.page import machine, replay
from strop.report.sides import Side
from strop.web import render as web_page

HERE = Path(__file__).parent
MOST_RUNS = len(RUN_LOOKS)
_TEXT = 60  # characters of a setting


def render(
    sides: Sequence[Side],
    comparisons: Sequence[Comparison],
    runs: Mapping[str, RunFiles] | None = None,
    unmatched: Sequence[str] = (),
    most_bytes: int = items.MOST_BYTES,
) -> str:
    """The page. ``runs``: those of the sides that are runs, by the side's title; ``unmatched``: why sides could not be
    compared; at most ``most_bytes`` of items are on it."""
    runs = runs or {}
    evaluated = items.Items(sides, most_bytes)
    titles = [one_line(side.title) for side in sides]
    return web_page(
        [HERE, OF_A_RUN],
        "page.html",
        styles=["browser.css", "report.css", "compare.css"],
        scripts=["browser.js", "items.js"],
        filters={"count": metrics.count_text},
        title=f"{titles[0]} and {', '.join(titles[1:])}",
        sides=titles,
        unmatched=unmatched,
        table=beside(sides),
        comparisons=[_shown(one) for one in comparisons],
        method=METHOD,
        items=evaluated,
        bars=evaluated.verdicts(),
        curves=_curves(runs),
        differences=differences(runs),
        facts=_facts([run.summary for run in runs.values()]),
        runs=[{"name": title, "replay": replay(run), "configs": run.configs} for title, run in runs.items()],
        version=__version__,
        again=shlex.join(["strop", "report", *(side.title for side in sides)]),
    )


def beside(sides: Sequence[Side]) -> list[dict[str, Any]]:
    """Every metric with what each side wrote down of it: ``name``, ``about``, ``better`` and the ``cells`` (value,
    interval, what it rests on)."""
    measures = {name: metric for side in sides for of_task in side.metrics.values() for name, metric in of_task.items()}
    names = metrics.in_order({name for side in sides for name in side.estimates}, measures)
    rows = []
    for name in names:
        metric = metrics.describe(name, measures)
        found = [side.estimates.get(name, Interval()) for side in sides]
        texts = [
            (
                metrics.value_text(one.value, metric.unit),
                metrics.interval_text(one, metric.unit),
                " in ".join(metrics.sample_texts(one)),
            )
            for one in found
        ]
        rows.append({"name": name, "about": metric.about, "better": metric.better, "cells": texts})
    return rows


def differences(runs: Mapping[str, RunFiles]) -> list[tuple[str, list[str]]]:
    """(setting, its value in each run) of what the runs' recipes say differently; their names and folders aside."""
    if len(runs) < 2:
        return []
    recipes = [flat(_recipe(run)) for run in runs.values()]
    names = dict.fromkeys(name for recipe in recipes for name in recipe if name not in ("name", "folder"))
    return [
        (name, [_setting(recipe.get(name)) for recipe in recipes])
        for name in names
        if any(recipe.get(name) != recipes[0].get(name) for recipe in recipes)
    ]


def _recipe(run: RunFiles) -> Any:
    """That of the last stage. Raises InputError where the file is damaged."""
    for name, text in [*run.configs.items()][-1:]:
        try:
            return yaml.safe_load(text)
        except yaml.YAMLError as error:
            place = f"{run.folder / name} is not YAML ({getattr(error, 'problem', error)})"
            raise InputError(f"{place}; get it from the run again, or delete it.") from error
    return {}


def _facts(summaries: Sequence[Summary]) -> list[tuple[str, list[str]]]:
    """(what, of each run): the model, what it ran on and how fast."""
    found = [{"model": one.model, "seed": str(one.seed), **dict(machine(one))} for one in summaries]
    names = dict.fromkeys(name for one in found for name in one)
    return [(name, [one.get(name) or metrics.UNKNOWN for one in found]) for name in names]


def _setting(value: Any) -> str:
    text = metrics.UNKNOWN if value is None else value if isinstance(value, str) else json.dumps(value)
    return text if len(text) <= _TEXT else text[: _TEXT - 1] + "…"


def _curves(runs: Mapping[str, RunFiles]) -> list[tuple[str, list[dict[str, Any]]]]:
    """Of every training stage, by its name, the curves of the runs that have it."""
    stages = dict.fromkeys(stage for run in runs.values() for stage in run.steps)
    return [
        (stage, curves_of_runs(f"curves-{number}", {title: run.steps.get(stage, []) for title, run in runs.items()}))
        for number, stage in enumerate(stages)
    ]


def _shown(one: Comparison) -> dict[str, Any]:
    """What the page says of a comparison."""
    return {
        "first": one.first.title,
        "second": one.second.title,
        "verdicts": [*one.gate_verdicts(), *(row.verdict for row in one.tested)],
        "rows": [(cells(row), row.finding if row.p is not None else "described", row.metric.about) for row in one.rows],
        "notes": one.notes,
    }
