"""A Python for tests that start `python -m MODULE …` often: what it runs begins with modules loaded that take seconds.

    python loaded_python.py serve SOCKET MODULE …       loads the modules, computes nothing, and forks for each client
    python -I -S loaded_python.py SOCKET -m MODULE …    a client: as the program itself, to whoever started it

A client gives its arguments, environment, folder, output and errors to a copy of the server, hands signals on to it,
and ends as it ends, by the same signal where it was one. Where a client is killed, its copy is.
"""

import array
import json
import os
import select
import signal
import socket
import sys

HANDED_ON = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def serve(path, modules):
    """Returns in a copy that is to run a program: its arguments."""
    import importlib

    for name in modules:
        importlib.import_module(name)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen(64)
        signal.signal(signal.SIGCHLD, _bury)
        print("ready", flush=True)
        while True:
            ready, _, _ = select.select([listener, sys.stdin], [], [])
            if sys.stdin in ready:  # closed: whoever started this has ended
                os._exit(0)
            connection, _ = listener.accept()
            if os.fork():
                connection.close()
                continue
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            return _copy(connection)


def _bury(*_):
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:  # there are none
        return


def _copy(connection):
    """The client's program in a child, and here what stands between the two."""
    descriptors = array.array("i", [0, 0, 0])
    said, ancillary, _, _ = connection.recvmsg(1 << 20, socket.CMSG_LEN(3 * descriptors.itemsize))
    descriptors = array.array("i", ancillary[0][2])
    while not said.endswith(b"\n"):
        said += connection.recv(1 << 20)
    given = json.loads(said)
    if child := os.fork():
        _stand_between(connection, child)
    connection.close()
    for number, descriptor in enumerate(descriptors):
        os.dup2(descriptor, number)
        os.close(descriptor)
    sys.stdin, sys.stdout = open(0, closefd=False), open(1, "w", closefd=False)  # noqa: SIM115
    sys.stderr = open(2, "w", buffering=1, closefd=False)  # noqa: SIM115
    os.environ.clear()
    os.environ.update(given["environment"])
    os.chdir(given["folder"])
    sys.path.insert(0, given["folder"])
    return given["arguments"]


def _stand_between(connection, child):
    gone = os.pidfd_open(child)
    while True:
        ready, _, _ = select.select([connection, gone], [], [])
        if gone in ready:
            connection.sendall(b"%d\n" % os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
            os._exit(0)
        sign = connection.recv(1)
        os.kill(child, sign[0] if sign else signal.SIGKILL)


def client(path, arguments):
    connection = socket.socket(socket.AF_UNIX)
    connection.connect(path)
    for sign in HANDED_ON:
        signal.signal(sign, lambda number, _: connection.sendall(bytes([number])))
    given = {"arguments": arguments, "environment": dict(os.environ), "folder": os.getcwd()}
    words, descriptors = json.dumps(given).encode() + b"\n", array.array("i", [0, 1, 2])
    sent = connection.sendmsg([words], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, descriptors)])
    connection.sendall(words[sent:])
    code = int(connection.makefile().readline())
    if code < 0:
        signal.signal(-code, signal.SIG_DFL)
        os.kill(os.getpid(), -code)
    os._exit(code)


if __name__ == "__main__":
    if sys.argv[1] == "serve":
        wanted = serve(sys.argv[2], sys.argv[3:])
        wanted = wanted[wanted.index("-m") + 1 :]
        sys.argv = wanted
        import runpy

        runpy.run_module(wanted[0], run_name="__main__", alter_sys=True)
    else:
        client(sys.argv[1], sys.argv[2:])
