"""Measure one model on tasks, one after the other: results on disk, progress and a line for each on the console."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import closing
from copy import deepcopy
from dataclasses import dataclass, field
from functools import partial as bound
from pathlib import Path
from typing import Any

from rich.console import Console

from strop.chat import ChatEncoder
from strop.common.console import Steady, say
from strop.common.stable import Unstable
from strop.evals.choices import encode_questions, notes_of, score_questions
from strop.evals.intervals import Estimate
from strop.evals.losses import held_out, run_loss_task, yardstick
from strop.evals.notes import answer_notes, item_notes
from strop.evals.partial import Partial, key_of
from strop.evals.played import play_answers, turn_notes
from strop.evals.prompts import prompts_of
from strop.evals.results import ItemResult, answer_estimates, loss_estimate, valued, write_results
from strop.evals.run import answered, generate_answers, judge_answers, judged
from strop.evals.texts import encode_documents, measure_documents
from strop.model.policy import Policy
from strop.model.window import window
from strop.rewards.reasoning import opened_by
from strop.rollout.engine import SamplingParams, Scorer
from strop.sandbox import is_unsafe
from strop.tasks import open_task
from strop.tasks.base import NO_KIND, AnswerTask, ChoiceTask, LossTask, Task, TaskSettings, TextTask
from strop.tasks.metrics import ENDED, FAILED, Metric

MICRO_BATCH_TOKENS = 2048
Measured = tuple[dict[str, Estimate], dict[str, Metric]]
"""Estimates by name, and what each is."""


@dataclass
class Measurement:
    """What a model is measured with, and what came out.

    ``model``: the folder that it was loaded from; ``folder``: where the results go, one ``<task>.jsonl`` each, and what
    is done of a task as long as not all are. ``metrics``: estimates by name, as JSON holds them; ``tasks``: the names
    of each task's metrics; ``answered``: the tasks of which answers are kept; ``measures``: what each metric is;
    ``notes``: for each task what a reader of its numbers should know. ``on_item`` is called after every item,
    ``on_task`` after every task, with what `measure` returns of those so far.
    """

    model: Path
    policy: Policy
    tokenizer: Any
    encoder: ChatEncoder
    engine: Scorer
    folder: Path
    console: Console
    metrics: dict[str, Any] = field(default_factory=dict)
    tasks: dict[str, list[str]] = field(default_factory=dict)
    answered: list[str] = field(default_factory=list)
    measures: dict[str, Any] = field(default_factory=dict)
    notes: dict[str, list[str]] = field(default_factory=dict)
    on_item: Callable[[], None] = lambda: None
    on_task: Callable[[dict[str, Any]], None] = lambda found: None

    def run(self, evals: Mapping[str, TaskSettings]) -> dict[str, Any]:
        """`measure` of the tasks that a recipe names."""
        return self.measure(open_task(name, settings) for name, settings in evals.items())

    def measure(self, tasks: Iterable[Task]) -> dict[str, Any]:
        """Measure all; returns ``metrics``, ``tasks``, ``answered``, ``measures`` and ``notes`` by these names.

        Whatever stops it in between (KeyboardInterrupt, a kill), the same call goes on where it was.
        """
        for task in tasks:
            self._measure(task)
            self.on_task(self._found())
        for name in self.tasks:
            self._partial_file(name).unlink(missing_ok=True)
        return self._found()

    def _found(self) -> dict[str, Any]:
        # Copies: what is told of may be read by another thread while the next task adds to these.
        names = ("metrics", "tasks", "answered", "measures", "notes")
        return {name: deepcopy(getattr(self, name)) for name in names}

    def _measure(self, task: Task) -> None:
        started, name = time.perf_counter(), task.name
        measured, metrics = self._measured(task)
        self.metrics.update({metric: e.to_dict() for metric, e in measured.items()})
        self.measures.update({metric: one.to_dict() for metric, one in metrics.items()})
        self.tasks[name] = list(metrics)
        shown = [
            f"{metric} {e.value:.3f}" for metric, e in measured.items() if metrics[metric].group not in (ENDED, FAILED)
        ]
        items = next(iter(measured.values())).n
        say(self.console, f"{name}: {items:,} items in {time.perf_counter() - started:.0f} s: {', '.join(shown)}")

    def _measured(self, task: Task) -> Measured:
        if isinstance(task, AnswerTask):
            return self._answers(task)
        if isinstance(task, ChoiceTask):
            return self._choices(task)
        if isinstance(task, LossTask):
            return self._loss(task)
        if isinstance(task, TextTask):
            return self._text(task)
        raise TypeError(NO_KIND.format(task.name))

    def _loss(self, task: LossTask) -> Measured:
        name, metrics = task.name, task.measures()
        chat = yardstick(self.encoder.settings, window(self.policy.model.config))
        found = held_out(task.rows(), ChatEncoder(self.tokenizer, chat, self.encoder.stop_ids), name)
        self._note(name, *found.notes())
        with self._partial(name, [(e.tokens, e.loss_weights) for e in found.examples]) as partial:
            done = self._going_on(name, partial, "loss", len(found.examples), "conversations")
            with Steady(self.console, f"{name}: conversations", len(found.examples), done=done) as work:
                results = run_loss_task(found.examples, self.policy, MICRO_BATCH_TOKENS, partial, work.advance)
        write_results(self.folder / f"{name}.jsonl", results)
        return {metric: loss_estimate(results, one) for metric, one in metrics.items()}, metrics

    def _text(self, task: TextTask) -> Measured:
        name, metrics, documents = task.name, task.measures(), task.all_documents
        encoded = encode_documents(documents, self.encoder)
        self._note(name, *task.notes)
        with self._partial(name, encoded, self.engine.window) as partial:
            done = self._going_on(name, partial, "text", len(documents), "texts")
            with Steady(self.console, f"{name}: texts", len(documents), done=done) as work:
                results = measure_documents(documents, encoded, self.engine, partial, work.advance)
        self._note(name, *item_notes(task.settings.count, [*map(tuple, encoded)]))
        if cut := sum(len(ids) > self.engine.window for ids in encoded):
            self._note(
                name,
                f"{cut:,} of {len(encoded):,} texts are longer than the model's window of {self.engine.window:,} "
                "tokens and are read in windows; each token is predicted from half a window or more where there is one",
            )
        write_results(self.folder / f"{name}.jsonl", results)
        return {metric: loss_estimate(results, one) for metric, one in metrics.items()}, metrics

    def _choices(self, task: ChoiceTask) -> Measured:
        name, encoded = task.name, encode_questions(task, self.encoder)
        data = [(q.name, q.family, q.source, q.answer, q.lengths) for q in task.all_questions]
        with self._partial(name, [(one.prompt, one.options) for one in encoded], data) as partial:
            done = self._going_on(name, partial, "scores", len(encoded), "questions")
            with Steady(self.console, f"{name}: questions", len(encoded), done=done) as work:
                results = score_questions(task, encoded, self.engine, partial, work.advance)
        read = [(tuple(one.prompt), *map(tuple, one.options)) for one in encoded]
        self._note(name, *item_notes(task.settings.count, read), *notes_of(task, encoded, self.engine.window))
        return self._kept(task, results)

    def _answers(self, task: AnswerTask) -> Measured:
        name, settings, samples = task.name, task.settings, task.settings.samples
        prompts = prompts_of(task, self.encoder)
        data = [(item.name, item.family, item.source, item.data) for item in task.all_items]
        # transformers would otherwise tidy the spaces of what some older tokenizers decode.
        decode = bound(self.tokenizer.decode, clean_up_tokenization_spaces=False)
        params = SamplingParams(
            settings.max_tokens, settings.drawn_at, settings.top_p, settings.seed, stop=tuple(task.stop)
        )
        opened = [opened_by(decode(prompt[-16:])) for prompt in prompts]
        plays: list[object] = [settings.environment] if settings.environment else []
        if settings.environment and settings.environment.needs_sandbox() and is_unsafe():
            plays.append("unsafe_local")
        with self._partial(name, prompts, data, params, samples, *plays) as partial:
            total = len(prompts) * samples
            done = self._going_on(name, partial, "answer", total, "answers")
            rows = getattr(self.engine, "max_rows", 1)
            with Steady(self.console, f"{name}: answers", total, done=done, at_once=rows) as work:
                if settings.environment is not None:
                    answers = play_answers(
                        task, settings.environment, self.encoder, self.engine, params, partial, work.advance
                    )
                else:
                    rollouts = generate_answers(prompts, self.engine, params, partial, work.advance, samples)
                    answers = answered(rollouts, decode, self.engine.stop_ids)
            holds = f"the model's window holds {self.engine.window:,}"
            too_long = {
                i: f"the prompt has {len(prompt):,} tokens and {holds}"
                for i, prompt in enumerate(prompts)
                if i * samples not in answers
            }
            with Steady(self.console, f"{name}: judged", total, done=partial.count(judged())) as work:
                results = judge_answers(task, answers, too_long, partial, work.advance, opened)
        self._note(name, *item_notes(settings.count, [*map(tuple, prompts)]), *task.notes, *turn_notes(results))
        if too_long:
            self._note(
                name,
                f"{len(too_long):,} of {len(prompts):,} prompts fill the model's window of {self.engine.window:,} "
                "tokens; they got no answer and count as not solved",
            )
        self._note(name, *answer_notes(results))
        return self._kept(task, results)

    def _kept(self, task: Task, results: list[ItemResult]) -> Measured:
        results, metrics = valued(results, task.measures())
        write_results(self.folder / f"{task.name}.jsonl", results)
        self.answered.append(task.name)
        return answer_estimates(results, metrics), metrics

    def _note(self, name: str, *texts: str) -> None:
        for text in texts:
            self.notes.setdefault(name, []).append(text)
            say(self.console, f"{name}: {text}")

    def _partial(self, name: str, *depends_on: Any) -> closing[Partial]:
        try:
            key = key_of(self.model, str(self.policy.compute), *depends_on)
        except Unstable as error:
            key = secrets.token_hex(16)
            say(
                self.console,
                f"{name}: what its answers are graded by holds {error}, which no later process could tell from "
                "another, so an evaluation that is stopped begins again; let the items' data be plain values or "
                "dataclasses",
            )
        return closing(Partial(self._partial_file(name), key, self.on_item))

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
