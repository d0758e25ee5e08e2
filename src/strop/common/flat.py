"""Settings as one mapping of dotted names, so that they can be compared one by one."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any


def flat(tree: Any, name: str = "") -> dict[str, Any]:
    """Nested mappings and lists as one mapping of dotted names; what is empty or null is left out."""
    if isinstance(tree, Mapping):
        items: Iterable[tuple[Any, Any]] = tree.items()
    elif isinstance(tree, list):
        items = enumerate(tree)
    else:
        return {} if tree is None else {name: tree}
    found: dict[str, Any] = {}
    for key, value in items:
        found |= flat(value, f"{name}.{key}" if name else str(key))
    return found
