"""Where code blocks begin and end, and what their labels mean."""

import pytest

from strop.rewards import code_blocks, extract_program
from strop.rewards.fences import is_python


def codes(answer):
    return [(block.code, block.closed) for block in code_blocks(answer)]


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        ("1. So:\n\n   ```python\n   if x:\n       y\n   ```\n", "if x:\n    y\n"),
        ("- ```python\n  if x:\n      y\n  ```", "if x:\n    y\n"),
        ("* a\n\t```python\n\tif x:\n\t\ty\n\t```", "if x:\n\ty\n"),
        ("   ```python\nif x:\n    y\n   ```", "if x:\n    y\n"),  # only the fence is indented
        ("> ```python\n> if x:\n>     y\n> ```", "if x:\n    y\n"),
        ("> > ```python\n> > x\n> > ```\n", "x\n"),
        ("- > ```python\n  > if x:\n  >   y\n  > ```", "if x:\n  y\n"),
        ("\ufeff```python\nx\n```", "x\n"),
        ("\u00a0\u200b```python\u200b\nx\n```\u00a0", "x\n"),
        ("a\r```python\rx\r```\r", "x\r"),
        ("a\r\n```python\r\nx\r\n```\r\nb", "x\r\n"),
        ("~~~~python\nx\n~~~\n~~~~~", "x\n~~~\n"),
        ("Here: ```python\nx\n```", "x\n"),
        ("<answer>```py\nx\n```</answer>", "x\n"),
        ("```python\nprint(1)```\nDone.", "print(1)"),
        ("```python\nx\n``` That is it.", "x\n"),
        ("```python\nx\x0cy\u2028z\n```", "x\x0cy\u2028z\n"),  # no ends of lines
    ],
)
def test_one_closed_block(answer, code):
    assert codes(answer) == [(code, True)]


def test_a_fence_in_a_docstring_is_text_of_the_program():
    for indent in ("", "  ", "    "):
        doc = "".join(f"{indent}{line}\n" for line in ('"""So:', "```", ">>> f()", "```", '"""'))
        program = f"def f():\n{doc}{indent}return 1\n" if indent else f"{doc}print(1)\n"
        assert codes(f"```python\n{program}```\nDone.\n```\noutput\n```") == [(program, True), ("output\n", True)]


def test_quotes_in_comments_and_strings_open_no_docstring():
    program = "# isn't ''' it\nx = \"'''\"\ny = '\\'\\'\\''\n"
    assert codes(f"```python\n{program}```\n") == [(program, True)]


def test_a_string_that_never_ends_does_not_swallow_the_answer():
    answer = "```python\nx = '''\n```\nAgain:\n```python\ny\n```"
    assert codes(answer) == [("x = '''\n", True), ("y\n", True)]


def test_a_fence_that_is_too_short_ends_a_block_that_nothing_else_ends():
    assert codes("````python\nx\n```\nThen:\n```python\ny\n```") == [("x\n", True), ("y\n", True)]
    assert codes("````python\nx\n```\ny\n````") == [("x\n```\ny\n", True)]


def test_a_fence_that_was_not_closed_ends_where_the_next_begins():
    assert codes("```python\nx\n\nThen:\n```python\ny\n```") == [("x\n\nThen:\n", False), ("y\n", True)]
    assert codes("```markdown\nText\n```python\nx\n```\n```") == [("Text\n", False), ("x\n", True), ("", False)]


def test_other_languages_keep_commonmark_rules():
    assert codes("```cpp\n'''\n// x```\n```\n```sh\n~~~\n```") == [("'''\n// x```\n", True), ("~~~\n", True)]
    assert codes("```python print(1)```") == []  # code within a line
    assert codes("Use ```x``` or `y`.") == []


LABELS = (
    "python",
    "Python",
    "PYTHON3",
    "py",
    "py3",
    "python2",
    "python3.11",
    "python-3",
    "ipython",
    "ipython3",
    ".python",
)
LABELS += ("{.python}", "{.python .numberLines}", "{python}", "python{1,3}", 'python title="a.txt"', "python:main.py")
LABELS += ("main.py", "src/main.py", "file=main.py", 'title="main.py"', "1:12:main.py", "language-python")
LABELS += ("{code-cell} ipython3", "python, runnable")


@pytest.mark.parametrize("label", LABELS)
def test_labels_of_python(label):
    assert is_python(label)
    assert extract_program(f"```{label}\nprint(1)\n```") == "print(1)\n"


@pytest.mark.parametrize("label", ["", "cpp", "pycon", "pypy", "text main.py", "cpp:main.py", "main.pyx", "jython"])
def test_labels_of_something_else(label):
    assert not is_python(label)


LONG = (" ", "~", "`", ">", "- ", "\t", "'\\", "\"'", "```\n", "```python\n", "```python\n'''\n```\n", "# '''\n```\n")
LONG += ("<think>", "\n<think>", "a `b` ```", "from a ", "a[", "a, ", "1. ", "\r", "\ufeff")


@pytest.mark.parametrize("unit", LONG)
def test_long_answers_are_read_to_their_end(unit):
    """Of patterns that go over a line again and again; with one of those, a single answer took seconds."""
    answer = "```python\nprint(1)\n```\n\n" + unit * (50_000 // len(unit))
    assert code_blocks(answer)[0].code == "print(1)\n"
    assert extract_program(answer) == "print(1)\n"
