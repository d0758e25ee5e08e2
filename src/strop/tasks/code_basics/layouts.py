"""How values are written as text: the inputs of the test cases and the expected outputs."""

from collections.abc import Sequence
from typing import Any


def show(value: Any) -> str:
    """A value on one line: sequences are joined by spaces, everything else is `str`."""
    return " ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)


def one_line(*values: Any) -> str:
    """All values on one line."""
    return show(values)


def listed(items: Sequence[Any]) -> str:
    """n, then the n items on one line."""
    return f"{len(items)}\n{show(items)}"


def counted(items: Sequence[Any]) -> str:
    """n, then n lines, one for each item."""
    return "\n".join(map(str, (len(items), *items)))
