"""What confines programs: the choice, bubblewrap, and running without either when that is asked for."""

import itertools
import os
import shutil
import sys
import time
from pathlib import Path

import pytest

from strop.common.errors import InputError
from strop.rewards import judge_answers, judge_asserts
from strop.sandbox import Limits, by_bubblewrap, by_sandlock, choice, confinement, run_python, syscalls, unsafe_local
from strop.sandbox.rules import PYTHON, visible
from strop.tasks.records import TestCase

BWRAP_WORKS = by_bubblewrap.why_not() is None
needs_bwrap = pytest.mark.skipif(not BWRAP_WORKS, reason=f"bubblewrap does not work here: {by_bubblewrap.why_not()}")


@pytest.fixture
def anew():
    """The choice is made again, now and afterwards."""
    caches = (choice._best, by_sandlock.why_not)
    for cache in caches:
        cache.cache_clear()
    yield
    for cache in caches:
        cache.cache_clear()


@pytest.fixture
def bubblewrap(monkeypatch):
    monkeypatch.setattr(choice, "_best", lambda: "bubblewrap")


def test_sandlock_is_the_choice():
    assert confinement() == "sandlock"


@needs_bwrap
@pytest.mark.parametrize("abi", [-1, 5])
def test_bubblewrap_is_the_choice_where_landlock_is_missing_or_too_old(anew, monkeypatch, abi):
    monkeypatch.setattr("sandlock.landlock_abi_version", lambda: abi)
    assert confinement() == "bubblewrap"
    assert run_python("import os; print(os.getcwd())").stdout == "/program\n"


@pytest.mark.parametrize(
    ("change", "messages"),
    [
        (lambda patch: patch.setattr(sys, "platform", "darwin"), ["run strop in a Linux container"]),
        (lambda patch: patch.setitem(sys.modules, "sandlock", None), ["pip install 'sandlock>=0.9'"]),
        (lambda patch: patch.setattr("sandlock.landlock_abi_version", lambda: -1), ["Landlock switched off"]),
        (
            lambda patch: patch.setattr("sandlock.landlock_abi_version", lambda: 3),
            ["Landlock ABI 3, and 6 is needed", "apt install bubblewrap", "--unsafe-local", "unsafe_local: true"],
        ),
    ],
)
def test_a_machine_that_cannot_confine_programs_runs_none(anew, monkeypatch, change, messages):
    monkeypatch.setattr(shutil, "which", lambda name: None)
    change(monkeypatch)
    with pytest.raises(InputError) as refused:
        run_python("print(1)")
    assert "\n" not in str(refused.value)
    for message in messages:
        assert message in str(refused.value)


def test_bubblewrap_that_cannot_start_says_why(monkeypatch, tmp_path):
    monkeypatch.setattr(by_bubblewrap, "START_SECONDS", 2.0)
    for text, said in (
        ("exec sleep 60", "bwrap did not start within 2 s"),
        ("echo 'bwrap: No permissions to create new namespace' >&2; exit 1", "No permissions to create new namespace"),
        ("for i in $(seq 9); do echo; done >&2; exit 3", "bwrap ended"),
    ):
        program = tmp_path / "bwrap"
        program.write_text(f"#!/bin/sh\n{text}\n")
        program.chmod(0o755)
        monkeypatch.setattr(shutil, "which", lambda name, program=program: str(program))
        assert said in by_bubblewrap.why_not()
        assert "max_user_namespaces" in by_bubblewrap.why_not()


def test_the_command_line_of_bubblewrap_opens_the_interpreter_and_nothing_else():
    command = by_bubblewrap.bubblewrap_command(["python", "-c", ""], 7)
    pairs = list(itertools.pairwise(command))
    bound = [path for option, path in pairs if option in ("--ro-bind", "--dev-bind", "--bind")]
    assert bound == [*visible().readable, *visible().devices]
    assert ("--bind", bound[0]) not in pairs
    assert {"--unshare-all", "--die-with-parent", "--new-session", "--clearenv"} <= set(command)
    assert ("--cap-drop", "ALL") in pairs
    assert ("--remount-ro", "/") in pairs
    assert "--proc" not in command
    for folder in visible().hidden:
        assert ("--tmpfs", folder) in pairs
    assert command[command.index("--") + 1 :] == ["python", "-c", ""]


