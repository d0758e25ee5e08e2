"""What is asked in reinforcement learning: prompts as ids, each with what grades its answers."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import islice
from typing import Any

import numpy as np

from strop.chat import ChatEncoder
from strop.chat.columns import has_column, map_columns
from strop.chat.field import Field, Seen, is_blank
from strop.chat.pairs import ASKED, asked
from strop.chat.turns import looks_like_turns, read_turns, tools_beside, with_system
from strop.common.errors import InputError
from strop.data.files import open_rows
from strop.environments.base import Environment, Start
from strop.rewards.reasoning import opened_by
from strop.rollout.settings import PromptMixtureSettings, PromptSettings
from strop.rollout.turns import Player
from strop.tasks import open_task, what_tasks
from strop.tasks.base import TASKS, AnswerTask, Item, TaskSettings

_END = 32
"""Tokens of a prompt's end that a mark of reasoning, and white space after it, have room in."""
_PROMPTS = (*ASKED, "messages")
_TRUTHS = ("answer", "ground_truth", "reward_model.ground_truth", "solution", "target")


@dataclass(frozen=True)
class Prompt:
    """``ids`` are what the model reads. Answers are graded by ``task`` (of whose ``item`` it is the prompt) or compared
    with ``truth``; ``row`` is where that came from, and ``tools`` are the schemas that stand in it. ``opened``: the
    mark (``<think>``) with which ``ids`` end, if they begin reasoning."""

    name: str
    messages: list[dict[str, Any]]
    ids: tuple[int, ...]
    truth: Any = None
    task: AnswerTask | None = field(default=None, repr=False)
    item: Item | None = None
    tools: tuple[dict[str, Any], ...] = ()
    row: Mapping[str, Any] = field(default_factory=dict, repr=False)
    opened: str = ""

    @property
    def start(self) -> Start:
        """What an environment begins with."""
        return Start(self.name, self.messages, self.truth, self.row, self.item.data if self.item else None)


class Prompts:
    """The prompts of one part, as `strop.data.mixture.Mixture` takes its parts."""

    passes = 1

    def __init__(self, prompts: Sequence[Prompt]):
        self._prompts = prompts
        self.lengths = np.array([len(prompt.ids) for prompt in prompts], np.int64)

    @cached_property
    def fingerprint(self) -> str:
        """Of what is asked and what is right."""
        digest = hashlib.sha256()
        for one in self._prompts:
            digest.update(repr((one.ids, one.truth, one.item and repr(one.item.data))).encode())
        return digest.hexdigest()

    def of_pass(self, number: int) -> np.ndarray:
        return np.arange(len(self))

    def __len__(self) -> int:
        return len(self._prompts)

    def __getitem__(self, index: int) -> Prompt:
        return self._prompts[index]

    def __iter__(self) -> Iterator[Prompt]:
        return iter(self._prompts)


def read_prompts(
    settings: PromptMixtureSettings, encoder: ChatEncoder, environment: Environment | None = None
) -> list[Prompts]:
    """The prompts of every part, as the ``environment`` begins with them. Raises InputError, naming the place, for a
    row without a prompt, a task without items to train on, and a prompt that the template refuses."""
    player = Player(encoder, environment) if environment else None
    return [Prompts(list(_encoded(prompts_of(part), encoder, player))) for part in settings.parts]


def check_lengths(parts: Iterable[Prompts], window: int | None, max_tokens: int) -> None:
    """Raise InputError for a prompt that does not leave room for an answer in the model's window."""
    for prompt in (prompt for part in parts for prompt in part):
        if window is not None and len(prompt.ids) + max_tokens > window:
            raise InputError(
                f"{prompt.name}: the prompt has {len(prompt.ids):,} tokens and an answer up to {max_tokens:,}, and the "
                f"model's window holds {window:,}; lower rollout.max_tokens, or leave long prompts out."
            )


