"""Flat lists of tree messages, as OpenAssistant's parquet files hold them, joined into one row for each tree."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import chain
from typing import Any

from strop.chat.field import is_empty
from strop.chat.turns import is_tree_message
from strop.common.errors import InputError
from strop.data.rows import OnBad, Row, refuse


def with_trees_joined(rows: Iterable[Row], on_bad: OnBad | None = None) -> Iterator[Row]:
    """The rows as they come, or, where the first is a message of a tree, one row ``{"prompt": …}`` for each tree.

    A tree has the place of its first message, and comes where that stood. All messages are held in memory, for those of
    a tree need not stand together. Raises InputError, or hands it to ``on_bad``, for a message whose parent is not
    there.
    """
    rows = iter(rows)
    first = next(rows, None)
    if first is None:
        return
    rows = chain([first], rows)
    yield from _joined(rows, on_bad) if is_tree_message(first[1]) else rows


def _joined(rows: Iterable[Row], on_bad: OnBad | None) -> Iterator[Row]:
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
