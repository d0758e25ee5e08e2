"""A judge that is killed takes its programs along, whatever they have become; so do the judge's own workers."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from strop.sandbox import Limits, by_bubblewrap, keeper, run_python

SLEEP = "import time; time.sleep(60)"
AGAIN = f"import os, sys; os.execv({os.path.realpath(sys.executable)!r}, ['python', '-c', {SLEEP!r}])"
AWAY = f"""
import os
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        os.setsid()
        {AGAIN}
    os._exit(0)
{SLEEP}
"""
# What a judge runs, and how many processes it then has in the sandbox.
JUDGES = {
    "program": (f"run_python({SLEEP!r}, '', LONG)", 1),
    "exec": (f"run_python({AGAIN!r}, '', LONG)", 1),
    "exec where more are allowed": (f"run_python({AGAIN!r}, '', MORE)", 1),
    "session of its own": (f"run_python({AWAY!r}, '', MORE)", 2),
    "asserts": ("judge_asserts('import time\\ndef f(x): time.sleep(60)', ['f'], 'assert f(1)', LONG)", 2),
    "asserts at import": (f"judge_asserts({SLEEP!r}, ['f'], 'assert f(1)', LONG)", 2),
    "workers": (f"map_in_workers(run_python, [{AGAIN!r}] * 2, 2)", 2),
}
JUDGE = """
from strop.rewards import judge_asserts, map_in_workers
from strop.sandbox import Limits, run_python, set_unsafe
LONG, MORE = Limits(wall_seconds=60), Limits(wall_seconds=60, processes=4)
"""


def marked() -> dict[int, str]:
    """Living processes that bear any judge's mark -> the mark."""
    found = {}
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            state = (entry / "stat").read_text().rpartition(")")[2].split()[0]
            line = next(one for one in (entry / "limits").read_text().splitlines() if "file locks" in one)
        except OSError:
            continue
        if state not in "ZX" and (mark := line.split()[3]) != "unlimited":
            found[int(entry.name)] = mark
    return found


def below(root: int) -> Iterator[int]:
    for task in Path(f"/proc/{root}/task").glob("*/children"):
        for child in map(int, task.read_text().split()):
            yield child
            yield from below(child)


def lives(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def programs(judge: subprocess.Popen) -> set[int]:
    """Processes that bear a mark of this judge's or its workers', and not of any that runs elsewhere meanwhile."""
    found, tree = marked(), set(below(judge.pid))
    marks = {mark for pid, mark in found.items() if pid in tree}
    return {pid for pid, mark in found.items() if mark in marks}


def until(holds, seconds: float = 20.0):
    """What it returns, when that is true."""
    deadline = time.monotonic() + seconds
    while not (found := holds()):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    return found


@pytest.fixture
def start(tmp_path):
    """Starts a judge in a process of its own."""
    started: list[subprocess.Popen] = []

    def begin(source: str, **options) -> subprocess.Popen:
        command = [sys.executable, "-c", JUDGE + source]
        environment = {**os.environ, "TMPDIR": str(tmp_path)}
        started.append(subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL, **options))
        return started[-1]

    yield begin
    for one in started:
        one.kill()
        one.wait()


@pytest.mark.parametrize("how", JUDGES)
def test_programs_end_with_a_judge_that_is_killed(start, how):
    source, count = JUDGES[how]
    judge = start(source)
    ours = until(lambda: len(found := programs(judge)) >= count and found)
    time.sleep(0.3)  # what is to be executed or forked, is
    ours |= programs(judge)
    tree = set(below(judge.pid)) | ours
    assert len(ours) >= count
    judge.kill()
    judge.wait()
    until(lambda: not any(map(lives, tree)), 5)


@pytest.mark.skipif(by_bubblewrap.why_not() is not None, reason=f"{by_bubblewrap.why_not()}")
def test_those_of_bubblewrap_too(start):
    bubblewrap = "from strop.sandbox import choice\nchoice._best = lambda: 'bubblewrap'\n"
    judge = start(f"{bubblewrap}run_python({AWAY!r}, '', MORE)")
    ours = until(lambda: len(found := programs(judge)) >= 2 and found)
    judge.kill()
    until(lambda: not any(map(lives, ours)), 5)


@pytest.mark.skipif(os.getuid() != 0, reason="only root may become another user; for others the tests above say it")
def test_those_of_an_ordinary_user_too(start, tmp_path):
    tmp_path.chmod(0o777)
    try:
        subprocess.run([sys.executable, "-c", "import sandlock, strop"], user=65534, extra_groups=(), check=True)
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"an ordinary user cannot run strop here: {error}")
    for source, count in map(JUDGES.__getitem__, ("exec", "session of its own", "asserts")):
        judge = start(source, user=65534, group=65534, extra_groups=())
        ours = until(lambda judge=judge, count=count: len(found := programs(judge)) >= count and found)
        judge.kill()
        until(lambda ours=ours: not any(map(lives, ours)), 5)


