"""Batches of rollouts as files for people: a line for each prompt."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import Tensor

from strop.common.files import write_jsonl
from strop.rollout.gather import Gathered
from strop.rollout.numbers import passes
from strop.rollout.prompts import Prompt
from strop.rollout.trajectory import Trajectory, shown


def write_rollouts(
    path: Path,
    batch: Gathered,
    advantages: Tensor,
    owner: Tensor,
    number: Mapping[int, int],
    decode: Callable[[Sequence[int]], str],
    grading: Collection[str],
) -> None:
    """The groups of ``batch`` that are trained on, those of their answers whose reward failed too.

    ``advantages [S]``; ``owner [S]``: the number of the trajectory that each is of; ``number``: of each trajectory, by
    its identity. ``grading``: the parts of the reward that tell whether an answer is right.
    """

    def row(prompt: Prompt, group: list[Trajectory]) -> dict[str, Any]:
        answers = []
        for one in batch.drawn.every[group[0].group]:
            own = advantages[owner == number.get(id(one), -1)].tolist() or [0.0] * one.length
            right = {"right": passes(one, grading)} if grading else {}
            answers.append(shown(one, decode, own) | right)
        truth = json.loads(json.dumps(prompt.truth, default=str))  # a table may hold dates
        return {"name": prompt.name, "messages": prompt.messages, "truth": truth, "answers": answers}

    write_jsonl(path, (row(p, group) for p, group in zip(batch.prompts, batch.groups, strict=True)))
