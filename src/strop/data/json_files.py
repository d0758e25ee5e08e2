"""JSON: one row a line, objects over several lines, one list, or an object with lists in it."""

from __future__ import annotations

import codecs
import io
import json
import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any, TextIO

from strop.chat.field import Twice, once, said_twice
from strop.common.errors import InputError
from strop.common.visible import one_line
from strop.data.rows import OnBad, Row, Say, not_utf8, opened, reading, refuse, silent
from strop.data.slices import split_named

_SPACE = re.compile(r"[ \t\r\n]*")
_LISTS = ("data", "rows", "examples")
"""What a list of rows within one object is called, besides the names of splits."""
_OF_A_ROW = frozenset(
    ("messages", "conversations", "conversation", "prompt", "completion", "instruction", "question", "text", "chosen")
)
_DECODER = json.JSONDecoder(object_pairs_hook=once)
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
        values = _Values(io.TextIOWrapper(file, encoding="utf-8-sig"), split)
        number = 0
        try:
            for number, value in enumerate(values.rows(), start=1):
                yield from _rows_of(value, f"{path}, row {number}", on_bad)
        except _NotJson as error:
            raise InputError(f"{path}, row {number + 1}: not JSON ({error}); repair the file.") from None
        for key in values.lists:
            say(f"{path}: its rows are in the list {one_line(key)}")
        for key, count in values.left_out.items():
            say(f"{path}: left out as another split: {count:,} rows in the list {one_line(key)} (split: {key})")
        if split != "train" and not values.lists:
            there = ", ".join(dict.fromkeys(["train", *(split_named(key) or "train" for key in values.left_out)]))
            raise InputError(f"{path}: there is no split {split} in it, but {there}; choose one.")


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
                value = _parsed(line)
            except _NotJson as error:
                is_list = line.removeprefix(codecs.BOM_UTF8).lstrip().startswith(b"[")
                if error.goes_on and not begun and is_list and not _holds_turns(path):
                    say(f"{path}: one JSON list in the whole file, read as its rows")
                    yield from json_rows(path, on_bad)
                    return
                begun, twice = True, ""
                try:
                    value = _gathered(lines, line) if error.goes_on else None
                except Twice as found:
                    value, twice = None, str(found)
                if value is None:
                    rest = _rest_of_damaged(lines) if error.goes_on else 0
                    nor = f" (nor is it one with lines {number + 1} to {number + rest})" if rest else ""
                    refuse(InputError(f"{place}: {twice or f'{error}{nor}'}."), on_bad)
                    continue
                spread = True
            begun = True
            if _is_list_of_objects(value) and not _is_turn(value[0]):
                yield from ((f"{place}, row {index}", one) for index, one in enumerate(value, start=1))
            else:
                yield from _rows_of(value, place, on_bad)
        if spread:
            say(f"{path}: objects over several lines, one after another, read as rows")


def _rows_of(value: Any, place: str, on_bad: OnBad | None) -> Iterator[Row]:
    """The row that a value is: an object, or a bare list of messages, which is taken for its ``messages``."""
    if isinstance(value, dict):
        yield place, value
    elif _is_list_of_objects(value):
        yield place, {"messages": value}
    else:
        found = type(value).__name__
        refuse(InputError(f"{place}: expected one JSON object (or a list of messages), found {found}."), on_bad)


def _is_list_of_objects(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(one, dict) for one in value)


def _is_turn(value: Any) -> bool:
    """Whether an object out of a list is a turn of a conversation."""
    return isinstance(value, dict) and ("role" in value or "from" in value)


