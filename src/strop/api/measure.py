"""Measuring a model, and comparing two measurements."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from strop.api.given import Handed, override
from strop.api.result import Result, result_of
from strop.api.train import Name, console_of

if TYPE_CHECKING:
    from strop.compare.comparison import Comparison

_SHARED = ("samples", "temperature", "max_tokens", "count", "shots", "style")


def evaluate(model: Name, tasks: Any, *, folder: Name | None = None, quiet: bool = False, **settings: Any) -> Result:
    """Measure a model; the same call goes on where it was.

    ``tasks``: as ``strop eval --tasks`` takes them (``gsm8k:limit=200,arc_easy``), a list of names, settings by name
    (``{"gsm8k": {"count": 200}}``), or classes of your own (`strop.tasks.base.AnswerTask` …) in the place of names.
    ``settings``: for every task that has them (``samples``, ``temperature``, ``max_tokens``, ``count``, ``shots``,
    ``style``), or of the recipe (``compute``, ``chat`` …). Raises InputError for bad input.
    """
    from strop.runs.evaluate import evaluation_recipe
    from strop.runs.pipeline import run_recipe

    handed = Handed(Path(folder) if folder is not None else Path("runs") / "given")
    wanted = handed.tasks(tasks)
    shared = {name: settings.pop(name) for name in _SHARED if name in settings}
    if handed.plugins:
        settings["plugins"] = [*map(str, settings.get("plugins", [])), *handed.plugins]
    overrides = [override(key, value) for key, value in settings.items()]
    recipe = evaluation_recipe(str(model), wanted, shared, overrides, Path(folder) if folder is not None else None)
    return result_of(recipe, run_recipe(recipe, console_of(quiet)))


def compare_runs(
    first: Name | Result,
    *others: Name | Result,
    metrics: Sequence[str] = (),
    gates: Mapping[str, Mapping[str, Any]] | None = None,
    least: float | None = None,
) -> list[Comparison]:
    """Each of ``others`` against ``first``, paired on the same items (folders of runs, stages or evaluations).

    ``gates``: by metric, e.g. ``{"humaneval.pass@1": {"max_drop": 0.05}}``; ``least``: the smallest change that
    matters, in the metric's unit. Raises InputError where they share no task.
    """
    from strop.common.errors import InputError
    from strop.compare.comparison import compare_sides
    from strop.evals.gates import GateSettings
    from strop.report.sides import read_side

    if not others:
        raise InputError("compare_runs needs two evaluations or more.")
    sides = [read_side(one.folder if isinstance(one, Result) else Path(one)) for one in (first, *others)]
    asked = {name: GateSettings.model_validate(gate) for name, gate in (gates or {}).items()}
    return compare_sides(sides[0], sides[1:], metrics, asked, least)
