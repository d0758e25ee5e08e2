"""How values are written as text: the inputs of the test cases and the expected outputs."""

from collections.abc import Sequence
from typing import Any


def show(value: Any) -> str:
    """A value on one line: sequences are joined by spaces, everything else is `str`."""
    return " ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)


def rows(*values: Any) -> str:
    """Each value on its own line."""
    return "\n".join(map(show, values))


def one_line(*values: Any) -> str:
    """All values on one line."""
    return show(values)


def listed(items: Sequence[Any]) -> str:
    """n, then the n items on one line."""
    return rows(len(items), items)


def listed_with(items: Sequence[Any], k: Any) -> str:
    """n and k, then the n items on one line."""
    return rows((len(items), k), items)


def two_lists(a: Sequence[Any], b: Sequence[Any]) -> str:
    """n, then two lines of n items each."""
    return rows(len(a), a, b)


def counted(items: Sequence[Any]) -> str:
    """n, then n lines, one for each item."""
    return rows(len(items), *items)


def grid(cells: Sequence[Sequence[Any]]) -> str:
    """The numbers of rows and columns, then the rows with spaces between the cells."""
    return rows((len(cells), len(cells[0])), *cells)


def lined_picture(picture: Sequence[str]) -> str:
    """The numbers of rows and columns, then the rows of characters."""
    return rows((len(picture), len(picture[0])), *picture)
