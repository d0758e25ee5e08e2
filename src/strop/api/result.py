"""What a run came to."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from strop.api.model import Model
    from strop.config.recipe import Recipe


@dataclass(frozen=True)
class Result:
    """``folder``: the run's; ``model``: the folder of the trained model (a Hugging Face folder), None where nothing was
    trained. ``metrics``: what was measured last, by name: rates in [0, 1], losses in nats per token; ``before``: the
    same of the first evaluation where there were two; of a training that has evaluation data also ``STAGE/eval_loss``.
    ``failed_gates``: gates that did not hold. ``summary``: all of ``summary.json``, with intervals.
    """

    folder: Path
    model: Path | None
    metrics: dict[str, float]
    before: dict[str, float] = field(default_factory=dict)
    failed_gates: list[str] = field(default_factory=list)
    report: Path | None = None
    summary: dict[str, Any] = field(default_factory=dict, repr=False)

    def steps(self, stage: str | None = None) -> list[dict[str, Any]]:
        """The rows of ``metrics.jsonl`` of a stage that trains (the last one by default), in order."""
        trainings = self.summary["stages"]["training"]
        path = self.folder / (stage or trainings[-1]) / "metrics.jsonl"
        return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]

    def load(self) -> Model:
        """The trained model, ready to speak. Raises InputError where nothing was trained."""
        from strop.api.model import load

        return load(self.model or self.folder)


def result_of(recipe: Recipe, summary: dict[str, Any]) -> Result:
    """The result of a recipe that was run."""
    trained = [name for name, stage in recipe.stages.items() if stage.trains]
    measured = summary.get("after") or summary.get("measured") or {}
    losses = {f"{name}/eval_loss": one["end"] for name, one in summary["eval_loss"].items()}
    return Result(
        folder=recipe.run_folder,
        model=recipe.run_folder / trained[-1] / "model" if trained else None,
        metrics={**losses, **_values(measured)},
        before=_values(summary.get("before") or {}),
        failed_gates=list(summary["failed_gates"]),
        report=Path(summary["report"]),
        summary=summary,
    )


def _values(estimates: dict[str, Any]) -> dict[str, float]:
    return {name: one["value"] for name, one in estimates.items()}
