"""Programs that a server forks: none reaches the server, another's data or the next one's run."""

import contextlib
import os
import signal
import tempfile
import threading
import time
from pathlib import Path

import pytest

from strop.sandbox import Limits, forked, run, run_python

WHO = "import os; print(os.getppid())"


def server() -> int:
    """The process number of this thread's server."""
    return int(run_python(WHO).stdout)


def in_a_thread(function):
    found = []
    thread = threading.Thread(target=lambda: found.append(function()))
    thread.start()
    thread.join()
    return found[0]


def is_gone(pid: int, seconds: float = 2.0) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] in "ZX":
                return True
        except OSError:
            return True
        time.sleep(0.005)
    return False


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """Each test begins without a server; where its servers make their folders."""
    forked._idle.server = None  # closed, as nothing holds it
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    yield tmp_path
    forked._idle.server = None


def test_one_server_forks_a_threads_programs_one_after_the_other():
    assert server() == server()
    first, second = in_a_thread(lambda: (server(), server()))
    assert first == second != server()
    assert is_gone(first)


def test_a_server_is_replaced_before_descriptors_pile_up(monkeypatch):
    monkeypatch.setattr(forked, "_MOST_RUNS", 3)
    first = server()
    numbers = [first, *(server() for _ in range(11))]
    assert [numbers.count(number) for number in dict.fromkeys(numbers)] == [3, 3, 3, 3]
    assert all(map(is_gone, set(numbers[:9])))
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(6):
        server()
    assert len(os.listdir("/proc/self/fd")) - before <= 3


def test_programs_with_children_have_a_sandbox_of_their_own():
    """It kills what they leave behind; the server's child can have none."""
    own = run_python(WHO, "", Limits(processes=2))
    assert int(own.stdout) == os.getpid()


@pytest.mark.parametrize(
    "attack",
    [
        "for one in (os.getppid(), -os.getppid(), -1, 0, os.getpgid(os.getppid())):\n"
        " for number in (9, 19, 1, 15, 10, 34):\n"
        "  with contextlib.suppress(OSError): os.kill(one, number) if one else 0",
        "for fd in range(3):\n"
        " with contextlib.suppress(OSError): fcntl.fcntl(fd, fcntl.F_SETFL, os.O_NONBLOCK | os.O_ASYNC | 0o40000)",
        "os.chdir('/'); os.umask(0o777); os.closerange(0, 99)",
        "os.write(1, b'3\\n' * 999_999)",
        "os.kill(os.getpid(), signal.SIGSTOP)",
        "os.kill(os.getpid(), signal.SIGKILL)",
        "signal.pthread_sigmask(signal.SIG_BLOCK, range(1, 65)); signal.alarm(1); time.sleep(0.1); os.abort()",
        "with contextlib.suppress(OSError): os.setpgid(0, os.getpgid(os.getppid()))\n"
        "with contextlib.suppress(OSError): os.setsid()\nos.execv(sys.executable, [sys.executable, '-S', '-c', 'bad'])",
        "sys.setrecursionlimit(10**9)\ndef f(): f()\nf()",
        "threading.Thread(target=time.sleep, args=(60,), daemon=True).start(); ctypes.CDLL(None).pthread_exit(0)",
        "import resource; resource.setrlimit(resource.RLIMIT_STACK, (4096, 4096)); x = [0] * 10**9",
    ],
)
def test_a_program_leaves_the_next_run_as_it_was(attack):
    before = server()
    state = "import os, fcntl, signal, sys, resource\nprint(os.getppid(), os.umask(7), sys.getrecursionlimit(),"
    state += "[fcntl.fcntl(i, 3) for i in range(3)], signal.pthread_sigmask(0, []), signal.alarm(0), os.listdir(),"
    state += "[resource.getrlimit(i) for i in range(16)],"
    state += "os.getpgid(0) == os.getpid(), [signal.getsignal(i) for i in range(1, 65)])"
    clean = run_python(state).stdout
    modules = "import contextlib, ctypes, fcntl, os, signal, sys, threading, time\n"
    run_python(modules + attack, "1 2\n", Limits(wall_seconds=0.7, cpu_seconds=1))
    assert run_python(state).stdout == clean != ""
    assert run_python("print(sum(map(int, input().split())))", "1 2\n").stdout == "3\n"
    assert server() == before


def test_signals_to_the_server_and_its_group_are_refused():
    server()
    code = "import os\nfor one in (os.getppid(), -os.getpgid(os.getppid()), os.getppid()):\n"
    code += " try: os.kill(one, 0); print('reached')\n except PermissionError: print('refused')"
    assert run_python(code).stdout == "refused\n" * 3


def test_nothing_of_the_server_can_be_opened():
    """Its descriptors are the conversation with the judge."""
    code = """
import ctypes, os
server, libc = os.getppid(), ctypes.CDLL(None)
bases = f"/proc/{server}", f"/proc/self/../{server}", f"/proc/{server}/task/{server}", f"/proc/self/root/proc/{server}"
for base in bases:
    for name in ("mem", "maps", "cmdline", "fd", "cwd", "root", "exe", "ns/net", *(f"fd/{i}" for i in range(12))):
        path = f"{base}/{name}"
        for flags in (os.O_RDONLY, os.O_WRONLY, os.O_RDWR, os.O_PATH, os.O_RDONLY | os.O_NONBLOCK):
            try: print(path, os.open(path, flags))
            except OSError: pass
            how = (ctypes.c_uint64 * 3)(flags, 0, 0)
            if (fd := libc.syscall(437, -100, path.encode(), how, 24)) >= 0: print(path, fd)
print("done")
"""
    assert run_python(code).stdout == "done\n"


