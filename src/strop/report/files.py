"""The files of a run folder that the report reads, validated once, here.

Only ``summary.json`` must be there. Every other file is a stage's own, and a stage that was not part of the run leaves
no file; its section of the page is then left out. A file that is there but cannot be understood is an ``InputError``:
a page that silently drops half of the evidence is worse than none.
"""

import json
import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import AfterValidator, AliasChoices, BaseModel, ConfigDict, Field, RootModel, ValidationError

from strop.common.errors import InputError
from strop.evals.gates import Gate
from strop.tasks.metrics import Metric

# JSON written by Python may hold NaN and Infinity. Neither is a measurement, so both become "unknown".
Number = Annotated[float | None, AfterValidator(lambda x: x if x is not None and math.isfinite(x) else None)]
Line = TypeVar("Line", bound=BaseModel)
ROLLOUTS = "rollout/groups"  # in metrics.jsonl where a stage trains on what it samples
MEASURED = "seconds/tasks"  # in metrics.jsonl where a training measures tasks


class Interval(BaseModel):
    """A measured number with its 95 % interval, from ``n`` items in ``families`` groups, on which it rests."""

    model_config = ConfigDict(frozen=True, validate_by_name=True)

    value: Number = None
    low: Number = None
    high: Number = None
    n: int | None = None
    families: int | None = Field(None, validation_alias=AliasChoices("families", "groups"))


class Stages(BaseModel):
    """Which stage's folder plays which part; ``measured`` is a single evaluation, ``when`` says where it stands.
    ``evaluations``: all of them in order, with those between the first and the last."""

    before: str | None = "baseline"
    after: str | None = "eval"
    measured: str | None = None
    when: str | None = None
    evaluations: list[str] = Field(default_factory=list)
    training: list[str] = Field(default_factory=lambda: ["sft"])


class EvalLoss(BaseModel):
    """The evaluation loss of one training stage: at its start and end, and the lowest."""

    start: Number = None
    end: Number = None
    best: Number = None
    best_step: int | None = None
    unit: str = "nats per token"


class Summary(BaseModel):
    """``summary.json``. Rates are fractions in [0, 1], losses nats per token; ``change`` is the paired difference.

    A single evaluation is ``measured`` and leaves ``before``, ``after`` and ``change`` empty. ``eval_loss``,
    ``minutes``, ``memory_gb``, ``mask`` and ``facts`` are by stage, and ``measures`` says what the metrics are.

    ``bounds`` holds the worsening that the task allows per metric (a positive number in the metric's own unit);
    metrics without one use the page's default, which the page states. ``gates`` are the recipe's own.
    """

    name: str
    model: str | None = None
    recipe: str | None = None
    seed: int | None = None
    strop_version: str | None = None
    machine: dict[str, Any] = Field(default_factory=dict)
    before: dict[str, Interval] = Field(default_factory=dict)
    after: dict[str, Interval] = Field(default_factory=dict)
    change: dict[str, Interval] = Field(default_factory=dict)
    measured: dict[str, Interval] = Field(default_factory=dict)
    eval_loss: dict[str, EvalLoss] = Field(default_factory=dict)
    measures: dict[str, Metric] = Field(default_factory=dict)
    facts: dict[str, dict[str, Any]] = Field(default_factory=dict)
    bounds: dict[str, Annotated[float, Field(ge=0)]] = Field(default_factory=dict)
    gates: dict[str, Gate] = Field(default_factory=dict)
    failed_gates: list[str] = Field(default_factory=list)
    stages: Stages = Field(default_factory=Stages)
    minutes: dict[str, Number] = Field(default_factory=dict)
    memory_gb: dict[str, Number] = Field(default_factory=dict)
    peak_memory_gb: Number = None
    tokens_per_second: Number = None
    trained_tokens_per_second: Number = None
    warnings: list[str] = Field(default_factory=list)
    notes: list[str] = Field(default_factory=list)
    mask: dict[str, dict[str, Any]] = Field(default_factory=dict)


class LoggedStep(BaseModel):
    """One line of ``metrics.jsonl``: a training step, or an evaluation of the held-out loss (nats per token).

    What else a stage logs is there by its name.
    """

    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, Number]

    step: int
    loss: Number = None
    lr: Number = None
    eval_loss: Number = None

    @property
    def others(self) -> dict[str, float | None]:
        """What else was logged, by its name."""
        return self.model_extra or {}


class ShownExample(BaseModel):
    """One training conversation: (text, weight) per token in order; weight 0 = not trained.

    ``stops``: which of the pieces are the stop tokens that end trained turns, where that is known.
    """

    place: str
    pieces: list[tuple[str, float]]
    stops: list[int] | None = None


