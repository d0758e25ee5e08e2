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
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, TypeVar

from strop.common.errors import InputError
from strop.data.rows import Say, silent
from strop.rewards import Judgement, Limits
from strop.tasks import humaneval
from strop.tasks.base import Item, TaskSettings, register
from strop.tasks.fields import check_text
from strop.tasks.folders import problem_rows
from strop.tasks.functions import FunctionTask
from strop.tasks.humaneval import HumanEvalItem
from strop.tasks.metrics import KEPT, NO_ANSWER, PASS_AT_1

LIMITS = Limits(cpu_seconds=20, wall_seconds=120.0)
"""Hundreds of calls a problem, each answered by the reference too."""
_CHECK = """
import copy, json, math

{typed}
INPUTS = [_typed(args) for args in json.loads({inputs!r})]
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


{agrees}


def check(candidate):
    for given in INPUTS:
        assert _agrees(given, candidate(*copy.deepcopy(given)))
"""
_AS_GIVEN = """
def _typed(args):
    return args
"""
_AGREES = """
def _agrees(given, out):
    return _same(out, _reference(*copy.deepcopy(given)), ATOL)
"""
_ANY_ROOT = """
def _agrees(given, out):
    return abs(sum(c * math.pow(out, i) for i, c in enumerate(given[0]))) <= ATOL
"""


@dataclass(frozen=True, slots=True)
class PlusItem(HumanEvalItem):
    """One function to write. ``added``: whether it is called with more than what the plain benchmark calls it with."""

    added: bool = True


Plus = TypeVar("Plus", bound=PlusItem)


class PlusTask(FunctionTask):
    """A file of evalplus's; pass@1 on the benchmark's own inputs and the added ones together."""

    found: Sequence[PlusItem]
    plain: ClassVar[str]
    """The benchmark that inputs are added to."""

    def __init__(self, name: str, settings: TaskSettings):
        super().__init__(name, settings)
        if plain := [item.name for item in self.found if not item.added]:
            self.notes = [
                *self.said,
                f"in {len(plain):,} of {len(self.found):,} problems 'plus_input' adds nothing to 'base_input', so they "
                f"are as easy as {self.plain}'s: {', '.join(plain[:5])}",
            ]

    @classmethod
    def grade(cls, item: Item, answer: str) -> Judgement:
        return humaneval.grade(item.data, answer, LIMITS, completes=item.text is not None)


ENDS = ("\nif __name__", "\ndef main(", "\nprint(")  # of evalplus's completions, whatever the benchmark


@register("humaneval_plus")
class HumanEvalPlus(PlusTask):
    """A file of HumanEval+."""

    metrics = (
        replace(PASS_AT_1, about="HumanEval+ problems solved by the one answer", group=KEPT, bound=0.05, lead=1),
        NO_ANSWER,
    )
    source = "path: HumanEvalPlus.jsonl of evalplus (Liu et al. 2023, arXiv:2305.01210)"
    licence = "Apache-2.0"
    plain = "HumanEval"
    stops = (*ENDS, "\ndef ", "\nclass ", "\nimport ", "\nfrom ", "\nassert ")

    def chosen(self) -> list[PlusItem]:
        return load(self.file, self.said.append)


def load(path: Path, say: Say = silent) -> list[PlusItem]:
    """The problems of a file of HumanEval+. Raises InputError naming the row that is not of that layout."""
    return [_item(row, place) for place, row in problem_rows(path, say)]


def _item(row: Mapping[str, Any], place: str) -> PlusItem:
    if row.get("assertion") is not None:
        raise InputError(
            f"{place}: is a problem of MBPP+; measure the file as evals: {{NAME: {{task: mbpp_plus, path: FILE}}}}."
        )
    agrees = _ANY_ROOT if row.get("entry_point") == "find_zero" else _AGREES
    item = plus_item(row, place, _AS_GIVEN, agrees, PlusItem)
    return humaneval.checked(item, place)


def plus_item(row: Mapping[str, Any], place: str, typed: str, agrees: str, kind: type[Plus]) -> Plus:
    """The problem of a row, as ``kind``. ``typed`` and ``agrees`` are Python: ``_typed`` makes a call's arguments of
    what JSON holds, ``_agrees`` says whether what the call gave is right.

    Raises InputError for a row that is not of evalplus's layout.
    """
    for field in ("task_id", "prompt", "entry_point", "canonical_solution"):
        check_text(row.get(field), field, place, empty=False)
    base, added = (_inputs(row, field, place) for field in ("base_input", "plus_input"))
    if not base + added:
        raise InputError(f"{place}: 'base_input' and 'plus_input' are empty, so answers cannot be judged; fill them.")
    atol = row.get("atol", 0)
    if isinstance(atol, bool) or not isinstance(atol, int | float) or not atol >= 0:
        raise InputError(f"{place}: 'atol' is {atol!r}; give a number of at least 0.")
    name, reference = row["entry_point"], row["prompt"] + row["canonical_solution"]
    inputs = json.dumps(base + added)
    test = _CHECK.format(inputs=inputs, atol=atol, reference=reference, name=name, typed=typed, agrees=agrees)
    fields = {field: row[field] for field in ("task_id", "prompt", "entry_point", "canonical_solution")}
    return kind(**fields, test=test, added=any(one not in base for one in added))


def _inputs(row: Mapping[str, Any], field: str, place: str) -> list[list[Any]]:
    found = row.get(field)
    if not isinstance(found, list) or not all(isinstance(one, list) for one in found):
        raise InputError(f"{place}: '{field}' is no list of lists of arguments; correct it.")
    return found
