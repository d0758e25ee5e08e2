"""Which part of an answer is the program."""

import threading

import pytest

from strop.rewards import code_blocks, extract_program

F = "def f(x):\n    return x\n"
PROGRAM = "n = int(input())\nprint(n)\n"


@pytest.mark.parametrize(
    ("answer", "program"),
    [
        ("Here:\n```python\nprint(1)\n```\nDone.", "print(1)\n"),
        ("```\nprint(1)\n```", "print(1)\n"),
        ("```Python title=a.py\nprint(1)\n```", "print(1)\n"),
        ("~~~py\nprint(1)\n~~~", "print(1)\n"),
        ("````python\ns = '''\n```\n'''\nprint(s)\n````", "s = '''\n```\n'''\nprint(s)\n"),
        ("```python\nprint(1)", "print(1)"),  # cut off inside the block
        ("```python\r\nprint(1)\r\n```", "print(1)\r\n"),
        # a usage example after the program
        ("```python\ndef f(x):\n    return x\n```\nUse it:\n```python\nf(1)\n```", "def f(x):\n    return x\n"),
        # a draft that does not compile
        ("```python\nprint('a long draft'\n```\n```python\nprint(1)\n```", "print(1)\n"),
        # equally long: the later one
        ("```python\nprint(1)\n```\n```python\nprint(2)\n```", "print(2)\n"),
        # a label goes before none, whatever the length
        ("```\nsome_output = 12345\n```\n```python\nx = 1\n```", "x = 1\n"),
        # closed goes before cut off
        ("```python\nprint(1)\n```\n```python\nprint(1); print(2)", "print(1)\n"),
        # nothing compiles: still the program, so that the verdict is a syntax error
        ("```python\nprint(\n```", "print(\n"),
        # an excerpt of the program, in the explanation after it
        ("```python\nn = int(input())\nprint(n)\n```\nIt reads:\n```python\nn = int(input())\n```", PROGRAM),
        # what uses a program's names is an example, however long
        (
            "```python\ndef f(x):\n    return x\n\nprint(f(input()))\n```\n```python\nfor i in range(10):\n"
            "    print('the value of f is', f(i))\n```",
            "def f(x):\n    return x\n\nprint(f(input()))\n",
        ),
        # corrected: the last that both reads and prints, though a draft before it is longer
        (
            "```python\nprint(-int(input()))  # a draft\n```\nNo:\n```python\nprint(int(input()))\n```",
            "print(int(input()))\n",
        ),
        # helpers and imports in blocks of their own
        (
            "```python\nimport math\n```\n```python\ndef f(x):\n    return math.sqrt(x)\n```\n"
            "```python\nprint(f(int(input())))\n```",
            "import math\n\ndef f(x):\n    return math.sqrt(x)\n\nprint(f(int(input())))\n",
        ),
        ("n = int(input())\nprint(n)\n", "n = int(input())\nprint(n)"),
        ("print(input())", "print(input())"),
    ],
)
def test_program(answer, program):
    assert extract_program(answer) == program


@pytest.mark.parametrize(
    "answer",
    [
        "",
        "   \n",
        "Sorry",
        "42",
        "I cannot solve this.",
        "```cpp\nint main() {}\n```",
        "```python\n```",
        "```python\n\n \n```",
        "x = 1 is the answer",
    ],
)
def test_no_program(answer):
    assert extract_program(answer) is None


@pytest.mark.parametrize(
    ("answer", "program"),
    [
        # the one that defines the name, not the longer example of its use
        (f"```python\n{F}```\n```python\nassert f(1) == 1\nassert f(2) == 2\n```", F),
        (f"```python\nassert f(1) == 1\nassert f(2) == 2\n```\n```python\n{F}```", F),
        # the last that does
        (f"```python\ndef f(x):\n    return -x  # a draft\n```\n```python\n{F}```", F),
        # even where it is broken: then the verdict is about it
        ("```python\ndef f(x:\n    return x\n```\n```python\nprint(f(1))\n```", "def f(x:\n    return x\n"),
        # with the helper that it needs
        (
            "```python\ndef g(x):\n    return x\n```\n```python\ndef f(x):\n    return g(x)\n```",
            "def g(x):\n    return x\n\ndef f(x):\n    return g(x)\n",
        ),
        # tests that import it
        (f"```python\n{F}```\n```python\nfrom solution import f\nassert f(1) == 1\nassert f(2) == 2\n```", F),
        # a correction that takes something away
        (f"```python\n{F}\nf(1)\n```\nWithout the call:\n```python\n{F}```", F),
        # none defines it: the one that does not use it
        ("```python\nreturn x\n```\n```python\nprint(f(1), f(2), f(3))\n```", "return x\n"),
        # however it is defined
        ("```python\nprint('longer than the other')\n```\n```python\nf: object = abs\n```", "f: object = abs\n"),
        ("```python\nprint('longer than the other')\n```\n```python\nif 1:\n    f = abs\n```", "if 1:\n    f = abs\n"),
        (f"Define it so:\n\n{F}\nThat is all.\n\nprint(f(1), f(2), f(3))\n", f"{F}\n"),
    ],
)
def test_program_that_defines_a_name(answer, program):
    assert extract_program(answer, ["f"]) == program


def test_from_future_stays_first():
    answer = (
        '```python\nfrom math import pi\n```\n```python\n"""Doc."""\nfrom __future__ import annotations\nprint(pi)\n```'
    )
    assert (
        extract_program(answer) == '"""Doc."""\nfrom __future__ import annotations\nfrom math import pi\n\nprint(pi)\n'
    )


def test_code_blocks():
    blocks = code_blocks("a\n```Python3 x\n1\n```\n  ```\n2\n  ```\n~~~sh\n```\n~~~\n```c\n3")
    assert [(b.language, b.code, b.closed) for b in blocks] == [
        ("python3", "1\n", True),
        ("", "2\n", True),
        ("sh", "```\n", True),
        ("c", "3", False),
    ]


def test_checking_executes_nothing_and_is_safe_in_threads(tmp_path):
    answer = f"```\nopen({str(tmp_path / 'x')!r}, 'w')\n```"
    failures = []

    def work():
        for _ in range(200):
            if extract_program(answer) is None or extract_program("x = [1, (2, 3)]\nprint(x)") is None:
                failures.append(1)

    threads = [threading.Thread(target=work) for _ in range(4)]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
    assert failures == []
    assert list(tmp_path.iterdir()) == []
