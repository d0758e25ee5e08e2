"""Worker processes with a time limit: whatever one does with its end of the line, the call ends in time."""

import os
import signal
import socket
import stat
import subprocess
import sys
import time

import pytest

from strop.rewards.timed import Failed, TimedWorkers

LONG = 3 << 20  # more than any pipe or socket holds at once


def double(text):
    return text * 2


def stop(text):
    """It neither ends nor goes on, with its answer to come."""
    os.kill(os.getpid(), signal.SIGSTOP)
    return text


def leave_a_daemon(text):
    """It has the worker's end of the line, and outlives it."""
    line = next(fd for fd in map(int, os.listdir("/proc/self/fd")) if fd > 2 and is_socket(fd))
    hold = "import time; time.sleep(20)"
    subprocess.Popen([sys.executable, "-c", hold], pass_fds=[line], start_new_session=True)
    time.sleep(60)


def is_socket(fd):
    try:
        return stat.S_ISSOCK(os.fstat(fd).st_mode)
    except OSError:  # what the listing itself was read by
        return False


def pid_of(workers):
    worker = workers._idle.get()
    workers._idle.put(worker)
    process, _ = worker._running
    return process.pid


@pytest.fixture
def workers():
    made = TimedWorkers(1)
    yield made
    made.close()


def leave(text):
    sys.exit(0)


def test_a_function_that_ends_the_program_ends_its_call_alone(workers):
    pid = workers.map(os.path.basename, ["a"], 60.0) and pid_of(workers)
    assert workers.map(leave, ["a"], 60.0) == [Failed("raised SystemExit: sys.exit(0)")]
    assert (workers.map(double, ["ab"], 60.0), pid_of(workers)) == (["abab"], pid)


def test_long_messages_pass_both_ways(workers):
    assert workers.map(double, ["x" * LONG, "", "ab"], 60.0) == ["x" * 2 * LONG, "", "abab"]


def test_a_worker_that_cannot_be_started_is_a_failure_in_words(workers, monkeypatch):
    def refused():
        raise OSError(24, "Too many open files")

    with monkeypatch.context() as patch:
        patch.setattr(socket, "socketpair", refused)
        assert workers.map(double, ["x"], 60.0) == [Failed("could not be started ([Errno 24] Too many open files)")]
    assert workers.map(double, ["x"], 60.0) == ["xx"]


@pytest.mark.parametrize("end", [stop, leave_a_daemon])
def test_the_next_call_has_a_worker(workers, end):
    assert workers.map(end, ["x"], 1.0) == [Failed("took longer than 1 s")]
    assert workers.map(double, ["x"], 60.0) == ["xx"]


def test_a_stopped_worker_that_does_not_read(workers):
    """What is sent does not fit into the line, and nobody takes it out."""
    assert workers.map(double, ["x"], 60.0) == ["xx"]
    os.kill(pid_of(workers), signal.SIGSTOP)
    assert workers.map(double, ["x" * LONG], 1.0) == [Failed("took longer than 1 s")]
    assert workers.map(double, ["y"], 60.0) == ["yy"]
