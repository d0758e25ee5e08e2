"""What the sandbox's program is given and left: input, capabilities, threads, calls, a start that fails at first."""

import os
import platform
import signal
import struct
import subprocess
import sys

import pytest

from strop.common.errors import InputError
from strop.sandbox import Limits, run, run_python, syscalls, users
from strop.sandbox.processes import look_at_tree

QUICK = Limits(cpu_seconds=2, wall_seconds=8.0)


def out(code: str, stdin: str = "", limits: Limits = QUICK) -> str:
    execution = run_python(code, stdin, limits)
    assert execution.status == "ok", execution
    return execution.stdout


def test_input_is_a_file_of_its_size():
    code = (
        "import os, sys; print(os.fstat(0).st_size, os.read(0, os.fstat(0).st_size)); sys.stdin.seek(0); print(input())"
    )
    assert out(code, "1 2\n") == "4 b'1 2\\n'\n1 2\n"


@pytest.mark.parametrize(
    "change",
    ["write(0, b'x')", "pwrite(0, b'x', 0)", "pwrite(0, b'x', 9)", "ftruncate(0, 99)", "posix_fallocate(0, 0, 99)"],
)
def test_input_cannot_be_changed(change):
    """By any descriptor: one that is opened anew for writing changes as little."""
    for before in ("", "os.dup2(os.open('/proc/self/fd/0', os.O_RDWR), 0)"):
        code = f"import os\n{before}\ntry:\n    os.{change}\nexcept OSError: print(open(0).read())"
        assert out(code, "1 2\n") == "1 2\n\n"


def test_input_lies_nowhere_in_the_memory_of_the_program():
    """It is a harness's input that holds what a program must not see; what the launcher held, a program could find."""
    code = """
import ctypes, os
libc = ctypes.CDLL(None)
libc.sbrk.restype = ctypes.c_void_p
r, w = os.pipe()
key, top = b"need" + b"le-in-the-input-", libc.sbrk(0)
near = ctypes.addressof(ctypes.create_string_buffer(1 << 20)), id(object())
found = 0
for low, high in [(top - (16 << 20), top)] + [(a - (8 << 20), a + (8 << 20)) for a in near]:
    for page in range(low & ~4095, high, 4096):
        if libc.write(w, ctypes.c_void_p(page), ctypes.c_size_t(4096)) == 4096:
            found += key + bytes([49, 50, 51]) in os.read(r, 4096)
print(found)
"""
    assert out(code, "needle-in-the-input-123" * 300) == "0\n"


def test_bytes_of_the_output_are_kept():
    execution = run_python("import os; os.write(1, b'a\\xff\\n')")
    assert (execution.stdout, execution.stdout_bytes) == ("a\\xff\n", b"a\xff\n")


@pytest.mark.skipif(platform.machine() != "x86_64", reason="numbers of system calls are those of x86-64")
def test_no_capabilities_also_after_exec():
    code = """
import ctypes
data = (ctypes.c_uint32 * 6)()
print(ctypes.CDLL(None).syscall(125, (ctypes.c_uint32 * 2)(0x20080522, 0), data), list(data))
"""
    again = f"import os, sys\nos.execv(sys.executable, [sys.executable, '-S', '-c', {code!r}])"
    assert out(code) == out(again) == "0 [0, 0, 0, 0, 0, 0]\n"


@pytest.mark.skipif(platform.machine() != "x86_64", reason="numbers of system calls are those of x86-64")
def test_calls_of_kernels_to_come_are_refused():
    code = "import ctypes\nlibc = ctypes.CDLL(None, use_errno=True)\n"
    code += "print({(libc.syscall(n, -1), ctypes.get_errno()) for n in range(472, 700)})"
    assert out(code) == "{(-1, 1)}\n"


def test_the_limit_of_the_stack_may_be_set_and_no_other():
    code = (
        "import resource as r; r.setrlimit(r.RLIMIT_STACK, (r.RLIM_INFINITY,) * 2); print(r.getrlimit(r.RLIMIT_STACK))"
    )
    assert out(code) == "(-1, -1)\n"
    for name in ("AS", "CPU", "NOFILE", "FSIZE", "NPROC"):
        assert run_python(f"import resource as r; r.setrlimit(r.RLIMIT_{name}, (1, 1))").exit_code == 1


