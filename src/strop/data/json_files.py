"""JSON lines, and JSON files that hold one list or objects one after another."""

from __future__ import annotations

import codecs
import io
import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO, TextIO

from strop.data.rows import OnBad, Row, Say, as_row, is_turn, not_utf8, opened, reading, refuse, silent
from strop.data.splits import split_named
from strop.errors import InputError
from strop.visible import one_line

_SPACE = re.compile(r"[ \t\r\n]*")
_STRING = re.compile(rb'"(?:[^"\\]|\\.)*"')
_LISTS = ("data", "rows", "examples")
"""What a list of rows within one object is called, besides the names of splits."""
_OF_A_ROW = frozenset(
    ("messages", "conversations", "conversation", "prompt", "completion", "instruction", "question", "text", "chosen")
)
_DECODER = json.JSONDecoder()
_CHUNK = 1 << 20
_LONGEST_WORD = 12
"""Characters of the longest thing that may be cut off at the end of a chunk, besides strings: ``\\ud83d\\ude00``."""


def json_lines(path: Path, on_bad: OnBad | None = None, say: Say = silent) -> Iterator[Row]:
    """One row a line, or an object over several lines after another; blank lines are skipped.

    The place of a row is the line on which it begins. A list of rows, on one line or in the whole file, gives its rows.
    """
    with reading(path), opened(path) as file:
        if file.peek(2)[:2] in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE):
            raise InputError(f"{path}: {not_utf8(path)}")
        lines, begun, spread = _Lines(file), False, False
        for number, line in lines:
            if not line.strip():
                continue
            place = f"{path}:{number}"
            try:
                value = _parse_line(line, place)
            except InputError as error:
                if not begun and _is_unfinished(line, b"[") and not _holds_turns(path):
                    say(f"{path}: one JSON list in the whole file, read as its rows")
                    yield from json_rows(path, on_bad)
                    return
                begun = True
                gathered = _gather(lines, line) if _is_unfinished(line) else None
                if gathered is None:
                    rest = _rest_of_damaged(lines) if _is_unfinished(line) else 0
                    if rest:
                        error = InputError(
                            f"{str(error)[:-1]} (nor is it one with lines {number + 1} to {number + rest})."
                        )
                    refuse(error, on_bad)
                    continue
                value, spread = gathered, True
            begun = True
            yield from _rows_of(value, place, on_bad)
        if spread:
            say(f"{path}: objects over several lines, one after another, read as rows")


def _rows_of(value: Any, place: str, on_bad: OnBad | None) -> Iterator[Row]:
    """The row that a value is, or the rows of a list of them."""
    several = (
        isinstance(value, list) and value and all(isinstance(one, dict) for one in value) and not is_turn(value[0])
    )
    for number, one in enumerate(value if several else [value], start=1):
        here = f"{place}, row {number}" if several else place
        try:
            row = as_row(one, here)
        except InputError as error:
            refuse(error, on_bad)
        else:
            yield here, row


class _Lines:
    """``(number, line)`` of a file, counted from 1; lines that were looked at ahead can be put back."""

    def __init__(self, file: BinaryIO):
        self._file, self._back, self._number = iter(file), [], 0

    def __iter__(self) -> Iterator[tuple[int, bytes]]:
        return self

    def __next__(self) -> tuple[int, bytes]:
        if self._back:
            return self._back.pop()
        line = next(self._file)
        self._number += 1
        return self._number, line

    def put_back(self, lines: list[tuple[int, bytes]]) -> None:
        self._back += reversed(lines)


def _is_unfinished(text: bytes, begins: bytes = b"[{") -> bool:
    """Whether JSON that begins so may go on in the next line: all of it is right, and something is missing."""
    text = text.removeprefix(codecs.BOM_UTF8).strip()
    if text[:1] not in (begins[:1], begins[-1:]):
        return False
    try:
        decoded = text.decode("utf-8")
        json.loads(decoded)
    except json.JSONDecodeError as error:
        return error.pos >= len(decoded) and not error.msg.startswith("Unterminated string")
    except (ValueError, RecursionError):
        return False
    return False


def _gather(lines: _Lines, first: bytes) -> Any:
    """The value that begins with the line ``first``; None, with the lines put back, where it never ends.

    Whether what was read so far can still become a value is looked at after 2, 4, 8 … lines, so that a line that was
    cut off takes no more than twice the time of the others.
    """
    taken: list[tuple[int, bytes]] = []
    text, depth, look_at = [first], _depth(first), 2
    for number, line in lines:
        taken.append((number, line))
        text.append(line)
        depth += _depth(line)
        if depth <= 0:
            try:
                return _parse_line(b"".join(text), "")
            except InputError:
                break
        if len(text) >= look_at:
            look_at *= 2
            if not _is_unfinished(b"".join(text)):
                break
    lines.put_back(taken)
    return None


def _depth(line: bytes) -> int:
    """By how many brackets a line opens more than it closes, those in strings left out."""
    bare = _STRING.sub(b"", line)
    return sum(bare.count(c) for c in (b"[", b"{")) - sum(bare.count(c) for c in (b"]", b"}"))


