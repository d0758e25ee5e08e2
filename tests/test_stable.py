"""Values as text that is the same in every process, whatever the order of its sets and where its objects lie."""

import os
import re
import subprocess
import sys
from collections import Counter, namedtuple
from dataclasses import dataclass, field
from decimal import Decimal
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from strop.common.stable import Unstable, digest, stable

IN_A_PROCESS = """
from dataclasses import dataclass, field
from strop.common.stable import digest

class Plain:
    def __init__(self):
        self.words = {"x", "y", "zeta"}

@dataclass(frozen=True, slots=True)
class Data:
    number: int
    hidden: object = field(repr=False)

print(digest([Plain(), Data(1, frozenset("abcdef"))], {"b": {"one", "two"}, "a": [1.5, None]}))
"""


def test_two_processes_say_the_same():
    said = set()
    for seed in "123":
        environment = {**os.environ, "PYTHONHASHSEED": seed}
        done = subprocess.run(
            [sys.executable, "-c", IN_A_PROCESS], env=environment, capture_output=True, text=True, check=True
        )
        said.add(done.stdout)
    assert len(said) == 1


@dataclass
class Reference:
    text: str
    tests: object = field(default=None, repr=False)


class Own:
    def __init__(self, value):
        self.value = value

    def __repr__(self):
        return "<Own>"


class Number(int):
    pass


Pair = namedtuple("Pair", "a b")


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (1, 1.0),
        ("1", 1),
        ([1, 2], (1, 2)),
        ({"a": 1}, {"a": 2}),
        ({1, 2}, {1, 3}),
        (Reference("a", [1]), Reference("a", [2])),
        (Own(1), Own(2)),
        (Number(1), Number(2)),
        (Pair(1, 2), Pair(1, 3)),
        (Counter("aab"), Counter("abb")),
        (partial(int, "1"), partial(int, "2")),
        (re.compile("a" * 300), re.compile("a" * 299 + "b")),
        (np.zeros(5000), np.array([0.0] * 2500 + [1.0] + [0.0] * 2499)),
        (Path("a"), Path("b")),
        (Decimal("1.0"), Decimal("1.1")),
        (len, max),
    ],
)
def test_other_values_are_other_texts(one, other):
    assert stable(one) != stable(other)
    assert stable([one]) != stable([other])
    assert digest(one) == digest(one) != digest(other)


def test_the_order_of_a_dictionary_is_none():
    assert stable({"a": 1, "b": 2}) == stable({"b": 2, "a": 1})


def itself():
    found = []
    found.append(found)
    return found


@pytest.mark.parametrize("value", [lambda: 1, (n for n in "ab"), itself()])
def test_what_no_other_process_would_find_again_is_refused(value):
    with pytest.raises(Unstable):
        stable([value])