def test_null_device_may_be_written():
    assert out("import os\nwith open(os.devnull, 'w') as f: print(f.write('x'))") == "1\n"


def test_threads_at_work_do_not_spoil_the_end():
    code = "import threading\ndef work():\n while True: pass\n"
    code += "for _ in range(4): threading.Thread(target=work, daemon=True).start()\nprint('done')"
    assert out(code) == "done\n"


def test_an_event_loop_runs():
    assert out("import asyncio\nasync def main(): await asyncio.sleep(0); print(1)\nasyncio.run(main())") == "1\n"


def test_processes_and_threads_of_a_tree_are_counted():
    code = "import os, threading, time\npid = os.fork()\nif pid == 0: time.sleep(60)\n"
    code += "for _ in range(5): threading.Thread(target=time.sleep, args=(60,)).start()\nprint(flush=True)"
    with subprocess.Popen(
        [sys.executable, "-S", "-c", code], stdout=subprocess.PIPE, start_new_session=True
    ) as process:
        process.stdout.readline()
        seen = look_at_tree(process.pid, 100)
        few = look_at_tree(process.pid, 3)
        os.killpg(process.pid, signal.SIGKILL)
    assert seen[:2] == (2, 7)
    assert few.threads > 3
    assert look_at_tree(1 << 30, 9) == (0, 0, 0.0)


THREADS = """import threading, time
threading.stack_size(65536)
for _ in range({}): threading.Thread(target=time.sleep, args=({},)).start()
"""


@pytest.mark.skipif(users.own_user() == 0, reason="the kernel counts the threads of programs where strop is root")
@pytest.mark.parametrize("processes", [1, 2])
def test_the_kernel_refuses_a_thread_too_many(processes):
    limits = QUICK.model_copy(update={"threads": 20, "processes": processes})
    assert run_python(THREADS.format(18, 0.2), "", limits).status == "ok"
    execution = run_python(THREADS.format(50, 0.2), "", limits)
    assert (execution.status, execution.detail) == ("nonzero_exit", "RuntimeError: can't start new thread")
    one = THREADS + "import os\nprint(os.getresuid()[1:])"
    assert run_python(one.format(0, 0), "", limits).stdout == "(0, 0)\n"  # who owns the interpreter's files


def test_a_thread_too_many_ends_the_program(monkeypatch):
    monkeypatch.setattr(run, "own_user", lambda: 0)
    limits = QUICK.model_copy(update={"threads": 20, "processes": 2})
    assert run_python(THREADS.format(10, 0.2), "", limits).status == "ok"
    for before in (
        "",
        "import os\nif os.fork(): os.wait(); os._exit(0)\n",
        "import threading, os\nif os.fork(): os.wait()\n",
    ):
        execution = run_python(before + THREADS.format(50, 30), "", limits)
        assert (execution.status, execution.detail) == ("thread_limit", "started more than 20 threads")


@pytest.mark.parametrize("number", [16, 40])
def test_open_files_are_limited(number):
    code = "import os\nn = 0\ntry:\n while True: os.dup(0); n += 1\nexcept OSError: print(n + 3)"
    assert out(code, limits=QUICK.model_copy(update={"open_files": number})) == f"{number}\n"


def test_a_start_that_fails_is_tried_again(monkeypatch):
    real, fails = run.start, iter([True, True, False])

    def start(*arguments):
        if next(fails):
            raise RuntimeError("no")
        return real(*arguments)

    monkeypatch.setattr(run, "start", start)
    monkeypatch.setattr(run, "_SPAWN_PAUSES", (0.0, 0.0))
    assert out("print(1)") == "1\n"


def test_a_start_that_always_fails_is_said(monkeypatch):
    def start(*arguments):
        raise RuntimeError("no")

    monkeypatch.setattr(run, "start", start)
    monkeypatch.setattr(run, "_SPAWN_PAUSES", (0.0,))
    monkeypatch.setattr(run, "_MORE_PAUSES", (0.0,))
    with pytest.raises(InputError, match="did not start a process"):
        run_python("print(1)")


