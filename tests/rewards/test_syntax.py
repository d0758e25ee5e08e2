"""What is Python, as far as the judge's own process looks."""

import subprocess
import sys

import pytest

from strop.rewards import extract_program, parse_program, syntax, syntax_error
from strop.rewards.syntax import clean, dedent, indent


@pytest.mark.parametrize(
    ("source", "error"),
    [
        ("print(1)", None),
        ("print(", "'(' was never closed (line 1)"),
        ("x" * 64_001, "the program has 64001 characters, more than 64000"),
        ("(" * 300 + ")" * 300, "too many nested parentheses (line 1)"),
        ("'\\d' is 1", None),  # warnings are neither errors nor noise
        ("\ufeffprint(1)", None),
        # for the compiler, which runs in the sandbox
        ("return 1", None),
        ("-" * 60_000 + "1", None),
        ("a" + ".b" * 30_000, None),
    ],
)
def test_syntax_error(source, error, recwarn):
    assert syntax_error(source) == error
    assert len(recwarn) == 0


def test_a_long_answer_is_parsed_once():
    """Each time takes half a second of the judge's own process, where it is made for that."""
    program = "x = f'" + "{x}" * 4_000 + "'"
    syntax._parse_long.cache_clear()
    assert extract_program(program) == program
    assert syntax_error(program) is None
    assert syntax._parse_long.cache_info().misses == 1


def test_null_byte_is_a_syntax_error():
    assert "null bytes" in syntax_error("a\0b")
    assert syntax_error("a = '\ud800'") is not None


DEEP = {
    "finally": "".join(" " * i + "try:\n" + " " * (i + 1) + "pass\n" for i in range(0))
    + "\n".join(" " * i + "try:" for i in range(14))
    + "\n"
    + " " * 14
    + "x\n"
    + "".join(" " * i + "finally:\n" + " " * (i + 1) + "x\n" for i in reversed(range(14))),
    "terms": "x = 1" + "+1" * 2960,
    "elifs": "if 0: 1\n" + "elif 0: 1\n" * 2960,
    "lambdas": "x = " + "lambda: " * 800 + "1",
    "parentheses": "x = " + "(" * 190 + "1" + ")" * 190,
    "minus": "x = " + "-" * 60_000 + "1",
    "attributes": "x = a" + ".b" * 30_000,
}


@pytest.mark.parametrize("name", DEEP)
def test_deep_sources_neither_crash_nor_burden_the_judge(name):
    """In a process with 400 MB of address space, of which Python and strop take 100; compiling took 1 GiB."""
    code = (
        "import resource, sys; from strop.rewards import extract_program, syntax_error\n"
        "source = sys.stdin.read(); resource.setrlimit(resource.RLIMIT_AS, (400 << 20,) * 2)\n"
        "print(syntax_error(source))\n"
        "for answer in (source, f'```python\\n{source}\\n```', f'```python\\n{source}\\n```\\n' * 2):\n"
        "    for names in ((), ('x',)):\n"
        "        program = extract_program(answer, names)\n"
        "        assert program is None or program.strip() == source.strip(), program[:80]\n"
    )
    done = subprocess.run([sys.executable, "-c", code], input=DEEP[name], capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("None\n", "")


def test_too_deep_to_be_parsed_here():
    assert parse_program(DEEP["minus"]) is None
    assert parse_program(DEEP["lambdas"]) is not None


@pytest.mark.parametrize(
    ("source", "cleaned"),
    [
        ("\ufeffprint(1)", "print(1)"),
        ("\u200bprint(1)", "print(1)"),
        ("if 1:\n\u00a0\u00a0print(1)", "if 1:\n  print(1)"),
        ("x\u200b = 1", "x = 1"),
        ("x\u00a0= 'a\u00a0b\u200b'  # \u00a0", "x = 'a\u00a0b\u200b'  # \u00a0"),  # strings are theirs
        ("x = 'a\u00a0b'", "x = 'a\u00a0b'"),
        ("  x = 1\n  y = 2\n", "x = 1\ny = 2\n"),
        ("  x = 1\n y = 2\n", "  x = 1\n y = 2\n"),
        ("print(“3”)", "print(“3”)"),  # quotes of a typesetter are an error, not a typo
    ],
)
def test_clean(source, cleaned):
    assert clean(source) == cleaned


def test_strings_keep_their_lines():
    source = "x = '''\na\n  b'''\n\nif x:\n    y\n"
    assert indent(source) == "    x = '''\na\n  b'''\n\n    if x:\n        y\n"
    assert dedent(indent(source)) == source
    assert dedent("  # it's\n  x = '\\''\n  y\n") == "# it's\nx = '\\''\ny\n"
