"""Programming problems on disk: one JSON object a line, in the form that users of CodeContests know.

A row holds ``name``, ``source``, ``difficulty``, ``language``, ``text`` and ``tests``:

    {"name": "...", "source": "...", "difficulty": "easy", "language": "python", "family": "...",
     "text": "### Prompt\\n\\n<what the user says>\\n\\n### Response\\n\\n<what the assistant says>",
     "tests": {"input": ["3 4\\n", ...], "output": ["7\\n", ...], "sample": [true, ...]}}

Only ``text`` is required. Tests may also stand as ``public_tests``, ``private_tests`` and ``generated_tests``, each
``{"input": [...], "output": [...]}``, as in CodeContests (Li et al., 2022, arXiv:2203.07814); the public ones are
samples.
"""

import json
import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from strop.errors import InputError
from strop.files import write_jsonl

_TEXT = re.compile(
    r"\s*### Prompt\b:?(?P<prompt>.*?)(?:^### Response\b:?(?P<response>.*))?\Z", re.DOTALL | re.MULTILINE
)
_RESPONSE_LINE = re.compile(r"^### Response\b", re.MULTILINE)
_CODECONTESTS_GROUPS = (("public_tests", True), ("private_tests", False), ("generated_tests", False))


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

    def messages(self) -> list[dict[str, str]]:
        """The conversation: the user's prompt and, unless it is empty, the assistant's response."""
        turns = [{"role": "user", "content": self.prompt}]
        if self.response:
            turns.append({"role": "assistant", "content": self.response})
        return turns

    def to_row(self) -> dict[str, Any]:
        """The JSON object of this record; `load_records` gives back an equal record."""
        row: dict[str, Any] = {
            "name": self.name,
            "source": self.source,
            "family": self.family,
            "difficulty": self.difficulty,
            "language": self.language,
            "text": f"### Prompt\n\n{self.prompt}\n\n### Response\n\n{self.response}",
        }
        if self.tests:
            row["tests"] = {
                "input": [test.stdin for test in self.tests],
                "output": [test.stdout for test in self.tests],
                "sample": [test.sample for test in self.tests],
            }
        return row


def write_records(path: str | os.PathLike[str], records: Iterable[Record]) -> None:
    """Write one JSON object a line (UTF-8). The file appears whole or not at all."""
    write_jsonl(Path(path), (record.to_row() for record in records))


def load_records(path: str | os.PathLike[str]) -> list[Record]:
    """Read a file of rows as described at the top of this module; blank lines are skipped.

    Raises:
        InputError: the file cannot be read or holds no row, or a row is wrong; the message names ``file:line``.
    """
    path = Path(path)
    try:
        lines = path.read_text(encoding="utf-8").split("\n")
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}); give the path of a .jsonl file.") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: is not UTF-8 text (byte {error.start}); save it as UTF-8 JSON lines.") from error
    records = [_record(line, f"{path}:{number}") for number, line in enumerate(lines, 1) if line.strip()]
    if not records:
        raise InputError(f"{path}: holds no records; expected one JSON object a line.")
    return records


def _record(line: str, place: str) -> Record:
    try:
        row = json.loads(line)
    except json.JSONDecodeError as error:
        raise InputError(
            f"{place}: is not JSON ({error.msg}, column {error.colno}); expected one object a line."
        ) from error
    if not isinstance(row, dict):
        raise InputError(f"{place}: is a JSON {type(row).__name__}; expected an object with a 'text' field.")
    prompt, response = _split_text(row.get("text"), place)
    return Record(
        name=_label(row, "name", place) or place,
        source=_label(row, "source", place),
        family=_label(row, "family", place),
        difficulty=_label(row, "difficulty", place),
        language=_label(row, "language", place),
        prompt=prompt,
        response=response,
        tests=_tests(row, place),
    )


def _label(row: dict[str, Any], field: str, place: str) -> str:
    value = row.get(field)
    if value is None:
        return ""
    if isinstance(value, bool) or not isinstance(value, str | int):  # CodeContests numbers its sources and languages
        raise InputError(f"{place}: '{field}' is a {type(value).__name__}; expected a string or a whole number.")
    return str(value)


def _split_text(text: Any, place: str) -> tuple[str, str]:
    if not isinstance(text, str):
        raise InputError(f"{place}: 'text' is missing or not a string; expected '### Prompt … ### Response …'.")
    match = _TEXT.match(text)
    if match is None:
        raise InputError(f"{place}: 'text' does not start with '### Prompt'; put that line before the instruction.")
    if len(_RESPONSE_LINE.findall(text)) > 1:
        raise InputError(f"{place}: 'text' has more than one '### Response' line; keep the one before the answer.")
    prompt, response = match["prompt"].strip(), (match["response"] or "").strip()
    if not prompt:
        raise InputError(f"{place}: 'text' has nothing after '### Prompt'; put the instruction there.")
    return prompt, response


def _tests(row: dict[str, Any], place: str) -> tuple[TestCase, ...]:
    if row.get("tests") is not None:
        return _test_group(row["tests"], "tests", place, sample=False)
    found: list[TestCase] = []
    for field, sample in _CODECONTESTS_GROUPS:
        if row.get(field) is not None:
            found.extend(_test_group(row[field], field, place, sample))
    return tuple(found)


def _test_group(group: Any, field: str, place: str, sample: bool) -> tuple[TestCase, ...]:
    if not isinstance(group, dict):
        raise InputError(
            f"{place}: '{field}' is a {type(group).__name__}; expected an object with 'input' and 'output'."
        )
    columns = {key: group.get(key) for key in ("input", "output")}
    for key, values in columns.items():
        if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
            raise InputError(f"{place}: '{field}.{key}' is missing or not a list of strings; give one string per test.")
    samples = group.get("sample", [sample] * len(columns["input"]))
    if not isinstance(samples, list) or not all(isinstance(flag, bool) for flag in samples):
        raise InputError(f"{place}: '{field}.sample' is not a list of true and false; correct it or leave it out.")
    if not len(columns["input"]) == len(columns["output"]) == len(samples):
        counts = f"{len(columns['input'])} inputs, {len(columns['output'])} outputs and {len(samples)} sample marks"
        raise InputError(f"{place}: '{field}' has {counts}; expected equally many.")
    return tuple(
        TestCase(stdin, stdout, flag)
        for stdin, stdout, flag in zip(columns["input"], columns["output"], samples, strict=True)
    )
