"""How an execution is reported: its status, its output, and the limits that ended it."""

import resource
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from pydantic import ValidationError

from strop.common.errors import InputError
from strop.sandbox import Limits, run, run_python


def test_plain_program():
    execution = run_python("import sys\nprint(sys.stdin.read()[::-1])", "añb", Limits())
    assert (execution.status, execution.stdout, execution.stderr) == ("ok", "bña\n", "")
    assert (execution.exit_code, execution.signal, execution.detail) == (0, None, "")
    assert 0 < execution.cpu_seconds <= execution.wall_seconds + 0.05


def test_program_is_the_main_module_with_a_clean_namespace():
    code = "print(sorted(k for k in globals() if not k.startswith('__')), __name__, __file__, __import__('sys').argv)"
    assert run_python(code).stdout == "[] __main__ main.py ['main.py']\n"


def test_input_and_source_reach_the_program_exactly():
    stdin = bytes(range(256)) * 4000
    code = "import sys, hashlib; print(hashlib.sha256(sys.stdin.buffer.read()).hexdigest())" + " " * 100_000
    import hashlib

    assert run_python(code, stdin).stdout.strip() == hashlib.sha256(stdin).hexdigest()


def test_input_that_is_never_read_does_not_block():
    assert run_python("print(1)", "x" * 2_000_000).stdout == "1\n"


def test_hash_order_is_the_same_on_every_run():
    outputs = {run_python("print({str(i) for i in range(50)})").stdout for _ in range(3)}
    assert len(outputs) == 1


@pytest.mark.parametrize(
    ("code", "exit_code", "detail"),
    [
        ("import sys; sys.exit(3)", 3, "exited with status 3"),
        ("exit(3)", 3, "exited with status 3"),
        ("quit(3)", 3, "exited with status 3"),
        ("print(42); 1 / 0", 1, "ZeroDivisionError: division by zero"),
        ("def f(n): return f(n + 1)\nf(0)", 1, "RecursionError: maximum recursion depth exceeded"),
        ("x = (", 1, "SyntaxError: '(' was never closed"),
    ],
)
def test_nonzero_exit(code, exit_code, detail):
    execution = run_python(code)
    assert (execution.status, execution.exit_code, execution.detail) == ("nonzero_exit", exit_code, detail)


@pytest.mark.parametrize(("name", "number"), [("SIGKILL", 9), ("SIGSEGV", 11), ("SIGXCPU", 24)])
def test_a_signal_of_its_own_making_is_not_a_limit(name, number):
    execution = run_python(f"import os, signal; os.kill(os.getpid(), signal.{name})")
    assert (execution.status, execution.signal, execution.exit_code) == ("signal", number, None)
    assert execution.detail == f"ended by signal {name}"


def test_infinite_loop():
    execution = run_python("while True: pass", "", Limits(cpu_seconds=1))
    assert (execution.status, execution.detail) == ("timeout", "used more than 1 s of CPU time")
    assert execution.wall_seconds < 5


def test_ignored_cpu_signal():
    code = "import signal; signal.signal(signal.SIGXCPU, signal.SIG_IGN)\nwhile True: pass"
    execution = run_python(code, "", Limits(cpu_seconds=1))
    assert (execution.status, execution.signal) == ("timeout", 9)


@pytest.mark.parametrize("processes", [1, 2])
def test_what_the_sandbox_does_for_a_program_counts(processes):
    """Calls that are answered in this process: otherwise it would work for as long as the wall clock allows."""
    asks = "import os\nwhile True: os.access('/etc/passwd', 4)"
    used = time.process_time()
    execution = run_python(asks, limits=Limits(cpu_seconds=2, wall_seconds=60, processes=processes))
    used = time.process_time() - used
    assert execution.status == "timeout"
    assert execution.detail == "needed more than 1 s of CPU time for the sandbox's answers to its system calls"
    assert 1 < used < 3
    assert run_python("print(1)", limits=Limits(cpu_seconds=2, processes=processes)).status == "ok"  # counted anew


