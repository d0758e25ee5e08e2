"""Tables: CSV, Parquet and Arrow files, and whatever else gives Arrow's tables."""

from __future__ import annotations

import csv
import io
import json
import re
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

from strop.common.errors import InputError
from strop.common.visible import one_line
from strop.data.rows import OnBad, Row, Say, check_kind, opened, reading, refuse, silent

if TYPE_CHECKING:
    import pyarrow

ROWS_AT_ONCE = 256
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
        delimiter, lines = _delimiter(io.TextIOWrapper(file, encoding="utf-8-sig", newline=""), usual)
        if delimiter != usual:
            say(f"{path}: its cells are separated by {_DELIMITERS.get(delimiter, repr(delimiter))}")
        table = _cells(lines, delimiter)
        header = _header(next(table, []), path, say)
        for number, cells in enumerate((cells for cells in table if cells), start=1):  # blank lines aside
            place = f"{path}, row {number}"
            if isinstance(cells, csv.Error):
                refuse(InputError(f"{place}: {_not_csv(cells)}"), on_bad)
            elif len(cells) != len(header):
                wrong = f"{len(cells)} cells, and the first line names {len(header)} columns."
                refuse(InputError(f"{place}: {wrong}"), on_bad)
            else:
                yield place, dict(zip(header, cells, strict=True))


def _delimiter(text: Iterable[str], usual: str) -> tuple[str, Iterator[str]]:
    """What separates the cells of the first line, and all lines."""
    lines = iter(text)
    first = next(lines, "")
    if match := re.fullmatch(r'"?sep=(.)"?\s*', first):  # what spreadsheets write before the header
        return match[1], lines
    columns = {d: len(next(csv.reader([first.rstrip("\r\n")], delimiter=d), [])) for d in (usual, *_DELIMITERS)}
    best = usual if columns[usual] > 1 else max(columns, key=columns.__getitem__)
    return best, chain([first], lines) if first else lines


def _cells(lines: Iterator[str], delimiter: str) -> Iterator[list[str] | csv.Error]:
    reader = csv.reader(lines, delimiter=delimiter, strict=True)
    while True:
        try:
            yield next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            yield error


def _not_csv(error: csv.Error) -> str:
    return f"not CSV ({error}); a quote within a quoted cell is doubled."


def _header(cells: list[str] | csv.Error, path: Path, say: Say) -> list[str]:
    if isinstance(cells, csv.Error):
        raise InputError(f"{path}: the first line, which names the columns, is {_not_csv(cells)}")
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


def columnar_rows(path: Path, on_bad: OnBad | None = None, say: Say = silent) -> Iterator[Row]:
    """Of Parquet and Arrow files; objects and lists in columns become dicts and lists, fields that are null go."""
    import pyarrow

    with reading(path):
        check_kind(path)
        try:
            yield from rows_of_tables(_batches(path), str(path), on_bad)
        except pyarrow.ArrowException as error:
            kind = "Parquet" if path.suffix.lower() == ".parquet" else "Arrow"
            first_line = str(error).partition("\n")[0]
            raise InputError(f"{path}: not a whole {kind} file ({first_line}); write or get it again.") from None


def _batches(path: Path) -> Iterator[pyarrow.RecordBatch]:
    from pyarrow import ipc, memory_map
    from pyarrow.parquet import ParquetFile

    if path.suffix.lower() == ".parquet":
        with ParquetFile(path) as file:
            yield from file.iter_batches(ROWS_AT_ONCE)
        return
    with memory_map(str(path)) as file:
        is_stream = file.read(6) != b"ARROW1"  # Arrow has two forms, and `datasets` writes this one
        file.seek(0)
        if is_stream:
            yield from ipc.open_stream(file)
        else:
            whole = ipc.open_file(file)
            yield from map(whole.get_batch, range(whole.num_record_batches))


def rows_of_tables(
    tables: Iterable[pyarrow.RecordBatch | pyarrow.Table], name: str, on_bad: OnBad | None = None, first: int = 0
) -> Iterator[Row]:
    """The rows of tables one after another; ``name`` is for their places, ``first`` how many come before them."""
    number = first
    for table in tables:
        clean = _struct_cleaner(table.schema)
        for start in range(0, table.num_rows, ROWS_AT_ONCE):
            for row in _as_dicts(table.slice(start, ROWS_AT_ONCE)):
                number += 1
                place = f"{name}, row {number}"
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


@lru_cache(maxsize=64)
def _struct_cleaner(fields: Iterable[pyarrow.Field]) -> Callable[[dict[str, Any]], dict[str, Any]]:
    cleaners = {field.name: _cleaner(field.type) for field in fields}
    return lambda row: {name: cleaners[name](value) for name, value in row.items() if value is not None}


def _as_dicts(table: pyarrow.RecordBatch | pyarrow.Table) -> list[dict | ValueError]:
    """The rows; where one cannot be had (text that is not UTF-8), its error."""
    try:
        return table.to_pylist(maps_as_pydicts="lossy")
    except ValueError as error:
        if table.num_rows == 1:
            return [error]
        return [row for index in range(table.num_rows) for row in _as_dicts(table.slice(index, 1))]
