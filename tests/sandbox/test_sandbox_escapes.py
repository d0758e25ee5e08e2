"""Programs that try to get out of the sandbox, or to take more than their share: none succeeds, none does harm."""

import os
import platform
import resource
import secrets
import socket
import stat
import sysconfig
import tempfile
import threading
import time
from pathlib import Path

import pytest

from strop.sandbox import Limits, run_python

QUICK = Limits(cpu_seconds=1, wall_seconds=8.0, memory_mb=256)


def attempt(*lines: str, limits: Limits = QUICK, stdin: str = ""):
    """Run the lines; a program that gets through prints 'escaped'."""
    return run_python("\n".join([*lines, "print('escaped')"]), stdin, limits)


def assert_refused(execution, *errors: str):
    assert execution.status == "nonzero_exit", execution
    assert execution.stdout == ""
    assert any(error in execution.stderr for error in errors), execution.stderr


@pytest.fixture
def secret_file(tmp_path):
    path = tmp_path / "expected.txt"
    path.write_text("42\n")
    path.chmod(0o644)
    return path


def test_network_is_refused():
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.setblocking(False)
        port = server.getsockname()[1]
        refused = attempt("import socket", f"socket.create_connection(('127.0.0.1', {port}), 1)")
        assert_refused(refused, "PermissionError")
        with pytest.raises(BlockingIOError):
            server.accept()


@pytest.mark.parametrize(
    ("family", "kind", "protocol"),
    [
        *((socket.AF_INET, socket.SOCK_STREAM, protocol) for protocol in (132, 262)),
        *((socket.AF_INET, kind, 0) for kind in (socket.SOCK_DGRAM, socket.SOCK_RAW, 10)),
        (socket.AF_INET6, socket.SOCK_DGRAM, 0),
        *((family, socket.SOCK_RAW, 0) for family in (16, 17, 29, 31, 44)),
        *((38, 5, 0), (40, 1, 0)),
    ],
)
def test_other_sockets_are_not_made(family, kind, protocol):
    code = f"socket.socket({family}, {kind}, {protocol})"
    assert_refused(attempt("import socket", code), "PermissionError")


@pytest.mark.parametrize("family", [socket.AF_UNIX, socket.AF_INET, socket.AF_INET6])
@pytest.mark.parametrize(
    "use",
    [
        "connect(a)",
        "bind(a)",
        "listen()",
        "sendto(b'x', a)",
        "sendto(b'x', 0x20000000, a)",
        "sendmsg([b'x'], [], 0, a)",
        "setsockopt(6, 30, 1)",
        "setsockopt(1, 26, bytes(16))",
    ],
)
def test_a_socket_has_no_way_anywhere(family, use):
    address = {socket.AF_UNIX: "'\\0x'", socket.AF_INET: "('127.0.0.1', 9)", socket.AF_INET6: "('::1', 9)"}[family]
    lines = ("import socket", f"a = {address}", f"socket.socket({int(family)}).{use}")
    assert_refused(attempt(*lines), "PermissionError")


def test_a_pair_of_sockets_is_a_pipe():
    code = "import socket; a, b = socket.socketpair(); a.sendall(b'x'); print(b.recv(9))"
    assert run_python(code).stdout == "b'x'\n"


def test_unix_socket_of_another_process_is_refused():
    with tempfile.TemporaryDirectory() as folder, socket.socket(socket.AF_UNIX) as server:
        server.bind(f"{folder}/s")
        server.listen()
        code = f"socket.socket(socket.AF_UNIX).connect({folder + '/s'!r})"
        assert_refused(attempt("import socket", code), "PermissionError")


@pytest.mark.parametrize(
    "path",
    [
        "/etc/passwd",
        "/etc/shadow",
        __file__,
        "/proc/self/environ",
        "/proc/self/maps",
        "/proc/1/cmdline",
        "/proc/meminfo",
        "/",
    ],
)
def test_files_are_refused(path):
    code = f"os.listdir({path!r}) if os.path.isdir({path!r}) else open({path!r}).read()"
    assert_refused(attempt("import os", code), "PermissionError", "FileNotFoundError")


def test_packages_are_refused():
    for folder in {sysconfig.get_path("purelib"), f"{sysconfig.get_path('stdlib')}/site-packages"}:
        if os.path.isdir(folder):
            assert_refused(attempt("import os", f"os.listdir({folder!r})"), "PermissionError")
    assert_refused(attempt("import pydantic"), "ModuleNotFoundError")


def test_expected_output_is_refused_by_every_name(secret_file, tmp_path):
    link = tmp_path / "link"
    link.symlink_to(secret_file)
    detour = f"{sysconfig.get_path('stdlib')}/../../../../../../../../..{secret_file}"
    for path in (secret_file, link, detour, f"/proc/self/cwd{secret_file}", f"/proc/{os.getpid()}/root{secret_file}"):
        assert_refused(attempt(f"open({str(path)!r}).read()"), "PermissionError", "[Errno 40]")


def test_symlink_tricks_are_refused(secret_file):
    assert_refused(attempt("import os", f"os.symlink({str(secret_file)!r}, 'x')"), "PermissionError")
    assert_refused(attempt("import os", f"os.link({str(secret_file)!r}, '/tmp/strop-link')"), "PermissionError")
    assert not os.path.lexists("/tmp/strop-link")


def test_links_are_not_read(tmp_path):
    link = tmp_path / "link"
    link.symlink_to("/where/this/leads")
    for path in (str(link), "/proc/self", "/proc/self/exe", "/proc/self/fd/0"):
        assert_refused(attempt("import os", f"print(os.readlink({path!r}))"), "PermissionError")


