"""The files of a run folder that the report reads, validated once, here.

Only ``summary.json`` must be there. Every other file is a stage's own, and a stage that was not part of the run leaves
no file; its section of the page is then left out. A file that is there but cannot be understood is an ``InputError``:
a page that silently drops half of the evidence is worse than none.
"""

import json
import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import AfterValidator, AliasChoices, BaseModel, ConfigDict, Field, ValidationError

from strop.common.errors import InputError
from strop.evals.gates import Gate
from strop.tasks.base import TASKS
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
    """Which stage's folder plays which part; ``measured`` is a single evaluation, ``when`` says where it stands."""

    before: str | None = "baseline"
    after: str | None = "eval"
    measured: str | None = None
    when: str | None = None
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
    ``minutes``, ``memory_gb`` and ``facts`` are by stage; ``answered`` names the tasks whose answers are kept, and
    ``measures`` says what the metrics are.

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
    answered: list[str] = Field(default_factory=lambda: [*TASKS])
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
    mask: dict[str, Any] = Field(default_factory=dict)


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


class GradedAnswer(BaseModel):
    """One graded answer of an evaluation; ``passed`` of its ``total`` tests passed."""

    name: str
    prompt: str
    answer: str
    verdict: str
    family: str | None = None
    passed: int | None = None
    total: int | None = None
    detail: str | None = None
    stderr_tail: str | None = None
    finish_reason: str | None = None
    tokens: int | None = None


class ShownExample(BaseModel):
    """One training conversation: (text, weight) per token in order; weight 0 = not trained.

    ``stops``: which of the pieces are the stop tokens that end trained turns, where that is known.
    """

    place: str
    pieces: list[tuple[str, float]]
    stops: list[int] | None = None


@dataclass(frozen=True)
class RunFiles:
    """What the page shows of one run folder; ``items`` is keyed by ("before" or "after", task).

    ``steps``, ``example``: of the last training on given conversations; ``sampled``: the steps of each that trained on
    rollouts, by stage; ``measured``: the steps at which a training measured tasks, by stage.
    """

    folder: Path
    summary: Summary
    steps: list[LoggedStep] = field(default_factory=list)
    sampled: dict[str, list[LoggedStep]] = field(default_factory=dict)
    measured: dict[str, list[LoggedStep]] = field(default_factory=dict)
    items: dict[tuple[str, str], list[GradedAnswer]] = field(default_factory=dict)
    example: ShownExample | None = None
    configs: dict[str, str] = field(default_factory=dict)


def read_run(folder: Path) -> RunFiles:
    """Read a run folder.

    Raises:
        InputError: ``summary.json`` is missing, or a file is there that is not what its name promises.
    """
    summary = folder / "summary.json"
    if not summary.is_file():
        raise InputError(
            f"{summary} is missing, and the report is made from it: `strop run RECIPE.yaml` (or `strop demo`) writes "
            "it; give the folder of a finished run."
        )
    parsed = _parse(summary.read_bytes(), Summary, str(summary), "make it again with `strop run RECIPE.yaml`")
    parts = {"before": parsed.stages.before, "after": parsed.stages.after}
    items = {
        (part, task): read_rows(path, GradedAnswer)
        for part, stage in parts.items()
        for task in parsed.answered
        if stage and (path := folder / stage / "evals" / f"{task}.jsonl").is_file()
    }
    logged = {
        stage: read_rows(path, LoggedStep)
        for stage in parsed.stages.training
        if (path := folder / stage / "metrics.jsonl").is_file()
    }
    sampled = {stage: steps for stage, steps in logged.items() if any(ROLLOUTS in one.model_extra for one in steps)}
    given = [stage for stage in parsed.stages.training if stage not in sampled]
    shown = (given or ["sft"])[-1]  # of several trainings on conversations the page shows the last one
    configs = {
        f"{stage}/config.yaml": path.read_text(encoding="utf-8", errors="replace")
        for stage in parsed.stages.training
        if (stage == shown or stage in sampled) and (path := folder / stage / "config.yaml").is_file()
    }
    example = folder / shown / "example.json"
    return RunFiles(
        folder=folder,
        summary=parsed,
        steps=logged.get(shown, []),
        sampled=sampled,
        measured={
            stage: at for stage, steps in logged.items() if (at := [s for s in steps if MEASURED in s.model_extra])
        },
        items=items,
        example=_parse(example.read_bytes(), ShownExample, str(example)) if example.is_file() else None,
        configs=configs,
    )


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
