"""MBPP+: MBPP with many more inputs, as evalplus publishes it (Liu et al. 2023, arXiv:2305.01210).

A row has the columns of HumanEval+ (`strop.tasks.evalplus`) and ``assertion``. Its ``prompt`` is a docstring with a
sentence and an assert, its ``canonical_solution`` the whole function. JSON has neither tuples nor sets nor complex
numbers, so the arguments of some problems are other things than the file holds; as in evalplus 0.3.1 the problem's
number tells. A few problems are ambiguous, and more than the reference's answer is right, by the function's name.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from strop.common.errors import InputError
from strop.data.rows import Say, silent
from strop.rewards import Judgement, extract_program, judge_asserts
from strop.tasks.base import Item, register
from strop.tasks.evalplus import ENDS, LIMITS, PlusItem, PlusTask, plus_item
from strop.tasks.folders import problem_rows
from strop.tasks.mbpp import as_it_stands
from strop.tasks.metrics import KEPT, NO_ANSWER, PASS_AT_1

_REQUEST = (
    "Write the Python function that this describes. Answer with the whole function, with every import and helper that "
    "it needs, in one Python code block."
)
_TYPES = {  # what a call's arguments are: the numbers of the problems
    "[tuple(a) for a in args]": (
        2, 116, 132, 143, 222, 261, 273, 394, 399, 421, 424, 429, 470, 560, 579, 596, 616, 630, 726, 740, 744, 809,
    ),
    "[[tuple(b) for b in a] for a in args]": (
        63, 64, 70, 94, 120, 237, 272, 299, 400, 409, 417, 438, 473, 614, 780,
    ),
    "[[tuple(b) for b in args[0]], args[1]]": (75, 413, 444, 753),
    "[args[0], tuple(args[1])]": (106, 750),
    "[[set(a) if isinstance(a, list) and a else {} for a in args[0]]]": (115,),
    "[float(args[0]), complex(args[1])]": (124,),
    "[tuple(args[0]), *args[1:]]": (250, 307, 405, 446, 617, 720, 763, 808),
    "[complex(args[0])]": (252,),
    "[tuple(tuple(b) for b in a) for a in args]": (259, 401, 445),
    "[tuple(tuple(a) if isinstance(a, list) else a for a in args[0])]": (278,),
    "[_tuples(a) for a in args]": (580, 615, 791),
    "[{k: tuple(v) for k, v in args[0].items()}, *args[1:]]": (722,),
}  # fmt: skip
_TYPED = """
def _tuples(value):
    return tuple(map(_tuples, value)) if isinstance(value, list) else value


def _typed(args):
    return {arguments}
"""
_SETS = ("similar_elements", "find_char_long", "common_in_nested_lists", "extract_singly", "larg_nnum",
         "intersection_array", "find_dissimilar", "Diff")  # fmt: skip
_FOUND_OR_NONE = ("check_str", "text_match_three", "text_starta_endb")
_ALSO_RIGHT = {  # beside what is the same as the reference's
    "are_equivalent": "True",
    "sum_div": "out == 0",
    # the height may be that of the pyramid
    "surface_Area": "abs(out - round(given[0] ** 2 + 2 * given[0] * math.hypot(given[0] / 2, given[1]))) <= ATOL",
    # the shorter number may be filled with noughts
    "digit_distance_nums": "out == sum(abs(int(a) - int(b)) for a, b in zip(*_filled(*given)))",
}
_AGREES = """
def _filled(*numbers):
    longest = max(len(str(one)) for one in numbers)
    return [str(one).zfill(longest) for one in numbers]


def _agrees(given, out):
    expected = _reference(*copy.deepcopy(given))
    return {right}
"""


@dataclass(frozen=True, slots=True)
class MbppPlusItem(PlusItem):
    """One function to write."""

    @property
    def messages(self) -> list[dict[str, str]]:
        """The conversation to answer: one user turn."""
        return [{"role": "user", "content": f"{_REQUEST}\n\n```python\n{self.prompt.strip()}\n```"}]


@register("mbpp_plus")
class MbppPlus(PlusTask):
    """A file of MBPP+."""

    metrics = (
        replace(PASS_AT_1, about="MBPP+ problems solved by the one answer", group=KEPT, bound=0.05, lead=1),
        NO_ANSWER,
    )
    source = "path: MbppPlus.jsonl of evalplus (Liu et al. 2023, arXiv:2305.01210)"
    licence = "Apache-2.0"
    plain = "MBPP"
    stops = (*ENDS, '\n"""', "\nassert")

    def chosen(self) -> list[MbppPlusItem]:
        return load(self.file, self.said.append)

    @classmethod
    def grade(cls, item: Item, answer: str) -> Judgement:
        data: MbppPlusItem = item.data
        name = data.entry_point
        program = as_it_stands(answer, [name]) if item.text is not None else extract_program(answer, [name])
        return judge_asserts(program, [name], f"{data.test}\ncheck({name})\n", LIMITS)


def load(path: Path, say: Say = silent) -> list[MbppPlusItem]:
    """The problems of a file. Raises InputError naming the row that is not of that layout."""
    return [_item(row, place) for place, row in problem_rows(path, say)]


def _item(row: Mapping[str, Any], place: str) -> MbppPlusItem:
    number = str(row.get("task_id")).rpartition("/")[2]
    if not number.isdecimal():
        raise InputError(
            f"{place}: 'task_id' is {row.get('task_id')!r}, and its number tells which arguments are tuples and sets; "
            "give it as Mbpp/2."
        )
    arguments = next((types for types, numbers in _TYPES.items() if int(number) in numbers), "args")
    agrees = _AGREES.format(right=_right(str(row.get("entry_point"))))
    return plus_item(row, place, _TYPED.format(arguments=arguments), agrees, MbppPlusItem)


def _right(name: str) -> str:
    """Python that says whether ``out`` is right where ``expected`` is what the reference gives."""
    if name in _SETS:
        return "set(out) == set(expected) or _same(out, expected, ATOL)"
    if name in _FOUND_OR_NONE:
        return "(out if type(out) is bool else out is not None) == (expected is not None)"
    also = _ALSO_RIGHT.get(name)
    return "_same(out, expected, ATOL)" + (f" or {also}" if also else "")