def test_environment_is_empty(monkeypatch):
    monkeypatch.setenv("API_TOKEN", secrets.token_hex())
    by_libc = "ctypes.c_void_p.in_dll(ctypes.CDLL(None), 'environ').value"
    code = f"import ctypes, os; print(dict(os.environ), {by_libc} and ctypes.c_void_p.from_address({by_libc}).value)"
    assert run_python(code).stdout == "{} None\n"


def test_its_folder_is_its_own_and_empty():
    folders = {run_python("import os; print(os.getcwd(), os.listdir())").stdout for _ in range(2)}
    assert len(folders) == 2
    for folder, listed in (said.split() for said in folders):
        assert listed == "[]"
        assert not os.path.exists(folder)


def test_writing_is_refused_everywhere(tmp_path):
    tmp_path.chmod(0o777)
    for path in (tmp_path / "x", "/tmp/strop-x", "/dev/shm/strop-x", "/var/tmp/strop-x", "strop-x", "/dev/urandom"):
        assert_refused(attempt(f"open({str(path)!r}, 'w').write('x')"), "PermissionError", "FileNotFoundError")
    assert_refused(attempt("import os", f"os.mkdir({str(tmp_path / 'y')!r})"), "PermissionError")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "call",
    [
        "chmod(p, 0)",
        "chown(p, 1, 1)",
        "utime(p, (0, 0))",
        "setxattr(p, 'user.a', b'')",
        "unlink(p)",
        "rename(p, p + 'x')",
        "truncate(p, 0)",
    ],
)
def test_file_attributes_are_safe(secret_file, call):
    before = secret_file.stat()
    assert_refused(attempt("import os", f"p = {str(secret_file)!r}", f"os.{call}"), "PermissionError")
    after = secret_file.stat()
    assert (after.st_mode, after.st_uid, after.st_mtime_ns, after.st_size) == (
        before.st_mode, before.st_uid, before.st_mtime_ns, before.st_size)  # fmt: skip
    assert stat.S_IMODE(after.st_mode) == 0o644


def test_memory_files_are_refused():
    assert_refused(attempt("import os", "os.memfd_create('x')"), "PermissionError")


def test_limits_cannot_be_raised_here_or_in_the_parent():
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    for target in ("0", "os.getppid()"):
        code = f"resource.prlimit({target}, resource.RLIMIT_NOFILE, (10, 10))"
        assert_refused(attempt("import os, resource", code), "PermissionError")
    assert resource.getrlimit(resource.RLIMIT_NOFILE) == before


def test_parent_cannot_be_signalled():
    for target in ("os.getppid()", "1"):
        assert_refused(attempt("import os", f"os.kill({target}, 9)"), "PermissionError")


def test_other_programs_cannot_be_signalled():
    sleeper = threading.Thread(target=lambda: found.append(run_python("import time; time.sleep(0.5); print('alive')")))
    found = []
    sleeper.start()
    code = "for pid in range(os.getpid() - 40, os.getpid()):\n try: os.kill(pid, 9)\n except OSError: pass"
    attempt("import os, time", "time.sleep(0.1)", code)
    sleeper.join()
    assert found[0].stdout == "alive\n"


@pytest.mark.skipif(platform.machine() != "x86_64", reason="numbers of system calls are those of x86-64")
def test_ctypes_gives_no_way_round():
    code = (
        "import ctypes, os",
        "libc = ctypes.CDLL(None, use_errno=True)",
        # ptrace, process_vm_readv, pidfd_getfd, fchmodat2, unshare, bpf
        "calls = [(101, 16, os.getppid()), (310, os.getppid()), (438, 0), (452, 0), (272, 0x10000000), (321, 0)]",
        "for call in calls:",
        "    assert libc.syscall(*call) == -1 and ctypes.get_errno() == 1, call",
        "assert libc.open(b'/etc/passwd', 0) == -1",
        "raise SystemExit('contained')",
    )
    assert attempt(*code).stderr.strip() == "contained"


def test_other_programs_are_refused():
    assert_refused(attempt("import os", "os.execv('/bin/sh', ['sh', '-c', 'echo escaped'])"), "PermissionError")
    assert_refused(attempt("import subprocess", "subprocess.run(['/bin/true'])"), "BlockingIOError", "PermissionError")


def test_fork_bomb_is_stopped():
    assert_refused(attempt("import os", "while True: os.fork()"), "BlockingIOError")
    started = time.monotonic()
    bomb = "import os\nwhile True:\n try: os.fork()\n except OSError: pass"
    limits = Limits(cpu_seconds=1, wall_seconds=1.0, processes=4)
    assert run_python(bomb, "", limits).status == "timeout"
    assert time.monotonic() - started < 3


def test_daemon_does_not_outlive_its_program():
    daemon = """
import os, time
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        print(os.getpid(), flush=True)
        for fd in range(3): os.close(fd)
        while True: time.sleep(0.01)
    os._exit(0)
time.sleep(0.2)
"""
    execution = run_python(daemon, "", Limits(processes=4))
    assert execution.status == "ok"
    assert_gone([int(execution.stdout)])


def test_children_die_with_a_program_that_is_killed():
    code = "import os\nfor _ in range(3):\n if os.fork() == 0: break\nprint(os.getpid(), flush=True)\nwhile True: pass"
    execution = run_python(code, "", Limits(wall_seconds=0.7, processes=4))
    assert execution.status == "timeout"
    pids = [int(pid) for pid in execution.stdout.split()]
    assert len(pids) == 4
    assert_gone(pids)


def assert_gone(pids: list[int]):
    """They were killed before run_python returned; the kernel takes a few milliseconds to bury them."""
    deadline = time.monotonic() + 1
    while any(map(_is_running, pids)):
        assert time.monotonic() < deadline
        time.sleep(0.005)


def _is_running(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state not in "ZX"
