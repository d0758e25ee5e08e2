"""JSON lines, and JSON files that hold one list."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TextIO

from strop.data.rows import OnBad, Row, as_row, opened, reading, refuse
from strop.errors import InputError

_SPACE = re.compile(r"[ \t\r\n]*")
_DECODER = json.JSONDecoder()
_CHUNK = 1 << 20
_LONGEST_WORD = 12
"""Characters of the longest thing that may be cut off at the end of a chunk, besides strings: ``\\ud83d\\ude00``."""


def json_lines(path: Path, on_bad: OnBad | None = None) -> Iterator[Row]:
    """One row a line; blank lines are skipped."""
    with reading(path), opened(path) as file:
        for number, line in enumerate(file, start=1):
            if not line.strip():
                continue
            place = f"{path}:{number}"
            try:
                row = _parse_line(line, place)
            except InputError as error:
                refuse(error, on_bad)
            else:
                yield place, row


def _parse_line(line: bytes, place: str) -> Any:
    try:
        # Files that Windows programs wrote may begin with a byte order mark.
        return as_row(json.loads(line.decode("utf-8").removeprefix("\ufeff")), place)
    except UnicodeDecodeError:
        raise InputError(f"{place}: not UTF-8; save the file as UTF-8.") from None
    except json.JSONDecodeError as error:
        message = f"{place}: not JSON ({error.msg} at column {error.colno}); each line must be one JSON object."
        raise InputError(message) from None
    except InputError:
        raise
    except RecursionError:
        raise InputError(f"{place}: nested too deep to be read; flatten the object.") from None
    except ValueError as error:  # a number of thousands of digits
        raise InputError(f"{place}: {error}; write it as a string.") from None


def json_rows(path: Path, on_bad: OnBad | None = None) -> Iterator[Row]:
    """The rows of one list of objects, of ``{"data": [...]}``, or of objects one after another.

    A row that is no object can be passed over; what is not JSON ends the reading, for where the next row begins is
    not known then.
    """
    with reading(path), opened(path) as file:
        values = _Values(io.TextIOWrapper(file, encoding="utf-8-sig"))
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


class _NotJson(Exception):
    pass


class _Values:
    """JSON values one after another out of a text, of which little more is held than the value at hand.

    Python's own decoder tells a number from a string, and half of a surrogate pair from a question mark, where the
    streaming libraries do not.
    """

    def __init__(self, file: TextIO):
        self.file, self.text, self.at, self.ended = file, "", 0, False

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
        """The rows in its list ``data``; without that it is a row itself."""
        self.at += 1
        row, is_row, more = {}, True, self._peek() != "}"
        while more:
            key = self._value()
            if not isinstance(key, str):
                raise _NotJson(f"expected the name of a field, found {key!r:.40}")
            self._expect(":")
            if key == "data" and self._peek() == "[":
                is_row = False
                yield from self._list()
            else:
                row[key] = self._value()
            more = self._peek() == ","
            self.at += more
        self._expect("}")
        if is_row:
            yield row

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
