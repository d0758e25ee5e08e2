"""Measure one model on tasks, one after the other: results on disk, progress and a line for each on the console."""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass, field
from functools import partial as bound
from pathlib import Path
from typing import Any

from rich.console import Console

from strop.chat import ChatEncoder
from strop.common.console import Steady, say
from strop.evals.intervals import Estimate
from strop.evals.losses import held_out, run_loss_task, yardstick
from strop.evals.partial import Partial, key_of
from strop.evals.results import FAULT, answer_estimates, loss_estimate, valued, write_results
from strop.evals.run import generate_answers, judge_answers, prompts_of
from strop.model.policy import Policy
from strop.model.window import window
from strop.rollout.engine import Engine, SamplingParams
from strop.tasks import open_task
from strop.tasks.base import AnswerTask, LossTask, TaskSettings
from strop.tasks.metrics import FAILED, Metric

MICRO_BATCH_TOKENS = 2048
Measured = tuple[dict[str, Estimate], dict[str, Metric]]
"""Estimates by name, and what each is."""


@dataclass
class Measurement:
    """What a model is measured with, and what came out.

    ``model``: the folder that it was loaded from; ``folder``: where the results go, one ``<task>.jsonl`` each, and what
    is done of a task as long as not all are. ``metrics``: estimates by name, as JSON holds them; ``tasks``: the names
    of each task's metrics; ``answered``: the tasks of which answers are kept; ``measures``: what each metric is.
    """

    model: Path
    policy: Policy
    tokenizer: Any
    encoder: ChatEncoder
    engine: Engine
    folder: Path
    console: Console
    metrics: dict[str, Any] = field(default_factory=dict)
    tasks: dict[str, list[str]] = field(default_factory=dict)
    answered: list[str] = field(default_factory=list)
    measures: dict[str, Any] = field(default_factory=dict)

    def run(self, evals: Mapping[str, TaskSettings]) -> dict[str, Any]:
        """Measure all; returns ``metrics``, ``tasks``, ``answered`` and ``measures`` by these names.

        Whatever stops it in between (KeyboardInterrupt, a kill), the same call goes on where it was.
        """
        for name, settings in evals.items():
            self._measure(name, settings)
        for name in evals:
            self._partial_file(name).unlink(missing_ok=True)
        return {name: getattr(self, name) for name in ("metrics", "tasks", "answered", "measures")}

    def _measure(self, name: str, settings: TaskSettings) -> None:
        started = time.perf_counter()
        task = open_task(name, settings)
        measured, metrics = self._answers(task) if isinstance(task, AnswerTask) else self._loss(task)
        self.metrics.update({metric: e.to_dict() for metric, e in measured.items()})
        self.measures.update({metric: one.to_dict() for metric, one in metrics.items()})
        self.tasks[name] = list(metrics)
        shown = [f"{metric} {e.value:.3f}" for metric, e in measured.items() if metrics[metric].group != FAILED]
        items = next(iter(measured.values())).n
        say(self.console, f"{name}: {items:,} items in {time.perf_counter() - started:.0f} s: {', '.join(shown)}")

    def _loss(self, task: LossTask) -> Measured:
        name, metrics = task.name, task.measures()
        chat = yardstick(self.encoder.settings, window(self.policy.model.config))
        found = held_out(task.rows(), ChatEncoder(self.tokenizer, chat, self.encoder.stop_ids), name)
        for note in found.notes():
            say(self.console, f"{name}: {note}")
        with self._partial(name, [(e.tokens, e.loss_weights) for e in found.examples]) as partial:
            done = self._going_on(name, partial, "loss", len(found.examples), "conversations")
            with Steady(self.console, f"{name}: conversations", len(found.examples), done=done) as work:
                results = run_loss_task(found.examples, self.policy, MICRO_BATCH_TOKENS, partial, work.advance)
        write_results(self.folder / f"{name}.jsonl", results)
        return dict.fromkeys(metrics, loss_estimate(results)), metrics

    def _answers(self, task: AnswerTask) -> Measured:
        name, settings = task.name, task.settings
        prompts = prompts_of(task, self.encoder)
        data = [(item.name, item.family, item.source, repr(item.data)) for item in task.all_items]
        # transformers would otherwise tidy the spaces of what some older tokenizers decode.
        decode = bound(self.tokenizer.decode, clean_up_tokenization_spaces=False)
        with self._partial(name, prompts, data, settings.max_tokens) as partial:
            params = SamplingParams(max_tokens=settings.max_tokens)
            done = self._going_on(name, partial, "answer", len(prompts), "answers")
            with Steady(self.console, f"{name}: answers", len(prompts), done=done) as work:
                rollouts = generate_answers(prompts, self.engine, params, partial, work.advance)
            holds = f"the model's window holds {self.engine.window:,}"
            too_long = {
                i: f"the prompt has {len(prompt):,} tokens and {holds}"
                for i, prompt in enumerate(prompts)
                if i not in rollouts
            }
            with Steady(self.console, f"{name}: judged", len(prompts), done=partial.count("judgement")) as work:
                results = judge_answers(task, rollouts, decode, self.engine.stop_ids, too_long, partial, work.advance)
        if too_long:
            say(
                self.console,
                f"{name}: {len(too_long):,} of {len(results):,} prompts fill the model's window of "
                f"{self.engine.window:,} tokens; they got no answer and count as not solved",
            )
        if faults := [result for result in results if result.verdict == FAULT]:
            say(
                self.console,
                f"{name}: {len(faults):,} of {len(results):,} answers could not be judged ({faults[0].detail}); "
                "they count as not solved",
            )
        results, metrics = valued(results, task.measures())
        write_results(self.folder / f"{name}.jsonl", results)
        self.answered.append(name)
        return answer_estimates(results, metrics), metrics

    def _partial(self, name: str, *depends_on: Any) -> closing[Partial]:
        return closing(Partial(self._partial_file(name), key_of(self.model, str(self.policy.compute), *depends_on)))

    def _partial_file(self, name: str) -> Path:
        return self.folder / f"{name}.partial.jsonl"

    def _going_on(self, name: str, partial: Partial, kind: str, total: int, what: str) -> int:
        if done := partial.count(kind):
            say(
                self.console,
                f"{name}: going on; {done:,} of {total:,} {what} are there from before (the rest is as it would have "
                "been but for rounding, which depends on what is computed together)",
            )
        return done
