"""From a seed to records: the split by family, the tests, the prompt."""

from collections.abc import Iterator
from random import Random
from textwrap import dedent
from typing import Any, Literal

import strop.tasks.code_basics.families  # noqa: F401  (registers every family)
from strop.tasks.code_basics.family import FAMILIES, Problem
from strop.tasks.code_basics.held_out import HELD_OUT
from strop.tasks.code_basics.layouts import show
from strop.tasks.records import Record, TestCase

TEST_FAMILIES: tuple[str, ...] = HELD_OUT
"""Families that are only ever tested."""
TRAIN_FAMILIES: tuple[str, ...] = tuple(name for name in FAMILIES if name not in HELD_OUT)
"""Families that are trained on."""

SAMPLES = 2
HIDDEN = 6
_ATTEMPTS = 200

INSTRUCTIONS = (
    "Write a Python program that reads from standard input and prints the answer.",
    "Write a Python program that reads the input from stdin and prints the answer to stdout.",
    "Solve this problem in Python. Read from standard input and print the answer.",
    "Please write a Python program for this task. It should read standard input and print only the answer.",
    "Can you solve this in Python? Read from standard input and print the result.",
)


def generate(split: Literal["train", "test"], count: int, seed: int) -> list[Record]:
    """Draw `count` problems, no two with the same prompt.

    The families of the split take turns, in an order that is shuffled anew each round, so their counts differ by at
    most one. Record i depends on (split, seed, i) only: a longer list starts with the shorter one.

    Raises:
        ValueError: the split is unknown or `count` is negative.
    """
    if split not in ("train", "test"):
        raise ValueError(f"unknown split {split!r}; expected 'train' or 'test'")
    if count < 0:
        raise ValueError(f"count is {count}; expected 0 or more")
    turns = _turns(TRAIN_FAMILIES if split == "train" else TEST_FAMILIES, seed)
    records: list[Record] = []
    seen: set[str] = set()
    for index in range(count):
        records.append(_new_record(next(turns), seed, index, seen))
        seen.add(records[-1].prompt)
    return records


def _turns(families: tuple[str, ...], seed: int) -> Iterator[str]:
    rng = Random(f"order {seed}")
    while True:
        yield from rng.sample(families, len(families))


def _new_record(family: str, seed: int, index: int, seen: set[str]) -> Record:
    for attempt in range(_ATTEMPTS):
        # A string seeds Random through SHA-512: the same everywhere, unlike hash().
        record = _record(family, Random(f"{family} {seed} {index} {attempt}"), f"code_basics/{family}/{seed}-{index}")
        if record.prompt not in seen:
            return record
    raise ValueError(f"family {family} has no further problem after {index} records; ask for fewer records")


def _record(family: str, rng: Random, name: str) -> Record:
    problem = FAMILIES[family].make(rng)
    tests = _draw_tests(problem, rng)
    return Record(
        name=name,
        source=f"code_basics.{'crossed' if FAMILIES[family].topic.startswith('crossed') else 'single'}",
        family=family,
        difficulty=FAMILIES[family].difficulty,
        language="python",
        prompt=_prompt(problem, tests[:SAMPLES], rng),
        response=f"```python\n{_solution(problem, rng)}\n```",
        tests=tests,
    )


def _draw_tests(problem: Problem, rng: Random) -> tuple[TestCase, ...]:
    """Samples first, then the edges, then random cases.

    All inputs differ, the two samples have different outputs, and the hidden outputs are not all the same, so that
    printing a constant never passes.
    """
    tests: list[TestCase] = []

    def add(values: tuple[Any, ...], sample: bool = False) -> None:
        stdin = problem.layout(*values) + "\n"
        stdout = show(problem.answer(*values)) + "\n"
        if all(stdin != test.stdin and not (sample and stdout == test.stdout) for test in tests):
            tests.append(TestCase(stdin, stdout, sample))

    def enough() -> bool:
        return len(tests) >= wanted and len({test.stdout for test in tests[SAMPLES:]}) > 1

    for _ in range(_ATTEMPTS):
        if len(tests) < SAMPLES:
            add(problem.case(rng.randint(3, 5)), sample=True)
    for values in problem.edges:
        add(values)
    wanted = max(SAMPLES + HIDDEN, len(tests) + 3)
    for _ in range(_ATTEMPTS):
        if not enough():
            add(problem.case(rng.randint(1, 12)))
    if not enough() or not tests[SAMPLES - 1].sample:
        raise ValueError(f"a problem has only {len(tests)} tests that tell answers apart: {problem.say[0]}")
    return tuple(tests)


def _prompt(problem: Problem, samples: tuple[TestCase, ...], rng: Random) -> str:
    instruction = rng.choice(INSTRUCTIONS)
    body = f"{rng.choice(problem.say)}\n\nInput: {problem.input}\nOutput: {problem.output}"
    word = rng.choice(("Example", "Sample"))
    shown = "\n\n".join(f"{word} input:\n{test.stdin}{word} output:\n{test.stdout.rstrip()}" for test in samples)
    if rng.random() < 0.15:  # some users state the problem first and ask last
        return f"{body}\n\n{shown}\n\n{instruction}"
    return f"{instruction}\n\n{body}\n\n{shown}"


def _solution(problem: Problem, rng: Random) -> str:
    source = dedent(problem.solution).strip()
    if rng.random() < 0.15:  # the other common way to read a list
        source = source.replace("list(map(int, input().split()))", "[int(x) for x in input().split()]")
    return source
