"""What was thought is not judged."""

import pytest

from strop.rewards import extract_program
from strop.rewards.reasoning import without_reasoning

DRAFT = "```python\nprint('a long draft that is not the answer')\nprint(input())\n```\n"
FINAL = "```python\nprint(1)\n```\n"


@pytest.mark.parametrize(
    "answer",
    [
        f"<think>\n{DRAFT}</think>\n{FINAL}",
        f"<think>\n```python\nprint('a draft that was never closed')\n</think>\n{FINAL}",
        f"Hm.\n{DRAFT}</think>\n\n{FINAL}",  # the prompt opened it
        f"```python\nprint('a draft that was never closed')\nHm.\n</think>\n{FINAL}",
        f"<thinking>{DRAFT}</thinking>{FINAL}",
        f"<THINK>{DRAFT}</THINK>{FINAL}",
        f"[THINK]{DRAFT}[/THINK]{FINAL}",
        f"◁think▷{DRAFT}◁/think▷{FINAL}",
        f"<|START_THINKING|>{DRAFT}<|END_THINKING|>{FINAL}",
        f"<think>a</think>{FINAL}<think>\n{DRAFT}</think>That is right.",
        f"<think>a</think>\n{FINAL}\n<think>\n{DRAFT}",  # cut off
        f"<think>Close it with </think> soon.\n{DRAFT}</think>{FINAL}",
        f"<|channel|>analysis<|message|>{DRAFT}<|end|><|start|>assistant<|channel|>final<|message|>{FINAL}<|return|>",
        f"analysisHm.{DRAFT}assistantfinal{FINAL}",
        f"<think>\n\n</think>\n\n<answer>{FINAL}</answer>",
    ],
)
def test_the_answer_after_it_counts(answer):
    assert extract_program(answer) == "print(1)\n"


@pytest.mark.parametrize(
    "answer",
    [
        f"<think>\n{DRAFT}",
        f"<think>\n{DRAFT}</think>\nI do not know.",
        f"<|channel|>analysis<|message|>{DRAFT}",
    ],
)
def test_reasoning_alone_holds_no_program(answer):
    assert extract_program(answer) is None


@pytest.mark.parametrize(
    "program",
    ["print('<think>', '</think>')\n", "s = '''\n<think>\n'''\nprint(s)\n", "print(input().split('</think>')[-1])\n"],
)
def test_tags_in_a_program_are_its_text(program):
    assert extract_program(f"So:\n```python\n{program}```\nDone.") == program
    assert extract_program(f"<think>\n{DRAFT}</think>\n```python\n{program}```") == program
    assert extract_program(program) == program.strip("\n")


def test_tags_that_are_spoken_of():
    for answer in ("The tag `</think>` ends it.", "It ends with '</think>'.", "Use <think> tags, as in this."):
        assert without_reasoning(answer) == answer
