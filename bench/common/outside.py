"""What a hostile program could reach or change outside of the sandbox, and a look at it before and after.

Files, sockets of every kind, a process that notes its signals, a mount where that is allowed, the standard library's
tree, processes that are left over. Everything lies in a temporary folder.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import os
import secrets
import socket
import struct
import subprocess
import sys
import sysconfig
import tempfile
import threading
from pathlib import Path
from typing import Any, NamedTuple

SECRET = "TOP SECRET 4711\n"
MARK = "strop-esc"  # how programs name what they make
QUEUE_KEY = "22295"  # of System V IPC
_LIBRARY = Path(sysconfig.get_path("stdlib", vars={"platbase": sys.base_exec_prefix}))
_GET_FLAGS, _SET_FLAGS = 0x80086601, 0x40086602  # FS_IOC_GETFLAGS, FS_IOC_SETFLAGS
_SUBREAPER = 36
_WATCHER = """
import signal, time
def note(number, frame): print("signal", number, flush=True)
for number in range(1, 65):
    try: signal.signal(number, note)
    except (OSError, ValueError): pass
print("ready", flush=True)
while True: time.sleep(60)
"""


class Outside:
    """Use as a context manager. A second one waits for the first: its abstract sockets have names that are fixed."""

    def __enter__(self) -> Outside:
        with contextlib.ExitStack() as stack:
            lock = stack.enter_context(open(f"{tempfile.gettempdir()}/strop-hostile-{os.getuid()}.lock", "w"))
            fcntl.flock(lock, fcntl.LOCK_EX)
            self.folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="strop-hostile-")))
            for name in ("canary", "scratch", "mnt"):
                (self.folder / name).mkdir()
            (self.folder / "canary/secret.txt").write_text(SECRET)
            (self.folder / "run.py").write_text("# something to read\n")
            self._can_mount = os.geteuid() == 0 and self._mount()
            stack.callback(self._unmount)
            self._sockets = self._open_sockets(stack)
            self._watcher = stack.enter_context(
                subprocess.Popen([sys.executable, "-S", "-c", _WATCHER], stdout=subprocess.PIPE)
            )
            stack.callback(self._watcher.kill)
            self._watcher.stdout.readline()
            os.set_blocking(self._watcher.stdout.fileno(), False)
            self._touching, self._ended = threading.Event(), threading.Event()
            toucher = threading.Thread(target=self._touch)
            toucher.start()
            stack.callback(toucher.join)
            stack.callback(self._touching.set)
            stack.callback(self._ended.set)
            # What a program leaves behind becomes a child of this process, so that it is known from others' orphans.
            libc = ctypes.CDLL(None)
            libc.prctl(_SUBREAPER, 1, 0, 0, 0)
            stack.callback(libc.prctl, _SUBREAPER, 0, 0, 0, 0)
            self._before, self._tree = self._snapshot(), library_tree()
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *exception) -> None:
        self._stack.close()

    def marks(self) -> dict[str, str]:
        """What stands in programs for what is known only now."""
        return {
            "@TCP@": str(self._sockets["tcp"].getsockname()[1]),
            "@UDP@": str(self._sockets["udp"].getsockname()[1]),
            "@PID@": str(self._watcher.pid),
            "@DIR@": str(self.folder),
            "@PROJECT@": str(Path(__file__).parents[2]),
        }

    @contextlib.contextmanager
    def touched(self, wanted: bool):
        """Files and packets are made meanwhile, by names and texts that nobody can guess."""
        if wanted:
            self._touching.set()
        try:
            yield
        finally:
            self._touching.clear()

    # ------------------------------------------------------------ what is looked at
    def _open_sockets(self, stack: contextlib.ExitStack) -> dict[str, socket.socket]:
        def opened(family, kind, address, listens=False):
            one = stack.enter_context(socket.socket(family, kind))
            one.bind(address)
            if listens:
                one.listen(50)
            one.setblocking(False)
            return one

        inet, unix, stream, datagram = socket.AF_INET, socket.AF_UNIX, socket.SOCK_STREAM, socket.SOCK_DGRAM
        self._talker = stack.enter_context(socket.socket(inet, datagram))
        self._listener = opened(inet, datagram, ("127.0.0.1", 0))
        return {
            "tcp": opened(inet, stream, ("127.0.0.1", 0), listens=True),
            "udp": opened(inet, datagram, ("127.0.0.1", 0)),
            "unix stream": opened(unix, stream, str(self.folder / "scratch/us"), listens=True),
            "unix datagram": opened(unix, datagram, str(self.folder / "scratch/ud")),
            "abstract stream": opened(unix, stream, "\0hostile-s", listens=True),
            "abstract datagram": opened(unix, datagram, "\0hostile-d"),
        }

    def _mount(self) -> bool:
        options = ["mount", "-t", "tmpfs", "-o", "size=1m,mode=755", MARK, str(self.folder / "mnt")]
        try:
            return subprocess.run(options, stderr=subprocess.DEVNULL).returncode == 0
        except FileNotFoundError:
            return False

    def _unmount(self) -> None:
        if self._can_mount:
            subprocess.run(["umount", str(self.folder / "mnt")], stderr=subprocess.DEVNULL)

    def _touch(self) -> None:
        while self._touching.wait() and not self._ended.is_set():
            name = self.folder / "canary" / f"unguessable-{secrets.token_hex(4)}"
            name.touch()
            self._ended.wait(0.02)
            name.unlink()
            self._talker.sendto(b"loopback-secret-" + secrets.token_hex(4).encode(), self._listener.getsockname())
            with contextlib.suppress(BlockingIOError):
                self._listener.recv(100)

    def _snapshot(self) -> dict[str, Any]:
        found: dict[str, Any] = {"secret": (self.folder / "canary/secret.txt").read_text()}
        for path in (self.folder / "canary/secret.txt", Path(sys.executable), _LIBRARY / "this.py"):
            at = path.stat()
            found[f"attributes of {path}"] = (
                *(at.st_mode, at.st_uid, at.st_gid, at.st_nlink, at.st_size, at.st_mtime_ns),
                tuple(os.listxattr(path)),
            )
        for folder in (self.folder / "canary", self.folder / "scratch"):
            at = folder.stat()
            found[f"attributes of {folder}"] = (at.st_mode, at.st_uid, at.st_gid)
        found["files made"] = self._marked_files()
        found["mount"] = [line.split()[3] for line in _lines("/proc/mounts") if line.startswith(f"{MARK} ")]
        found["host name"] = socket.gethostname()
        for kind in ("shm", "msg", "sem"):
            lines = _lines(f"/proc/sysvipc/{kind}")
            found[f"System V {kind}"] = sum(line.split()[0] == QUEUE_KEY for line in lines)
        found["affinity of a process"] = sorted(os.sched_getaffinity(self._watcher.pid))
        found["niceness of a process"] = os.getpriority(os.PRIO_PROCESS, self._watcher.pid)
        found["flags of a file"] = _flags()
        return found

    def _marked_files(self) -> list[str]:
        folders = ("/", "/tmp", "/dev/shm", "/var/tmp", "/run", "/etc", os.path.expanduser("~"), os.getcwd())
        found = []
        for folder in {
            *folders,
            *(str(self.folder / name) for name in (".", "canary", "scratch", "mnt")),
            str(_LIBRARY),
        }:
            with contextlib.suppress(OSError):
                found += [f"{folder}/{name}" for name in os.listdir(folder) if name.startswith(MARK)]
        return sorted(found)

    def changes(self) -> list[str]:
        """What has happened since the last look; it is put back as it was."""
        now = self._snapshot()
        found = [
            f"{key}: {self._before[key]!s:.60} -> {now[key]!s:.60}" for key in now if now[key] != self._before[key]
        ]
        if now["mount"] != self._before["mount"]:
            self._unmount()
            self._can_mount = self._mount()
        for path in now["files made"]:
            with contextlib.suppress(OSError):
                os.rmdir(path) if os.path.isdir(path) and not os.path.islink(path) else os.unlink(path)
        if now["affinity of a process"] != self._before["affinity of a process"]:
            os.sched_setaffinity(self._watcher.pid, self._before["affinity of a process"])
        if now["flags of a file"] != self._before["flags of a file"]:
            _flags(self._before["flags of a file"])
        for name, one in self._sockets.items():
            found += [
                f"the {name} socket was reached: {data!r}" for data in _arrived(one, "stream" in name or name == "tcp")
            ]
        if text := self._watcher.stdout.read():
            found.append(f"a process got {text!r}")
        if self._watcher.poll() is not None:
            found.append("a process was ended")
        return found

    def tree_changes(self) -> list[str]:
        """Files of the standard library that changed since the beginning."""
        return sorted(f"{path} changed" for path, _ in self._tree ^ library_tree())

    def left_over(self, of: int) -> dict[int, str]:
        """Processes below this one, below the worker ``of`` and below its fork servers that no run of today holds: pid
        -> state; the servers wait for the next program. The dead that were left to this process are buried."""
        seen = {int(entry): _state(int(entry)) for entry in os.listdir("/proc") if entry.isdigit()}
        alive = {pid: one for pid, one in seen.items() if one is not None}
        servers = {pid for pid, one in alive.items() if one.parent == of and one.serves}
        found = {}
        for pid, one in alive.items():
            below = one.parent in (of, os.getpid(), *servers) and pid not in servers
            if below and (one.ours or (one.state == "Z" and one.parent != os.getpid())):
                found[pid] = one.state
        return found


def bury(pids: dict[int, str]) -> None:
    """Reap those that have become children of this process."""
    for pid in pids:
        with contextlib.suppress(ChildProcessError):
            os.waitpid(pid, os.WNOHANG)


def library_tree() -> set[tuple[str, tuple]]:
    """Every file of the standard library with its size, date, mode and owner; caches of bytecode apart."""
    found = set()
    for folder, folders, files in os.walk(_LIBRARY):
        folders[:] = [name for name in folders if name not in ("__pycache__", "site-packages")]
        for name in files:
            with contextlib.suppress(FileNotFoundError):
                at = os.lstat(os.path.join(folder, name))
                found.add((os.path.join(folder, name), (at.st_size, at.st_mtime_ns, at.st_mode, at.st_uid)))
    return found


class _State(NamedTuple):
    state: str
    parent: int
    ours: bool  # started by strop's sandbox, or dead
    serves: bool  # a fork server, or a program that one has forked


def _state(pid: int) -> _State | None:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        line = Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return None
    return _State(fields[0], int(fields[1]), b"def _load():" in line or fields[0] == "Z", b"def _serve():" in line)


def _lines(path: str) -> list[str]:
    return Path(path).read_text().splitlines() if os.path.exists(path) else []


def _flags(new: int | None = None) -> int | None:
    """Of a file of the standard library; None where its file system has none."""
    with open(_LIBRARY / "this.py") as file, contextlib.suppress(OSError):
        if new is not None:
            fcntl.ioctl(file, _SET_FLAGS, struct.pack("I", new))
        return struct.unpack("I", fcntl.ioctl(file, _GET_FLAGS, bytes(4)))[0]
    return None


def _arrived(one: socket.socket, listens: bool) -> list[object]:
    found: list[object] = []
    with contextlib.suppress(BlockingIOError):
        while True:
            if not listens:
                found.append(one.recv(100))
                continue
            peer, _ = one.accept()
            with peer:
                peer.settimeout(0.2)
                try:
                    found.append(peer.recv(100))
                except OSError as error:
                    found.append(error)
    return found
