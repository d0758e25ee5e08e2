"""A process between strop and a server: it ends the server's process group when strop closes the pipe, or dies.

Run as a file, by name and without strop: ``python keeper.py LOG COMMAND…``. Its standard input is the pipe. It leaves
with the server's exit status where that ends first.
"""

import os
import selectors
import signal
import subprocess
import sys
import time

GRACE_SECONDS = 10.0


def end(process: subprocess.Popen) -> None:
    """The whole group: vLLM's engine is a child of the server that is asked."""
    for sign, patience in ((signal.SIGTERM, GRACE_SECONDS), (signal.SIGKILL, GRACE_SECONDS)):
        try:
            os.killpg(process.pid, sign)
        except ProcessLookupError:
            return
        until = time.monotonic() + patience
        while time.monotonic() < until:
            process.poll()  # one that has ended is in the group until it is asked for
            try:
                os.killpg(process.pid, 0)
            except ProcessLookupError:
                return
            time.sleep(0.05)


def main() -> int:
    log, *command = sys.argv[1:]
    for sign in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(sign, signal.SIG_IGN)  # strop decides, by the pipe; a Ctrl-C is sent to both
    with open(log, "ab") as file:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=file, stderr=file, start_new_session=True, preexec_fn=_listen
        )
    pipe = selectors.DefaultSelector()
    pipe.register(sys.stdin.buffer, selectors.EVENT_READ)
    try:
        while process.poll() is None:
            if pipe.select(timeout=0.2) and not os.read(sys.stdin.fileno(), 1024):
                return 0
        return process.returncode & 0xFF
    finally:
        end(process)


def _listen() -> None:
    for sign in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(sign, signal.SIG_DFL)


if __name__ == "__main__":
    sys.exit(main())
