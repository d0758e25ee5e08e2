"""Every family is checked by execution: its programs must print what was computed without them."""

import gzip
import hashlib
import io
import json
import subprocess
import sys
from collections import Counter
from contextlib import redirect_stdout
from random import Random

import pytest

from strop.common.errors import InputError
from strop.tasks.code_basics import family_names, generate, single, topics
from strop.tasks.code_basics.families import CROSSED
from strop.tasks.code_basics.problem import HIDDEN, SAMPLES
from strop.tasks.records import Record, parse_record

ROUNDS = 4
ALL_ROUNDS = 24  # records of each single family
TRAIN, TEST = family_names("train"), family_names("test")


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


def rounds(count: int, seed: int) -> list[Record]:
    """`count` problems of every family."""
    return generate("train", count * len(TRAIN), seed) + generate("test", count * len(TEST), seed)


def check_program(record: Record, monkeypatch: pytest.MonkeyPatch) -> None:
    code = compile(program(record), record.name, "exec")
    for test in record.tests:
        assert execute(code, test.stdin, monkeypatch) == test.stdout, (record.name, test.stdin)
    assert 1 <= len(program(record).splitlines()) <= 15
    assert len(program(record)) < 420


def check_tests(record: Record) -> None:
    assert [test.sample for test in record.tests[:SAMPLES]] == [True] * SAMPLES
    hidden = record.tests[SAMPLES:]
    assert len(hidden) >= HIDDEN
    assert not any(test.sample for test in hidden)
    assert len({test.stdin for test in record.tests}) == len(record.tests)
    assert len({test.stdout for test in record.tests[:SAMPLES]}) == SAMPLES
    assert len({test.stdout for test in hidden}) >= 2, f"printing a constant passes the hidden tests of {record.name}"
    assert all(
        test.stdin.endswith("\n") and test.stdout.endswith("\n") and test.stdout.strip() for test in record.tests
    )


def check_prompt(record: Record) -> None:
    assert "\nInput: " in record.prompt
    assert "\nOutput: " in record.prompt
    assert "standard input" in record.prompt or "stdin" in record.prompt
    for test in record.tests[:SAMPLES]:
        assert test.stdin + "Example output:\n" + test.stdout.rstrip() in record.prompt.replace("Sample", "Example")
    assert "None" not in record.prompt
    assert "  " not in record.prompt
    assert len(record.prompt) < 1000


def check_split(records: list[Record]) -> None:
    """Nothing of a held-out family is in the others."""
    train, test = ([r for r in records if r.family in names] for names in (set(TRAIN), set(TEST)))
    assert len(train) > len(test) > 0
    assert not {program(record) for record in train} & {program(record) for record in test}
    assert not {record.prompt for record in train} & {record.prompt for record in test}


@pytest.fixture(scope="module")
def drawn() -> list[Record]:
    """`ROUNDS` problems of every family."""
    records = rounds(ROUNDS, seed=11)
    assert Counter(record.family for record in records) == dict.fromkeys(topics(), ROUNDS)
    return records


@pytest.mark.parametrize("topic", sorted(set(topics().values())))
def test_reference_programs_print_the_expected_outputs(topic, drawn, monkeypatch):
    for record in drawn:
        if topics()[record.family] == topic:
            check_program(record, monkeypatch)


def test_programs_run_on_their_own(drawn):
    """As real processes, without what this test module has imported: one problem for every twelfth family."""
    of_family = {record.family: record for record in drawn}
    for family in list(topics())[::12]:
        record = of_family[family]
        done = subprocess.run(
            [sys.executable, "-I", "-S", "-c", program(record)],
            input=record.tests[-1].stdin,
            capture_output=True,
            text=True,
            timeout=20,
            check=True,
        )
        assert (done.stdout, done.stderr) == (record.tests[-1].stdout, "")


def test_tests_are_enough_and_tell_answers_apart(drawn):
    for record in drawn:
        check_tests(record)


def test_prompt_shows_formats_and_samples_and_stays_short(drawn):
    for record in drawn:
        check_prompt(record)


@pytest.mark.slow
def test_all_frozen_records_hold_and_as_many_of_the_crossed_families(monkeypatch):
    records = rounds(ALL_ROUNDS, seed=3)
    frozen = {row["name"] for rows in single.frozen().values() for _, row in rows}
    assert frozen <= {record.name for record in records}
    check_split(records)
    for record in records:
        check_program(record, monkeypatch)
        check_tests(record)
        check_prompt(record)


def test_every_crossed_family_has_three_wordings():
    for family in CROSSED.values():
        assert all(len(set(family.make(Random(seed)).say)) >= 3 for seed in range(20))


def test_every_single_family_is_worded_in_three_ways_and_varies():
    for family, rows in single.frozen().items():
        records = [parse_record(row, place) for place, row in rows]
        statements = {record.prompt.partition("\n\nInput: ")[0].rpartition("\n\n")[2] for record in records}
        assert len(statements) >= 3, family
        assert len({record.tests for record in records}) == len(records), family


