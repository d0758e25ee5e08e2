"""Multiple-choice questions out of the files in which they are published.

- ``query``, ``choices``, ``gold`` (the answer's index): llm-foundry's gauntlet;
- ``question``, ``choices``, ``answer`` (an index or a letter), with ``type`` or ``subject``. What an index in quotes
  counts from, the whole file tells (`counted_keys`);
- ARC's own: ``question.stem``, ``question.choices`` of ``text`` and ``label``, ``answerKey``; also with ``question``
  and ``choices: {text, label}`` side by side. A letter for a key is understood where the labels are numbers, and the
  reverse;
- MMLU's own: CSV without a header, of question, A, B, C, D and the answer's letter; also with that header.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from strop.common.errors import InputError
from strop.data.files import open_rows
from strop.data.rows import Row, opened, reading
from strop.rewards.choice import LETTERS
from strop.tasks.fields import check_text, check_texts
from strop.tasks.layouts import ARC, CHOICE_LAYOUTS, CHOICES, GOLD, MMLU, name_tasks

_MMLU_COLUMNS = ("question", "A", "B", "C", "D", "answer")


@dataclass(frozen=True, slots=True)
class ChoiceItem:
    """One question and what may be answered."""

    question: str
    options: tuple[str, ...]
    answer: int  # index of the right option
    place: str  # file:line, or file, row N
    subject: str = ""

    @property
    def name(self) -> str:
        return self.place

    @property
    def prompt(self) -> str:
        """The question and its options, each after its letter."""
        options = (f"{letter}. {option}" for letter, option in zip(LETTERS, self.options, strict=False))
        return "\n".join((self.question, *options))


def load(path: Path) -> list[ChoiceItem]:
    """The questions of a file in any of the layouts above. Raises InputError naming the row that is of none of them."""
    if is_mmlu_csv(path):
        rows = counted_keys(_mmlu_rows(path))
        return [_mmlu({**row, "subject": subject_of(path)}, place) for place, row in rows]
    return [item_of(row, place) for place, row in counted_keys(open_rows(path))]


def counted_keys(rows: Iterable[Row]) -> Iterator[Row]:
    """The rows of one file, with keys that are digits in quotes as indices; the others are given as they come.

    All rows together tell what they count from: a "0", or a number without quotes, from 0; one that is the number of
    its row's choices, from 1. Raises InputError where neither is there, or both. ARC's own keys count from 1 and stay.
    """
    rows, index = iter(rows), None
    for place, row in rows:
        index = index or (place if isinstance(row.get(_key_field(row)), int) else None)
        if _digits(row) is None:
            yield place, row
            continue
        rest = [(place, row), *rows]
        first = _first(rest, index)
        for place, row in rest:
            found = _digits(row)
            yield place, row if found is None else {**row, _key_field(row): found - first}
        return


def _first(rows: Sequence[Row], index: str | None) -> int:
    """What the keys of ``rows`` count from; ``index``: a place before them that has an index."""
    known = [(place, row, _digits(row)) for place, row in rows]
    index = index or next((place for place, row, _ in known if isinstance(row.get(_key_field(row)), int)), None)
    nought = index or next((place for place, _, digits in known if digits == 0), None)
    last = next((place for place, row, digits in known if digits == _choices(row)), None)
    place, field = rows[0][0], _key_field(rows[0][1])
    if nought and last:
        raise InputError(
            f"{place}: '{field}' is a number in quotes, and such keys count from 0 at {nought} and from 1 at {last}; "
            "give letters, or numbers without quotes, from 0."
        )
    if not nought and not last:
        raise InputError(
            f"{place}: '{field}' is {rows[0][1][field]!r} in quotes, and no row tells whether such keys count from 0 "
            "or 1 (with '0', or the number of its choices); give letters, or numbers without quotes, from 0."
        )
    return 0 if nought else 1


def _key_field(row: Mapping[str, Any]) -> str:
    return "gold" if "gold" in row else "answer"


def _choices(row: Mapping[str, Any]) -> int:
    choices = row.get("choices")
    return len(choices) if isinstance(choices, list) else 4


def _digits(row: Mapping[str, Any]) -> int | None:
    """The key of a row whose choices have no labels of its own, where that is digits in quotes."""
    key = row.get(_key_field(row))
    if not isinstance(key, str) or not key.strip().isdecimal() or name_tasks(row) not in (GOLD, MMLU, CHOICES):
        return None
    return int(key)


def subject_of(path: Path) -> str:
    """What a file of MMLU's is about, by its name."""
    return re.sub(r"_(?:dev|val|test|train)$", "", path.name.partition(".")[0])


def is_mmlu_csv(path: Path) -> bool:
    """Whether a file is a CSV of MMLU's: its first line has six cells and is a question itself."""
    if ".csv" not in (suffix.lower() for suffix in path.suffixes[-2:]):
        return False
    cells = next(_csv(path), [])
    return len(cells) == len(_MMLU_COLUMNS) and cells[-1].strip() in tuple(LETTERS[:4])


