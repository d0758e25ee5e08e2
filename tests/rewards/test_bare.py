"""Programs without fences."""

import pytest

from strop.rewards import extract_program
from strop.rewards.bare import bare_programs, without_trailing_prose

PROGRAM = "n = int(input())\nprint(n)"


@pytest.mark.parametrize(
    "answer",
    [
        PROGRAM,
        f"Here is the program:\n\n{PROGRAM}\n",
        f"{PROGRAM}\n\nIt reads a number and prints it.",
        f"Here it is:\n{PROGRAM}\nThis isn't hard (see above).",
        f"{PROGRAM}\n\nDone",  # a lone word is valid Python
        f"Sure\n{PROGRAM}",
        f"{PROGRAM}\n\nOutput: number",
        f"{PROGRAM}\n```\n",  # the prompt opened the fence
        f"{PROGRAM}\n```\nIt prints the number.",
        f"{PROGRAM}\n```\nExample:\n```\n1\n```\n",
        f"<code>\n{PROGRAM}\n</code>",
        f"[PYTHON]\n{PROGRAM}\n[/PYTHON]",
        "The program:\n\n    n = int(input())\n    print(n)\n\nDone.",
        f"Run it with:\n```bash\npython main.py\n```\n\n{PROGRAM}\n",
        f"程序如下：\n\n{PROGRAM}\n\n这个程序读取一个数。",
        f"\ufeff{PROGRAM}",
    ],
)
def test_program_in_prose(answer):
    assert extract_program(answer).strip() == PROGRAM


@pytest.mark.parametrize(
    "answer",
    [
        "n = int(input())\nfor i in ra",  # cut off: not the part before
        "n = int(input())\nprint('abc",
        "n = int(input())\nif n",
        "def f(",
        "Sorry",
        "I cannot do that.\nPlease ask somebody else.",
        "x = 1 is the answer",
        "The answer is:\n42\n",
        "```cpp\nint main() { return 0; }\n```\nprint(1)",
        "```js\nprint(1)\n```",
        "~" * 30_000,
    ],
)
def test_no_program(answer):
    assert extract_program(answer) is None


def test_several_in_order():
    text = "First:\nimport math\n\nThen this:\nprint(math.pi)\n\nThat is it."
    assert bare_programs(text) == ["import math\n\n", "print(math.pi)\n\n"]
    assert extract_program(text) == "import math\n\n\nprint(math.pi)\n\n"


def test_trailing_prose():
    assert without_trailing_prose("x = 1\n\nThis is one.\n") == "x = 1\n\n"
    assert without_trailing_prose("x = 1\n") == "x = 1\n"
    assert without_trailing_prose("x = 1\ny = (\n") is None
    assert without_trailing_prose("This is one.\n") is None
