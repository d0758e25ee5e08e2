"""Prompts as ids: conversations by the chat template, texts as they stand."""

from __future__ import annotations

from collections.abc import Sequence

from strop.chat import ChatEncoder
from strop.chat.text import document_ids, text_ids
from strop.common.errors import InputError
from strop.environments.base import Start
from strop.rollout.episodes import Opening
from strop.rollout.turns import Player
from strop.tasks.base import AnswerTask, Item, Question


def prompts_of(task: AnswerTask, encoder: ChatEncoder) -> list[list[int]]:
    """The ids of every item's prompt. Raises InputError, naming the problem, where one cannot be made."""
    if task.settings.environment is not None:
        return [list(one.ids) for one in openings_of(task, encoder, Player(encoder, task.settings.environment))]
    return [prompt_of(item, encoder, task.name) for item in task.all_items]


def openings_of(task: AnswerTask, encoder: ChatEncoder, player: Player) -> list[Opening]:
    """What the episodes of every item begin with. Raises InputError as `prompts_of`, and where the environment does not
    go with the template, or with a text to go on from."""
    found = []
    try:
        player.environment.check(encoder)
    except InputError as error:
        raise InputError(f"evals.{task.name}: {error}") from error
    for number, item in enumerate(task.all_items):
        start = Start(item.name, item.messages, data=item.data)
        if item.text is None:
            try:
                found.append(player.opening(str(number), start))
            except InputError as error:
                raise InputError(f"evals.{task.name}, problem {item.name!r}: {error}") from error
        elif player.environment.pauses:
            found.append(Opening(str(number), start, prompt_of(item, encoder, task.name)))
        else:
            raise InputError(
                f"evals.{task.name}: its prompts are texts to go on from, which have no turns; use style: chat, or "
                "environment: inline."
            )
    return found


def prompt_of(item: Item | Question, encoder: ChatEncoder, task: str) -> list[int]:
    """The ids of one prompt. Raises InputError, naming the problem, where it cannot be made."""
    try:
        if item.text is not None:
            return document_ids(item.text, encoder)
        return encoder.prompt(item.messages)
    except InputError as error:
        raise InputError(f"evals.{task}, problem {item.name!r}: {error}") from error


def option_ids(question: Question, encoder: ChatEncoder, task: str) -> tuple[list[int], list[list[int]], bool]:
    """``(prompt, options, joined)``: the ids that are read, those of each option that are scored after them, and
    whether a token of some option also holds text of the prompt.

    After a text, prompt and option are encoded together, spaces at the prompt's end going to the option (as
    lm-evaluation-harness does). Where the two share a token, what is scored begins before it, for all options alike: so
    each is still the probability of the same text. After a chat the option begins the answer.
    """
    if question.text is None:
        return prompt_of(question, encoder, task), [text_ids(option, encoder) for option in question.options], False
    context = question.text.rstrip(" ")
    space = question.text[len(context) :]
    prompt = prompt_of(question, encoder, task) if not space else document_ids(context, encoder)
    wholes = [document_ids(context + space + option, encoder) for option in question.options]
    shared = min(_common(prompt, whole) for whole in wholes)
    shared = min(shared, *(len(whole) - 1 for whole in wholes))
    return prompt[:shared], [whole[shared:] for whole in wholes], shared < len(prompt)


def _common(first: Sequence[int], second: Sequence[int]) -> int:
    """How many ids both begin with."""
    n = min(len(first), len(second))
    return next((i for i in range(n) if first[i] != second[i]), n)