class ShownExamples(RootModel[list[ShownExample]]):
    """``examples.json``."""


@dataclass(frozen=True)
class RunFiles:
    """What the page shows of one run folder, by stage.

    ``steps``: of each training; ``examples``: what it was trained on, token by token; ``evaluations``: by what the page
    calls them, the folder of each. ``configs``: the recipe as it was when the stages ran, by the file's name.
    """

    folder: Path
    summary: Summary
    steps: dict[str, list[LoggedStep]] = field(default_factory=dict)
    examples: dict[str, list[ShownExample]] = field(default_factory=dict)
    evaluations: dict[str, Path] = field(default_factory=dict)
    configs: dict[str, str] = field(default_factory=dict)

    @property
    def sampled(self) -> dict[str, list[LoggedStep]]:
        """The steps of the stages that trained on their own rollouts."""
        return {s: steps for s, steps in self.steps.items() if any(ROLLOUTS in one.others for one in steps)}

    @property
    def measured(self) -> dict[str, list[LoggedStep]]:
        """The steps at which a training measured tasks, by stage."""
        found = {s: [one for one in steps if MEASURED in one.others] for s, steps in self.steps.items()}
        return {stage: steps for stage, steps in found.items() if steps}


def read_run(folder: Path) -> RunFiles:
    """Read a run folder.

    Raises:
        InputError: ``summary.json`` is missing, or a file is there that is not what its name promises.
    """
    summary = folder / "summary.json"
    if not folder.is_dir():
        raise InputError(
            f"{folder}: there is no such folder; give the folder of a finished run, e.g. runs/code_basics."
        )
    if not summary.is_file():
        raise InputError(
            f"{summary} is missing, and the report is made from it: `strop run RECIPE.yaml` (or `strop demo`) writes "
            "it; give the folder of a finished run."
        )
    return run_files(
        folder, _parse(summary.read_bytes(), Summary, str(summary), "make it again with `strop run RECIPE.yaml`")
    )


def run_files(folder: Path, parsed: Summary) -> RunFiles:
    """What the summary names, out of the run's folder; of a run at work what is there by now."""
    stages = parsed.stages
    parts = {stages.before: "before", stages.after: "after", stages.measured: "measured"}
    evaluations = dict.fromkeys([*stages.evaluations, *parts])
    training = [stage for stage in stages.training if (folder / stage).is_dir()]
    return RunFiles(
        folder=folder,
        summary=parsed,
        steps={
            stage: read_rows(path, LoggedStep)
            for stage in training
            if (path := folder / stage / "metrics.jsonl").is_file()
        },
        examples={
            stage: _parse(path.read_bytes(), ShownExamples, str(path)).root
            for stage in training
            if (path := folder / stage / "examples.json").is_file()
        },
        evaluations={
            parts.get(stage, stage): folder / stage
            for stage in evaluations
            if stage and any((folder / stage / "evals").glob("*.jsonl"))
        },
        configs=_configs(folder, dict.fromkeys([*parsed.minutes, *training])),
    )


def runs_among(folders: Iterable[Path]) -> dict[str, RunFiles]:
    """Those of the folders that are runs, by their names as given. Raises InputError as `read_run` does."""
    return {str(folder): read_run(folder) for folder in folders if (folder / "summary.json").is_file()}


def _configs(folder: Path, stages: Iterable[str]) -> dict[str, str]:
    """The recipe of each stage, once where several had the same one: the file of the last of them."""
    texts = {
        f"{stage}/config.yaml": path.read_text(encoding="utf-8", errors="replace")
        for stage in stages
        if (path := folder / stage / "config.yaml").is_file()
    }
    last = {text: name for name, text in texts.items()}
    return {name: text for text, name in last.items()}


def read_rows(path: Path, model: type[Line]) -> list[Line]:
    """One ``model`` per non-empty line of a JSON-lines file.

    A last line that has no newline and is no JSON was cut by a kill in the middle of writing it; it is skipped.
    """
    *lines, last = path.read_bytes().split(b"\n")
    try:
        json.loads(last)
        lines.append(last)
    except ValueError:
        pass
    return [_parse(line, model, f"{path}:{number}") for number, line in enumerate(lines, start=1) if line.strip()]


def _parse(data: bytes, model: type[Line], place: str, mend: str = "mend the line or delete the file") -> Line:
    try:
        return model.model_validate(json.loads(data))
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "the value"
        raise InputError(f"{place}: {where}: {first['msg']}; {mend}.") from error
    except ValueError as error:  # not JSON, or not UTF-8
        raise InputError(f"{place} is not JSON ({error}); {mend}.") from error