class _NotJson(Exception):
    """``goes_on``: all that is there is right and something is missing, so the next line may hold it."""

    def __init__(self, message: str, goes_on: bool = False):
        super().__init__(message)
        self.goes_on = goes_on


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
        self._expect("[")
        if self._peek() != "]":
            yield self._value()
            while self._took(","):
                yield self._value()
        self._expect("]")

    def _object(self) -> Iterator[Any]:
        """The rows in its lists; without one that holds rows it is a row itself."""
        self._expect("{")
        row: dict[str, Any] = {}
        is_row, more = True, self._peek() != "}"
        while more:
            key = self._value()
            if not isinstance(key, str):
                raise _NotJson(f"expected the name of a field, found {key!r:.40}")
            self._expect(":")
            if self._holds_rows(key, row):
                is_row = False
                yield from self._rows_of(key)
            else:
                if key in row:
                    raise _NotJson(said_twice(key))
                row[key] = self._value()
                if not is_row and key in _OF_A_ROW and key not in _LISTS:
                    raise _NotJson(f"it holds a list of rows, and {key!r} as a row has it; keep one of them")
            more = self._took(",")
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
            self.at = _past_space(self.text, self.at)
            at = _past_space(self.text, self.at + after)
            if at < len(self.text):
                return self.text[at]
            if self.ended:
                return ""
            self._read_on()

    def _took(self, character: str) -> bool:
        """Whether the character comes next; it is passed over then."""
        comes = self._peek() == character
        self.at += comes
        return comes

    def _expect(self, character: str) -> None:
        if not self._took(character):
            near = repr(self.text[self.at : self.at + 40]) if self._peek() else "the end of the file"
            raise _NotJson(f"expected {character!r}, found {near}")

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


def _past_space(text: str, at: int) -> int:
    found = _SPACE.match(text, at)
    return found.end() if found else at


class _Lines(Iterator[tuple[int, bytes]]):
    """``(number, line)`` of a file, counted from 1; lines that were looked at ahead can be put back."""

    def __init__(self, file: Iterable[bytes]):
        self._numbered = enumerate(file, start=1)
        self._back: list[tuple[int, bytes]] = []

    def __next__(self) -> tuple[int, bytes]:
        return self._back.pop() if self._back else next(self._numbered)

    def put_back(self, lines: list[tuple[int, bytes]]) -> None:
        self._back += reversed(lines)


def _parsed(line: bytes) -> Any:
    try:
        # Files that Windows programs wrote may begin with a byte order mark.
        text = line.decode("utf-8-sig").rstrip()
        return _DECODER.decode(text)
    except UnicodeDecodeError:
        raise _NotJson("not UTF-8; save the file as UTF-8") from None
    except json.JSONDecodeError as error:
        message = (
            f"not JSON ({error.msg.removesuffix(' at')} at column {error.colno}); each line must be one JSON object"
        )
        raise _NotJson(message, _goes_on(error, text)) from None
    except Twice as error:
        raise _NotJson(str(error)) from None
    except RecursionError:
        raise _NotJson("nested too deep to be read; flatten the object") from None
    except ValueError:  # of all that is JSON, Python refuses only such a number
        most = sys.get_int_max_str_digits()
        raise _NotJson(f"a number of more than {most:,} digits; write it as a string") from None


def _goes_on(error: json.JSONDecodeError, text: str) -> bool:
    return error.pos >= len(text) and not error.msg.startswith("Unterminated string")


def _gathered(lines: _Lines, first: bytes) -> Any:
    """The value that begins with the line ``first``; None, with the lines put back, where it never ends.

    Raises `Twice`, with the lines put back too.
    Twice as many lines are taken each time, so that a long value is not parsed anew for every line of it.
    """
    taken: list[tuple[int, bytes]] = []
    while ahead := list(islice(lines, len(taken) + 1)):
        taken += ahead
        # What is no UTF-8 may be in a later row.
        text = b"".join([first, *(line for _, line in taken)]).decode("utf-8-sig", "surrogateescape").rstrip()
        try:
            value, end = _DECODER.raw_decode(text, len(text) - len(text.lstrip()))
            text[:end].encode()
        except json.JSONDecodeError as error:
            if _goes_on(error, text):
                continue
            break
        except Twice:
            lines.put_back(taken)
            raise
        except (ValueError, RecursionError):
            break
        if text[end:].partition("\n")[0].strip():
            break
        lines.put_back(taken[text.count("\n", 0, end) :])
        return value
    lines.put_back(taken)
    return None


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
        return isinstance(_parsed(line), dict)
    except _NotJson:
        return False


def _holds_turns(path: Path) -> bool:
    """Whether the list that a file begins with is one of turns, and so a row itself."""
    with opened(path) as file:
        try:
            return _is_turn(next(_Values(io.TextIOWrapper(file, encoding="utf-8-sig")).rows(), None))
        except (_NotJson, UnicodeDecodeError):
            return False
