"""HumanEval+: HumanEval with many more inputs, as evalplus publishes it (Liu et al. 2023, arXiv:2305.01210).

A row has ``prompt``, ``entry_point``, ``canonical_solution``, ``base_input``, ``plus_input`` and ``atol``. An answer is
accepted where it gives what the canonical solution gives for every one of both lists, compared as evalplus 0.3.1 does:
equal; or, of floats or with an ``atol``, of the same type and within ``atol + 1e-7 |expected|`` (1e-6 where floats are
expected and ``atol`` is 0), lists in lists only where they are of one length, as arrays are (which are not broadcast
here). For ``find_zero`` any root counts. ``contract`` is not needed: the inputs fulfil it. Where a row's ``test`` holds
HumanEval's own asserts it is not used, since ``base_input`` has what they call.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from strop.common.errors import InputError
from strop.data.files import open_rows
from strop.rewards import Judgement, Limits
from strop.tasks import humaneval
from strop.tasks.base import Item, TaskSettings
from strop.tasks.fields import check_text
from strop.tasks.functions import FunctionTask
from strop.tasks.humaneval import HumanEvalItem

LIMITS = Limits(cpu_seconds=20, wall_seconds=120.0)
"""Hundreds of calls a problem, each answered by the reference too."""
_CHECK = """
import copy, json, math

INPUTS = json.loads({inputs!r})
ATOL = {atol!r}
_scope = {{}}
exec({reference!r}, _scope)
_reference = _scope[{name!r}]


def _is_float(value):
    if isinstance(value, (list, tuple)) and value:
        return all(isinstance(one, float) for one in value)
    return isinstance(value, float)


def _shape(value):
    if not isinstance(value, (list, tuple)):
        return ()
    shapes = {{_shape(one) for one in value}} or {{()}}
    return (len(value), *shapes.pop()) if len(shapes) == 1 and None not in shapes else None


def _near(out, expected, atol):
    if isinstance(expected, (list, tuple)):
        return all(_near(a, b, atol) for a, b in zip(out, expected))
    if not all(isinstance(one, (int, float, complex)) for one in (out, expected)):
        return False
    try:
        return out == expected or abs(out - expected) <= atol + 1e-07 * abs(expected) < math.inf
    except OverflowError:  # whole numbers that no float holds
        return False


def _same(out, expected, atol):
    if out == expected:
        return True
    if atol == 0 and _is_float(expected):
        atol = 1e-6
    alike = type(out) == type(expected) and _shape(out) == _shape(expected) is not None
    return atol != 0 and alike and _near(out, expected, atol)


def check(candidate):
    for given in INPUTS:
        out = candidate(*copy.deepcopy(given))
        if {name!r} == "find_zero":
            assert abs(sum(c * math.pow(out, i) for i, c in enumerate(given[0]))) <= ATOL
        else:
            assert _same(out, _reference(*copy.deepcopy(given)), ATOL)
"""


@dataclass(frozen=True, slots=True)
class HumanEvalPlusItem(HumanEvalItem):
    """One function to write. ``added``: whether it is called with anything that HumanEval does not call it with."""

    added: bool = True


class HumanEvalPlus(FunctionTask):
    """A file of HumanEval+; pass@1 on HumanEval's inputs and the added ones together."""

    source = "path: HumanEvalPlus.jsonl of evalplus (Liu et al. 2023, arXiv:2305.01210)"
    licence = "Apache-2.0"

    def __init__(self, name: str, settings: TaskSettings, found: list[HumanEvalPlusItem]):
        super().__init__(name, settings, found)
        if plain := [item.name for item in found if not item.added]:
            self.notes = [
                f"in {len(plain):,} of {len(found):,} problems 'plus_input' adds nothing to 'base_input', so they are "
                f"as easy as HumanEval's: {', '.join(plain[:5])}"
            ]

    @classmethod
    def grade(cls, item: Item, answer: str) -> Judgement:
        return humaneval.grade(item.data, answer, LIMITS)


def load(path: Path) -> list[HumanEvalPlusItem]:
    """The problems of a file. Raises InputError naming the row that is not of that layout."""
    return [_item(row, place) for place, row in open_rows(path)]


def _item(row: Mapping[str, Any], place: str) -> HumanEvalPlusItem:
    for field in ("task_id", "prompt", "entry_point", "canonical_solution"):
        check_text(row.get(field), field, place, empty=False)
    base, added = (_inputs(row, field, place) for field in ("base_input", "plus_input"))
    if not base + added:
        raise InputError(f"{place}: 'base_input' and 'plus_input' are empty, so answers cannot be judged; fill them.")
    atol = row.get("atol", 0)
    if isinstance(atol, bool) or not isinstance(atol, int | float) or not atol >= 0:
        raise InputError(f"{place}: 'atol' is {atol!r}; give a number of at least 0.")
    name, reference = row["entry_point"], row["prompt"] + row["canonical_solution"]
    test = _CHECK.format(inputs=json.dumps(base + added), atol=atol, reference=reference, name=name)
    fields = {field: row[field] for field in ("task_id", "prompt", "entry_point", "canonical_solution")}
    return humaneval.checked(HumanEvalPlusItem(**fields, test=test, added=any(i not in base for i in added)), place)


def _inputs(row: Mapping[str, Any], field: str, place: str) -> list[list[Any]]:
    found = row.get(field)
    if not isinstance(found, list) or not all(isinstance(one, list) for one in found):
        raise InputError(f"{place}: '{field}' is no list of lists of arguments; correct it.")
    return found
