"""Programs confined by bubblewrap (``bwrap``), for kernels that are too old for sandlock.

Namespaces of its own for users, processes, the network, IPC and mounts: nothing else of the machine is there, no /proc
either, and what is there is read-only. When the namespace's first process is dead, all others are. Processes and
threads are counted by looks at them, since a kernel may have no better way.
"""

from __future__ import annotations

import contextlib
import functools
import glob
import json
import os
import shutil
import signal
from pathlib import Path

from .processes import Ended, Plain, is_ready, wait_until_gone
from .rules import environment, python_command, visible
from .syscalls import syscall_number

START_SECONDS = 60.0
"""For a machine with much else to do."""
_FOLDER = "/program"
_MEND = "allow user namespaces (sysctl user.max_user_namespaces=10000)"


def bubblewrap_command(command: list[str], info: int) -> list[str]:
    """How ``bwrap`` is called; it writes its child's number as JSON to the descriptor ``info``."""
    seen = visible()
    options = ["--unshare-all", "--die-with-parent", "--new-session", "--cap-drop", "ALL", "--info-fd", str(info)]
    options += ["--uid", "65534", "--gid", "65534", "--hostname", "program", "--clearenv"]
    for name, value in environment().items():
        options += ["--setenv", name, value]
    for path in seen.readable:
        options += ["--ro-bind", path, path]
    for path, target in _links().items():
        options += ["--symlink", target, path]
    for path in seen.hidden:
        options += ["--tmpfs", path, "--remount-ro", path]
    for path in seen.devices:
        options += ["--dev-bind", path, path]
    options += ["--dir", _FOLDER, "--remount-ro", "/", "--chdir", _FOLDER]
    return [shutil.which("bwrap") or "bwrap", *options, "--", *command]


@functools.cache
def _links() -> dict[str, str]:
    """Links by whose names the loader asks for what is bound by its real path, and where each points to."""
    real = set(visible().readable)
    names = ["/lib", "/lib64", *glob.glob("/lib*/ld-*.so*")]
    for folder in {os.path.dirname(path) for path in real if ".so" in os.path.basename(path)}:
        names += [one.path for one in os.scandir(folder) if one.is_symlink() and os.path.realpath(one.path) in real]
    found: dict[str, str] = {}
    while names:
        parts = Path(names.pop()).parts
        at = "/"
        for i, part in enumerate(parts[1:], start=2):
            at = os.path.join(at, part)
            if os.path.islink(at):
                found[at] = os.readlink(at)
                names.append(os.path.normpath(os.path.join(os.path.dirname(at), found[at], *parts[i:])))
                break
    inside = {path for path in real if os.path.isdir(path)}
    return {at: to for at, to in sorted(found.items()) if not any(at.startswith(f"{folder}/") for folder in inside)}


class BubblewrapProcess(Plain):
    """See `processes.Process`."""

    helpers = 2  # bwrap, and its first process inside

    def __init__(self, command: list[str]):
        """Raises RuntimeError where it does not start."""
        told, info = os.pipe()
        try:
            super().__init__(bubblewrap_command(command, info), "/", {}, pass_fds=(info,))
        finally:
            os.close(info)
        self._inside = -1
        with os.fdopen(told, "rb") as file:
            if not is_ready(told, START_SECONDS):
                self.close()
                raise RuntimeError(f"bwrap did not start within {START_SECONDS:g} s")
            said = file.read()
        try:
            self._inside = os.pidfd_open(json.loads(said)["child-pid"])
        except (ValueError, KeyError, ProcessLookupError):
            why = self.stderr.read(4096).decode("utf-8", "replace").strip()
            self.close()
            raise RuntimeError(why.rpartition("\n")[2] or "bwrap ended") from None

    def kill(self) -> None:
        if self._inside < 0:
            return super().kill()
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(self._inside, signal.SIGKILL)

    def end(self) -> Ended:
        code = self._process.wait()
        self._end_inside()
        # A signal is told as a shell tells it.
        ended_by = -code if code < 0 else code - 128 if 128 < code <= 128 + 64 else None
        return Ended(None if ended_by else code, ended_by)

    def _end_inside(self) -> None:
        if self._inside >= 0:
            self.kill()
            if not wait_until_gone(self._inside, 10):
                raise RuntimeError("the processes of a program could not be killed within 10 s")
            os.close(self._inside)
            self._inside = -1


def why_not() -> str | None:
    """Why bubblewrap cannot confine programs here, and what would mend that; None where a trial succeeds."""
    if shutil.which("bwrap") is None:
        return "bubblewrap is not installed: apt install bubblewrap"
    try:
        syscall_number("read")
    except ImportError as error:
        return f"the sandlock package, which knows the calls, is missing: pip install 'sandlock>=0.9' ({error})"
    try:
        process = BubblewrapProcess([*python_command(), ""])
    except RuntimeError as error:
        return f"bwrap could not start ({error}): {_MEND}"
    try:
        if not wait_until_gone(process.pidfd, START_SECONDS):
            return f"bwrap did not end within {START_SECONDS:g} s: {_MEND}"
        ended = process.end()
        said = process.stderr.read().decode("utf-8", "replace").strip().rpartition("\n")[2]
    finally:
        process.close()
    if ended.exit_code == 0:
        return None
    return f"Python did not run in bwrap ({said or ended}): {_MEND}"
