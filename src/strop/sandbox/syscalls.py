"""The system calls that a program may make: those on this list, and no others.

The list becomes a seccomp filter that the launcher installs before it reads the program, on top of sandlock's own. A
call that is not on it fails with EPERM, whichever it is and whenever the kernel got it; one by the ways of another
processor architecture ends the program. Where the arguments decide, they are compared here; what lies in memory cannot
be (the program could change it afterwards), so calls with their arguments there are not on the list.

On the list is what programs of the standard library need to compute, to read their input and the files that Landlock
opens to them, and to work with threads, processes of their own and pipes between them.
"""

from __future__ import annotations

import errno
import functools
import platform
import struct
from typing import NamedTuple

from strop.common.errors import InputError

ALLOWED = (
    # files: what Landlock opens to it, and nothing of their attributes; no readlink, which Landlock allows everywhere
    "read write readv writev pread64 pwrite64 preadv pwritev preadv2 pwritev2 lseek close close_range sendfile "
    "open openat openat2 access faccessat faccessat2 stat lstat fstat newfstatat statx statfs fstatfs getdents "
    "getdents64 getcwd chdir fchdir umask "
    # descriptors of its own, and waiting for them
    "dup dup2 dup3 pipe pipe2 eventfd eventfd2 signalfd signalfd4 timerfd_create timerfd_settime timerfd_gettime "
    "poll ppoll select pselect6 epoll_create epoll_create1 epoll_ctl epoll_wait epoll_pwait epoll_pwait2 shutdown "
    "getsockname getpeername getsockopt recvfrom "
    # memory, threads, processes
    "brk munmap mprotect mremap futex futex_waitv futex_wake futex_wait futex_requeue set_robust_list set_tid_address "
    "rseq restart_syscall fork vfork execve execveat exit exit_group wait4 waitid "
    # signals; sandlock's Landlock domain keeps them inside
    "kill tkill tgkill rt_sigaction rt_sigprocmask rt_sigreturn rt_sigpending rt_sigsuspend rt_sigtimedwait "
    "sigaltstack rt_sigqueueinfo pause "
    # time
    "alarm getitimer setitimer timer_create timer_settime timer_gettime timer_getoverrun timer_delete nanosleep "
    "clock_nanosleep clock_gettime clock_getres gettimeofday time times sched_yield "
    # questions
    "sched_getaffinity sched_getparam sched_getscheduler sched_get_priority_max sched_get_priority_min "
    "sched_rr_get_interval getpriority getcpu getpid getppid gettid getpgrp getpgid getsid setsid setpgid getuid "
    "geteuid getgid getegid getgroups getresuid getresgid getrlimit getrusage uname sysinfo getrandom capget "
    # both only ever take rights away from who calls them
    "landlock_create_ruleset landlock_restrict_self "
)
"""Names, separated by spaces."""


class Is(NamedTuple):
    """Holds where 32 bits of an argument (counted from 0), after ``mask``, are one of ``values``: its lower ones, or
    the upper."""

    argument: int
    values: tuple[int, ...]
    mask: int = 0xFFFFFFFF
    upper: bool = False


def _null(argument: int) -> tuple[Is, Is]:
    return Is(argument, (0,), upper=True), Is(argument, (0,))


_CLONE_THREAD = 0x10000
_CLONE_PARENT, _NEW_NAMESPACES = 0x8000, 0x7E020000 | 0x80
_GET_DUMPABLE, _SET_NAME, _GET_NAME, _GET_NO_NEW_PRIVS = 3, 15, 16, 39
_UNIX, _INET, _INET6, _STREAM, _TYPE, _OF_SOCKETS, _STACK = 1, 2, 10, 1, 0xF, 1, 3

_CHILD = (Is(0, (0,), mask=_CLONE_PARENT | _NEW_NAMESPACES),)
_THREAD = (Is(0, (_CLONE_THREAD,), mask=_CLONE_THREAD | _CLONE_PARENT | _NEW_NAMESPACES),)

