"""What a distill stage does beside what every training does: the teacher, and the student's own answers."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from strop.common.console import working
from strop.common.errors import InputError
from strop.common.files import folder_stamp
from strop.data.batch import Batch, Trainable, make_batch
from strop.data.counter import uniform, words
from strop.model.choices import top_logprobs
from strop.model.names import load_model, resolve
from strop.model.policy import Policy
from strop.model.preflight import check_length
from strop.model.window import window
from strop.objectives.distillation import Distillation
from strop.objectives.objective import Objective
from strop.rollout.engine import Request, SamplingParams
from strop.rollout.torch_engine import TorchEngine
from strop.rollout.trajectory import trajectory
from strop.stages._reference import stored
from strop.stages._tokens import check_same_tokens
from strop.stages._training import Training
from strop.stages.base import Context
from strop.train.shards import Shards, shard, whole_on_each
from strop.train.step import evaluation

if TYPE_CHECKING:
    from strop.stages.distill import DistillStage


_MEND = (
    "their distributions cannot be compared, so choose a teacher of the same family, or train on its answers (strop "
    "sample, strop sft)."
)


def check_teacher(teacher: str, context: Context, tokenizer: Any = None) -> int:
    """How many ids both models' tokenizers name, over which distributions are compared; see `check_same_tokens`."""
    return check_same_tokens(teacher, context, "teacher", _MEND, tokenizer)


