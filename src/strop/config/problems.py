"""A validator's errors in a person's words: where, which key, what was expected, what to write instead."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from strop.config.aliases import ALIASES, NOT_NEEDED
from strop.config.shape import empty, fields_at, kinds_at, paths, tags_at, untrue
from strop.config.yaml_file import YamlFile

_NAMED = re.compile(r"([A-Za-z_]\w*(?:\.[\w-]+)*): ")
_SENTENCES = {
    **dict.fromkeys(("float_parsing", "float_type"), "expected a number"),
    **dict.fromkeys(("int_parsing", "int_type", "int_from_float"), "expected a whole number"),
    "int_parsing_size": "expected a whole number of usual size",
    "finite_number": "expected a finite number",
    **dict.fromkeys(("bool_parsing", "bool_type"), "expected true or false"),
    "string_type": "expected text",
    "path_type": "expected a path",
    **dict.fromkeys(("list_type", "tuple_type"), "expected a list"),
    **dict.fromkeys(("dict_type", "model_type", "model_attributes_type"), "expected a section of `key: value` lines"),
    "greater_than": "must be greater than {gt:.15g}",
    "greater_than_equal": "must be at least {ge:.15g}",
    "less_than": "must be less than {lt:.15g}",
    "less_than_equal": "must be at most {le:.15g}",
    "too_short": "expected at least {min_length} of them",
}
"""pydantic's kind of error -> what to say of it, filled in with its context."""


@dataclass(frozen=True)
class Given:
    """What was validated: the settings' class, the file (if any) and the overrides on top of it."""

    kind: type[BaseModel]
    file: YamlFile
    overrides: tuple[str, ...]

    def fields(self, keys: Sequence[str]) -> dict[str, str]:
        """The keys that may stand under a path of what was given, with their descriptions."""
        return fields_at(self.kind, keys, self.file.values)

    def place(self, keys: Sequence[str]) -> str:
        """The override that set a key, or else the line of the file."""
        dotted = ".".join(keys)
        given = (o for o in reversed(self.overrides) if f"{dotted}.".startswith(o.partition("=")[0] + "."))
        override = next(given, None)
        return f"override {override!r}" if override else self.file.place(keys)

    def is_bare(self, keys: Sequence[str]) -> bool:
        """Whether a key is written with nothing after it, in the file or in the override that set it."""
        place = self.place(keys)
        return place.endswith("='") if place.startswith("override ") else self.file.is_bare(keys)


def problems(given: Given, error: ValidationError | None = None) -> list[str]:
    """One sentence for every problem, in the order of the file; a missing key that stands there misspelt is one.
    Without an ``error`` those that pydantic passes over."""
    errors = error.errors() if error else []
    found = [(keys_of(e["loc"], given.kind, given.file.values), e) for e in errors]
    meant = {(*keys[:-1], near) for keys, e in found if e["type"] == "extra_forbidden" for near in _near(keys, given)}
    truths = {keys: _truth(keys, given) for keys in untrue(given.kind, given.file.values)}
    lines, told = list(truths.values()), set(truths)
    bare = (keys for keys in empty(given.kind, given.file.values) if given.is_bare(keys))
    lines += [_bare(keys, given) for keys in bare if list(keys) not in [where for where, _ in found]]
    for keys, e in found:
        at = tuple(keys)
        if at in truths or (e["type"] == "missing" and at in meant):
            continue
        alternatives = [other for where, other in found if where == keys and _is_of_a_value(other)]
        if _is_of_a_value(e) and len(alternatives) > 1:  # of a value that may be one thing or another
            if at not in told:
                lines.append(f"{given.place(keys)}: {'.'.join(keys)}: {_either(alternatives)}")
            told.add(at)
        else:
            lines.append(_sentence(keys, e, given))
    return list(dict.fromkeys(sorted(lines, key=_line_number)))


def _truth(keys: Sequence[str], given: Given) -> str:
    value: Any = given.file.values
    for key in keys:
        value = value[int(key)] if isinstance(value, list) else value[key]
    return f"{given.place(keys)}: {'.'.join(keys)}: expected a number, found {_shown(value)}."


def _bare(keys: Sequence[str], given: Given) -> str:
    return (
        f"{given.place(keys)}: {'.'.join(keys)}: nothing follows it; write {keys[-1]}: {{}} for its defaults, or leave "
        "it out (null) to go without."
    )


def _is_of_a_value(error: ErrorDetails) -> bool:
    """Whether an error says what a value should be, and nothing else."""
    kind = error["type"]
    return kind not in ("value_error", "missing", "extra_forbidden") and not kind.startswith("union_tag")


def _line_number(sentence: str) -> int:
    match = re.search(r":(\d+): ", sentence)
    return int(match[1]) if match else 0


def _sentence(keys: list[str], error: ErrorDetails, given: Given) -> str:
    message = error["msg"].removeprefix("Value error, ")
    if error["type"] == "value_error" and (named := _NAMED.match(message)):
        path = named[1].split(".")
        if path[0] in given.fields(keys):  # a check of a whole section that says itself which key it is about
            keys, message = [*keys, *path], message[named.end() :]
    place, dotted = given.place(keys), ".".join(keys)
    if error["type"] == "extra_forbidden":
        return f"{place}: unknown key {dotted!r}; {_instead(keys, given)}"
    if error["type"] == "missing":
        above = f" in {'.'.join(keys[:-1])}" if keys[:-1] else ""
        what = given.fields(keys[:-1]).get(keys[-1], "")
        said = what[:1].lower() + what[1:] if what[1:2].islower() else what
        return f"{place}: {keys[-1]!r} is missing{above}{f': {said}' if said else '.'}"
    if error["type"].startswith("union_tag"):
        return f"{place}: {_kind(keys, error, given)}"
    if error["type"] == "none_required":
        message = f"leave it out. {given.fields(keys[:-1]).get(keys[-1], '')}"
    elif error["type"] != "value_error":
        message = _expected(error)
    return f"{place}: {dotted}: {message}" if dotted else f"{place}: {message}"


