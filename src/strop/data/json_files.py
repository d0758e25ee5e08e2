"""JSON files that hold one list, an object with lists in it, or objects one after another."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, TextIO

from strop.common.errors import InputError
from strop.common.visible import one_line
from strop.data.rows import OnBad, Row, Say, opened, reading, rows_of_value, silent
from strop.data.splits import split_named

_SPACE = re.compile(r"[ \t\r\n]*")
_LISTS = ("data", "rows", "examples")
"""What a list of rows within one object is called, besides the names of splits."""
_OF_A_ROW = frozenset(
    ("messages", "conversations", "conversation", "prompt", "completion", "instruction", "question", "text", "chosen")
)
_DECODER = json.JSONDecoder()
_CHUNK = 1 << 20
_LONGEST_WORD = 12
"""Characters of the longest thing that may be cut off at the end of a chunk, besides strings: ``\\ud83d\\ude00``."""


def json_rows(path: Path, on_bad: OnBad | None = None, say: Say = silent, split: str = "train") -> Iterator[Row]:
    """The rows of one list of objects, of an object that holds such a list, or of objects one after another.

    The list may be called ``data``, ``rows``, ``examples``, or as a split is; lists of other splits than ``split`` are
    passed over. A row that is no object can be passed over too; what is not JSON ends the reading, for where the next
    row begins is not known then.
    """
    with reading(path), opened(path) as file:
        values = Values(io.TextIOWrapper(file, encoding="utf-8-sig"), split)
        number = 0
        try:
            for number, value in enumerate(values.rows(), start=1):
                yield from rows_of_value(value, f"{path}, row {number}", on_bad)
        except NotJson as error:
            raise InputError(f"{path}, row {number + 1}: not JSON ({error}); repair the file.") from None
        for key in values.lists:
            say(f"{path}: its rows are in the list {one_line(key)}")
        for key, count in values.left_out.items():
            say(f"{path}: left out as another split: {count:,} rows in the list {one_line(key)} (split: {key})")
        if split != "train" and not values.lists:
            there = ", ".join(dict.fromkeys(["train", *map(split_named, values.left_out)]))
            raise InputError(f"{path}: there is no split {split} in it, but {there}; choose one.")


class NotJson(Exception):
    pass


class Values:
    """JSON values one after another out of a text, of which little more is held than the value at hand.

    Python's own decoder tells a number from a string, and half of a surrogate pair from a question mark, where the
    streaming libraries do not.
    """

    def __init__(self, file: TextIO, split: str = "train"):
        self.file, self.text, self.at, self.ended, self.split = file, "", 0, False, split
        self.lists: list[str] = []
        """Names of the lists that rows were taken from."""
        self.left_out: dict[str, int] = {}
        """Names of the lists of other splits, and how many rows each has."""

    def rows(self) -> Iterator[Any]:
        while first := self._peek():
            if first == "[":
                yield from self._list()
            elif first == "{":
                yield from self._object()
            else:
                yield self._value()

    def _list(self) -> Iterator[Any]:
        self.at += 1
        if self._peek() != "]":
            yield self._value()
            while self._peek() == ",":
                self.at += 1
                yield self._value()
        self._expect("]")

    def _object(self) -> Iterator[Any]:
        """The rows in its lists; without one that holds rows it is a row itself."""
        self.at += 1
        row, is_row, more = {}, True, self._peek() != "}"
        while more:
            key = self._value()
            if not isinstance(key, str):
                raise NotJson(f"expected the name of a field, found {key!r:.40}")
            self._expect(":")
            if self._holds_rows(key, row):
                is_row = False
                yield from self._rows_of(key)
            else:
                row[key] = self._value()
                if not is_row and key in _OF_A_ROW and key not in _LISTS:
                    raise NotJson(f"it holds a list of rows, and {key!r} as a row has it; keep one of them")
            more = self._peek() == ","
            self.at += more
        self._expect("}")
        if is_row:
            yield row

    def _holds_rows(self, key: str, before: Mapping[str, Any]) -> bool:
        """Whether the value of ``key``, which comes next, is a list of rows. ``before``: the fields before it."""
        if self._peek() != "[":
            return False
        if key == "data":
            return True
        if (key not in _LISTS and split_named(key) is None) or not _OF_A_ROW.isdisjoint(before):
            return False
        return self._peek(after=1) in ("{", "[")

    def _rows_of(self, key: str) -> Iterator[Any]:
        split = split_named(key) or "train"
        if split == self.split:
            self.lists.append(key)
            yield from self._list()
        else:
            self.left_out[key] = sum(1 for _ in self._list())

    def _peek(self, after: int = 0) -> str:
        """The next character that is not a space, or the one ``after`` it; empty at the end."""
        while True:
            self.at = _SPACE.match(self.text, self.at).end()
            at = _SPACE.match(self.text, self.at + after).end()
            if at < len(self.text):
                return self.text[at]
            if self.ended:
                return ""
            self._read_on()

    def _expect(self, character: str) -> None:
        found = self._peek()
        if found != character:
            near = repr(self.text[self.at : self.at + 40]) if found else "the end of the file"
            raise NotJson(f"expected {character!r}, found {near}")
        self.at += 1

    def _value(self) -> Any:
        self._peek()
        while True:
            try:
                value, end = _DECODER.raw_decode(self.text, self.at)
            except json.JSONDecodeError as error:
                cut = error.msg.startswith("Unterminated string") or error.pos >= len(self.text) - _LONGEST_WORD
                if self.ended or not cut:
                    raise NotJson(f"{error.msg} at {self.text[error.pos : error.pos + 40]!r}") from None
            except RecursionError:
                raise NotJson("nested too deep to be read") from None
            except ValueError as error:  # a number of thousands of digits
                raise NotJson(str(error)) from None
            else:
                if end < len(self.text) or self.ended:  # a number may go on in what is not read yet
                    self.at = end
                    return value
            self._read_on()

    def _read_on(self) -> None:
        """More text: twice as much each time, so that a long value is not parsed anew for every chunk of it."""
        rest = self.text[self.at :]
        more = self.file.read(max(_CHUNK, len(rest)))
        self.text, self.at, self.ended = rest + more, 0, not more