def _csv(path: Path) -> Iterator[list[str]]:
    with reading(path), opened(path) as file:
        try:
            yield from csv.reader(io.TextIOWrapper(file, encoding="utf-8-sig", newline=""), strict=True)
        except csv.Error as error:
            raise InputError(f"{path}: not CSV ({error}); a quote within a quoted cell is doubled.") from None


def _mmlu_rows(path: Path) -> Iterator[Row]:
    for number, cells in enumerate(filter(None, _csv(path)), start=1):
        place = f"{path}, row {number}"
        if len(cells) != len(_MMLU_COLUMNS):
            raise InputError(f"{place}: {len(cells)} cells; expected {', '.join(_MMLU_COLUMNS)}.")
        yield place, dict(zip(_MMLU_COLUMNS, cells, strict=True))


def item_of(row: Mapping[str, Any], place: str) -> ChoiceItem:
    """The question of a row in any of the layouts above. Raises InputError where it is of none of them."""
    layout = name_tasks(row)
    if layout not in CHOICE_LAYOUTS:
        has = ", ".join(f"{name} (null)" if value is None else str(name) for name, value in row.items())[:200]
        raise InputError(
            f"{place}: is no multiple-choice question (it has {has}); give question, choices (a list of texts) and "
            "answer (an index or a letter), or a layout of docs/tasks.md."
        )
    return {MMLU: _mmlu, ARC: _arc}.get(layout, _listed)(row, place)


def _mmlu(row: Mapping[str, Any], place: str) -> ChoiceItem:
    options = options_of([row[letter] for letter in LETTERS[:4]], place)
    return _made(row["question"], *options, row["answer"], "answer", place, row.get("subject", ""))


def _arc(row: Mapping[str, Any], place: str) -> ChoiceItem:
    question = row["question"]
    nested = isinstance(question, Mapping)
    stem, choices = (question.get("stem"), question.get("choices")) if nested else (question, row.get("choices"))
    if not is_labelled(choices):
        raise InputError(f"{place}: 'choices' is no list of objects with text and label; correct it.")
    return _made(stem, *options_of(choices, place), row["answerKey"], "answerKey", place)


def is_labelled(choices: Any) -> bool:
    """Whether choices have labels of their own, as ARC's: objects of text and label, or such columns as on the hub."""
    if isinstance(choices, list):
        return bool(choices) and all(isinstance(choice, Mapping) for choice in choices)
    return isinstance(choices, Mapping)


def options_of(choices: Any, place: str) -> tuple[tuple[str, ...], Sequence[str]]:
    """The texts of a row's choices and their labels: their own, or letters. Raises InputError for fewer than two."""
    labels: Any = None
    options = choices
    if is_labelled(choices):
        options, labels = (
            choices.get(name) if isinstance(choices, Mapping) else [choice.get(name) for choice in choices]
            for name in ("text", "label")
        )
        labels = check_texts(labels, "choices.label", place)
    options = check_texts(options, "choices", place)
    for number, option in enumerate(options):
        check_text(option, f"choices[{number}]", place, empty=False)  # nothing is always the likeliest
    if len(options) > len(LETTERS):
        raise InputError(f"{place}: {len(options)} choices, and letters are there for {len(LETTERS)}; drop the row.")
    labels = LETTERS[: len(options)] if labels is None else labels
    if len(options) < 2 or len(labels) != len(options):
        counts = f"{len(options)} choices and {len(labels)} labels"
        raise InputError(f"{place}: {counts}; a question needs two or more of both.")
    return tuple(options), labels


def _listed(row: Mapping[str, Any], place: str) -> ChoiceItem:
    ask, key = ("query", "gold") if "gold" in row else ("question", "answer")
    subject = row.get("subject") or row.get("type") or ""
    options = check_texts(row["choices"], "choices", place)
    return _made(row[ask], *options_of(options, place), row[key], key, place, subject)


def _made(question, options, labels, key, field: str, place: str, subject: Any = "") -> ChoiceItem:
    question = check_text(question, "question", place, empty=False)
    return ChoiceItem(question, options, index_of(key, labels, field, place), place, str(subject))


def index_of(key: Any, labels: Sequence[str], field: str, place: str) -> int:
    """The option that a key names: by its label, by letter or number where the labels are the other, or by index.

    Raises InputError for one that names none.
    """
    found = None
    if isinstance(key, int) and not isinstance(key, bool):
        found = list(labels).index(str(key)) if str(key) in labels else key
    elif isinstance(key, str):
        key, known = key.strip(), list(labels)
        if key in known:
            found = known.index(key)
        elif len(key) == 1 and key in LETTERS:
            found = LETTERS.index(key)
        elif key.isdecimal() and field == "answerKey":  # labels are letters: ARC counts from 1
            found = int(key) - 1
    if found is None or not 0 <= found < len(labels):
        raise InputError(f"{place}: '{field}' is {key!r}, which names none of the {len(labels)} choices; correct it.")
    return found