def _kind(keys: list[str], error: ErrorDetails, given: Given) -> str:
    kinds, dotted = kinds_at(given.kind, keys), ".".join(keys)
    if error["type"] == "union_tag_not_found":
        return f"{dotted}: say what kind it is: {' or '.join(f'`kind: {k}`' for k in kinds)}."
    tag = str(error["ctx"]["tag"])
    return f"{dotted}.kind: there is no kind {tag!r}{_meant(tag, kinds, 0.5)} The kinds are {', '.join(kinds)}."


def _expected(error: ErrorDetails) -> str:
    kind, context = error["type"], error.get("ctx", {})
    found = context["actual_length"] if kind == "too_short" else _shown(error["input"])
    options = _options(error)
    return f"{_wanted(error)}, found {found}{_meant(str(error['input']), options) if options else '.'}"


def _either(errors: Sequence[ErrorDetails]) -> str:
    """Of a value that is none of several things."""
    first, *others = dict.fromkeys(map(_wanted, errors))
    wanted = " or ".join([first, *(one.removeprefix("expected ") for one in others)])
    options = [option for error in errors for option in _options(error)]
    return f"{wanted}, found {_shown(errors[0]['input'])}{_meant(str(errors[0]['input']), options)}"


def _wanted(error: ErrorDetails) -> str:
    if error["type"] in _SENTENCES:
        return _SENTENCES[error["type"]].format(**error.get("ctx", {}))
    if options := _options(error):
        return f"expected {'one of ' if len(options) > 1 else ''}{', '.join(options)}"
    return error["msg"].replace("Input should be", "expected").replace("valid ", "")


def _options(error: ErrorDetails) -> list[str]:
    """The values that there are, of a choice."""
    if error["type"] not in ("literal_error", "enum"):
        return []
    return [option.strip("'") for option in re.split(r", | or ", error["ctx"]["expected"])]


def _meant(given: str, known: Iterable[str], cutoff: float = 0.6) -> str:
    """The end of a sentence: the nearest of what is known, where one is near."""
    near = difflib.get_close_matches(given, list(known), n=1, cutoff=cutoff)
    return f"; did you mean {near[0]!r}?" if near else "."


def _shown(value: Any) -> str:
    if isinstance(value, dict):
        return "a section"
    if isinstance(value, list):
        return "a list"
    text = "nothing" if value is None else str(value).lower() if isinstance(value, bool) else repr(value)
    return text if len(text) <= 60 else text[:57] + "…"


def _instead(keys: list[str], given: Given) -> str:
    """What to write for a key that there is not."""
    if near := _near(keys, given):
        return f"did you mean {near[0]!r}?"
    if reason := NOT_NEEDED.get(keys[-1]):
        return f"leave it out: {reason}."
    if elsewhere := _elsewhere(keys, given.kind):
        return f"here that is {' or '.join(elsewhere)}."
    return f"known keys: {', '.join(sorted(given.fields(keys[:-1])))}."


def _near(keys: Sequence[str], given: Given) -> list[str]:
    """Keys that may stand in the same section: what other tools' name means, what is spelt alike."""
    known = given.fields(keys[:-1])
    aliases = [target.split(".")[-1] for target in ALIASES.get(keys[-1].lower().replace("-", "_"), ())]
    alike = difflib.get_close_matches(keys[-1], known, n=1, cutoff=0.6)
    return list(dict.fromkeys([*(name for name in aliases if name in known), *alike]))


def _elsewhere(keys: Sequence[str], kind: type[BaseModel]) -> list[str]:
    """Keys of other sections that the last of ``keys`` means: strop's own in its right place, or what other tools call
    so."""
    name = keys[-1].lower().replace("-", "_")
    targets = {name, *ALIASES.get(name, ())}
    found: dict[tuple[str, ...], str] = {}
    for path in paths(kind):
        here = len(path) == len(keys) and all(one in (key, "<name>") for one, key in zip(path, keys, strict=True))
        if {path[-1], ".".join(path[-2:])} & targets and not here:  # here it is a key of another kind
            found.setdefault(path[-2:], ".".join(path))
    return list(found.values())


def keys_of(location: tuple[int | str, ...], kind: type[BaseModel], values: Any) -> list[str]:
    """The path of an error in ``values``, those of a ``kind``: a tagged union adds its tag, which is no key there."""
    keys: list[str] = []
    tagged: set[int] = set()  # the depths at which a tag was passed: what stands there again is a key of its name
    for part in location:
        inside = part in values if isinstance(values, dict) else isinstance(values, list) and isinstance(part, int)
        said = isinstance(values, dict) and values.get("kind") == part  # then a key of that name comes after the tag
        if (said or not inside) and len(keys) not in tagged and part in (*kinds_at(kind, keys), *tags_at(kind, keys)):
            tagged.add(len(keys))
            continue
        is_leaf = values is not None and not isinstance(values, dict | list)
        if is_leaf:  # the part is the name of one of the things that this value may be
            continue
        keys.append(str(part))
        beyond = isinstance(values, list) and isinstance(part, int) and part >= len(values)
        values = values[part] if inside and not beyond else None
    return keys