def test_a_signal_to_the_judges_group_misses_the_keeper(start):
    judge = start(f"run_python({AGAIN!r}, '', LONG)", start_new_session=True)
    ours = until(lambda: programs(judge))
    time.sleep(0.3)
    os.killpg(judge.pid, signal.SIGKILL)
    until(lambda: not any(map(lives, ours)), 5)


@pytest.mark.parametrize("idle", [True, False])
def test_workers_end_with_a_parent_that_is_killed(start, idle):
    """They hold the other ends of their own queues, and would wait for ever; a regular expression keeps threads out."""
    endless = "__import__('re').match('(a+)+b', 'a' * 60)"
    work = "import time; time.sleep(60)" if idle else f"map_in_workers(eval, [{endless!r}] * 2, 2)"
    timed = f"from strop.rewards.timed import TimedWorkers\nw = TimedWorkers()\nw.map(eval, ['1'], 60)\n{endless}"
    for source in (
        f"map_in_workers(int, ['1', '2'], 2)\nprint(flush=True)\n{work}",
        timed.replace(endless, f"print(flush=True)\nw.map(eval, [{endless!r}], 60)"),
    ):
        parent = start(source, stdout=subprocess.PIPE)
        assert parent.stdout.readline() == b"\n"
        time.sleep(0.3)
        workers = set(below(parent.pid))
        assert len(workers) >= 2
        parent.kill()
        until(lambda workers=workers: not any(map(lives, workers)), 5)


def test_programs_of_a_worker_that_is_killed_as_stuck_end(start):
    """The pool kills it as here, and the judge lives on."""
    judge = start(f"map_in_workers(run_python, [{AGAIN!r}], 1)")
    ours = until(lambda: programs(judge))
    time.sleep(0.3)
    workers = [pid for pid in below(judge.pid) if ours <= set(below(pid))]
    os.kill(workers[0], signal.SIGKILL)
    until(lambda: not any(map(lives, ours)), 5)
    assert judge.poll() is None


def test_another_judges_programs_stay(start):
    judge = start(f"run_python({SLEEP!r}, '', LONG)")
    (theirs,) = until(lambda: programs(judge))
    dead = start("print(run_python('print(1)').stdout)", stdout=subprocess.PIPE)
    assert dead.communicate()[0] == b"1\n\n"
    assert dead.returncode == 0
    assert lives(theirs)
    assert judge.poll() is None


def test_a_keeper_that_was_killed_is_replaced_and_keeps_the_mark():
    mark, first = keeper.mark(), keeper._keeper
    assert mark == keeper.mark()
    assert keeper._keeper is first
    first._process.kill()
    until(lambda: not first.is_there())
    read = f"import resource; print(resource.getrlimit({keeper.RLIMIT_LOCKS}))"
    assert run_python(read).stdout == f"({mark}, {mark})\n"
    assert keeper._keeper is not first
    assert keeper._keeper.is_there()


def test_a_judge_that_ends_leaves_no_keeper(start):
    judge = start("run_python('1')\nfrom strop.sandbox import keeper\nprint(keeper._keeper._process.pid)", stdout=-1)
    pid = int(judge.communicate()[0])
    assert not Path(f"/proc/{pid}").exists()  # no zombie either


def test_a_fork_of_the_judge_has_a_mark_of_its_own():
    mark = keeper.mark()
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.write(write, str(keeper.mark()).encode())
        os._exit(0)
    os.waitpid(pid, 0)
    theirs = int(os.read(read, 99))
    os.close(read)
    os.close(write)
    assert theirs != mark == keeper.mark()


def test_a_program_cannot_shed_its_mark():
    code = f"""
import ctypes, resource
for new in ((-1, -1), (0, 0), (5, 5)):
    try: resource.setrlimit({keeper.RLIMIT_LOCKS}, new)
    except (PermissionError, ValueError): pass
for number in (160, 164):
    ctypes.CDLL(None).syscall(number, {keeper.RLIMIT_LOCKS}, bytes(16))
print(resource.getrlimit({keeper.RLIMIT_LOCKS})[0])
"""
    assert run_python(code).stdout == f"{keeper.mark()}\n"
    assert run_python(code, "", Limits(processes=2)).stdout == f"{keeper.mark()}\n"
