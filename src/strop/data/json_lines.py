"""JSON lines: one row a line, or an object over several lines after another."""

from __future__ import annotations

import codecs
import io
import json
import sys
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO

from strop.common.errors import InputError
from strop.data.json_files import NotJson, Values, json_rows
from strop.data.rows import OnBad, Row, Say, is_turn, not_utf8, opened, reading, refuse, rows_of_value, silent

_DECODER = json.JSONDecoder()


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
            except _BadLine as error:
                if error.goes_on and not begun and _is_list(line) and not _holds_turns(path):
                    say(f"{path}: one JSON list in the whole file, read as its rows")
                    yield from json_rows(path, on_bad)
                    return
                begun = True
                value = _gathered(lines, line) if error.goes_on else None
                if value is None:
                    rest = _rest_of_damaged(lines) if error.goes_on else 0
                    nor = f" (nor is it one with lines {number + 1} to {number + rest})" if rest else ""
                    refuse(InputError(f"{place}: {error}{nor}."), on_bad)
                    continue
                spread = True
            begun = True
            yield from _rows_of(value, place, on_bad)
        if spread:
            say(f"{path}: objects over several lines, one after another, read as rows")


def _rows_of(value: Any, place: str, on_bad: OnBad | None) -> Iterator[Row]:
    """The row that a value is, or the rows of a list of them."""
    several = (
        isinstance(value, list) and value and all(isinstance(one, dict) for one in value) and not is_turn(value[0])
    )
    if not several:
        yield from rows_of_value(value, place, on_bad)
        return
    for number, one in enumerate(value, start=1):
        yield from rows_of_value(one, f"{place}, row {number}", on_bad)


class _Lines(Iterator[tuple[int, bytes]]):
    """``(number, line)`` of a file, counted from 1; lines that were looked at ahead can be put back."""

    def __init__(self, file: BinaryIO):
        self._numbered, self._back = enumerate(file, start=1), []

    def __next__(self) -> tuple[int, bytes]:
        return self._back.pop() if self._back else next(self._numbered)

    def put_back(self, lines: list[tuple[int, bytes]]) -> None:
        self._back += reversed(lines)


class _BadLine(Exception):
    """What is wrong with a line. ``goes_on``: all of it is right and something is missing, so the next may hold it."""

    def __init__(self, message: str, goes_on: bool = False):
        super().__init__(message)
        self.goes_on = goes_on


def _parsed(line: bytes) -> Any:
    try:
        # Files that Windows programs wrote may begin with a byte order mark.
        text = line.decode("utf-8-sig").rstrip()
        return json.loads(text)
    except UnicodeDecodeError:
        raise _BadLine("not UTF-8; save the file as UTF-8") from None
    except json.JSONDecodeError as error:
        message = f"not JSON ({error.msg} at column {error.colno}); each line must be one JSON object"
        raise _BadLine(message, _goes_on(error, text)) from None
    except RecursionError:
        raise _BadLine("nested too deep to be read; flatten the object") from None
    except ValueError:  # of all that is JSON, Python refuses only such a number
        most = sys.get_int_max_str_digits()
        raise _BadLine(f"a number of more than {most:,} digits; write it as a string") from None


def _goes_on(error: json.JSONDecodeError, text: str) -> bool:
    return error.pos >= len(text) and not error.msg.startswith("Unterminated string")


def _gathered(lines: _Lines, first: bytes) -> Any:
    """The value that begins with the line ``first``; None, with the lines put back, where it never ends.

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
    except _BadLine:
        return False


def _is_list(line: bytes) -> bool:
    return line.removeprefix(codecs.BOM_UTF8).lstrip().startswith(b"[")


def _holds_turns(path: Path) -> bool:
    """Whether the list that a file begins with is one of turns, and so a row itself."""
    with opened(path) as file:
        try:
            return is_turn(next(Values(io.TextIOWrapper(file, encoding="utf-8-sig")).rows(), None))
        except (NotJson, UnicodeDecodeError):
            return False