def simulate(number: int, arguments: tuple[int, ...] = (), architecture: int | None = None) -> int:
    """What the filter says of a call, by the rules of classic BPF."""
    code = list(struct.iter_unpack("HBBI", syscalls.seccomp_filter()))
    architecture = syscalls._AUDIT_ARCH[platform.machine()] if architecture is None else architecture
    data = struct.pack("<IIQ6Q", number, architecture, 0, *arguments, *(0,) * (6 - len(arguments)))
    at, value = 0, 0
    while True:
        operation, if_true, if_false, constant = code[at]
        at += 1
        if operation == syscalls._LOAD:
            (value,) = struct.unpack_from("<I", data, constant)
        elif operation == syscalls._AND:
            value &= constant
        elif operation == syscalls._JUMP:
            at += constant
        elif operation == syscalls._RETURN:
            return constant
        else:
            holds = value == constant if operation == syscalls._JUMP_EQUAL else value >= constant
            at += if_true if holds else if_false


ALLOWED, REFUSED, KILLED = 0x7FFF0000, 0x00050001, 0x80000000


def test_every_listed_call_is_allowed_and_every_other_is_not():
    for name in syscalls.ALLOWED.split():
        if (number := syscalls.syscall_number(name)) is not None:
            assert simulate(number) == ALLOWED, name
    known = {syscalls.syscall_number(name) for name in syscalls.ALLOWED.split()}
    known |= {syscalls.syscall_number(name) for name, _ in syscalls.CHECKED} | {syscalls.syscall_number("clone3")}
    assert {simulate(number) for number in range(1000) if number not in known} == {REFUSED}
    assert simulate(0, architecture=0x40000003) == KILLED  # 32-bit
    assert simulate(0x40000000 | 39) == KILLED  # x32


@pytest.mark.parametrize(
    ("name", "arguments", "verdict"),
    [
        ("mmap", (0, 1, 3, 0x22), ALLOWED),
        ("mmap", (0, 1, 3, 0x21), REFUSED),
        ("mmap", (0, 1, 3, 0x23), REFUSED),
        ("mmap", (0, 1, 3, 0x100000021), REFUSED),
        ("sendto", (0, 0, 0, 0, 0), ALLOWED),
        ("sendto", (0, 0, 0, 0, 1), REFUSED),
        ("sendto", (0, 0, 0, 0, 1 << 32), REFUSED),
        ("clone", (17,), ALLOWED),
        ("clone", (0x3D0F00,), ALLOWED),
        ("clone", (0x8000 | 17,), REFUSED),
        ("clone", (0x10000000 | 17,), REFUSED),
        ("socket", (2, 1, 0), ALLOWED),
        ("socket", (2, 0x80001, 6), ALLOWED),
        ("socket", (2, 1, 262), REFUSED),
        ("socket", (2, 2, 0), REFUSED),
        ("socket", (16, 3, 0), REFUSED),
        ("ioctl", (1, 0x5401), ALLOWED),
        ("ioctl", (1, 0x5412), REFUSED),
        ("prlimit64", (0, 9, 0), ALLOWED),
        ("prlimit64", (0, 9, 1), REFUSED),
        ("prlimit64", (0, 3, 1), ALLOWED),
        ("prlimit64", (7, 3, 1), REFUSED),
        ("prlimit64", (7, 3, 0), REFUSED),
        ("setsockopt", (0, 1, 2), ALLOWED),
        ("setsockopt", (0, 1, 26), REFUSED),
        ("setsockopt", (0, 6, 30), REFUSED),
        ("clone3", (0,), 0x00050000 | 38),
    ],
)
def test_arguments_decide(name, arguments, verdict):
    assert simulate(syscalls.syscall_number(name), arguments) == verdict


def test_signals_that_wait_are_limited():
    code = "import ctypes, os, signal; signal.pthread_sigmask(signal.SIG_BLOCK, [40]); libc = ctypes.CDLL(None)\n"
    assert int(out(code + "print(sum(libc.sigqueue(os.getpid(), 40, 0) == 0 for _ in range(3000)))")) <= 1024


def test_threads_that_allocate_do_not_use_up_the_address_space():
    code = "import threading\nends = threading.Barrier(31)\ndef work(): bytearray(300_000); ends.wait()\n"
    assert (
        out(code + "for _ in range(30): threading.Thread(target=work).start()\nends.wait(); print('done')") == "done\n"
    )
