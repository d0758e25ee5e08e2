"""Rewards of trajectories: every part's score with its weight, its reason, or why there is none."""

from __future__ import annotations

import math
import pickle
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

from strop.common.errors import InputError, raised
from strop.common.heartbeat import beat
from strop.common.registry import load_plugins, plugin_file
from strop.rewards import JudgeFault, Judgement, Score, score_judgement
from strop.rewards.kinds import (
    FunctionReward,
    MathReward,
    ModelReward,
    Reward,
    Sample,
    TaskReward,
    as_score,
    load_function,
)
from strop.rewards.math import math_verdicts, require_math_verify
from strop.rewards.timed import Failed, TimedWorkers
from strop.rollout.prompts import Prompt
from strop.rollout.settings import GradingSettings
from strop.rollout.trajectory import Trajectory
from strop.tasks.base import AnswerTask

if TYPE_CHECKING:
    from strop.model.precision import Compute

_NONE: Mapping[str, float] = MappingProxyType({})


class Grader:
    """Gives trajectories their rewards: the sum of ``weight * score`` over the parts that apply to the prompt.

    A part that raises, takes too long, or gives something that is no finite number, or not as many as there are
    answers, has failed: the answer then has no reward at all, and says why. Reward models are loaded here, to compute
    as ``compute`` says. ``weights``: of the parts that trajectories bring along, their environment's.
    """

    def __init__(
        self,
        rewards: Mapping[str, Reward],
        settings: GradingSettings,
        compute: Compute | None = None,
        weights: Mapping[str, float] = _NONE,
    ):
        self.rewards, self.settings = dict(rewards), settings
        self._weights = {**{name: one.weight for name, one in self.rewards.items()}, **weights}
        paths = {reward.path for reward in rewards.values() if isinstance(reward, ModelReward) and reward.path}
        self.models = _reward_models(sorted(paths), compute)
        self.workers = TimedWorkers(settings.workers)
        # The parts that say whether an answer is right, and not how it looks.
        self.grading = [name for name, r in rewards.items() if isinstance(r, TaskReward) or r.needs_truth]

    def grade(self, prompts: Sequence[Prompt], groups: Sequence[Sequence[Trajectory]]) -> list[list[Trajectory]]:
        """The groups, each the answers to the prompt at its place, with rewards, parts, reasons and failures."""
        graded = [list(group) for group in groups]
        for name, reward in self.rewards.items():
            which = [g for g, prompt in enumerate(prompts) if applies(reward, prompt)]
            found = self._scores(reward, [prompts[g] for g in which], [graded[g] for g in which])
            beat(f"the reward {name}")
            for g, scores in zip(which, found, strict=True):
                graded[g] = [_with(one, name, score) for one, score in zip(graded[g], scores, strict=True)]
        return [[self._summed(one) for one in group] for group in graded]

    def _scores(
        self, reward: Reward, prompts: list[Prompt], groups: list[list[Trajectory]]
    ) -> list[list[Score | Failed]]:
        found: Sequence[list[Score | Failed] | Failed]
        if isinstance(reward, TaskReward):
            found = self._of_tasks(reward, prompts, groups)
        elif isinstance(reward, ModelReward):
            found = self._of_model(reward, prompts, groups)
        elif isinstance(reward, MathReward):
            found = _of_maths(prompts, groups)
        else:
            given = [[_sample(p, one) for one in group] for p, group in zip(prompts, groups, strict=True)]
            if reward.timed:
                work = [(reward, samples) for samples in given]
                found = self.workers.map(_score, work, self.settings.seconds)
            else:
                found = [reward.score(samples) for samples in given]
        # A whole call that failed has failed for every answer.
        return [
            [scores] * len(group) if isinstance(scores, Failed) else scores
            for scores, group in zip(found, groups, strict=True)
        ]

    def _of_model(
        self, reward: ModelReward, prompts: list[Prompt], groups: list[list[Trajectory]]
    ) -> list[list[Score | Failed]]:
        asked = [(prompt.messages, one.text) for prompt, group in zip(prompts, groups, strict=True) for one in group]
        assert reward.path is not None  # also of a stage's model, by now
        scores = iter(self.models[reward.path].each(*zip(*asked, strict=True)) if asked else ())
        return [[_of_score(next(scores)) for _ in group] for group in groups]

    def _of_tasks(
        self, reward: TaskReward, prompts: list[Prompt], groups: list[list[Trajectory]]
    ) -> list[list[Score | Failed] | Failed]:
        """Of what evaluation would grade too: of answers that were cut off what is finished, and no reasoning.

        Tasks that run programs have processes and time limits of their own; the others are given some.
        """
        found: list[Any] = [None] * len(prompts)
        programs: dict[int, tuple[AnswerTask, list[int]]] = {}
        others = []
        for g, prompt in enumerate(prompts):
            if prompt.task is not None and prompt.task.judges_itself:
                programs.setdefault(id(prompt.task), (prompt.task, []))[1].append(g)
            else:
                others.append(g)
        for task, several in programs.values():
            pairs = [(prompts[g].item, _graded(prompts[g], one)) for g in several for one in groups[g]]
            try:
                judged: Iterator[Judgement | Failed] = iter(task.judge(*zip(*pairs, strict=True)))
            except (Exception, SystemExit) as error:  # noqa: BLE001 - a grader's own fault is told, and ends no run
                judged = iter([Failed(f"raised {raised(error)}")] * len(pairs))
            for g in several:
                found[g] = [_judged(next(judged), reward) for _ in groups[g]]
        work = []
        for g in others:
            kind = type(prompts[g].task)
            packed = pickle.dumps((kind, prompts[g].item, [_graded(prompts[g], one) for one in groups[g]]))
            work.append(_Graded(plugin_file(kind), packed))
        for g, judged in zip(others, self.workers.map(_grade, work, self.settings.seconds), strict=True):
            found[g] = judged if isinstance(judged, Failed) else [_judged(one, reward) for one in judged]
        return found

    def _summed(self, one: Trajectory) -> Trajectory:
        if one.failures:
            return replace(one, reward=None)
        # Rounded once: 0.7 + 0.2 + 0.1 is to be 1, the whole of what can be had.
        return replace(one, reward=math.fsum(self._weights[name] * score for name, score in one.parts.items()))