class DistillTraining(Training):
    """Train the student on rows that hold the teacher's likeliest tokens, with their log-probabilities.

    On the data's answers the teacher is asked once, before the first step; on the student's own at every step.
    """

    stage: DistillStage
    teacher: Policy

    def objective(self) -> Objective:
        return Distillation(self.stage.objective, comparable=not self.stage.on_policy)

    def begin(self) -> None:
        stage, context, tokens = self.stage, self.context, self.settings.micro_batch_tokens
        self.named = check_teacher(stage.teacher, context, self.loaded.tokenizer)
        compute, folder = self.loaded.policy.compute, resolve(stage.teacher)
        self.teacher = Policy(load_model(folder, compute.dtype, compute.device).requires_grad_(False), compute).eval()
        if isinstance(self.weights, Shards):
            shard(self.teacher, self.world)
        context.say(f"teacher: {stage.teacher}, its {stage.objective.top_k} likeliest of {self.named:,} tokens")
        asked = [*self._given(), *self.measured]
        objective = stage.objective
        if asked:
            longest = max(asked, key=lambda example: len(example.tokens))
            check_length(self.teacher.model, len(longest.tokens), f"{longest.place} (read by the teacher)")
        self.of_given = stored(
            asked,
            lambda row: dict(zip(("choices", "teacher_logprobs"), self._smaller(*self._ask(row)), strict=True)),
            key=_content,
            make=make_batch,
            row_tokens=tokens,
            folder=context.folder / "teacher",
            made_from={
                "teacher": folder_stamp(folder), "compute": str(compute), "top_k": objective.top_k,
                "temperature": objective.temperature, "tokens": self.named,
            },
            say=context.say, world=self.world,
        )  # fmt: skip
        self.held_out = self.rows_of(self.measured, self._with_given)
        if not stage.on_policy:
            del self.teacher  # and its memory
            return
        self.engine = TorchEngine(
            self.loaded.policy, self.loaded.stop_ids,
            max_rows=context.recipe.compute.max_rows, cache_gb=context.recipe.compute.cache_gb,
        )  # fmt: skip
        self._check_room()

    def make(self, examples: Sequence[Any]) -> Batch:
        """A row of the data. Where answers are sampled, `complete` knows which of them are, and makes the rows."""
        return make_batch(examples) if self.stage.on_policy else self._with_given(examples)

    def complete(self, rows: list[Batch], examples: Sequence[Any]) -> list[Batch]:
        if not self.stage.on_policy:
            return rows
        first = self.source.taken - len(examples)
        own = self._sampled(range(first, first + len(examples)))
        kept = [example for example, sampled in zip(examples, own, strict=True) if not sampled]
        asked = [(first + i, example) for i, example in enumerate(examples) if own[i]]
        return self.rows_of(kept, self._with_given) + self._answered(asked)

    def evaluate(self, objective: Objective) -> dict[str, float]:
        """On the answers of ``eval_data``, also where others are sampled in training."""
        return evaluation(self.loaded.policy, objective, self.held_out, self.world)

    def before_saving(self) -> dict[str, Any]:
        if not self.rows:
            return {}
        first, last = self.evaluations()[0], self.evaluations()[-1]
        names = {"eval_kl": "KL divergence", "eval_agreement": "likeliest token is the teacher's"}
        told = {title: f"{first[name]:.4f} → {last[name]:.4f}" for name, title in names.items()}
        return {**told, "held-out conversations": len(self.measured)}

    # -- the data's answers

    def _given(self) -> list[Trainable]:
        """Examples whose answers the run will train on."""
        if not self.stage.on_policy:
            return self.drawn()
        positions = self.positions()
        own = self._sampled(positions)
        return [self.source.example(at) for at, sampled in zip(positions, own, strict=True) if not sampled]

    def _with_given(self, examples: Sequence[Any]) -> Batch:
        batch, told = make_batch(examples), self.of_given(examples)
        return self._told(batch, told["choices"].long(), told["teacher_logprobs"].float(), given=1.0)

    @staticmethod
    def _smaller(choices: Tensor, logprobs: Tensor) -> tuple[Tensor, Tensor]:
        """Six bytes for a token: float16 rounds a log-probability by 0.05 % of it at most."""
        return choices.int(), logprobs.half()

    # -- the student's own

    def _sampled(self, positions: range) -> list[bool]:
        """Whether the student answers itself, at each position; drawn from (seed, position) alone."""
        if not positions:
            return []
        drawn = uniform(words(f"strop own answers, seed {self.settings.seed}", len(positions), at=positions.start))
        return (drawn[:, 0] < self.stage.on_policy).tolist()

    def _answered(self, asked: Sequence[tuple[int, Any]]) -> list[Batch]:
        """Rows of the student's answers to the examples' prompts; what each draws depends on (seed, position)."""
        if not asked:
            return []
        how = self.stage.rollout
        params = SamplingParams(how.max_tokens, how.temperature, seed=self.settings.seed)
        requests = [
            Request(example.tokens[: _prompt(example)].tolist(), params, 1, f"{at}/{example.place}")
            for at, example in asked
        ]
        self.engine.sync()  # the weights have changed since the last step
        try:
            own = self.world.mine(requests)
            rows = getattr(self.engine, "max_rows", 1)
            with whole_on_each(self.loaded.policy), working("answers", len(own), at_once=rows) as work:
                answers = self.world.joined(self.engine.generate(own, on_finished=lambda *_: work.advance()))
        finally:
            self.engine.sync()  # keys and values of these weights are of no use any more
        found = [trajectory(one, example.place, at, "") for one, (at, example) in zip(answers, asked, strict=True)]

        def row(several: Sequence[Any]) -> Batch:
            batch = make_batch(several)
            return self._told(batch, *self._ask(batch), given=0.0)

        return self.rows_of(found, row)

    def _check_room(self) -> None:
        """Raise InputError where a prompt leaves no room for a longest answer."""
        rooms = {
            "a row holds {:,}; raise train.micro_batch_tokens": self.settings.micro_batch_tokens,
            "the student reads {:,}; leave it out": window(self.loaded.policy.model.config),
            "the teacher reads {:,}; leave it out": window(self.teacher.model.config),
        }
        longest = max(self._asked(), key=_prompt, default=None)
        for said, room in rooms.items():
            if longest is not None and room is not None and _prompt(longest) + self.stage.rollout.max_tokens > room:
                raise InputError(
                    f"{longest.place}: the prompt has {_prompt(longest):,} tokens and an answer up to "
                    f"{self.stage.rollout.max_tokens:,}, and {said.format(room)}, or lower rollout.max_tokens."
                )

    def _asked(self) -> Iterable[Trainable]:
        positions = self.positions()
        own = self._sampled(positions)
        return (self.source.example(at) for at, sampled in zip(positions, own, strict=True) if sampled)

    # -- what is said of a row

    def _ask(self, batch: Batch) -> tuple[Tensor, Tensor]:
        objective = self.stage.objective
        return top_logprobs(self.teacher, batch, objective.top_k, objective.temperature, self.named)

    def _told(self, batch: Batch, choices: Tensor, logprobs: Tensor, given: float) -> Batch:
        like = batch.weights
        streams = {
            "choices": choices,
            "teacher_logprobs": logprobs,
            "choice_temperature": torch.full_like(like, self.stage.objective.temperature),
            "given": torch.full_like(like, given),
        }
        return replace(batch, streams={**batch.streams, **streams})


def _prompt(example: Any) -> int:
    """Tokens before the last answer that the example trains: what the student is asked with."""
    trained = np.flatnonzero(example.loss_weights)
    gaps = np.flatnonzero(np.diff(trained) > 1)
    return int(trained[gaps[-1] + 1] if len(gaps) else trained[0])


def _content(example: Any) -> str:
    """The example's own content: what the teacher says depends on nothing else."""
    digest = hashlib.sha256(np.ascontiguousarray(example.tokens).tobytes())
    digest.update(np.ascontiguousarray(example.loss_weights).tobytes())
    return digest.hexdigest()
