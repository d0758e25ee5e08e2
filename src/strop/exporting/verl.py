"""Prompts with ground truth in verl's Parquet: ``data_source, prompt, ability, reward_model, extra_info``."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from strop.common.errors import InputError
from strop.data.settings import part_of
from strop.rollout.prompts import Prompt, prompts_of
from strop.rollout.settings import PromptSettings

Row = dict[str, Any]


def verl_rows(name: str, split: str | None = None, count: int | None = None, seed: int = 0) -> Iterator[Row]:
    """The rows for ``name``: ``task:NAME``, a file of rows or of problems with tests, or a data set on the hub.

    Of a problem with tests the ground truth is JSON of its ``inputs`` and ``outputs``, as verl's own grader of programs
    takes it. What a row of verl's own has stays as it is. ``split``: what ``extra_info.split`` is to say.

    Raises InputError for rows without a prompt or a truth, and for tasks that verl could not grade.
    """
    part = PromptSettings(**part_of(name), count=count, seed=seed)
    for index, prompt in enumerate(prompts_of(part)):
        truth, code = _truth(prompt)
        row = prompt.row
        if prompt.tools:
            raise InputError(
                f"{prompt.name}: has tools beside its prompt, and verl's rows hold none; drop the column and name the "
                "tools in verl's own configuration."
            )
        extra = row.get("extra_info")
        yield {
            "data_source": str(row.get("data_source") or part.title),
            "prompt": [_turn(turn, prompt.name) for turn in prompt.messages],
            "ability": str(row.get("ability") or ("code" if code else "math" if _is_number(truth) else "general")),
            "reward_model": {"style": "rule", "ground_truth": truth},
            "extra_info": {
                "split": "train",
                "index": index,
                **(extra if isinstance(extra, dict) else {}),
                **({"split": split} if split else {}),
            },
        }


def write_verl(rows: Iterator[Row], target: Path) -> int:
    """Write a Parquet file that is whole or not there; gives the number of rows. Raises InputError."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    listed = list(rows)
    partial = target.with_name(f".{target.name}.part")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(pa.Table.from_pylist(listed), partial)
        partial.replace(target)
    except OSError as error:
        raise InputError(f"{target}: cannot be written ({error}); give another place with --to.") from error
    except (pa.ArrowException, OverflowError) as error:
        raise InputError(
            f"{target}: Parquet cannot hold these rows ({error}): values under one name are of one kind there, objects "
            "are not empty, and whole numbers have 64 bits; mend the rows' extra_info, or leave it out."
        ) from error
    finally:
        if partial.exists():
            partial.unlink()
    return len(listed)


def _turn(turn: dict[str, Any], place: str) -> dict[str, str]:
    if set(turn) - {"role", "content"} or not isinstance(turn.get("content"), str):
        raise InputError(f"{place}: a turn of its prompt is more than a role and a text, and verl's rows hold no more.")
    return {"role": turn["role"], "content": turn["content"]}


def _truth(prompt: Prompt) -> tuple[str, bool]:
    """(the ground truth as text, whether it is tests of a program)."""
    if prompt.task is None or prompt.item is None:
        if prompt.truth is None:
            raise InputError(f"{prompt.name}: has no ground truth (answer, solution, reward_model.ground_truth …), and "
                             "verl grades by it; add the column.")  # fmt: skip
        return (prompt.truth if isinstance(prompt.truth, str) else json.dumps(prompt.truth)), False
    data = prompt.item.data
    if isinstance(data, str | int | float):
        return str(data), False
    tests = getattr(data, "tests", None)
    if tests and all(hasattr(test, "stdin") and hasattr(test, "stdout") for test in tests):
        cases = {"inputs": [test.stdin for test in tests], "outputs": [test.stdout for test in tests]}
        return json.dumps(cases, ensure_ascii=False), True
    raise InputError(
        f"{prompt.name}: the task {prompt.task.name} grades by more than a text or the input and output of programs, "
        "which verl's rows cannot hold; export another task, or a file."
    )


def _is_number(text: str) -> bool:
    try:
        float(text.replace(",", ""))
    except ValueError:
        return False
    return True
