"""Groups of trajectories: answers of one turn, or episodes where there is an environment."""

from __future__ import annotations

from collections.abc import Sequence

from strop.common.console import working
from strop.rollout.answers import Decode, answer_text
from strop.rollout.engine import Engine, Request, SamplingParams
from strop.rollout.prompts import Prompt
from strop.rollout.trajectory import Trajectory, trajectory
from strop.rollout.turns import Player


def draw_groups(
    engine: Engine,
    prompts: Sequence[Prompt],
    names: Sequence[str],
    params: SamplingParams,
    size: int,
    numbers: Sequence[int],
    decode: Decode,
    player: Player | None = None,
) -> list[list[Trajectory]]:
    """``size`` trajectories of every prompt, all prompts together; ``numbers`` are the groups'.

    What trajectory ``i`` draws depends on the seed, the prompt's name in ``names`` and ``i``, and with a ``player`` on
    what its environment says.
    """
    if player is None:
        requests = [Request(p.ids, params, size, name) for p, name in zip(prompts, names, strict=True)]
        rows = getattr(engine, "max_rows", 1)
        with working("rollouts: answers", len(requests) * size, at_once=rows) as work:
            answers = engine.generate(requests, on_finished=lambda *_: work.advance())
        return [
            [
                trajectory(one, p.name, number, answer_text(one, decode, engine.stop_ids))
                for one in answers[i * size : (i + 1) * size]
            ]
            for i, (p, number) in enumerate(zip(prompts, numbers, strict=True))
        ]
    openings = [player.opening(name, p.start) for p, name in zip(prompts, names, strict=True)]
    with working("rollouts: trajectories by turns"):
        episodes = player.play(engine, openings, params, size)
    return [[one.trajectory(number) for one in episodes[i * size : (i + 1) * size]] for i, number in enumerate(numbers)]
