"""MMLU: questions on 57 subjects, four options each (Hendrycks et al. 2021, arXiv:2009.03300).

Five worked examples of the subject's ``dev`` split come before each question, and letters are scored, in the format of
lm-evaluation-harness's ``mmlu``. ``count`` questions are taken from all subjects in turn.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from functools import cached_property
from itertools import islice, zip_longest
from pathlib import Path
from typing import Literal

from pydantic import Field

from strop.common.errors import InputError
from strop.data.files import data_files
from strop.data.hub import is_saved_dataset
from strop.data.rows import Say, silent
from strop.data.slices import split_word
from strop.tasks import choice
from strop.tasks.base import register
from strop.tasks.choice import ChoiceItem
from strop.tasks.multiple_choice import ChoiceSettings, MultipleChoice
from strop.tasks.prompts import Shot


class MmluSettings(ChoiceSettings):
    options: Literal["letters", "texts"] = Field("letters", description="What is scored: letters, or the options.")
    shots: int = Field(5, ge=0, description="Worked examples before each question, from the subject's dev split.")
    subjects: list[str] | None = Field(None, description="Of these subjects only, e.g. [anatomy, astronomy].")


@register("mmlu")
class Mmlu(MultipleChoice):
    """By letters, five examples each."""

    Settings = MmluSettings
    settings: MmluSettings
    hub, subset, train_split = "cais/mmlu", "all", "auxiliary_train"
    source = "cais/mmlu (hub), or path: a folder of SUBJECT_test.csv and SUBJECT_dev.csv (hendrycks/test), or one file"
    licence = "MIT"

    def load(self, path: Path | None, split: str, say: Say = silent) -> Iterator[ChoiceItem]:
        """``dev``, where examples come from, is another split than ``validation`` (also ``val``) here."""
        split = "validation" if split in ("val", "valid") else split
        if path is None or not Path(path).is_dir():
            yield from super().load(path, split, say)
            return
        if split in ("dev", "validation"):
            files = self._files(Path(path), split)
        else:
            files = sorted(Path(path).rglob(f"*_{split}.csv"))
        for file in files:
            yield from choice.load(file)
        if not files:
            yield from super().load(path, split, say)

    def _files(self, path: Path, split: str) -> list[Path]:
        """Those of a folder that are named ``dev``, or those of the validation split that are not. Raises InputError
        where there are none."""
        within = path / self.subset if self.subset and (path / self.subset).is_dir() else path
        if is_saved_dataset(within):
            return []
        files = data_files(within, split)
        found = [file for file in files if (split_word(file.relative_to(within)) == "dev") == (split == "dev")]
        if not found:
            other = "validation" if split == "dev" else "dev"
            raise InputError(f"{path}: no file is named after the split {split}, but after {other}; choose one.")
        return found

    def chosen(self) -> list[ChoiceItem]:
        by_subject: dict[str, list[ChoiceItem]] = defaultdict(list)
        for item in self._own():
            by_subject[item.subject].append(item)
        wanted = self.settings.subjects
        if unknown := [subject for subject in wanted or () if subject not in by_subject]:
            there = ", ".join(sorted(filter(None, by_subject)))
            raise InputError(f"evals.{self.name}: subjects: there is no {unknown[0]!r}, but {there}; correct it.")
        lists = [items for subject, items in by_subject.items() if not wanted or subject in wanted]
        turns = (item for turn in zip_longest(*lists) for item in turn if item is not None)
        kept = {id(item) for item in islice(turns, self.settings.count)}
        return [item for items in lists for item in items if id(item) in kept]

    @cached_property
    def _examples(self) -> dict[str, list[ChoiceItem]]:
        """By subject; where those of a single file are asked for, from the ``dev`` file beside it."""
        path, found = self.settings.shots_path or self.settings.path, defaultdict(list)
        if path is not None and Path(path).is_file() and self.settings.shots_path is None:
            path = Path(path).with_name(f"{choice.subject_of(Path(path))}_dev.csv")
        if path is None or Path(path).exists():
            for item in self.load(path, "dev"):
                found[item.subject].append(item)
        return found

    def pool(self, subject: str) -> list[Shot]:
        if not (found := self._examples.get(subject)):
            raise InputError(
                f"evals.{self.name}: there are no examples of {subject or 'no subject'!r} (a SUBJECT_dev.csv beside "
                "the questions); give them in shots_path, or ask without any (shots: 0)."
            )
        return [self._shot(item) for item in found]

    def head(self, subject: str) -> str:
        about = f" about {subject.replace('_', ' ')}" if subject else ""
        return f"The following are multiple choice questions (with answers){about}.\n\n"
