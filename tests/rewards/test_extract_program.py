"""Which part of an answer is the program."""

import threading

import pytest

from strop.rewards import code_blocks, extract_program, syntax_error


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


def test_code_blocks():
    blocks = code_blocks("a\n```Python3 x\n1\n```\n  ```\n2\n  ```\n~~~sh\n```\n~~~\n```c\n3")
    assert [(b.language, b.code, b.closed) for b in blocks] == [
        ("python3", "1\n", True),
        ("", "2\n", True),
        ("sh", "```\n", True),
        ("c", "3", False),
    ]


@pytest.mark.parametrize(
    ("source", "error"),
    [
        ("print(1)", None),
        ("print(", "'(' was never closed (line 1)"),
        ("return 1", "'return' outside function (line 1)"),
        ("-" * 60_000 + "1", "too deeply nested"),
        ("a" + ".b" * 30_000, "too deeply nested"),
        ("x" * 64_001, "the program has 64001 characters, more than 64000"),
        ("'\\d' is 1", None),  # warnings are neither errors nor noise
    ],
)
def test_syntax_error(source, error, recwarn):
    assert syntax_error(source) == error
    assert len(recwarn) == 0


def test_null_byte_is_a_syntax_error():
    assert "null bytes" in syntax_error("a\0b")
    assert syntax_error("a = '\ud800'") is not None


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
