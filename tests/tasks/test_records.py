"""Records on disk: what is written is read back, what users bring is accepted, and a bad row is named."""

import json
import os

import pytest

from strop.common.errors import InputError
from strop.tasks import Record, TestCase, load_records, write_records

RECORD = Record(
    name="sum",
    source="mine",
    family="sums",
    difficulty="easy",
    language="python",
    prompt="Add two numbers – één lijn.\n\nInput: a and b",
    response="```python\na, b = map(int, input().split())\nprint(a + b)\n```",
    tests=(TestCase("1 2\n", "3\n", sample=True), TestCase("0 0\n", "0\n")),
)
GOOD = {"text": "### Prompt\nSay hi.\n### Response\nhi"}


def write_rows(path, *rows):
    path.write_text(
        "".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows), encoding="utf-8"
    )
    return path


def test_row_has_the_documented_form():
    assert RECORD.to_row() == {
        "name": "sum",
        "source": "mine",
        "family": "sums",
        "difficulty": "easy",
        "language": "python",
        "text": "### Prompt\n\nAdd two numbers – één lijn.\n\nInput: a and b\n\n### Response\n\n"
        "```python\na, b = map(int, input().split())\nprint(a + b)\n```",
        "tests": {"input": ["1 2\n", "0 0\n"], "output": ["3\n", "0\n"], "sample": [True, False]},
    }


def test_messages():
    assert RECORD.messages() == [
        {"role": "user", "content": RECORD.prompt},
        {"role": "assistant", "content": RECORD.response},
    ]


def test_written_records_are_read_back(tmp_path):
    untested = Record("b", "", "", "", "", "Say hi.", "hi")
    path = tmp_path / "new" / "records.jsonl"
    write_records(path, [RECORD, untested])
    assert load_records(path) == [RECORD, untested]
    assert os.listdir(path.parent) == ["records.jsonl"]


def test_a_failed_write_leaves_the_old_file(tmp_path):
    path = tmp_path / "records.jsonl"
    write_records(path, [RECORD])

    def broken():
        yield RECORD
        raise RuntimeError("no more")

    with pytest.raises(RuntimeError, match="no more"):
        write_records(path, broken())
    assert load_records(path) == [RECORD]
    assert os.listdir(tmp_path) == ["records.jsonl"]


def test_only_text_is_required_and_blank_lines_are_skipped(tmp_path):
    path = write_rows(tmp_path / "r.jsonl", "", {"text": "### Prompt\nSay hi.\n### Response\nhi\n"}, "")
    assert load_records(path) == [Record(f"{path}:2", "", "", "", "", "Say hi.", "hi")]


def test_a_row_without_response_is_for_evaluation(tmp_path):
    path = write_rows(
        tmp_path / "r.jsonl", {"text": "### Prompt\nSay hi.", "tests": {"input": [""], "output": ["hi\n"]}}
    )
    (record,) = load_records(path)
    assert record.messages() == [{"role": "user", "content": "Say hi."}]
    assert record.tests == (TestCase("", "hi\n"),)


def test_codecontests_groups(tmp_path):
    row = {
        "name": "1_A",
        "source": 2,
        "difficulty": 8,
        "text": "### Prompt: Double x.\n\n### Response: ```python\nprint(2 * int(input()))\n```",
        "public_tests": {"input": ["1\n"], "output": ["2\n"]},
        "private_tests": {"input": ["5\n"], "output": ["10\n"]},
        "generated_tests": None,
    }
    (record,) = load_records(write_rows(tmp_path / "r.jsonl", row))
    assert (record.source, record.difficulty, record.prompt) == ("2", "8", "Double x.")
    assert record.tests == (TestCase("1\n", "2\n", sample=True), TestCase("5\n", "10\n"))


def test_codecontests_with_tests_side_by_side(tmp_path):
    row = {"name": "1_A", "description": "Double x.\n", "testcase": ["1\n"], "output": ["2\n"], "difficulty": 7}
    (record,) = load_records(write_rows(tmp_path / "r.jsonl", row | {"time_limit": {"seconds": 2, "nanos": 500000000}}))
    assert record.prompt == (
        "Write a Python program that solves this problem: it reads the input from standard input and prints the answer "
        "to standard output. Answer with the whole program in one Python code block.\n\nDouble x."
    )
    assert (record.response, record.difficulty) == ("", "7")
    assert record.tests == (TestCase("1\n", "2\n", sample=True),)
    assert record.time_limit == 2.5


