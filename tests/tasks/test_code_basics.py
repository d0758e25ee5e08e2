"""Every family is checked by execution: its program must print what its independent answer function computes."""

import io
import subprocess
import sys
from collections import Counter
from contextlib import redirect_stdout
from random import Random

import pytest

from strop.tasks.code_basics import FAMILIES, TEST_FAMILIES, TRAIN_FAMILIES, generate
from strop.tasks.code_basics.generate import HIDDEN, SAMPLES
from strop.tasks.records import Record

ROUNDS = 12


def program(record: Record) -> str:
    head, body = record.response.split("\n", 1)
    assert head == "```python"
    assert body.endswith("\n```")
    return body.removesuffix("```")


def execute(code, stdin: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """Run our own trusted program in this process."""
    monkeypatch.setattr(sys, "stdin", io.StringIO(stdin))
    with redirect_stdout(io.StringIO()) as out:
        exec(code, {"__name__": "__main__"})
    return out.getvalue()


@pytest.fixture(scope="module")
def records() -> dict[str, list[Record]]:
    """`ROUNDS` problems of every family."""
    drawn = generate("train", ROUNDS * len(TRAIN_FAMILIES), seed=11) + generate(
        "test", ROUNDS * len(TEST_FAMILIES), seed=11
    )
    return {family: [record for record in drawn if record.family == family] for family in FAMILIES}


@pytest.mark.parametrize("family", FAMILIES)
def test_reference_program_prints_the_expected_outputs(family, records, monkeypatch):
    assert len(records[family]) == ROUNDS
    for record in records[family]:
        code = compile(program(record), record.name, "exec")
        for test in record.tests:
            assert execute(code, test.stdin, monkeypatch) == test.stdout, (record.name, test.stdin)


def test_programs_run_on_their_own(records):
    """As real processes, without what this test module has imported: one problem for every twelfth family."""
    for family in list(FAMILIES)[::12]:
        record = records[family][0]
        done = subprocess.run(
            [sys.executable, "-I", "-S", "-c", program(record)],
            input=record.tests[-1].stdin,
            capture_output=True,
            text=True,
            timeout=20,
            check=True,
        )
        assert (done.stdout, done.stderr) == (record.tests[-1].stdout, "")


@pytest.mark.parametrize("family", FAMILIES)
def test_tests_are_enough_and_tell_answers_apart(family, records):
    for record in records[family]:
        assert [test.sample for test in record.tests[:SAMPLES]] == [True] * SAMPLES
        hidden = record.tests[SAMPLES:]
        assert len(hidden) >= HIDDEN
        assert not any(test.sample for test in hidden)
        assert len({test.stdin for test in record.tests}) == len(record.tests)
        assert len({test.stdout for test in record.tests[:SAMPLES]}) == SAMPLES
        assert len({test.stdout for test in hidden}) >= 2, (
            f"printing a constant passes the hidden tests of {record.name}"
        )
        assert all(
            test.stdin.endswith("\n") and test.stdout.endswith("\n") and test.stdout.strip() for test in record.tests
        )


@pytest.mark.parametrize("family", FAMILIES)
def test_prompt_shows_formats_and_samples_and_stays_short(family, records):
    for record in records[family]:
        assert "\nInput: " in record.prompt
        assert "\nOutput: " in record.prompt
        assert "standard input" in record.prompt or "stdin" in record.prompt
        for test in record.tests[:SAMPLES]:
            assert test.stdin + "Example output:\n" + test.stdout.rstrip() in record.prompt.replace("Sample", "Example")
        assert "None" not in record.prompt
        assert "  " not in record.prompt
        assert len(record.prompt) < 1000
        assert 1 <= len(program(record).splitlines()) <= 15
        assert len(program(record)) < 420


@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_has_three_wordings_and_varies(family):
    problems = [FAMILIES[family].make(Random(seed)) for seed in range(20)]
    assert all(len(set(problem.say)) >= 3 for problem in problems)
    assert len({say for problem in problems for say in problem.say}) >= 3


def test_the_split_is_fixed_and_large_enough():
    assert len(FAMILIES) >= 600
    assert set(TRAIN_FAMILIES) | set(TEST_FAMILIES) == set(FAMILIES)
    assert not set(TRAIN_FAMILIES) & set(TEST_FAMILIES)
    assert len(TEST_FAMILIES) == len(set(TEST_FAMILIES)) == 105
    assert {FAMILIES[name].topic for name in TEST_FAMILIES} == {family.topic for family in FAMILIES.values()}


def test_the_held_out_families_are_the_draw_that_the_docstring_names():
    """Golden only as long as no family is added; then the list stays and this test goes."""
    by_topic = {}
    for name in sorted(FAMILIES):
        by_topic.setdefault(FAMILIES[name].topic, []).append(name)
    drawn = [
        name
        for topic, names in by_topic.items()
        for name in Random(f"held out {topic}").sample(names, max(1, round(len(names) / 6)))
    ]
    assert sorted(drawn) == sorted(TEST_FAMILIES)


def test_no_program_of_the_test_split_is_in_the_train_split():
    train = {program(record) for record in generate("train", 20 * len(TRAIN_FAMILIES), seed=0)}
    test = {program(record) for record in generate("test", 20 * len(TEST_FAMILIES), seed=0)}
    assert not train & test


def test_generation_is_deterministic_balanced_and_without_duplicates():
    count = len(TRAIN_FAMILIES) + 50
    first = generate("train", count, seed=5)
    assert generate("train", count, seed=5) == first
    assert generate("train", 40, seed=5) == first[:40]
    assert len({record.prompt for record in first}) == count
    counts = Counter(record.family for record in first)
    assert set(counts) == set(TRAIN_FAMILIES)
    assert max(counts.values()) - min(counts.values()) <= 1
    other = generate("train", count, seed=6)
    assert not {record.prompt for record in other} & {record.prompt for record in first}


def test_a_record_is_pinned():
    """Golden, as this generator wrote it: the problems of a seed must not change by accident or between machines."""
    record = generate("test", 1, seed=0)[0]
    row = record.to_row()
    assert (
        row.pop("text")
        == """\
### Prompt

Write a Python program that reads from standard input and prints the answer.

Print the smallest of the integers that are from 9 to 17.

Input: One line of integers. There is at least one that is from 9 to 17.
Output: Print one integer.

Example input:
-10 11 11
Example output:
11

Example input:
15 6 7 -12
Example output:
15

### Response

```python
a = list(map(int, input().split()))
b = [x for x in a if 9 <= x <= 17]
print(min(b))
```"""
    )
    assert row == {
        "name": "code_basics/between_numbers_smallest/0-0",
        "source": "code_basics.crossed",
        "family": "between_numbers_smallest",
        "difficulty": "easy",
        "language": "python",
        "tests": {
            "input": [
                "-10 11 11\n",
                "15 6 7 -12\n",
                "9\n",
                "-10 10\n",
                "26 14 1 12 3 23 22 16\n",
                "11 17 17 14 12 12 12 14 15\n",
                "11 -3 23 -6 27 8 1 1\n",
                "-1 22 9 9\n",
            ],
            "output": ["11\n", "15\n", "9\n", "10\n", "12\n", "11\n", "11\n", "9\n"],
            "sample": [True, True, False, False, False, False, False, False],
        },
    }


def test_arguments_are_checked():
    assert generate("test", 0, seed=0) == []
    with pytest.raises(ValueError, match="unknown split 'dev'"):
        generate("dev", 1, seed=0)
    with pytest.raises(ValueError, match="count is -1"):
        generate("train", -1, seed=0)
