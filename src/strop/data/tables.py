"""Tables: CSV, Parquet and Arrow files."""

from __future__ import annotations

import csv
import io
import json
import re
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

from strop.data.rows import OnBad, Row, Say, opened, reading, refuse, silent
from strop.errors import InputError
from strop.visible import one_line

if TYPE_CHECKING:
    import pyarrow

_ROWS_AT_ONCE = 256
_DELIMITERS = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "bars"}


def csv_rows(path: Path, on_bad: OnBad | None = None, say: Say = silent) -> Iterator[Row]:
    """Every cell as a string, under the names of the first line.

    Cells are separated by what the first line is: by tabs in ``.tsv`` and commas in ``.csv``, unless that gives one
    column and a semicolon, a tab or a bar gives several. Columns without a name (the index that pandas writes) are
    called ``Unnamed: 0`` by their number, as pandas calls them.
    """
    csv.field_size_limit(sys.maxsize)  # Python's own limit is 128 KiB, and conversations are longer
    usual = "\t" if ".tsv" in (suffix.lower() for suffix in path.suffixes[-2:]) else ","
    with reading(path), opened(path) as file:
        text = io.TextIOWrapper(file, encoding="utf-8-sig", newline="")
        delimiter, lines = _delimiter(text, usual)
        if delimiter != usual:
            say(f"{path}: its cells are separated by {_DELIMITERS.get(delimiter, repr(delimiter))}")
        reader = csv.reader(lines, delimiter=delimiter, strict=True)
        header, number = None, 0
        while True:
            place = f"{path}, row {number + 1}"
            try:
                cells = next(reader)
                if header is None:
                    header = _header(cells, path, say)
                    continue
                if not cells:  # a blank line
                    continue
                number += 1
                if len(cells) != len(header):
                    raise InputError(f"{place}: {len(cells)} cells, and the first line names {len(header)} columns.")
            except StopIteration:
                return
            except csv.Error as error:
                number += 1
                refuse(InputError(f"{place}: not CSV ({error}); a quote within a quoted cell is doubled."), on_bad)
            except InputError as error:
                if header is None:
                    raise
                refuse(error, on_bad)
            else:
                yield place, dict(zip(header, cells, strict=True))


def _delimiter(text: io.TextIOWrapper, usual: str) -> tuple[str, Iterable[str]]:
    """What separates the cells of the first line, and all lines."""
    lines = iter(text)
    first = next(lines, "")
    if match := re.fullmatch(r'"?sep=(.)"?\s*', first):  # what spreadsheets write before the header
        return match[1], lines
    columns = {usual: len(_cells(first, usual))} | {d: len(_cells(first, d)) for d in _DELIMITERS if d != usual}
    best = usual if columns[usual] > 1 else max(columns, key=lambda d: columns[d])
    return best, chain([first], lines)


def _cells(line: str, delimiter: str) -> list[str]:
    return next(csv.reader([line.rstrip("\r\n")], delimiter=delimiter), [])


def _header(cells: list[str], path: Path, say: Say) -> list[str]:
    if not any(cell.strip() for cell in cells):
        raise InputError(f"{path}: the first line must name the columns, and it is empty; write their names there.")
    unnamed = [index for index, cell in enumerate(cells) if not cell.strip()]
    if unnamed:
        which = ", ".join(str(index + 1) for index in unnamed)
        said = f"column {which} has no name" if len(unnamed) == 1 else f"columns {which} have no names"
        index = " (an index, as pandas writes it)" if unnamed == [0] else ""
        say(f"{path}: {said}{index}, so nothing is read from {'it' if len(unnamed) == 1 else 'them'}")
    names = [cell if cell.strip() else f"Unnamed: {index}" for index, cell in enumerate(cells)]
    twice = [one_line(name) for name, count in Counter(names).items() if count > 1]
    if twice:
        raise InputError(
            f"{path}: the first line must name the columns, each once; {', '.join(twice[:5])} "
            f"{'stands' if len(twice) == 1 else 'stand'} there more than once. Give each a name of its own, or put a "
            "line of names first where there is none."
        )
    return names


