"""A problem with its parameters drawn, and the record that is made of it: prompt, response and tests.

It says each thing twice, independently: `solution` is the program that the model learns, reading text; `answer` is
plain Python over the values themselves. The expected outputs come from `answer`; the project's tests run every solution
against them.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any

from strop.tasks.records import Record, TestCase

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


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One problem with its parameters drawn.

    say: at least three wordings of the statement, of which one is used.
    input, output: the formats, in sentences.
    case: draws the values of one test case; its argument is how many items it holds, or about so many.
    layout: the values as the program reads them. answer: the values to what it must print (see `show`).
    solution: the reference program.
    """

    say: tuple[str, ...]
    input: str
    output: str
    case: Callable[[int], tuple[Any, ...]]
    layout: Callable[..., str]
    answer: Callable[..., Any]
    solution: str


def show(value: Any) -> str:
    """A value on one line: sequences are joined by spaces, everything else is `str`."""
    return " ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)


def one_line(*values: Any) -> str:
    """All values on one line."""
    return show(values)


def listed(items: Sequence[Any]) -> str:
    """n, then the n items on one line."""
    return f"{len(items)}\n{show(items)}"


def counted(items: Sequence[Any]) -> str:
    """n, then n lines, one for each item."""
    return "\n".join(map(str, (len(items), *items)))


def record(problem: Problem, rng: Random, name: str, family: str) -> Record:
    """The record of a problem. Raises ValueError when its cases give too few tests that tell answers apart."""
    tests = _draw_tests(problem, rng)
    prompt, solution = _prompt(problem, tests[:SAMPLES], rng), problem.solution
    if rng.random() < 0.15:  # the other common way to read a list
        solution = solution.replace("list(map(int, input().split()))", "[int(x) for x in input().split()]")
    return Record(
        name=name,
        source="code_basics.crossed",
        family=family,
        difficulty="easy",
        language="python",
        prompt=prompt,
        response=f"```python\n{solution}\n```",
        tests=tests,
    )


def _draw_tests(problem: Problem, rng: Random) -> tuple[TestCase, ...]:
    """Two samples of 3 to 5 items, then cases of one and of two items, then others.

    All inputs differ, the two samples have different outputs, and the hidden outputs are not all the same, so that
    printing a constant never passes.
    """
    smallest = problem.case(1), problem.case(2)
    tests: list[TestCase] = []

    def add(values: tuple[Any, ...], sample: bool = False) -> None:
        stdin = problem.layout(*values) + "\n"
        stdout = show(problem.answer(*values)) + "\n"
        if all(stdin != test.stdin and not (sample and stdout == test.stdout) for test in tests):
            tests.append(TestCase(stdin, stdout, sample))

    def enough() -> bool:
        return len(tests) >= SAMPLES + HIDDEN and len({test.stdout for test in tests[SAMPLES:]}) > 1

    for _ in range(_ATTEMPTS):
        if len(tests) < SAMPLES:
            add(problem.case(rng.randint(3, 5)), sample=True)
    for values in smallest:
        add(values)
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