CHECKED: tuple[tuple[str, tuple[Is, ...]], ...] = (
    # Not shared and anonymous at once: such pages stay while one of them is mapped, and count for nobody.
    ("mmap", (Is(3, (0x00, 0x01, 0x20), mask=0x21),)),
    # Is this a terminal, what size; close on exec; blocking or not; how much is there to read.
    ("ioctl", (Is(1, (0x5401, 0x5413, 0x5450, 0x5451, 0x5421, 0x541B)),)),
    # Duplicates, flags, sizes of pipes and seals read; no locks, signals to owners, leases, notes: all of them reach
    # other processes by way of a shared file.
    ("fcntl", (Is(1, (0, 1, 2, 3, 4, 1030, 1032, 1034)),)),
    # What allocators say of their pages; nothing about those of files that others have mapped too.
    ("madvise", (Is(2, (0, 1, 2, 3, 4, 8, 10, 11, 14, 15, 16, 17, 18, 19)),)),
    # A pair is a pipe with two directions. These others may be made, since programs do so idly, but have no way to
    # anywhere: connect, bind, listen, accept, sendmsg and an address to sendto are not on the list. Of the options:
    # SO_REUSEADDR, sizes of buffers, SO_KEEPALIVE, how to close, time limits; no filters, nothing of protocols.
    ("socketpair", (Is(0, (_UNIX,)),)),
    ("socket", (Is(0, (_UNIX,)),)),
    ("socket", (Is(0, (_INET, _INET6)), Is(1, (_STREAM,), mask=_TYPE), Is(2, (0, 6)))),
    ("setsockopt", (Is(1, (_OF_SOCKETS,)), Is(2, (2, 7, 8, 9, 13, 15, 20, 21)))),
    ("sendto", _null(4)),
    # A child of one's own, in the same namespaces. With CLONE_PARENT it would be the judge's to bury.
    ("clone", _CHILD),
    ("prctl", (Is(0, (_GET_DUMPABLE, _SET_NAME, _GET_NAME, _GET_NO_NEW_PRIVS)),)),
    ("arch_prctl", (Is(0, (0x1002, 0x1003, 0x3001)),)),  # a thread's own storage
    # Asking for one's own limits. The stack's may be set, as programs that recurse do: it counts as address space.
    ("prlimit64", (Is(0, (0,)), *_null(2))),
    ("prlimit64", (Is(0, (0,)), Is(1, (_STACK,)))),
)
"""(name, what must hold of its arguments); a call that stands twice may be made where either holds."""
_AUDIT_ARCH = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
_RETURN_ALLOW, _RETURN_KILL, _RETURN_ERRNO = 0x7FFF0000, 0x80000000, 0x00050000
_LOAD, _JUMP, _JUMP_EQUAL, _JUMP_AT_LEAST, _AND, _RETURN = 0x20, 0x05, 0x15, 0x35, 0x54, 0x06
_NUMBER, _ARCHITECTURE, _ARGUMENTS = 0, 4, 16  # offsets in struct seccomp_data


def syscall_number(name: str) -> int | None:
    """The number of a system call on this machine; None where the machine has no call of that name."""
    from sandlock._sdk import _lib  # its table of both architectures, by its C interface

    number = _lib.sandlock_syscall_nr(name.encode())
    return number if number >= 0 else None


@functools.cache
def seccomp_filter(alone: bool = False) -> bytes:
    """The list as a program for seccomp (``struct sock_filter``, 8 bytes an instruction); threads, but no processes
    can be started with ``alone``.

    Raises InputError on a processor whose system calls are not known here.
    """
    machine = platform.machine()
    if machine not in _AUDIT_ARCH:
        known = " or ".join(_AUDIT_ARCH)
        raise InputError(f"programs can only be confined on {known} processors, and this is {machine}; judge elsewhere")
    code = [
        (_LOAD, 0, 0, _ARCHITECTURE),
        (_JUMP_EQUAL, 1, 0, _AUDIT_ARCH[machine]),
        (_RETURN, 0, 0, _RETURN_KILL),
        (_LOAD, 0, 0, _NUMBER),
        (_JUMP_AT_LEAST, 0, 1, 0x40000000),  # x32, which goes by the same architecture
        (_RETURN, 0, 0, _RETURN_KILL),
    ]
    new_processes = ("fork", "vfork", "clone") if alone else ()
    for name in ALLOWED.split():
        if name not in new_processes and (number := syscall_number(name)) is not None:
            code += [(_JUMP_EQUAL, 0, 1, number), (_RETURN, 0, 0, _RETURN_ALLOW)]
    for name, conditions in CHECKED:
        conditions = _THREAD if name in new_processes else conditions
        if (number := syscall_number(name)) is not None:
            body = _allowed_where(conditions)
            code += [(_LOAD, 0, 0, _NUMBER), (_JUMP_EQUAL, 0, len(body), number), *body]
    code.append((_LOAD, 0, 0, _NUMBER))
    for name in new_processes:
        if (number := syscall_number(name)) is not None:
            code += [(_JUMP_EQUAL, 0, 1, number), (_RETURN, 0, 0, _RETURN_ERRNO | errno.EAGAIN)]
    if (number := syscall_number("clone3")) is not None:  # its flags lie in memory; libraries go back to clone
        code += [(_JUMP_EQUAL, 0, 1, number), (_RETURN, 0, 0, _RETURN_ERRNO | errno.ENOSYS)]
    code.append((_RETURN, 0, 0, _RETURN_ERRNO | errno.EPERM))
    return b"".join(struct.pack("HBBI", *instruction) for instruction in code)


Instruction = tuple[int, int, int, int]
"""Code, how many instructions to skip where a comparison holds and where it does not, constant."""


def _allowed_where(conditions: tuple[Is, ...]) -> list[Instruction]:
    """Allows the call where all hold; otherwise goes on behind itself."""
    body: list[Instruction] = [(_RETURN, 0, 0, _RETURN_ALLOW)]
    for argument, values, mask, upper in reversed(conditions):
        place = _ARGUMENTS + 8 * argument + 4 * upper  # both architectures are little-endian
        tests = [(_JUMP_EQUAL, len(values) - i, 0, value) for i, value in enumerate(values)]
        body = [(_LOAD, 0, 0, place), (_AND, 0, 0, mask), *tests, (_JUMP, 0, 0, len(body)), *body]
    return body