@needs_bwrap
@pytest.mark.usefixtures("bubblewrap")
class TestBubblewrap:
    def test_a_program_has_an_empty_environment_and_folder_and_the_standard_library(self):
        code = (
            "import bz2, ctypes, hashlib, lzma, os, sqlite3, ssl, zlib\nprint(input(), dict(os.environ), os.listdir())"
        )
        assert run_python(code, "1 2\n").stdout == "1 2 {} []\n"

    @pytest.mark.parametrize(
        "code",
        [
            "open('/etc/passwd')",
            f"open({__file__!r})",
            "import os; os.listdir('/proc')",
            "open('x', 'w')",
            "open('/tmp/x', 'w')",
            "open('/dev/shm/x', 'w')",
            f"open({PYTHON!r}, 'r+')",
            "import pydantic",
            "import os; os.fork()",
            "import os; os.mkdir('y')",
            "import socket; socket.create_connection(('127.0.0.1', 9), 1)",
            "import os; os.unshare(0x10000000) if hasattr(os, 'unshare') else 1 / 0",
            "import os; os.kill(1, 9); os.kill(os.getppid(), 9); print(os.listdir('/'))",
        ],
    )
    def test_what_is_refused(self, code):
        execution = run_python(code + "\nprint('escaped')")
        assert execution.status == "nonzero_exit" or "/etc" not in execution.stdout, execution

    def test_limits(self):
        code = "while True: pass"
        assert run_python(code, "", Limits(cpu_seconds=1)).detail == "used more than 1 s of CPU time"
        assert run_python("import time; time.sleep(9)", "", Limits(wall_seconds=0.4)).status == "timeout"
        assert run_python("x = bytearray(10**9)").status == "memory_limit"
        assert run_python("print('x' * 2000000)").status == "output_limit"
        threads = "import threading, time\nthreading.stack_size(65536)\n"
        threads += "for _ in range(40): threading.Thread(target=time.sleep, args=(9,)).start()"
        assert run_python(threads, "", Limits(threads=20)).status == "thread_limit"
        forks = "import os, time\nfor _ in range(5):\n if os.fork() == 0: break\ntime.sleep(9)"
        assert run_python(forks, "", Limits(processes=3)).status == "process_limit"

    def test_how_it_ended(self):
        assert run_python("raise SystemExit(3)").exit_code == 3
        execution = run_python("import os; os.kill(os.getpid(), 11)")
        assert (execution.status, execution.signal, execution.detail) == ("signal", 11, "ended by signal SIGSEGV")

    def test_nothing_is_left(self):
        code = "import os, time\nif os.fork() == 0:\n os.setsid()\n if os.fork() == 0: time.sleep(60)\n os._exit(0)\n"
        before = _sandboxed()
        started = time.monotonic()
        assert run_python(code + "time.sleep(.1)", "", Limits(processes=4)).status == "ok"
        assert run_python(code + "time.sleep(60)", "", Limits(processes=4, wall_seconds=0.5)).status == "timeout"
        assert time.monotonic() - started < 20
        assert _sandboxed() == before

    @pytest.mark.parametrize("landlock", [True, False])
    def test_tests_are_kept_from_the_program_without_landlock_too(self, monkeypatch, landlock):
        if not landlock:
            calls = [name for name in syscalls.ALLOWED.split() if not name.startswith("landlock")]
            monkeypatch.setattr(syscalls, "ALLOWED", " ".join(calls))
            syscalls.seccomp_filter.cache_clear()
        judged = judge_asserts("def f(x): return 2 * x", ["f"], "assert f(2) == 4")
        syscalls.seccomp_filter.cache_clear()
        assert judged.verdict == "accepted", judged


def _sandboxed() -> set[str]:
    found = set()
    for place in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if b"def _load():" in place.read_bytes():
                found.add(place.parent.name)
        except OSError:
            continue
    return found


def test_unsafe_local_runs_programs_unconfined_here_and_in_workers(tmp_path):
    code = "import os\nprint(os.path.exists('/etc/passwd') and open('/etc/passwd').read()[:0] + input())"
    case = [TestCase("7\n", "7\n")]
    assert run_python(code, "7\n").status == "nonzero_exit"
    with unsafe_local():
        assert confinement() == "none"
        assert run_python(code, "7\n").stdout == "7\n"
        assert run_python("while True: pass", "", Limits(cpu_seconds=1)).status == "timeout"
        assert run_python("import os; print(dict(os.environ))").stdout == "{}\n"
        assert judge_asserts("def f(x): return 2 * x", ["f"], "assert f(2) == 4").accepted
        assert judge_answers([(f"```python\n{code}\n```", case)], workers=1)[0].accepted
    assert confinement() == "sandlock"
    assert not judge_answers([(f"```python\n{code}\n```", case)], workers=1)[0].accepted


def test_what_an_unconfined_program_starts_ends_with_it():
    with unsafe_local():
        code = "import os, time\nif os.fork() == 0: time.sleep(60)\nprint(os.getpgid(0))"
        pid = int(run_python(code, "", Limits(processes=4)).stdout)
    deadline = time.monotonic() + 2
    while _group_lives(pid):
        assert time.monotonic() < deadline
        time.sleep(0.01)


def _group_lives(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return any(
        stat.rpartition(")")[2].split()[2] == str(group) and stat.rpartition(")")[2].split()[0] not in "ZX"
        for stat in _stats()
    )


def _stats():
    for place in Path("/proc").glob("[0-9]*/stat"):
        try:
            yield place.read_text()
        except OSError:
            continue
