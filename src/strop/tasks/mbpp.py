"""MBPP: short Python functions to write from a sentence and three asserts (Austin et al., 2021, arXiv:2108.07732).

A row holds ``text`` (or ``prompt``), ``test_list``, and may hold ``code`` (a reference), ``task_id``,
``test_setup_code`` (or ``test_imports``) and ``challenge_test_list``. As in the paper, the three asserts stand in the
prompt, for a function's name is found nowhere else, and an answer is judged by them; the challenge tests are not used.
The paper tests on the rows with a ``task_id`` of 11 to 510 and shows those of 2, 3 and 4 before them; a file is
measured as it is, unless ``split: test`` takes those rows alone.
"""

from __future__ import annotations

import ast
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from strop.common.errors import InputError
from strop.data.rows import Say, silent
from strop.rewards import Judgement, Limits, extract_program, judge_asserts, parse_program, syntax_error
from strop.rewards.extract import defines
from strop.rewards.fences import place_blocks
from strop.rewards.names import called_names, defined_names, free_names, missing_names
from strop.rewards.reasoning import without_reasoning
from strop.tasks.fields import check_imports, check_text, check_texts
from strop.tasks.folders import problem_rows

LIMITS = Limits(cpu_seconds=10, wall_seconds=120.0)
"""Some references take four seconds."""


@dataclass(frozen=True, slots=True)
class MbppItem:
    """One function to write."""

    name: str  # "MBPP/1", or the row's place
    text: str  # what it shall do
    tests: tuple[str, ...]  # asserts
    setup: str = ""  # what the tests need before them
    names: tuple[str, ...] = ()  # what the tests call of the answer: functions and classes
    code: str = ""  # a reference
    number: int = 0  # its task_id, where that is one

    @property
    def prompt(self) -> str:
        tests = "\n".join(self.tests)
        return (
            f"You are an expert Python programmer, and here is your task: {self.text.strip()} Your code should pass "
            f"these tests:\n\n```python\n{tests}\n```\n\nAnswer with the whole code in one Python code block."
        )

    @property
    def messages(self) -> list[dict[str, str]]:
        """The conversation to answer: one user turn."""
        return [{"role": "user", "content": self.prompt}]

    @property
    def completion(self) -> str:
        """The text to go on from, as the paper and lm-evaluation-harness have it: with three asserts."""
        tests = "\n".join(self.tests[:3])
        return (
            f"You are an expert Python programmer, and here is your task: {self.text} Your code should pass these "
            f"tests:\n\n{tests}\n[BEGIN]\n"
        )


def load(path: Path, say: Say = silent) -> list[MbppItem]:
    """The items of a file, or of a folder whatever their splits, by their numbers; ``say`` gets what there is to know
    of how it is read.

    Raises InputError naming the row that is not of MBPP's layout.
    """
    items = [_item(row, place) for place, row in problem_rows(path, say, split=None)]
    return sorted(items, key=lambda item: item.number) if Path(path).is_dir() else items


def _item(row: Mapping[str, Any], place: str) -> MbppItem:
    column = "text" if row.get("text") is not None else "prompt"
    text = check_text(row.get(column), column, place, empty=False)
    tests = check_texts(row.get("test_list"), "test_list", place)
    if not tests:
        raise InputError(f"{place}: 'test_list' is empty, so answers cannot be judged; give at least one assert.")
    code = check_text(row.get("code") or "", "code", place)
    if row.get("test_imports") is not None:
        setup = "\n".join(check_texts(row["test_imports"], "test_imports", place))
    else:
        setup = check_text(row.get("test_setup_code") or "", "test_setup_code", place)
    for field, source in (("test_list", "\n".join(tests)), ("test_setup_code", setup)):
        if (error := syntax_error(source)) is not None:
            raise InputError(f"{place}: '{field}' is not Python ({error}); correct it.")
        check_imports(source, field, place)
    if row.get("test"):
        raise InputError(
            f"{place}: has the tests of MBPP+ in 'test' beside 'test_list'; strop does not run them (they need numpy), "
            "and measures MBPP's own asserts alone: drop the column 'test' if that is what you want, or give the task "
            "mbpp_plus evalplus's MbppPlus.jsonl."
        )
    number = row.get("task_id")
    whole = number if isinstance(number, int) and not isinstance(number, bool) else 0
    name = place if number is None else str(number) if isinstance(number, str) else f"MBPP/{number}"
    asked = parse_program("\n".join((setup, *tests)))
    if asked is None:
        raise InputError(f"{place}: 'test_list' is nested too deep to be read; simplify it.")
    names = _names(asked, code)
    if not names:
        raise InputError(f"{place}: 'test_list' calls no function of the answer; correct it.")
    return MbppItem(name, text, tuple(tests), setup, names, code, whole)


def _names(tests: ast.Module, code: str) -> tuple[str, ...]:
    """What the tests need of the answer: what they use and the reference defines, which may be called ``sum``.

    Without a reference, what they call and nobody binds.
    """
    reference = parse_program(code)
    defined = set() if reference is None else defined_names(reference, imports=False)
    return tuple(sorted(free_names(tests) & defined or missing_names(tests) & called_names(tests)))


def examples(items: Sequence[MbppItem]) -> list[MbppItem]:
    """Those that may be shown before others, first the three that are usual: of MBPP itself, what the paper keeps for
    that (task_id 2, 3, 4, then the others up to 10); of a file without those, all that have a reference."""
    known = {item.number: item for item in items if item.code}
    usual = [known[number] for number in (2, 3, 4, 1, 5, 6, 7, 8, 9, 10) if number in known]
    return usual or [item for item in items if item.code]


def grade(item: MbppItem, answer: str, limits: Limits | None = None, completes: bool = False) -> Judgement:
    """Judge a model's answer by the item's asserts, in the sandbox; `strop.rewards.asserts` says what that covers.

    One that ``completes`` the prompt is a program as it stands (`as_it_stands`).
    """
    program = as_it_stands(answer, item.names) if completes else extract_program(answer, item.names)
    return judge_asserts(program, item.names, "\n".join(item.tests), limits or LIMITS, setup=item.setup)


def as_it_stands(answer: str, names: Sequence[str]) -> str | None:
    """The program that a completion is; None where it is empty.

    All of it where that is Python, whatever fences stand in its strings and comments. Else, where a fence follows
    Python that defines one of ``names``, what stands before the fence; or the first fenced block that defines one, or
    the first.
    """
    text = without_reasoning(answer)
    if not text.strip():
        return None
    blocks = place_blocks(text) if syntax_error(text) is not None else []
    if not blocks:
        return text
    before = text[: blocks[0][0]]
    if syntax_error(before) is None and _defines_one(before, names):
        return before
    codes = [block.code for _, _, block in blocks]
    program = next((code for code in codes if _defines_one(code, names)), codes[0])
    return program if program.strip() else None


def _defines_one(code: str, names: Sequence[str]) -> bool:
    return any(defines(code, name) for name in names)