@pytest.mark.parametrize(
    ("time_limit", "cpu_seconds", "wall_seconds"),
    [
        ({"seconds": 2, "nanos": 0}, 2, 10.0),
        ({"seconds": 0, "nanos": 400000000}, 1, 10.0),
        ({"seconds": 2, "nanos": 500000000}, 3, 10.0),
        ({"seconds": 9}, 9, 30.0),
        (1.5, 2, 10.0),
    ],
)
def test_the_time_limit_is_that_of_the_judge(tmp_path, time_limit, cpu_seconds, wall_seconds):
    (record,) = load_records(write_rows(tmp_path / "r.jsonl", GOOD | {"time_limit": time_limit}))
    assert (record.limits.cpu_seconds, record.limits.wall_seconds) == (cpu_seconds, wall_seconds)
    write_records(tmp_path / "again.jsonl", [record])
    assert load_records(tmp_path / "again.jsonl")[0].limits == record.limits


def test_without_a_time_limit_the_judge_has_its_own():
    assert RECORD.limits is None


def test_what_windows_programs_write_is_read(tmp_path):
    """A byte order mark, and lines that end with CR and LF; those of the prompt and the tests are their own."""
    row = json.dumps({"text": "### Prompt\r\n\r\nAdd.\r\n", "tests": {"input": ["1 2\r\n"], "output": ["3\r\n"]}})
    path = tmp_path / "r.jsonl"
    path.write_bytes(b"\xef\xbb\xbf" + f"{row}\r\n\r\n{row}\r\n".encode())
    records = load_records(path)
    assert [(r.prompt, r.tests) for r in records] == [("Add.", (TestCase("1 2\r\n", "3\r\n"),))] * 2


def test_other_kinds_of_files_are_read(tmp_path):
    path = tmp_path / "r.json"
    path.write_text(json.dumps([RECORD.to_row()] * 2), encoding="utf-8")
    assert load_records(path) == [RECORD, RECORD]


def test_a_heading_inside_a_line_is_ordinary_text(tmp_path):
    text = "### Prompt\nWhat is '### Response'?\n### Response\nA heading: ### Prompt"
    (record,) = load_records(write_rows(tmp_path / "r.jsonl", {"text": text}))
    assert (record.prompt, record.response) == ("What is '### Response'?", "A heading: ### Prompt")


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("{", "not JSON"),
        ("[]", "expected one JSON object"),
        ('{"id": ' + "9" * 5000 + "}", "a number of more than 4,300 digits; write it as a string"),
        ({}, "'text' is missing"),
        ({"messages": [{"role": "user", "content": "hi"}]}, "'text' is missing (there are messages)"),
        ({"text": 3}, "'text' is a number; give it as text"),
        ({"text": "### Prompt\na\ud83d"}, "'text' holds '\\ud83d', half of a surrogate pair"),
        ({"text": "Say hi."}, "does not start with '### Prompt'"),
        ({"text": "### Prompt\n### Response\nhi"}, "nothing after '### Prompt'"),
        ({"text": "### Prompt\na\n### Response\nb\n### Response\nc"}, "more than one '### Response' line"),
        (GOOD | {"name": ["x"]}, "'name' is a list"),
        (GOOD | {"difficulty": True}, "'difficulty' is a bool"),
        (GOOD | {"tests": [1]}, "'tests' is a list"),
        (GOOD | {"tests": {"input": ["1"]}}, "'tests.output' is missing"),
        (GOOD | {"tests": {"input": ["1"], "output": [1]}}, "'tests.output' is not a list of strings, it holds 1"),
        (
            GOOD | {"tests": {"input": ["\udcff"], "output": ["1"]}},
            "'tests.input' holds '\\udcff', half of a surrogate",
        ),
        (GOOD | {"tests": {"input": ["1"], "output": []}}, "1 inputs, 0 outputs and 1 sample marks"),
        (GOOD | {"tests": {"input": ["1"], "output": ["1"], "sample": [1]}}, "'tests.sample' is not a list of true"),
        (GOOD | {"public_tests": {"input": "1", "output": ["1"]}}, "'public_tests.input' is missing or not a list"),
        (GOOD | {"time_limit": {"seconds": "2"}}, "'time_limit' is {'seconds': '2'}; give seconds"),
        (GOOD | {"time_limit": 0}, "'time_limit' is 0 s; give more than 0 and at most 3600"),
        ({"description": " ", "testcase": [], "output": []}, "'description' is empty"),
        ({"description": "a", "testcase": ["1"], "output": ["1", "2"]}, "'testcase' has 1 inputs, 2 outputs"),
        ({"description": "a", "testcase": ["1"]}, "'output' is missing or not a list of strings"),
    ],
)
def test_a_bad_row_is_named_with_file_and_line(tmp_path, row, message):
    path = write_rows(tmp_path / "r.jsonl", GOOD, row)
    with pytest.raises(InputError) as error:
        load_records(path)
    assert str(error.value).startswith(f"{path}:2: ")
    assert message in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("content", "message"), [(None, "there is no such file"), (b"", "holds no row"), (b"\xff\n", "not UTF-8")]
)
def test_a_bad_file_is_named(tmp_path, content, message):
    path = tmp_path / "r.jsonl"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(InputError, match=message):
        load_records(path)