def applies(reward: Reward, prompt: Prompt) -> bool:
    """Whether the prompt has what the reward reads."""
    if isinstance(reward, TaskReward):
        return prompt.task is not None
    return not reward.needs_truth or prompt.truth is not None


def _graded(prompt: Prompt, one: Trajectory) -> str:
    assert prompt.task is not None  # its grade is asked for
    return prompt.task.graded(one.text, one.finish_reason, prompt.opened)


def _of_maths(prompts: list[Prompt], groups: list[list[Trajectory]]) -> list[list[Score | Failed]]:
    """In this process, which starts some that can be killed."""
    pairs = [(str(p.truth), _sample(p, one).whole) for p, group in zip(prompts, groups, strict=True) for one in group]
    verdicts = iter(math_verdicts(pairs))

    def score() -> Score | Failed:
        verdict = next(verdicts)
        if verdict.kind == "fault":
            return Failed(verdict.detail)
        right = verdict.kind == "equal"
        return Score(float(right), reason="" if right else verdict.detail or "nothing in the answer to compare")

    return [[score() for _ in group] for group in groups]


def _of_score(score: float | InputError) -> Score | Failed:
    return Failed(str(score)) if isinstance(score, InputError) else as_score(score)


def _reward_models(paths: Sequence[str], compute: Compute | None) -> dict[str, Any]:
    if not paths:
        return {}
    from strop.rollout.reward_model import load_reward_model

    return {path: load_reward_model(path, compute) for path in paths}


def check_rewards(rewards: Mapping[str, Reward], parts: Iterable[Iterable[Prompt]], others: bool = False) -> None:
    """Raise InputError for a reward whose function or model is not there, and for a prompt whose answers nothing
    grades. ``others``: an environment gives rewards too."""
    for name, reward in rewards.items():
        if isinstance(reward, FunctionReward):
            load_function(reward.function, "samples")
        if isinstance(reward, MathReward):
            require_math_verify()
        if isinstance(reward, ModelReward) and reward.stage is None and reward.path is not None:
            from strop.rollout.reward_model import check_reward_model

            try:
                check_reward_model(reward.path)
            except InputError as error:
                raise InputError(f"rewards.{name}.path: {error}") from error
    truth = next((name for name, reward in rewards.items() if reward.needs_truth), None)
    for prompt in (prompt for part in parts for prompt in part):
        if truth and prompt.task is None and prompt.truth is None and not others:
            raise InputError(
                f"{prompt.name}: there is no ground truth, which rewards.{truth} compares answers with; name its "
                f"column with truth: COLUMN (there are {', '.join(sorted(map(str, prompt.row))[:20])})."
            )
        if prompt.truth is not None:
            for name, reward in rewards.items():
                if fault := reward.truth_fault(prompt.truth):
                    raise InputError(f"{prompt.name}: the ground truth {fault}; correct the row, or rewards.{name}.")
        if not others and not any(applies(reward, prompt) for reward in rewards.values()):
            kind = "task" if prompt.task else "exact"
            raise InputError(f"{prompt.name}: no reward applies to this prompt; give one of kind {kind}.")


class _Graded(NamedTuple):
    """``work``: a task's class, an item and answers, packed until a plug-in's file is read."""

    plugin: Path | None
    work: bytes


def _grade(job: _Graded) -> list[Any]:
    load_plugins([job.plugin] if job.plugin else [])
    kind, item, answers = pickle.loads(job.work)
    return [_told(partial(kind.grade, item), answer) for answer in answers]


def _told(grade: Any, answer: str) -> Any:
    try:
        return grade(answer)
    except (Exception, SystemExit) as error:  # noqa: BLE001 - of this answer nothing is known, of the others something
        return Failed(f"raised {raised(error)}")


def _score(work: tuple[Reward, list[Sample]]) -> list[Score | Failed]:
    reward, samples = work
    return reward.score(samples)


def _judged(judged: Any, reward: TaskReward) -> Score | Failed:
    if isinstance(judged, Failed):
        return judged
    try:
        return score_judgement(judged, reward.by)
    except JudgeFault as error:
        return Failed(str(error))


def _sample(prompt: Prompt, one: Trajectory) -> Sample:
    about = prompt.truth, one.length, one.finish_reason, prompt.row, prompt.opened
    return Sample(prompt.name, prompt.messages, one.text, *about)


def _with(one: Trajectory, name: str, score: Score | Failed) -> Trajectory:
    if isinstance(score, Failed):
        return replace(one, failures={**one.failures, name: score.why})
    return replace(one, parts={**one.parts, name: score.value}, reasons={**one.reasons, name: score.reason})