def test_sleep():
    started = time.monotonic()
    execution = run_python("import time; print('now', flush=True); time.sleep(60)", "", Limits(wall_seconds=0.5))
    assert (execution.status, execution.stdout, execution.detail) == ("timeout", "now\n", "ran longer than 0.5 s")
    assert time.monotonic() - started < 3


def test_stopped_program():
    code = "import os, signal; os.kill(os.getpid(), signal.SIGSTOP)"
    assert run_python(code, "", Limits(wall_seconds=0.5)).status == "timeout"


@pytest.mark.parametrize("code", ["x = bytearray(10**9)", "x = []\nwhile True: x.append(bytearray(10**6))"])
def test_memory_bomb(code):
    execution = run_python(code, "", Limits(memory_mb=128))
    assert (execution.status, execution.detail) == ("memory_limit", "needed more than 128 MiB of memory")


@pytest.mark.parametrize("stream", ["stdout", "stderr"])
def test_endless_output_is_cut_and_leaves_the_parent_small(stream):
    before = _resident_bytes()
    peak = [before]
    done = threading.Event()

    def watch():
        while not done.wait(0.005):
            peak[0] = max(peak[0], _resident_bytes())

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    limits = Limits(output_bytes=2_000_000)
    execution = run_python(f"import sys\nfor _ in range(300): sys.{stream}.write('x' * 10**6)", "", limits)
    done.set()
    watcher.join()
    assert (execution.status, execution.detail) == ("output_limit", "printed more than 2000000 bytes")
    assert len(execution.stdout) == (2_000_000 if stream == "stdout" else 0)
    assert len(execution.stderr) <= 4096
    assert peak[0] - before < 20_000_000


def _resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


def test_output_at_the_limit_is_kept():
    assert run_python("print('x' * 999)", "", Limits(output_bytes=1000)).status == "ok"
    assert run_python("print('x' * 1000)", "", Limits(output_bytes=1000)).status == "output_limit"


def test_huge_file():
    execution = run_python("open('/tmp/strop-huge', 'wb').write(bytes(10**9))", "", Limits(memory_mb=2048))
    assert (execution.status, Path("/tmp/strop-huge").exists()) == ("nonzero_exit", False)


def test_closed_streams_and_invalid_utf8():
    assert run_python("import os\nos.close(1)\nos.close(2)").stdout == ""
    assert run_python("import os; os.write(1, b'a\\xff\\n')").stdout == "a\\xff\n"


def test_threads_are_not_processes():
    code = "import threading\nts = [threading.Thread(target=print, args=(1,)) for _ in range(8)]\n"
    assert run_python(code + "for t in ts: t.start()").stdout == "1\n" * 8


def test_standard_library_is_there():
    modules = (
        "asyncio, bisect, collections, ctypes, decimal, fractions, functools, hashlib, heapq, itertools, json, math, "
    )
    modules += "numbers, operator, queue, random, re, sqlite3, statistics, string, threading, typing, unittest, zlib"
    assert (
        run_python(f"import {modules}\nprint(hashlib.md5(b'').hexdigest()[:4], random.randint(3, 3))").stdout
        == "d41d 3\n"
    )


def test_many_threads_at_once_keep_their_own_data():
    def double(number):
        return run_python("print(2 * int(input()))", str(number))

    before = set(Path("/proc/self/fd").iterdir())
    with ThreadPoolExecutor(8) as pool:
        executions = list(pool.map(double, range(40)))
    assert [execution.stdout for execution in executions] == [f"{2 * number}\n" for number in range(40)]
    assert len(set(Path("/proc/self/fd").iterdir()) - before) <= 1  # the folder's own descriptor


def test_source_too_long_is_refused():
    with pytest.raises(InputError, match="256001 bytes; at most 256000"):
        run_python("#" * (run.MAX_SOURCE_BYTES + 1))


def test_limits_are_checked():
    with pytest.raises(ValidationError):
        Limits(memory_mb=1)
    with pytest.raises(ValidationError):
        Limits(cpu=1)
