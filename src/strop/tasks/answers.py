"""A file of the user's own with a prompt and a reference answer in each row, graded by a known rule.

    evals: {mine: {task: answers, path: mine.jsonl, grader: number}}

``exact``: the answer is the reference, but for white space, case and a final full stop; ``number``: the last number
has its value; ``math``: equal by math-verify; ``choice``: the letter, or the text, of the right one of the row's
``choices``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, Literal

from pydantic import Field, model_validator

from strop.chat.field import Field as At
from strop.chat.field import Seen, is_blank
from strop.chat.pairs import ASKED, asked
from strop.common.errors import InputError
from strop.data.rows import Row
from strop.rewards import Judgement
from strop.rewards.choice import LETTERS, chosen_letter
from strop.rewards.math import math_verdicts, require_math_verify
from strop.rewards.numbers import flexible_number, number
from strop.rewards.reasoning import without_reasoning
from strop.tasks.base import AnswerSettings, AnswerTask, Item, TaskSettings, distinct, register
from strop.tasks.choice import counted_keys, index_of, is_labelled, item_of, options_of
from strop.tasks.fields import check_text
from strop.tasks.folders import own_rows
from strop.tasks.math import judgement
from strop.tasks.metrics import NO_ANSWER, accuracy
from strop.tasks.prompts import field_of

_OWN = "row"
"""Under which a row whose columns are named has all that was read."""
REFERENCES = ("answer", "ground_truth", "reference", "target", "completion", "output")


class AnswersSettings(AnswerSettings):
    grader: Literal["exact", "number", "math", "choice"] = Field("exact", description="How answers are judged.")
    columns: dict[Literal["prompt", "answer"], str] = Field({}, description="What the file calls prompt and answer.")
    suffix: str = Field("", description="What is put after every prompt, e.g. how to end the answer.")

    @model_validator(mode="after")
    def _own_file(self) -> AnswersSettings:
        if self.path is None:
            raise ValueError("path: name the file with the prompts and their answers.")
        return self


@dataclass(frozen=True)
class Reference:
    """What an answer is judged by: the rule, the reference and, for ``choice``, the options."""

    grader: str
    answer: str
    options: tuple[str, ...] = ()


@register("answers")
class Answers(AnswerTask):
    """Prompts with reference answers."""

    Settings = AnswersSettings
    settings: AnswersSettings
    reads_path = True
    source = "path: a file of the user's own"
    metrics = (accuracy("answers that the grader takes for right", lead=2, by_source=True), NO_ANSWER)

    def __init__(self, name: str, settings: TaskSettings):
        super().__init__(name, settings)
        if self.settings.grader == "math":
            require_math_verify()

    def items(self) -> list[Item]:
        return self._items("test")

    def _items(self, split: str) -> list[Item]:
        """Of the file, or of a folder's ``split``."""
        made, settings = [], self.settings
        said: list[str] = []
        rows = own_rows(settings.path, said.append, split)
        if settings.grader == "choice":
            rows = counted_keys(map(self._keyed, rows) if settings.columns else rows)
        for index, (place, row) in enumerate(islice(rows, settings.count)):
            messages, reference = self._read(row, place)
            row = row[_OWN] if settings.grader == "choice" and settings.columns else row
            if settings.suffix:
                last = messages[-1]
                messages = [*messages[:-1], {**last, "content": f"{last['content']}\n\n{settings.suffix}"}]
            name = str(row.get("id") or row.get("name") or f"{self.name}/{index}")
            family = str(row.get("family") or name)
            made.append(Item(name, family, messages, reference, str(row.get("source") or row.get("subject") or "")))
        self.notes = said
        return made

    @property
    def judges_itself(self) -> bool:
        return self.settings.grader == "math"

    def train_items(self, count: int | None, seed: int) -> list[Item]:
        """Of the file, which is to be another one than what is measured, or of a folder's training split."""
        return distinct(self._items("train"), self.name, Item)[:count]

    def _read(self, row: Mapping[str, Any], place: str) -> tuple[list[dict[str, str]], Reference]:
        grader = self.settings.grader
        if grader == "choice" and self.settings.columns:
            options, labels = options_of(row["choices"], place)
            field = _key_field(row["choices"])
            right = index_of(row[field], labels, field, place)
            return self._asked(row[_OWN], place), Reference(grader, LETTERS[right], options)
        if grader == "choice":
            item = item_of(row, place)
            reference = Reference(grader, LETTERS[item.answer], item.options)
            return [{"role": "user", "content": item.prompt}], reference
        asked = self._asked(row, place)
        answer = self._answer(row, place, REFERENCES)
        if isinstance(answer, int | float) and not isinstance(answer, bool):
            answer = str(answer)
        answer = check_text(answer, "answer", place, empty=False)
        if grader == "number":
            answer = answer.rpartition("####")[2].strip()
            if number(answer) is None:
                raise InputError(f"{place}: the reference {answer!r:.60} is no number; choose another grader.")
        return asked, Reference(grader, answer)

    def _keyed(self, one: Row) -> Row:
        """A row of choices whose columns are named, as `counted_keys` reads it; its label for a key that is a choice's
        text, or says a letter in words."""
        place, row = one
        if not row.get("choices"):
            raise InputError(f"{place}: has no 'choices', which the grader needs; give a list of texts.")
        options, labels = options_of(row["choices"], place)
        key = self._answer(row, place, (*REFERENCES, "answerKey", "gold"))
        if isinstance(key, str) and key.strip() not in labels:
            if (named := chosen_letter(key, options)) is not None:
                key = labels[named]
            elif not key.strip().isdecimal():
                raise InputError(f"{place}: the reference {key!r:.60} names none of the {len(options)} choices; give a "
                                 "letter or a choice's text.")  # fmt: skip
        return place, {"question": "", "choices": row["choices"], _key_field(row["choices"]): key, _OWN: row}

    def _answer(self, row: Mapping[str, Any], place: str, known: Sequence[str]) -> Any:
        if isinstance(row.get("reward_model"), Mapping) and "answer" not in self.settings.columns:  # verl's layout
            row = {**row, "ground_truth": row["reward_model"].get("ground_truth")}
        own = self.settings.columns.get("answer")
        return field_of(row, place, (own,) if own else known, "the reference answer")

    def _asked(self, row: Mapping[str, Any], place: str) -> list[dict[str, str]]:
        """The turns to answer: of the column that is named, or of the first that holds something and of those that
        belong to it, as training reads them: an instruction before its input, a context, a system prompt."""
        if own := self.settings.columns.get("prompt"):
            return _messages(field_of(row, place, (own,), "the prompt"), place)
        name = next((name for name in ASKED if not is_blank(row.get(name))), None)
        if name is None or not isinstance(row[name], str):
            return _messages(field_of(row, place, (name,) if name else ASKED, "the prompt"), place)
        return [{"role": turn.role, "content": turn.content or ""} for turn in asked(Seen(row), name, At(place))]

    def judge(self, items: Sequence[Item], answers: Sequence[str]) -> list[Judgement]:
        if self.settings.grader != "math":
            return super().judge(items, answers)
        verdicts = math_verdicts([(item.data.answer, answer) for item, answer in zip(items, answers, strict=True)])
        return list(map(judgement, verdicts, answers))

    @classmethod
    def grade(cls, item: Item, answer: str) -> Judgement:
        """The reasoning left out; what the grader finds nothing in is ``no_answer``."""
        reference: Reference = item.data
        if reference.grader == "math":
            return judgement(math_verdicts([(reference.answer, answer)])[0], answer)
        found, right = _found(reference, answer)
        if found is None:
            return Judgement("no_answer", 0, 1, f"the answer holds no {_LOOKED_FOR[reference.grader]}")
        if found == right:
            return Judgement("accepted", 1, 1)
        return Judgement("wrong_answer", 0, 1, f"found {found!s:.80}, expected {right!s:.80}")

    @classmethod
    def finished_part(cls, answer: str) -> str:
        return ""  # what was cut off has not come to its answer