def parquet_rows(path: Path, on_bad: OnBad | None = None, say: Say = silent) -> Iterator[Row]:
    """Objects and lists in columns become dicts and lists; fields that are null are left out."""
    import pyarrow
    from pyarrow.parquet import ParquetFile

    with reading(path):
        try:
            with ParquetFile(path) as file:
                yield from _batch_rows(file.iter_batches(_ROWS_AT_ONCE), path, on_bad)
        except pyarrow.ArrowException as error:
            raise _damaged(path, "Parquet", error) from None


def arrow_rows(path: Path, on_bad: OnBad | None = None, say: Say = silent) -> Iterator[Row]:
    """The same for Arrow's own files, in both of their forms (``datasets`` writes the streaming one)."""
    import pyarrow
    from pyarrow import ipc

    with reading(path):
        try:
            with pyarrow.memory_map(str(path)) as file:
                if file.size() >= 6 and file.read_at(6, 0) == b"ARROW1":
                    whole = ipc.open_file(file)
                    batches = (whole.get_batch(index) for index in range(whole.num_record_batches))
                else:
                    batches = ipc.open_stream(file)
                yield from _batch_rows(batches, path, on_bad)
        except pyarrow.ArrowException as error:
            raise _damaged(path, "Arrow", error) from None


def _batch_rows(batches: Iterable[pyarrow.RecordBatch], path: Path, on_bad: OnBad | None) -> Iterator[Row]:
    number, schema, clean = 0, None, None
    for batch in batches:
        if schema is None or batch.schema != schema:
            schema, clean = batch.schema, _struct_cleaner(batch.schema)
        for start in range(0, batch.num_rows, _ROWS_AT_ONCE):
            for row in _as_dicts(batch.slice(start, _ROWS_AT_ONCE)):
                number += 1
                place = f"{path}, row {number}"
                try:
                    if isinstance(row, ValueError):
                        raise row
                    row = clean(row)
                except (ValueError, RecursionError) as error:
                    refuse(InputError(f"{place}: cannot be read ({error}); repair or drop it."), on_bad)
                else:
                    yield place, row


def _cleaner(kind: pyarrow.DataType) -> Callable[[Any], Any]:
    """What makes of a column's value the one that was meant: JSON parsed, and no field that is null.

    Arrow gives every object of a column the fields of all of them: a tool call that takes a city has, as null, the
    arguments of all other tools, and templates would print them. Null within JSON is the author's own.
    """
    import pyarrow

    if pyarrow.types.is_struct(kind):
        return _struct_cleaner(kind)
    if getattr(kind, "extension_name", None) == "arrow.json":
        return lambda value: json.loads(value) if isinstance(value, str) else value
    if pyarrow.types.is_nested(kind) and hasattr(kind, "value_type"):
        inner = _cleaner(kind.value_type)
        return lambda value: [item if item is None else inner(item) for item in value] if type(value) is list else value
    return lambda value: value


def _struct_cleaner(fields: Iterable[pyarrow.Field]) -> Callable[[dict[str, Any]], dict[str, Any]]:
    cleaners = {field.name: _cleaner(field.type) for field in fields}
    return lambda row: {name: cleaners[name](value) for name, value in row.items() if value is not None}


def _as_dicts(batch: pyarrow.RecordBatch) -> list[dict | ValueError]:
    """The rows; where one cannot be had (text that is not UTF-8), its error."""
    try:
        return batch.to_pylist(maps_as_pydicts="lossy")
    except ValueError as error:
        if batch.num_rows == 1:
            return [error]
        return [row for index in range(batch.num_rows) for row in _as_dicts(batch.slice(index, 1))]


def _damaged(path: Path, kind: str, error: Exception) -> InputError:
    return InputError(f"{path}: not a whole {kind} file ({str(error).partition(chr(10))[0]}); write or get it again.")
