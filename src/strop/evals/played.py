"""Answers of several turns: a task's items in an environment, kept as answers of one turn are."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import asdict
from typing import Any

from strop.chat import ChatEncoder
from strop.environments.base import Environment
from strop.evals.partial import Partial
from strop.evals.prompts import openings_of
from strop.evals.results import ItemResult
from strop.evals.run import Answered, Keep, kept_answers
from strop.rollout.engine import Engine, SamplingParams
from strop.rollout.episodes import Episode
from strop.rollout.turns import Player
from strop.tasks.base import AnswerTask


def play_answers(
    task: AnswerTask,
    environment: Environment,
    encoder: ChatEncoder,
    engine: Engine,
    params: SamplingParams,
    partial: Partial,
    on_answer: Callable[[], None] = lambda: None,
) -> dict[int, Answered]:
    """As `strop.evals.run.generate_answers`, in the task's ``environment``: sample s of item i under
    ``i * samples + s``, what is in ``partial`` not done again."""
    samples = task.settings.samples
    with closing(Player(encoder, environment)) as player:
        openings = openings_of(task, encoder, player)
        fitting = [i for i, one in enumerate(openings) if len(one.ids) < engine.window]

        def ask(left: list[int], keep: Keep[Episode]) -> None:
            player.play(engine, [openings[i] for i in left], params, samples, on_finished=keep)

        def noted(episode: Episode) -> dict[str, Any]:
            return asdict(_answered(episode))

        kept = kept_answers(fitting, samples, partial, ask, noted, on_answer)
    return {place: Answered(**one) for place, one in kept.items()}


def _answered(episode: Episode) -> Answered:
    turns = [{"role": turn.role, "text": turn.text} for turn in episode.turns]
    tokens = sum(sum(turn.sampled) for turn in episode.turns)
    counts = {"turns": episode.number, **episode.counts}
    return Answered(episode.answer, episode.finish or "", tokens, turns, counts, episode.failure)


def turn_notes(results: Sequence[ItemResult]) -> list[str]:
    """What the environment counted, in the mean over all answers, in words."""
    counts: Counter[str] = Counter()
    for result in results:
        counts.update(result.counts)
    if not counts:
        return []
    return ["an answer in the mean: " + ", ".join(f"{n / len(results):.2f} {name}" for name, n in counts.items())]
