"""Programming problems on disk: one JSON object a line, in the form that users of CodeContests know.

A row holds ``name``, ``source``, ``difficulty``, ``language``, ``text`` and ``tests``:

    {"name": "...", "source": "...", "difficulty": "easy", "language": "python", "family": "...",
     "text": "### Prompt\\n\\n<what the user says>\\n\\n### Response\\n\\n<what the assistant says>",
     "tests": {"input": ["3 4\\n", ...], "output": ["7\\n", ...], "sample": [true, ...]}}

Only ``text`` is required. Tests may also stand as ``public_tests``, ``private_tests`` and ``generated_tests``, each
``{"input": [...], "output": [...]}``, as in CodeContests (Li et al., 2022, arXiv:2203.07814); the public ones are
samples. CodeContests' own rows, with a ``description`` instead of ``text``, are problems for evaluation; their tests
may also stand side by side as ``testcase`` and ``output``. ``time_limit``, ``{"seconds": 2, "nanos": 0}``, is the CPU
time that a program gets for each test, rounded up to whole seconds; the memory limit of such files is not used.
"""

import math
import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

from strop.common.errors import InputError
from strop.common.files import write_jsonl
from strop.data.files import open_rows
from strop.sandbox import Limits
from strop.tasks.fields import check_text

_TEXT = re.compile(
    r"\s*### Prompt\b:?(?P<prompt>.*?)(?:^### Response\b:?(?P<response>.*))?\Z", re.DOTALL | re.MULTILINE
)
_RESPONSE_LINE = re.compile(r"^### Response\b", re.MULTILINE)
_REQUEST = (
    "Write a Python program that solves this problem: it reads the input from standard input and prints the answer to "
    "standard output. Answer with the whole program in one Python code block."
)
_LONGEST = 3600
_LABELS = ("name", "source", "family", "difficulty", "language")
_GROUPS = {"public_tests": True, "private_tests": False, "generated_tests": False}


@dataclass(frozen=True, slots=True)
class TestCase:
    """One run of a program: what it reads and what it must print. ``sample`` cases are shown in the statement."""

    __test__ = False  # pytest: not a class of tests

    stdin: str
    stdout: str
    sample: bool = False


@dataclass(frozen=True, slots=True)
class Record:
    """One programming problem: a prompt, a model answer, and the tests that judge any answer.

    An empty ``response`` is a problem for evaluation only; empty ``tests`` one for fine-tuning only.
    """

    name: str
    source: str
    family: str
    difficulty: str
    language: str
    prompt: str
    response: str
    tests: tuple[TestCase, ...] = ()
    time_limit: float | None = None  # CPU seconds for each test

    @property
    def limits(self) -> Limits | None:
        """What one run of a program may use; None for the defaults."""
        if self.time_limit is None:
            return None
        seconds = max(1, math.ceil(self.time_limit))
        default = Limits()
        wall_seconds = max(default.wall_seconds, seconds * default.wall_seconds / default.cpu_seconds)
        return Limits(cpu_seconds=seconds, wall_seconds=wall_seconds)

    def messages(self) -> list[dict[str, str]]:
        """The conversation: the user's prompt and, unless it is empty, the assistant's response."""
        answer = [{"role": "assistant", "content": self.response}] if self.response else []
        return [{"role": "user", "content": self.prompt}, *answer]

    def to_row(self) -> dict[str, Any]:
        """The JSON object of this record; `load_records` gives back an equal record."""
        row: dict[str, Any] = {label: getattr(self, label) for label in _LABELS}
        row["text"] = f"### Prompt\n\n{self.prompt}\n\n### Response\n\n{self.response}"
        if self.tests:
            columns = {"input": "stdin", "output": "stdout", "sample": "sample"}
            row["tests"] = {name: [getattr(test, own) for test in self.tests] for name, own in columns.items()}
        if self.time_limit is not None:
            seconds, rest = divmod(round(self.time_limit * 1e9), 10**9)
            row["time_limit"] = {"seconds": seconds, "nanos": rest}
        return row


def write_records(path: str | os.PathLike[str], records: Iterable[Record]) -> None:
    """One JSON object a line (UTF-8). The file appears whole or not at all."""
    write_jsonl(Path(path), (record.to_row() for record in records))


def load_records(path: str | os.PathLike[str]) -> list[Record]:
    """Read a file of rows as described at the top of this module; blank lines are skipped.

    Raises:
        InputError: the file cannot be read or holds no row, or a row is wrong; the message names ``file:line``.
    """
    return [parse_record(row, place) for place, row in open_rows(Path(path))]


