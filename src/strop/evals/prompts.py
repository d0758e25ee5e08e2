"""The prompts of a task, as the model reads them."""

from __future__ import annotations

from strop.chat import ChatEncoder
from strop.common.errors import InputError
from strop.tasks.base import AnswerTask


def prompts_of(task: AnswerTask, encoder: ChatEncoder) -> list[list[int]]:
    """The ids of every item's prompt. Raises InputError, naming the problem, where one cannot be made."""
    prompts = []
    for item in task.all_items:
        try:
            prompts.append(encoder.prompt(item.messages))
        except InputError as error:
            raise InputError(f"evals.{task.name}, problem {item.name!r}: {error}") from error
    return prompts