def _encoded(found: Iterable[Prompt], encoder: ChatEncoder, player: Player | None) -> Iterator[Prompt]:
    for one in found:
        if player:  # whose tools the environment names
            one = replace(one, tools=())
        try:
            ids = player.opening(one.name, one.start).ids if player else encoder.prompt(one.messages, one.tools)
        except InputError as error:
            raise InputError(f"{one.name}: {error}") from error
        end = encoder.tokenizer.decode(list(ids[-_END:]), clean_up_tokenization_spaces=False)
        yield replace(one, ids=tuple(ids), opened=opened_by(end))


def prompts_of(part: PromptSettings) -> Iterator[Prompt]:
    """The prompts of one part, without their ids. Raises InputError as `read_prompts`, but for the template's."""
    if part.task is not None:
        if part.path is not None and part.task in TASKS and not TASKS[part.task].reads_path:
            raise InputError(f"{part.path}: the task {part.task} reads no file; drop the path, or the task.")
        task = open_task(part.task, TaskSettings(task=part.task, path=part.path, count=part.count, seed=part.seed))
    elif (
        part.path is not None
        and part.path.is_file()
        and (known := what_tasks(part.path))
        and known.measured
        and not known.task
    ):
        task = open_task(part.title, TaskSettings(path=part.path, count=part.count))
    else:
        yield from _of_rows(part)
        return
    if not isinstance(task, AnswerTask):
        raise InputError(f"data: the task {part.title} measures a loss, so no answer to it can be graded; drop it.")
    # Whoever names a file of problems wants these.
    items = task.all_items if part.task is None else task.train_items(part.count, part.seed)
    for item in items:
        yield Prompt(item.name, item.messages, (), task=task, item=item)


def _of_rows(part: PromptSettings) -> Iterator[Prompt]:
    how = part.model_dump(include={"split", "revision", "subset"})
    found = 0
    for place, row in islice(open_rows(part.path, part.hub, **how), part.count):
        messages = _asked(row, part.prompt, place)
        truth = _column(row, *([part.truth] if part.truth else _TRUTHS))
        yield Prompt(place, messages, (), truth, tools=tools_beside(row, Field(place)), row=row)
        found += 1
    if not found:
        raise InputError(f"{part.title}: has no row; name another file or split.")


def _asked(row: Mapping[str, Any], named: str | None, place: str) -> list[dict[str, Any]]:
    """The messages up to the turn that is to be written: of the column that is named, and that alone, or of the first
    of the usual ones that holds something and what belongs to it, as training reads them."""
    column = named or next((one for one in _PROMPTS if not is_blank(row.get(one))), "")
    prompt = _column(row, column) if column else None
    if prompt is None:
        columns = ", ".join(sorted(map(str, row))[:20])
        raise InputError(f"{place}: there is no prompt; name its column with prompt: COLUMN (there are {columns}).")
    at = Field(place)
    if isinstance(prompt, str) and not looks_like_turns(prompt):
        if named:
            return [{"role": "user", "content": prompt}]
        if column not in ASKED:
            mend = f"expected a list of turns, found a string; prompt: {column} asks it as it stands"
            raise at.item(column).fail(mend)
        return [{"role": turn.role, "content": turn.content} for turn in asked(Seen(row), column, at)]
    turns = _messages(at.item(column).json(prompt), place)
    read = read_turns(turns, at.item(column))
    [first, *_] = read if named else with_system(read, row, at)
    return turns if first is read[0] else [{"role": first.role, "content": first.content}, *turns]


def _column(row: Mapping[str, Any], *sources: str) -> Any:
    """What stands in the first of the columns that is there; None for nothing."""
    source = next((one for one in sources if has_column(row, one)), None)
    value = map_columns(row, {"text": source})["text"] if source else None
    return None if value in ("", []) else value


def _messages(prompt: Any, place: str) -> list[dict[str, Any]]:
    """Messages up to the turn that is to be written."""
    if not isinstance(prompt, list) or not all(isinstance(turn, Mapping) and "role" in turn for turn in prompt):
        raise InputError(f"{place}: the prompt is neither text nor a list of messages (role, content); correct it.")
    turns = [dict(turn) for turn in prompt]
    while turns and turns[-1]["role"] == "assistant":
        turns.pop()
    if not turns:
        raise InputError(f"{place}: nothing is asked before the assistant's turn; give the user's message.")
    return turns