def test_nothing_of_a_program_or_its_input_lies_in_the_memory_of_the_next():
    """The server never reads them."""
    code = """
import ctypes, os
libc = ctypes.CDLL(None)
libc.sbrk.restype = ctypes.c_void_p
r, w = os.pipe()
key, found = b"need" + b"le-of-", {}
top = libc.sbrk(0)
near = ctypes.addressof(ctypes.create_string_buffer(1 << 20)), id(object()), id(os), id(found)
for low, high in [(top - (16 << 20), top)] + [(a - (8 << 20), a + (8 << 20)) for a in near]:
    for page in range(low & ~4095, high, 4096):
        if libc.write(w, ctypes.c_void_p(page), ctypes.c_size_t(4096)) == 4096:
            data = os.read(r, 4096)
            for whose in (b"source", b"input", b"mine"):
                found[whose] = found.get(whose, 0) + data.count(key + whose)
print(found[b"source"], found[b"input"], found[b"mine"] > 0)
"""
    first = server()
    run_python("x = 'needle-of-source'; y = input(); z = [y] * 9", "needle-of-input" * 300)
    assert run_python(code + "# needle-of-mine").stdout == "0 0 True\n"
    assert server() == first


def test_a_server_that_is_killed_takes_its_program_along_and_is_replaced():
    first = server()
    killed = in_a_thread_while(lambda: run_python("import os, time; print(os.getppid(), flush=True); time.sleep(60)"))
    assert (killed.status, killed.signal) == ("signal", signal.SIGKILL)
    assert killed.wall_seconds < 10
    os.kill(first, signal.SIGKILL)  # between two runs
    assert is_gone(first)
    assert server() != first


def in_a_thread_while(function):
    """Kill the server of the thread that runs it, and return what it returns; its program must be gone."""
    found, before = [], set(_children(os.getpid()))
    thread = threading.Thread(target=lambda: found.append(function()))
    thread.start()
    deadline = time.monotonic() + 10
    while not (programs := [pid for one in set(_children(os.getpid())) - before for pid in _children(one)]):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    time.sleep(0.2)  # the launcher is through
    (one,) = set(_children(os.getpid())) - before
    os.kill(one, signal.SIGKILL)
    thread.join()
    assert all(map(is_gone, programs))
    return found[0]


def _children(pid: int) -> list[int]:
    found: list[int] = []
    for task in os.listdir(f"/proc/{pid}/task"):
        with contextlib.suppress(OSError):
            found += map(int, Path(f"/proc/{pid}/task/{task}/children").read_text().split())
    return found


def test_a_run_that_is_broken_off_leaves_nothing(monkeypatch, folder):
    first = server()
    pids = []

    def broken(self, deadline):
        pids.append(self._process.pid)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(run._Conversation, "run_until", broken)
        with pytest.raises(KeyboardInterrupt):
            run_python("import time; time.sleep(60)")
    assert is_gone(pids[0])
    assert is_gone(first)
    assert list(folder.iterdir()) == []
    assert server() != first


def test_folders_go_with_their_programs_and_servers(folder):
    server()
    (base,) = folder.iterdir()
    folders = len(list(base.iterdir()))
    assert folders == forked._MOST_RUNS - 1
    listing = run_python("import os; print(os.listdir(), os.getcwd()); os.listdir('..')")
    assert listing.stdout.startswith("[] ")
    assert listing.detail.startswith("PermissionError")
    assert len(list(base.iterdir())) == folders - 1
    in_a_thread(server)
    assert list(folder.iterdir()) == [base]
    forked._idle.server = None
    assert list(folder.iterdir()) == []


def test_a_fork_of_this_process_leaves_the_server_alone():
    first = server()
    pid = os.fork()
    if pid == 0:
        code = 1
        with contextlib.suppress(BaseException):
            code = 0 if server() != first else 2
            forked._idle.server = None
        os._exit(code)
    assert os.waitpid(pid, 0)[1] == 0
    assert server() == first


def test_the_end_of_the_judges_process_ends_server_and_program():
    """Killed, it puts nothing away itself."""
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.dup2(write, 2)
        with contextlib.suppress(BaseException):
            threading.Thread(target=run_python, args=("import time; time.sleep(60)",), daemon=True).start()
            while not (programs := [p for one in _children(os.getpid()) for p in _children(one)]):
                time.sleep(0.01)
            time.sleep(0.2)
            os.write(write, " ".join(map(str, (*_children(os.getpid()), *programs))).encode())
            time.sleep(60)
        os._exit(1)
    os.close(write)
    pids = [int(one) for one in os.read(read, 999).split()]
    os.close(read)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    assert len(pids) == 3  # its keeper too (see test_keeper.py)
    assert all(map(is_gone, pids))