def _rest_of_damaged(lines: _Lines) -> int:
    """Pass over the lines that belong to an object that is not whole: indented ones, and those that close it."""
    passed = 0
    for number, line in lines:
        if line.strip() and (line[:1] not in b" \t]}" or _is_object(line)):
            lines.put_back([(number, line)])
            break
        passed += bool(line.strip())
    return passed


def _is_object(line: bytes) -> bool:
    try:
        return isinstance(json.loads(line), dict)
    except (ValueError, RecursionError):
        return False


def _holds_turns(path: Path) -> bool:
    """Whether the list that a file begins with is one of turns, and so a row itself."""
    with opened(path) as file:
        try:
            return is_turn(next(_Values(io.TextIOWrapper(file, encoding="utf-8-sig")).rows(), None))
        except (_NotJson, UnicodeDecodeError):
            return False


def _parse_line(line: bytes, place: str) -> Any:
    try:
        # Files that Windows programs wrote may begin with a byte order mark.
        return json.loads(line.decode("utf-8").removeprefix("\ufeff"))
    except UnicodeDecodeError:
        raise InputError(f"{place}: not UTF-8; save the file as UTF-8.") from None
    except json.JSONDecodeError as error:
        message = f"{place}: not JSON ({error.msg} at column {error.colno}); each line must be one JSON object."
        raise InputError(message) from None
    except RecursionError:
        raise InputError(f"{place}: nested too deep to be read; flatten the object.") from None
    except ValueError as error:  # a number of thousands of digits
        raise InputError(f"{place}: {error}; write it as a string.") from None


def json_rows(path: Path, on_bad: OnBad | None = None, say: Say = silent, split: str = "train") -> Iterator[Row]:
    """The rows of one list of objects, of an object that holds such a list, or of objects one after another.

    The list may be called ``data``, ``rows``, ``examples``, or as a split is; lists of other splits than ``split`` are
    passed over. A row that is no object can be passed over too; what is not JSON ends the reading, for where the next
    row begins is not known then.
    """
    with reading(path), opened(path) as file:
        values = _Values(io.TextIOWrapper(file, encoding="utf-8-sig"), split)
        number = 1
        try:
            for value in values.rows():
                place = f"{path}, row {number}"
                number += 1
                try:
                    row = as_row(value, place)
                except InputError as error:
                    refuse(error, on_bad)
                else:
                    yield place, row
        except _NotJson as error:
            raise InputError(f"{path}, row {number}: not JSON ({error}); repair the file.") from None
        for key in values.lists:
            say(f"{path}: its rows are in the list {one_line(key)}")
        for key, count in values.left_out.items():
            say(f"{path}: left out as another split: {count:,} rows in the list {one_line(key)} (split: {key})")
        if split != "train" and not values.lists:
            there = ", ".join(dict.fromkeys(["train", *map(split_named, values.left_out)]))
            raise InputError(f"{path}: there is no split {split} in it, but {there}; choose one.")


class _NotJson(Exception):
    pass


class _Values:
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
                raise _NotJson(f"expected the name of a field, found {key!r:.40}")
            self._expect(":")
            if self._holds_rows(key, row):
                is_row = False
                yield from self._rows_of(key)
            else:
                row[key] = self._value()
                if not is_row and key in _OF_A_ROW and key not in _LISTS:
                    raise _NotJson(f"it holds a list of rows, and {key!r} as a row has it; keep one of them")
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
        self.at += 1
        inside = self._peek()
        self.text, self.at = "[" + self.text[self.at :], 0  # the bracket again, whatever was read on meanwhile
        return inside in ("{", "[")

    def _rows_of(self, key: str) -> Iterator[Any]:
        split = split_named(key) or "train"
        if split == self.split:
            self.lists.append(key)
            yield from self._list()
        else:
            self.left_out[key] = sum(1 for _ in self._list())

    def _peek(self) -> str:
        """The next character that is not a space; empty at the end."""
        while True:
            self.at = _SPACE.match(self.text, self.at).end()
            if self.at < len(self.text):
                return self.text[self.at]
            if self.ended:
                return ""
            self._read_on()

    def _expect(self, character: str) -> None:
        found = self._peek()
        if found != character:
            near = repr(self.text[self.at : self.at + 40]) if found else "the end of the file"
            raise _NotJson(f"expected {character!r}, found {near}")
        self.at += 1

    def _value(self) -> Any:
        self._peek()
        while True:
            try:
                value, end = _DECODER.raw_decode(self.text, self.at)
            except json.JSONDecodeError as error:
                cut = error.msg.startswith("Unterminated string") or error.pos >= len(self.text) - _LONGEST_WORD
                if self.ended or not cut:
                    raise _NotJson(f"{error.msg} at {self.text[error.pos : error.pos + 40]!r}") from None
            except RecursionError:
                raise _NotJson("nested too deep to be read") from None
            except ValueError as error:  # a number of thousands of digits
                raise _NotJson(str(error)) from None
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
