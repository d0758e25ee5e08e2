"""Multiple-choice questions, answered by the likeliest option; the formats are lm-evaluation-harness's.

``options: texts`` asks "Question: …\\nAnswer:" and scores each option's text after it: ``acc`` by its log-probability,
``acc_norm`` by that divided by the option's length in bytes. ``options: letters`` lists the options after letters and
scores " A", " B" …: one forward pass for each question. As ``style: chat`` the question is a user's turn, and the
options begin the answer.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from random import Random
from typing import ClassVar, Literal

from pydantic import Field

from strop.common.errors import InputError
from strop.data.readers import FileSet, NamedSet
from strop.data.rows import Row, Say, silent
from strop.rewards.choice import LETTERS
from strop.tasks import choice
from strop.tasks.base import TASKS, ChoiceTask, Question, TaskSettings, register
from strop.tasks.choice import ChoiceItem
from strop.tasks.metrics import NO_ANSWER, TASK, Metric, part
from strop.tasks.prompts import PromptedSettings, Shot, Shots, prompt, task_rows

ACC = part("acc", "questions whose right option is the likeliest", TASK, lead=1, bound=0.05, by_source=True)
ACC_NORM = part("acc_norm", "questions whose right option is the likeliest for each byte of its text", TASK, lead=2)
INSTRUCTION = "Answer with the letter of the right option alone."


class ChoiceSettings(PromptedSettings):
    style: Literal["chat", "completion"] = Field("completion", description="A chat, or a text to go on from.")
    options: Literal["letters", "texts"] = Field("texts", description="What is scored: letters, or the options' texts.")
    split: str = Field("test", description="Of the hub's data, or of a folder: test, validation or train.")


@register("choice")
class MultipleChoice(ChoiceTask):
    """A file of questions in any layout that `strop.tasks.choice` reads."""

    Settings = ChoiceSettings
    settings: ChoiceSettings
    reads_path = True
    source = "path: a file of questions"
    metrics: Sequence[Metric] = (ACC, ACC_NORM, NO_ANSWER)
    subset: ClassVar[str | None] = None
    train_split: ClassVar[str] = "train"

    def __init__(self, name: str, settings: TaskSettings):
        super().__init__(name, settings)
        self.said: list[str] = []  # of how a folder is read
        if self.settings.options == "letters":
            self.metrics = (ACC, NO_ANSWER)
        if self.settings.path is None and self.hub is None:
            raise InputError(f"evals.{name}: give it a `path`, a file of multiple-choice questions.")

    @classmethod
    def sets(cls) -> Mapping[str, NamedSet]:
        """The training split as conversations: question and options, as ``style: chat`` asks for letters, and the right
        letter; in an order that the seed decides, a longer list beginning with the shorter one."""
        name = next(name for name, kind in TASKS.items() if kind is cls)

        def rows(path: Path | None, count: int | None, seed: int) -> list[Row]:
            made = cls(name, cls.Settings(path=path)).load(path, cls.train_split)
            asked: list[Row] = [
                (one.place, {"prompt": _with_letters(one, INSTRUCTION), "completion": LETTERS[one.answer]})
                for one in made
            ]
            Random(f"{name} {seed}").shuffle(asked)
            return asked[:count]

        return {name: FileSet(rows, cls.hub)}

    def load(self, path: Path | None, split: str, say: Say = silent) -> Iterator[ChoiceItem]:
        """The questions of a split, in order; ``say`` gets what is left out of a folder."""
        if path is not None and Path(path).is_file():
            yield from choice.load(path)
            return
        for place, row in choice.counted_keys(task_rows(path, self.hub, self.subset, split, say=say)):
            yield choice.item_of(row, place)

    def chosen(self) -> list[ChoiceItem]:
        """The questions that are measured."""
        return list(islice(self._own(), self.settings.count))

    def _own(self) -> Iterator[ChoiceItem]:
        """The questions of the file or folder, or of the hub's split."""
        self.said = []
        return self.load(self.settings.path, self.settings.split, self.said.append)

    def pool(self, subject: str) -> list[Shot]:
        """What the worked examples for questions on ``subject`` are taken from."""
        path, n = self.settings.shots_path or self.settings.path, self.settings.shots
        if self.settings.shots_path is None and (path is not None and Path(path).is_file()):
            raise InputError(
                f"evals.{self.name}: shots need examples, and {path} is one file; give them in shots_path."
            )
        found = islice(self.load(path, "train"), 2 * n)  # the question itself may be among them
        return [self._shot(item) for item in found]

    def head(self, subject: str) -> str:
        """What stands before everything."""
        return ""

    def questions(self) -> list[Question]:
        self._items = self.chosen()
        settings, shots, made = self.settings, {}, []
        gap = "" if settings.style == "chat" else " "
        for index, item in enumerate(self._items):
            if item.subject not in shots:
                pool = self.pool(item.subject) if settings.shots else []
                shots[item.subject] = Shots(pool, settings.shots, f"evals.{self.name}")
            asked = self.ask(item)
            before = shots[item.subject].before(asked)
            letters = settings.options == "letters"
            options = self.letters(item) if letters else item.options
            name = f"{self.name}/{item.subject}/{index}" if item.subject else f"{self.name}/{index}"
            made.append(
                Question(
                    name,
                    name,
                    options=tuple(gap + option for option in options),
                    answer=item.answer,
                    lengths=tuple(len(option.encode()) or 1 for option in options),
                    source=item.subject,
                    **prompt(settings.style, before, asked, self.head(item.subject)),
                )
            )
        self.notes = [*self.said, *(note for one in shots.values() for note in one.notes())]
        return made

    def ask(self, item: ChoiceItem) -> str:
        """The question as it stands in a prompt."""
        chat, question = self.settings.style == "chat", item.question.strip()
        if self.settings.options == "texts":
            return question if chat else f"Question: {question}\nAnswer:"
        return _with_letters(item, INSTRUCTION if chat else "Answer:")

    def letters(self, item: ChoiceItem) -> str:
        return LETTERS[: len(item.options)]

    def _shot(self, item: ChoiceItem) -> Shot:
        options = self.letters(item) if self.settings.options == "letters" else item.options
        return self.ask(item), options[item.answer]

    def texts(self) -> Iterator[tuple[str, tuple[str, ...]]]:
        for item in self.chosen():
            yield item.place, (item.prompt,)


def _with_letters(item: ChoiceItem, ending: str) -> str:
    listed = "\n".join(f"{letter}. {option}" for letter, option in zip(LETTERS, item.options, strict=False))
    return f"{item.question.strip()}\n{listed}\n{ending}"
