"""What was measured of one model: the items of every task, out of a run's, a stage's or an evaluation's folder."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from strop.common.errors import InputError
from strop.report.files import Interval
from strop.report.metrics import describe
from strop.tasks.base import prefix_of
from strop.tasks.metrics import Metric

_PARTIAL = ".partial.jsonl"


class NoEvaluation(InputError):
    """The folder is there, and nothing was measured in it."""


@dataclass(frozen=True)
class Result:
    """One item: its ``values`` by metric, and by what it counts in each where that is not 1 (of a loss, its tokens).

    ``rows`` is what was kept of it: a row for each of its samples.
    """

    name: str
    family: str
    values: dict[str, float]
    weights: dict[str, float]
    rows: list[dict[str, Any]] = field(repr=False)

    @property
    def row(self) -> dict[str, Any]:
        """The first of its rows."""
        return self.rows[0]

    @property
    def prompt(self) -> str:
        return str(self.row.get("prompt", ""))

    def asks_the_same(self, other: Result) -> bool:
        """Whether both ask the same: every turn and option, where both sides kept a digest of them, else the last turn;
        and whether both measure a loss, or neither."""
        if both_have("asked", self, other) and self.row["asked"] != other.row["asked"]:
            return False
        return (self.prompt, "loss" in self.row) == (other.prompt, "loss" in other.row)

    @property
    def answer(self) -> str | None:
        """None of an item that is no answer but a loss."""
        return self.row.get("answer")


def both_have(digest: str, a: Result, b: Result) -> bool:
    """Whether a digest was kept of both; an older strop kept none."""
    return bool(a.row.get(digest) and b.row.get(digest))


@dataclass(frozen=True)
class Side:
    """One model's evaluation. ``title`` as the user named it; ``tasks``: items by name, in the order of the file;
    ``metrics``: of each task, what is measured; ``estimates``: what the stage wrote down of each metric; ``made_from``:
    what it wrote down that it depends on; ``files``: by task."""

    title: str
    folder: Path
    tasks: dict[str, dict[str, Result]]
    metrics: dict[str, dict[str, Metric]]
    made_from: dict[str, Any]
    estimates: dict[str, Interval]
    files: dict[str, Path]
    unsafe_local: bool = False  # programs ran without a sandbox
    so_far: str = ""  # of a run that is not finished: the stage whose evaluation it is


def read_side(place: Path, title: str | None = None) -> Side:
    """The evaluation in ``place``: a folder of ``<task>.jsonl``, a stage's, or a run's (its last evaluation).

    Raises InputError where there is none, or a row is not one of an evaluation.
    """
    folder = _evaluation(place)
    stage = folder.parent / "stage.json"
    state = _object(stage) if stage.is_file() else {}
    measures = {name: Metric(**one) for name, one in state.get("measures", {}).items()}
    files = sorted(path for path in folder.glob("*.jsonl") if not path.name.endswith(_PARTIAL))
    known = list(state.get("tasks", {}))
    files.sort(key=lambda file: known.index(file.stem) if file.stem in known else len(known))
    tasks, metrics = {}, {}
    for file in files:
        name = file.stem
        of_task = state.get("tasks", {}).get(name, [f"{prefix_of(name)}loss"])
        tasks[name] = _results(file, [describe(metric, measures) for metric in of_task])
        found = dict.fromkeys(m for one in tasks[name].values() for m in one.values)
        order = sorted(found, key=lambda metric: of_task.index(metric) if metric in of_task else len(of_task))
        metrics[name] = {metric: describe(metric, measures) for metric in order}
    estimates = {name: Interval.model_validate(one) for name, one in state.get("metrics", {}).items()}
    files_of = {file.stem: file for file in files}
    unsafe = bool(state.get("unsafe_local"))
    is_run = folder.parent.parent == place and not (place / "summary.json").is_file()
    so_far = folder.parent.name if is_run else ""
    made_from = state.get("made_from", {})
    return Side(title or str(place), folder, tasks, metrics, made_from, estimates, files_of, unsafe, so_far)


def _evaluation(place: Path) -> Path:
    """The folder that holds the files of an evaluation."""
    if not place.is_dir():
        raise InputError(
            f"{place}: there is no such folder; give a run's, a stage's, or an evaluation's (with <task>.jsonl)."
        )
    if _has_items(place):
        return place
    if _has_items(place / "evals"):
        return place / "evals"
    summary = place / "summary.json"
    stages = _object(summary).get("stages", {}) if summary.is_file() else {}
    for name in (stages.get("after"), stages.get("measured")):
        if name and _has_items(place / name / "evals"):
            return place / name / "evals"
    with_items = sorted(path.parent.name for path in place.glob("*/evals") if _has_items(path))
    if len(with_items) == 1:
        return place / with_items[0] / "evals"
    if with_items:
        raise InputError(
            f"{place}: holds several evaluations and no summary.json that says which is the last; name one of "
            f"{', '.join(str(place / name) for name in with_items)}."
        )
    raise NoEvaluation(
        f"{place}: holds no evaluation (evals/<task>.jsonl); measure the model with an eval stage first."
    )


def _has_items(folder: Path) -> bool:
    return any(not path.name.endswith(_PARTIAL) for path in folder.glob("*.jsonl"))


def _object(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise InputError(f"{path}: not JSON ({error}); make the evaluation again.") from None
    if not isinstance(found, dict):
        raise InputError(f"{path}: not a JSON object; make the evaluation again.")
    return found


def _results(file: Path, metrics: list[Metric]) -> dict[str, Result]:
    """Items by name; several rows of one name are samples of one item, whose values are averaged."""
    rows = defaultdict(list)
    for place, row in _rows(file):
        rows[row["name"]].append(_result(place, row, metrics))
    return {name: _mean(several) for name, several in rows.items()}


def _rows(file: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    for number, line in enumerate(file.read_bytes().split(b"\n"), start=1):
        if not line.strip():
            continue
        place = f"{file}:{number}"
        try:
            row = json.loads(line)
        except ValueError as error:
            raise InputError(f"{place}: not JSON ({error}); the evaluation was cut off: run it again.") from None
        if not isinstance(row, dict) or not isinstance(row.get("name"), str):
            raise InputError(
                f"{place}: is no item of an evaluation (an object with a name); give an evaluation's folder."
            )
        yield place, row


def _result(place: str, row: dict[str, Any], metrics: list[Metric]) -> Result:
    family = str(row.get("family") or row["name"])
    try:
        if "loss" in row:
            # How much text a loss is of (`per`), in which unit, and whether its exponential is given: a metric says so.
            weights = {m.name: float(row[m.per]) for m in metrics}
            nats = {m.name: float(row["loss"]) / m.nats for m in metrics}
            return Result(row["name"], family, {m: nats[m] / weights[m] for m in nats}, weights, [row])
        values = {str(name): float(value) for name, value in row["values"].items()}
        fields = {m.name: m.weight for m in metrics if m.name in values and m.weight is not None}
        return Result(row["name"], family, values, {m: float(row[field]) for m, field in fields.items()}, [row])
    except (KeyError, TypeError, ValueError, AttributeError, ZeroDivisionError) as error:
        raise InputError(
            f"{place}: has no `values` of metrics, nor a loss and its tokens ({error}); an older strop wrote it, or "
            "another program: evaluate again."
        ) from None


def _mean(samples: list[Result]) -> Result:
    first = samples[0]
    if len(samples) == 1:
        return first
    values, weights = {}, {}
    for metric in first.values:  # what is of the item as a whole stands with its first sample alone
        having = [(one.values[metric], one.weights.get(metric, 1.0)) for one in samples if metric in one.values]
        weights[metric] = sum(weight for _, weight in having) or 1.0
        values[metric] = sum(value * weight for value, weight in having) / weights[metric]
    return Result(
        first.name, first.family, values, {m: weights[m] for m in first.weights}, [one.row for one in samples]
    )