_LOOKED_FOR = {"exact": "text", "number": "number", "choice": "option"}


def _found(reference: Reference, answer: str) -> tuple[Any, Any]:
    """What the answer says (None: nothing) and what it should."""
    if reference.grader == "number":
        return flexible_number(answer), number(reference.answer)
    if reference.grader == "choice":
        return chosen_letter(answer, reference.options), chosen_letter(reference.answer, reference.options)
    return _plain(without_reasoning(answer)) or None, _plain(reference.answer)


def _key_field(choices: Any) -> str:
    """What a key's column is called in the layout of these choices."""
    return "answerKey" if is_labelled(choices) else "answer"


def _plain(text: str) -> str:
    return " ".join(text.split()).removesuffix(".").casefold()


def _messages(asked: Any, place: str) -> list[dict[str, str]]:
    if isinstance(asked, list):
        turns: list[dict[str, Any]] = [
            {"role": t.get("role"), "content": t.get("content")} for t in asked if isinstance(t, Mapping)
        ]
        if not turns or len(turns) < len(asked) or not all(isinstance(t["content"], str) for t in turns):
            raise InputError(f"{place}: 'prompt' is no list of turns with role and content; correct it.")
        if turns[-1]["role"] == "assistant":
            raise InputError(f"{place}: 'prompt' ends with an answer of the assistant's; give the turns up to the one "
                             "that is to be answered.")  # fmt: skip
        return turns
    return [{"role": "user", "content": check_text(asked, "prompt", place, empty=False)}]
