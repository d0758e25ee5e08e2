"""Whole sets of rows: files, and the sets that come with strop."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from typing import Any

from strop.chat.columns import NEEDED, has_column, map_columns
from strop.chat.field import is_empty
from strop.chat.turns import is_tree_message
from strop.common.errors import InputError
from strop.data.files import open_rows
from strop.data.rows import OnBad, Row, Say, refuse, silent
from strop.data.settings import DataSettings
from strop.data.slices import parse_split

# A named set: (count or None for all, seed) -> rows.
NamedSet = Callable[[int | None, int], Sequence[Row]]


@dataclass(frozen=True)
class FileSet:
    """A named set that is read: from the file that is named beside it, or (None) from where it comes from.

    ``read``: (file or folder, count or None for all, seed) -> rows; ``hub``: the data set there that they come from.
    """

    read: Callable[[Path | None, int | None, int], Sequence[Row]]
    hub: str | None = None

    def __call__(self, count: int | None, seed: int) -> Sequence[Row]:
        return self.read(None, count, seed)

    def of(self, path: Path) -> NamedSet:
        return lambda count, seed: self.read(path, count, seed)


BUILT_IN = Path(__file__).parent


def read_jsonl(path: Path, count: int | None = None) -> list[Row]:
    """All rows of a data file (JSON lines or another kind, see `open_rows`), or the first ``count``, at once."""
    return list(open_rows(path, count=count))


def rows_of_part(
    part: DataSettings, named: Mapping[str, NamedSet], on_bad: OnBad | None = None, say: Say = silent
) -> Iterable[Row]:
    """The rows of one part of a mixture, but for its ``columns`` as they stand; ``named`` says what ``task`` may be.

    Raises InputError for an unknown name, and what `open_rows` raises; a row that cannot be read goes to ``on_bad``.
    """
    check_named(part, named)
    if part.stage is not None:
        raise InputError(f"{part.title}: its rows are another stage's to make; strop run makes and reads them.")
    if part.task is not None:
        named_set = named[part.task]
        if part.path is not None and isinstance(named_set, FileSet):
            named_set = named_set.of(part.path)
        return _of_named_set(part, named_set)
    how = part.model_dump(include={"format", "split", "revision", "subset", "documents"})
    rows = _with_trees_joined(open_rows(part.path, part.hub, **how, on_bad=on_bad, say=say), on_bad)
    rows = islice(rows, part.count)
    return _mapped(rows, part, on_bad) if part.columns else rows


def _of_named_set(part: DataSettings, rows: NamedSet) -> Sequence[Row]:
    """A slice is one of the whole set, as it is by default; ``count`` is then taken from the slice."""
    first, *more = pieces = parse_split(part.split)
    if first.whole and not more:
        return rows(part.count, part.seed)
    every = rows(None, part.seed)
    found = [row for piece in pieces for row in every[slice(*piece.bounds(len(every)))]]
    if not found:
        has = f"its {len(every):,} rows"
        raise InputError(f"{part.title}: {part.split} takes none of {has}; choose a slice within them.")
    return found[: part.count]


def _mapped(rows: Iterable[Row], part: DataSettings, on_bad: OnBad | None) -> Iterator[Row]:
    """The rows with ``columns`` mapped.

    Raises InputError, or hands it to ``on_bad``, for a row that lacks a source which every row needs; at the end it is
    raised for a source that was in none of the rows.
    """
    needed = [part.columns[name] for name in NEEDED if name in part.columns]
    missing, there = {source for name, source in part.columns.items() if name not in NEEDED}, ""
    for place, row in rows:
        has = ", ".join(map(str, row))
        there = there or has
        missing = {source for source in missing if not has_column(row, source)}
        if lacking := [source for source in needed if not has_column(row, source)]:
            refuse(InputError(f"{place}: columns: the row has no {', '.join(lacking)}, but {has}."), on_bad)
        else:
            yield place, map_columns(row, part.columns)
    if missing and there:
        raise InputError(f"{part.title}: columns: no row has {', '.join(sorted(missing))}; the first has {there}.")


def _with_trees_joined(rows: Iterable[Row], on_bad: OnBad | None) -> Iterator[Row]:
    """The rows as they come, or, where the first is a message of a tree, one row ``{"prompt": …}`` for each tree.

    Flat lists of such messages are how OpenAssistant's parquet files hold them. A tree has the place of its first
    message, and comes where that stood. All messages are held in memory, for those of a tree need not stand together.
    Raises InputError, or hands it to ``on_bad``, for a message whose parent is not there.
    """
    rows = iter(rows)
    first = next(rows, None)
    if first is None:
        return
    rows = chain([first], rows)
    if not is_tree_message(first[1]):
        yield from rows
        return
    places: dict[Any, str] = {}
    nodes: dict[Any, dict[str, Any]] = {}
    for place, row in rows:
        if is_tree_message(row):
            nodes[row["message_id"]], places[row["message_id"]] = {**row, "replies": []}, place
        else:
            refuse(InputError(f"{place}: expected a message of a tree (message_id, parent_id, text, role)."), on_bad)
    roots = []
    for name, node in nodes.items():
        parent = node["parent_id"]
        if is_empty(parent) or parent != parent:  # NaN is how tables without nulls write "none"
            roots.append(name)
        elif parent in nodes:
            nodes[parent]["replies"].append(node)
        else:
            mend = "it answers a message that is not in the data, so it is in no tree; give all of the file"
            refuse(InputError(f"{places[name]}: field parent_id: {mend}"), on_bad)
    for name in roots:
        yield places[name], {"prompt": nodes[name]}


def check_named(part: DataSettings, named: Mapping[str, NamedSet]) -> None:
    """Raises InputError when the part's ``task`` is no name of a set, or of one that reads none of the path."""
    if part.task is not None and part.task not in named:
        raise InputError(f"there is no data set named {part.task!r}; known: {', '.join(sorted(named))}.")
    if part.task is not None and part.path is not None and not isinstance(named[part.task], FileSet):
        raise InputError(f"{part.path}: {part.task} is drawn and reads no file; drop the path, or the task.")


def built_in(name: str, part: str) -> NamedSet:
    """A set that comes with strop: ``general_chat`` (``train``, ``heldout``) or ``functions`` (``train``)."""

    def rows(count: int | None, seed: int) -> list[Row]:
        path = BUILT_IN / name / f"{part}.jsonl"
        return [(f"{name}/{path.name}:{place.rpartition(':')[2]}", row) for place, row in read_jsonl(path, count)]

    return rows
