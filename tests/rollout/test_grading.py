"""What a grader makes of trajectories: an answer is graded as evaluation grades it, and what is no reward is told."""

import pytest

from strop.common.errors import InputError
from strop.rewards.kinds import ExactReward, MathReward, TaskReward
from strop.rollout.grading import Grader, check_rewards
from strop.rollout.prompts import Prompt
from strop.rollout.selection import Selection
from strop.rollout.settings import GradingSettings
from strop.rollout.trajectory import Trajectory
from strop.tasks import open_task
from strop.tasks.base import TaskSettings


def answer(text, finish="stop", **parts):
    return Trajectory("p", 0, 0, (1, 2), (0.0, 1.0), (0.0, -1.0), finish, text, parts=parts)


def graded(rewards, prompt, *answers):
    grader = Grader(rewards, GradingSettings())
    try:
        return grader.grade([prompt], [list(answers)])[0]
    finally:
        grader.workers.close()


@pytest.fixture
def gsm8k(tmp_path):
    """The task on one problem, whose answer is 12."""
    (tmp_path / "test.jsonl").write_text('{"question": "3 boxes of 4?", "answer": "3*4\\n#### 12"}\n')
    return open_task("gsm8k", TaskSettings(path=tmp_path / "test.jsonl"))


@pytest.mark.parametrize(
    ("text", "finish", "opened", "reward"),
    [
        ("3 boxes of 4, so 12", "stop", "", 1),
        ("3 boxes of 4, so 12", "length", "", 0),  # it may have gone on: 120
        ("so #### 12\nand", "length", "", 1),
        ("3*4 is 12", "stop", "<think>", 0),  # still thinking
        ("hm</think>#### 12", "stop", "<think>", 1),
    ],
)
def test_a_task_grades_as_evaluation_does(gsm8k, text, finish, opened, reward):
    [item] = gsm8k.all_items
    prompt = Prompt("p", item.messages, (1,), task=gsm8k, item=item, opened=opened)
    [one] = graded({"task": TaskReward(kind="task")}, prompt, answer(text, finish))
    assert one.reward == reward
    said = gsm8k.graded(text, finish, opened)
    assert gsm8k.grade(item, said).accepted == bool(reward)


def test_mathematics_is_compared_as_such_and_by_processes_of_its_own(tmp_path):
    pytest.importorskip("math_verify")
    prompt = Prompt("p", [{"role": "user", "content": "?"}], (1,), truth="1/2")
    several = graded({"right": MathReward(kind="math")}, prompt, *map(answer, ("\\boxed{0.5}", "it is 2", "no idea")))
    assert [one.reward for one in several] == [1, 0, 0]
    (tmp_path / "train.jsonl").write_text('{"problem": "1/4 + 1/4?", "answer": "\\\\frac12"}\n')
    task = open_task("math", TaskSettings(path=tmp_path / "train.jsonl"))
    [item] = task.train_items(None, 0)
    prompt = Prompt("p", item.messages, (1,), task=task, item=item)
    several = graded(
        {"task": TaskReward(kind="task")}, prompt, answer("\\boxed{0.5}"), answer("\\boxed{0.5}", "length")
    )
    assert [one.reward for one in several] == [1, 1]  # what is boxed is finished
    with pytest.raises(InputError, match="no items to train on"):
        open_task("math", TaskSettings()).train_items(None, 0)


def test_a_ground_truth_that_cannot_be_compared_is_refused_by_its_row():
    prompt = Prompt("rows.jsonl:7", [{"role": "user", "content": "?"}], (1,), truth="seven")
    with pytest.raises(InputError, match=r"rows\.jsonl:7: the ground truth holds no number .*rewards\.right"):
        check_rewards({"right": ExactReward(kind="exact", as_number=True)}, [[prompt]])


def test_a_whole_score_passes_however_it_is_made_up():
    weights = {"a": 0.7, "b": 0.2, "c": 0.1}
    grader = Grader({}, GradingSettings(), weights=weights)
    one = grader._summed(answer("x", a=1.0, b=1.0, c=1.0))
    assert one.reward == 1.0  # the sum of the three is 0.9999999999999999
    assert Selection("passing").passes(one)