def parse_record(row: Mapping[str, Any], place: str) -> Record:
    """The record of one row of such a file. Raises InputError, which names ``place``, when the row is wrong."""
    if row.get("text") is None and row.get("description") is not None:
        description = check_text(row["description"], "description", place, empty=False)
        prompt, response = f"{_REQUEST}\n\n{description.strip()}", ""
    else:
        prompt, response = _split_text(row, place)
    name, source, family, difficulty, language = (_label(row, label, place) for label in _LABELS)
    tests, time_limit = _tests(row, place), _time_limit(row.get("time_limit"), place)
    return Record(name or place, source, family, difficulty, language, prompt, response, tests, time_limit)


def _label(row: Mapping[str, Any], field: str, place: str) -> str:
    value = row.get(field)
    if value is None:
        return ""
    if isinstance(value, bool) or not isinstance(value, str | int):  # CodeContests numbers its sources and languages
        raise InputError(f"{place}: '{field}' is a {type(value).__name__}; expected a string or a whole number.")
    return check_text(str(value), field, place)


def _time_limit(value: Any, place: str) -> float | None:
    """Seconds out of ``{"seconds": 2, "nanos": 0}``, as protocol buffers write a duration, or a number of them."""
    if value is None:
        return None
    parts = (value.get("seconds", 0), value.get("nanos", 0)) if isinstance(value, Mapping) else (value, 0)
    if any(isinstance(part, bool) or not isinstance(part, int | float) for part in parts):
        raise InputError(f"{place}: 'time_limit' is {value!r}; give seconds, or an object with 'seconds' and 'nanos'.")
    seconds = parts[0] + parts[1] / 1e9
    if not 0 < seconds <= _LONGEST:
        raise InputError(f"{place}: 'time_limit' is {seconds:g} s; give more than 0 and at most {_LONGEST}.")
    return seconds


def _split_text(row: Mapping[str, Any], place: str) -> tuple[str, str]:
    if row.get("text") is None:
        names = ", ".join(sorted(map(str, row))[:20])
        raise InputError(f"{place}: 'text' is missing (there are {names}); expected '### Prompt … ### Response …'.")
    text = check_text(row["text"], "text", place)
    match = _TEXT.match(text)
    if match is None:
        raise InputError(f"{place}: 'text' does not start with '### Prompt'; put that line before the instruction.")
    if len(_RESPONSE_LINE.findall(text)) > 1:
        raise InputError(f"{place}: 'text' has more than one '### Response' line; keep the one before the answer.")
    prompt, response = match["prompt"].strip(), (match["response"] or "").strip()
    if not prompt:
        raise InputError(f"{place}: 'text' has nothing after '### Prompt'; put the instruction there.")
    return prompt, response


def _tests(row: Mapping[str, Any], place: str) -> tuple[TestCase, ...]:
    if row.get("tests") is not None:
        return _test_group(row["tests"], "tests", place, sample=False)
    if row.get("testcase") is not None:
        inputs, outputs = (_texts(row.get(field), field, place) for field in ("testcase", "output"))
        return _cases(inputs, outputs, [True] * len(inputs), "testcase", place)
    groups = (_test_group(row[field], field, place, s) for field, s in _GROUPS.items() if row.get(field) is not None)
    return tuple(chain.from_iterable(groups))


def _test_group(group: Any, field: str, place: str, sample: bool) -> tuple[TestCase, ...]:
    if not isinstance(group, Mapping):
        found = type(group).__name__
        raise InputError(f"{place}: '{field}' is a {found}; expected an object with 'input' and 'output'.")
    inputs, outputs = (_texts(group.get(key), f"{field}.{key}", place) for key in ("input", "output"))
    samples = group.get("sample", [sample] * len(inputs))
    if not isinstance(samples, list) or not all(isinstance(flag, bool) for flag in samples):
        raise InputError(f"{place}: '{field}.sample' is not a list of true and false; correct it or leave it out.")
    return _cases(inputs, outputs, samples, field, place)


def _cases(inputs: list, outputs: list, samples: list, field: str, place: str) -> tuple[TestCase, ...]:
    if not len(inputs) == len(outputs) == len(samples):
        counts = f"{len(inputs)} inputs, {len(outputs)} outputs and {len(samples)} sample marks"
        raise InputError(f"{place}: '{field}' has {counts}; expected equally many.")
    return tuple(map(TestCase, inputs, outputs, samples))


def _texts(values: Any, field: str, place: str) -> list[str]:
    if not isinstance(values, list):
        raise InputError(f"{place}: '{field}' is missing or not a list of strings; give one string per test.")
    for value in values:
        if not isinstance(value, str):
            raise InputError(
                f"{place}: '{field}' is not a list of strings, it holds {value!r:.40}; write it in quotes."
            )
        check_text(value, field, place)
    return values
