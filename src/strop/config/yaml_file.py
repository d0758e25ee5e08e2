"""A YAML file with the lines of its keys; a key that stands twice in one place is an error, not the last one's win."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from strop.common.errors import InputError
from strop.common.packaged import built_in_recipes


@dataclass(frozen=True)
class YamlFile:
    """What a file says (``values``) and where it says it (``tree``); both without a file where there is none."""

    path: Path | None
    tree: yaml.Node | None
    values: dict[str, Any]
    source: str = "overrides"
    """Where it is said, without a file."""

    def place(self, keys: Sequence[str]) -> str:
        """``file:line`` of the deepest key of the path that stands in the file."""
        if self.path is None:
            return self.source
        return f"{self.path}:{self._deepest(keys)[0]}"

    def is_bare(self, keys: Sequence[str]) -> bool:
        """Whether the file has the key and nothing after its colon, which is less than to say `null`."""
        node = self._deepest(keys)[1]
        return isinstance(node, yaml.ScalarNode) and not node.value and not node.style

    def _deepest(self, keys: Sequence[str]) -> tuple[int, yaml.Node | None]:
        """The line of the deepest key of the path that stands in the file, and what it holds."""
        line, node = 1, self.tree
        for key in keys:
            if isinstance(node, yaml.MappingNode):
                match = next(((k, v) for k, v in node.value if k.value == key), None)
                if match is None:
                    break
                line, node = match[0].start_mark.line + 1, match[1]
            elif isinstance(node, yaml.SequenceNode) and key.isdigit() and int(key) < len(node.value):
                node = node.value[int(key)]
                line = node.start_mark.line + 1
            else:
                break
        return line, node


def read_yaml(path: Path) -> YamlFile:
    """Raises InputError for a file that cannot be read, is no YAML, no mapping, or holds a key twice."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise InputError(
            f"{path}: there is no such file; give the path of a recipe (YAML), or a built-in one's name: "
            f"{', '.join(built_in_recipes())}."
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read as text ({error}).") from error
    try:
        tree = yaml.compose(text, Loader=yaml.SafeLoader)
        repeated = list(_repeated(tree, path, set()))
        values = yaml.safe_load(text)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f":{mark.line + 1}" if mark else ""
        raise InputError(f"{path}{line}: not valid YAML: {getattr(error, 'problem', error)}.") from error
    except (ValueError, RecursionError) as error:  # a date such as 2024-13-45; nesting without end
        raise InputError(f"{path}: not valid YAML: {error}.") from error
    if repeated:
        raise InputError("\n".join(repeated))
    if values is None:
        raise InputError(f"{path}: holds nothing; a recipe has at least `name`, `model` and `stages`.")
    if not isinstance(values, dict):
        raise InputError(f"{path}: expected `key: value` lines, found {type(values).__name__}.")
    return YamlFile(path, tree, values)


def _repeated(node: yaml.Node | None, path: Path, seen: set[int], name: str = "") -> Iterator[str]:
    """What stands twice in one place under a node, from the top."""
    if id(node) in seen:  # an alias (*x), perhaps of what holds it
        return
    seen.add(id(node))
    if isinstance(node, yaml.SequenceNode):
        for number, item in enumerate(node.value):
            yield from _repeated(item, path, seen, f"{name}{number}.")
    elif isinstance(node, yaml.MappingNode):
        first: dict[str, int] = {}
        for key, _ in node.value:
            said, line = str(key.value), key.start_mark.line + 1
            if said in first and key.tag != "tag:yaml.org,2002:merge":
                yield (
                    f"{path}:{line}: {name + said!r} stands twice, here and in line {first[said]}; "
                    "keep one, or give one another name."
                )
            first.setdefault(said, line)
        for key, value in node.value:
            yield from _repeated(value, path, seen, f"{name}{key.value}.")
