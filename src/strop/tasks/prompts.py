"""How a benchmark's questions become prompts: as chat or as text to go on from, with worked examples before them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from strop.common.errors import InputError
from strop.data.files import open_rows
from strop.data.rows import Row, Say, silent
from strop.tasks.base import AnswerSettings, TaskSettings
from strop.tasks.folders import say_split

Shot = tuple[str, str]
"""A worked example: what is asked, as it stands in a prompt, and the answer."""


class PromptedSettings(TaskSettings):
    """How the questions of a benchmark are put."""

    style: Literal["chat", "completion"] = Field("chat", description="A chat, or a text that the model goes on from.")
    shots: int = Field(0, ge=0, description="Worked examples before each question.")
    shots_path: Path | None = Field(None, description="A file or folder with the examples, in the layout of the items.")


class PromptedAnswers(AnswerSettings, PromptedSettings):
    """The same of questions that are answered by generation."""


class Shots:
    """The first ``n`` of ``pool`` but for the question itself, which would give its own answer away.

    Raises InputError where there are fewer than ``n``; ``where`` says what to do about it.
    """

    def __init__(self, pool: Sequence[Shot], n: int, where: str):
        if n > len(pool):
            raise InputError(
                f"{where}: {n} examples are asked for and {len(pool)} there; lower shots, or give more in shots_path."
            )
        self._pool, self._n = pool, n
        self.tested = 0

    def before(self, question: str) -> list[Shot]:
        """The examples for a question, given as it stands in a prompt."""
        own = _plain(question)
        found = [shot for shot in self._pool if _plain(shot[0]) != own]
        self.tested += any(_plain(asked) == own for asked, _ in self._pool[: self._n])
        return found[: self._n]

    def notes(self) -> list[str]:
        """What of the examples is also tested, in words."""
        if not self.tested:
            return []
        return [f"{self.tested:,} of its questions stand among its own worked examples too; these are not shown before "
                "themselves"]  # fmt: skip


def _plain(text: str) -> str:
    return " ".join(text.split()).casefold()


def prompt(style: str, shots: Sequence[Shot], question: str, head: str = "", gap: str = " ") -> dict[str, Any]:
    """``messages`` and ``text`` of an `Item`: in a chat the examples are turns before the question.

    As text: ``head``, then each example with ``gap`` before its answer and an empty line after it, then the question.
    In a chat ``head`` begins the first turn.
    """
    if style == "completion":
        text = head + "".join(f"{asked}{gap}{answer}\n\n" for asked, answer in shots) + question
        return {"messages": [{"role": "user", "content": question}], "text": text}
    turns = [*shots, (question, None)]
    messages = [
        {"role": role, "content": content}
        for pair in turns
        for role, content in zip(("user", "assistant"), pair, strict=True)
        if content is not None
    ]
    messages[0] = {"role": "user", "content": head + messages[0]["content"]}
    return {"messages": messages, "text": None}


def task_rows(
    path: Path | None,
    hub: str | None,
    subset: str | None = None,
    split: str = "test",
    count: int | None = None,
    say: Say = silent,
) -> Iterator[Row]:
    """The rows of a benchmark: of a file; of a folder those of the split (and, where it has one, of the folder
    ``subset``); or, without a path, of the hub. ``say`` gets what is left out of a folder. Raises InputError for what
    is not there."""
    if path is None:
        return islice(open_rows(hub=hub, subset=subset, split=split), count)
    if not Path(path).is_dir():
        return islice(open_rows(path, say=say), count)
    within = subset if subset and Path(path, subset).is_dir() else None
    say_split(path, split, say, within)
    return islice(open_rows(path, split=split, subset=within), count)


def field_of(row: Mapping[str, Any], place: str, names: Sequence[str], what: str) -> Any:
    """The first of the columns ``names`` that the row has. Raises InputError, which says what was expected."""
    found = next((row[name] for name in names if row.get(name) is not None), None)
    if found is None:
        if null := [name for name in names if name in row]:
            raise InputError(f"{place}: '{null[0]}' is null, and it is {what}; fill it in or drop the row.")
        has = ", ".join(map(str, row))[:200]
        raise InputError(f"{place}: has no {' or '.join(map(repr, names))}, {what} (it has {has}); give a file in the "
                         "layout of this task, or name the columns.")  # fmt: skip
    return found
