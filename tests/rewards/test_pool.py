"""Workers that die are replaced, and nothing is lost or passed over because of it."""

import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest
from processes import loaded_context

from strop.common.errors import InputError
from strop.rewards import JudgeFault, Judgement, judge_answers, judge_fault, map_in_workers, score_judgement
from strop.sandbox import Limits


@pytest.fixture(autouse=True)
def loaded_already(monkeypatch):
    """Workers begin with strop loaded, many a test starts several; those of the script below begin empty."""
    context = loaded_context()
    monkeypatch.setattr("strop.rewards.pool.multiprocessing.get_context", lambda _: context)


@dataclass
class Case:
    stdin: str
    stdout: str


def square(number):
    return number * number


def die_once(task):
    """Kills its worker the first time, which the file remembers."""
    number, path = task
    if path and not os.path.exists(path):
        Path(path).touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return number


def die_if_negative(number):
    if number < 0:
        os.kill(os.getpid(), signal.SIGKILL)
    return number


def refuse(number):
    raise InputError(f"row {number}: is not right; correct it.")


def leave_a_child(_):
    """A child that has ended and that nobody has waited for, as CLONE_PARENT leaves one."""
    if os.fork() == 0:
        os._exit(0)
    time.sleep(0.1)


def zombies(_):
    pid = os.getpid()
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [c for c in children if Path(f"/proc/{c}/stat").read_text().rpartition(")")[2].split()[0] == "Z"]


def ignores_interrupts(_):
    return signal.getsignal(signal.SIGINT) is signal.SIG_IGN


def test_results_are_in_order():
    assert map_in_workers(square, list(range(20)), 2) == [n * n for n in range(20)]
    assert map_in_workers(square, [], 2) == []


def test_a_worker_that_dies_is_replaced_and_its_task_done_again(tmp_path):
    marks = {3: str(tmp_path / "three"), 11: str(tmp_path / "eleven")}
    tasks = [(number, marks.get(number)) for number in range(16)]
    assert map_in_workers(die_once, tasks, 2) == list(range(16))
    assert sorted(os.listdir(tmp_path)) == ["eleven", "three"]  # both did die
    assert map_in_workers(square, [5], 2) == [25]  # and the pool is whole


def test_a_task_that_kills_twice_is_named_and_the_others_are_done():
    assert map_in_workers(die_if_negative, [1, 2, -3, 4, -5, 6], 2, on_death=lambda n: f"dead {n}") == [
        1, 2, "dead -3", 4, "dead -5", 6,
    ]  # fmt: skip


def test_without_anything_to_stand_for_it_such_a_task_ends_the_judging():
    with pytest.raises(JudgeFault, match="died twice on task 2 of 3"):
        map_in_workers(die_if_negative, [1, -2, 3], 2)
    assert map_in_workers(square, [5], 2) == [25]


def test_no_worker_is_started_once_tasks_are_handed_in(monkeypatch):
    """One that is started while its pool breaks would be waited for forever."""
    monkeypatch.setattr("strop.rewards.pool._pools", {})  # workers of other tests would do
    spawn, watched = ProcessPoolExecutor._spawn_process, []

    def spawn_and_look(pool):
        watched.append(pool._executor_manager_thread is not None)
        spawn(pool)

    monkeypatch.setattr(ProcessPoolExecutor, "_spawn_process", spawn_and_look)
    assert map_in_workers(die_if_negative, [1, -2, 3], 3, on_death=str) == [1, "-2", 3]
    assert len(watched) >= 6  # of two pools or three, as the others finish before the death or not
    assert not any(watched)


def test_workers_that_die_whatever_they_get_end_the_judging():
    with pytest.raises(JudgeFault, match="died twice"):
        map_in_workers(die_if_negative, [-n for n in range(1, 20)], 1, on_death=str)


def test_what_a_worker_raises_arrives_as_it_is():
    with pytest.raises(InputError) as error:
        map_in_workers(refuse, [7], 1)
    assert (type(error.value), str(error.value)) == (InputError, "row 7: is not right; correct it.")


def test_children_that_a_program_leaves_behind_are_buried():
    map_in_workers(leave_a_child, [None], 1)
    assert map_in_workers(zombies, [None], 1) == [[]]


def test_workers_leave_ctrl_c_to_their_parent():
    assert map_in_workers(ignores_interrupts, [None], 1) == [True]


def test_an_answer_that_kills_the_judge_is_a_fault_of_the_judge(tmp_path):
    """In a process of its own, where judging is replaced by dying."""
    script = tmp_path / "script.py"
    script.write_text(
        "import os, strop.rewards.code as code\n"
        "import contextlib, strop.rewards.pool as pool\n"
        "pool.without_main = contextlib.nullcontext  # so that the workers read this script too\n"
        "real = code.judge_program\n"
        "code.judge_program = lambda p, *a: os.kill(os.getpid(), 9) if p and 'die' in p else real(p, *a)\n"
        "class Test: stdin = ''; stdout = '1'\n"
        "if __name__ == '__main__':\n"
        "    answers = [(f'```python\\n{p}\\n```', [Test()] * 2) for p in ('print(1)', 'print(\"die\")', 'print(2)')]\n"
        "    for j in code.judge_answers(answers, workers=2): print(j.verdict, j.passed, j.total, j.detail)\n"
    )
    done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == [
        "accepted 2 2 ",
        "judge_fault 0 2 the judge's own process died twice on this answer: nothing is known of it",
        "wrong_answer 0 2 test 1 of 2: line 1 is '2', expected '1'",
    ]


def test_a_fault_of_the_judge_is_no_reward():
    assert judge_fault(3) == Judgement("judge_fault", 0, 3, judge_fault().detail)
    with pytest.raises(JudgeFault, match="died twice"):
        score_judgement(judge_fault())


def test_every_pair_may_have_limits_of_its_own():
    limits = [Limits(memory_mb=64), Limits(memory_mb=256)]
    judgements = judge_answers([("```python\nx = bytearray(10**8)\nprint(1)\n```", [Case("", "1")])] * 2, limits)
    assert [j.verdict for j in judgements] == ["runtime_error", "accepted"]


def stop_if_negative(number):
    if number < 0:
        os.kill(os.getpid(), signal.SIGSTOP)
    return number


def test_workers_that_hang_are_killed_and_the_others_tasks_are_done(monkeypatch):
    monkeypatch.setattr("strop.rewards.pool.STUCK_SECONDS", 8.0)
    found = map_in_workers(stop_if_negative, [1, -2, 3], 2, on_death=lambda number: f"hung {number}")
    assert found == [1, "hung -2", 3]
