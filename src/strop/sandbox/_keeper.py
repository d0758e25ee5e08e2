# The process that ends a judge's programs when the judge has ended, however it did: its text is given to the
# interpreter, and nothing imports it. Arguments: the judge's process number, and the mark of its programs, a limit that
# nobody else has and that no program can shed, whatever it executes, forks or becomes the leader of.
import os
import select
import signal
import sys


def _main():
    judge, mark = int(sys.argv[1]), sys.argv[2].encode()
    for number in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM):  # it ends with the judge
        signal.signal(number, signal.SIG_IGN)
    try:
        lives = os.pidfd_open(judge)
    except ProcessLookupError:
        return _end(mark)
    if os.getppid() == judge:  # or the number is another's by now
        poll = select.poll()
        poll.register(lives, select.POLLIN)
        poll.register(0, select.POLLIN)  # a byte: the judge is about to end
        poll.poll()
    return _end(mark)


def _end(mark):
    """Kill whatever bears the mark, until a look at all processes finds nothing new: what is killed forks no more."""
    killed, more = set(), True
    while more:
        more = False
        for name in os.listdir("/proc"):
            if name.isdigit() and name not in killed and _is_ended(int(name), mark):
                killed.add(name)
                more = True


def _is_ended(pid, mark):
    try:
        found = os.pidfd_open(pid)  # first: the number could become another's
    except OSError:
        return False
    try:
        with open(f"/proc/{pid}/limits", "rb") as limits:
            ours = any(line.startswith(b"Max file locks ") and line.split()[3:5] == [mark, mark] for line in limits)
        if ours:
            signal.pidfd_send_signal(found, signal.SIGKILL)
    except OSError:
        return False
    finally:
        os.close(found)
    return ours


_main()