def test_the_split_is_fixed_and_large_enough():
    assert (len(single.frozen()), len(CROSSED), len(topics())) == (224, 398, 622)
    assert set(TRAIN) | set(TEST) == set(topics())
    assert not set(TRAIN) & set(TEST)
    assert len(TEST) == len(set(TEST)) == 105
    assert {topics()[name] for name in TEST} == set(topics().values())


def test_the_held_out_families_are_the_draw_that_the_docstring_names():
    """Golden only as long as no family is added; then the list stays and this test goes."""
    by_topic = {}
    for name in sorted(topics()):
        by_topic.setdefault(topics()[name], []).append(name)
    sample = [
        name
        for topic, names in by_topic.items()
        for name in Random(f"held out {topic}").sample(names, max(1, round(len(names) / 6)))
    ]
    assert sorted(sample) == sorted(TEST)


def test_no_program_or_prompt_of_the_test_split_is_in_the_train_split(drawn):
    check_split(drawn)


def test_generation_is_deterministic_balanced_and_without_duplicates():
    count = len(TRAIN) + 50
    first = generate("train", count, seed=5)
    assert generate("train", count, seed=5) == first
    assert generate("train", 40, seed=5) == first[:40]
    assert len({record.prompt for record in first}) == count
    counts = Counter(record.family for record in first)
    assert set(counts) == set(TRAIN)
    assert max(counts.values()) - min(counts.values()) <= 1
    other = {record.prompt for record in generate("train", count, seed=6)}
    common = {record.source for record in first if record.prompt in other}
    assert common == {"code_basics.single"}, "only frozen records come back with another seed"


def test_frozen_records_come_once_each_and_the_seeds_own_before_the_others():
    for split, seed, own in (("train", 0, 24), ("test", 2, 8), ("test", 9, 0)):
        for family in set(family_names(split)) - set(CROSSED):
            names = [record.name for record in single.in_order(family, seed)]
            assert sorted(names) == sorted(row["name"] for _, row in single.frozen()[family])
            assert [f"/{seed}-" in name for name in names] == [True] * own + [False] * (ALL_ROUNDS - own)
    assert list(single.in_order("frame", 9)) != list(single.in_order("frame", 8))


def test_records_that_were_drawn_with_the_seed_keep_their_places():
    names = [record.name for record in generate("test", 8 * len(TEST), seed=1)]
    assert all(name.endswith(f"/1-{index}") for index, name in enumerate(names))


def test_more_than_there_are_is_refused():
    with pytest.raises(
        InputError, match=r"has 2,520 problems to test with, 24 of each of 105 families, and not 2,521; ask"
    ):
        generate("test", ALL_ROUNDS * len(TEST) + 1, seed=0)
    with pytest.raises(InputError, match=r"has 12,408 problems to train on.* or go through them again with epochs"):
        generate("train", 20000, seed=4)


DRAWN = {
    ("train", 512, 0): "988dfd4bf2929c80",
    ("test", 105, 0): "7a8c92018fdfcb80",
    ("test", 105, 1): "3843b6481ba71170",
    ("test", 105, 2): "89e429bd64f00e84",
}


@pytest.mark.parametrize(("split", "count", "seed"), DRAWN)
def test_what_the_recipes_draw_is_pinned(split, count, seed):
    """Golden, as the generator at ab2a89bc010b drew them: numbers measured then can be compared with those of now."""
    rows = json.dumps([record.to_row() for record in generate(split, count, seed)])
    assert hashlib.sha256(rows.encode()).hexdigest()[:16] == DRAWN[split, count, seed]


def test_frozen_files_say_what_drew_them():
    for path in single.FOLDER.glob("*.gz"):
        with gzip.open(path, "rt", encoding="utf-8") as file:
            assert "at commit ab2a89bc010b" in json.loads(next(file))["generator"]


def test_a_file_of_records_adds_a_family(tmp_path):
    row = single.frozen()["frame"][0][1]
    new = {**row, "family": "picture_of_a_box", "name": "code_basics/picture_of_a_box/1"}
    header = {"generator": "by hand"}
    (tmp_path / "boxes.jsonl").write_text("".join(json.dumps(line) + "\n" for line in (header, new, new)))
    with gzip.open(tmp_path / "more.jsonl.gz", "wt") as file:
        file.write(json.dumps(row))
    found = single.frozen(tmp_path)
    assert {family: len(rows) for family, rows in found.items()} == {"picture_of_a_box": 2, "frame": 1}
    assert found["frame"][0][1] == row


@pytest.mark.parametrize("field", ["family", "topic", "name"])
def test_a_row_without_its_family_topic_or_name_is_refused(field, tmp_path):
    row = single.frozen()["frame"][0][1]
    (tmp_path / "worse.jsonl").write_text(json.dumps({**row, field: None}))
    with pytest.raises(InputError, match=rf"worse.jsonl:1: '{field}' is missing"):
        single.frozen(tmp_path)


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
