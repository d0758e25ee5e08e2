"""What a sandboxed Python interpreter may see and do.

It sees the interpreter, the standard library (never a ``site-packages``), the shared libraries those two map, and two
devices. Landlock enforces that list on real paths, whatever the program does with links or ``..``; sandlock's seccomp
supervisor adds the exceptions beneath it. Nothing is writable. Which system calls it may make is said in
`strop.sandbox.syscalls`.
"""

from __future__ import annotations

import functools
import os
import site
import subprocess
import sys
import sysconfig
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from strop.common.errors import InputError

if TYPE_CHECKING:
    from sandlock import Sandbox

# Imports every extension module of the standard library, then prints the files that the process has mapped. libgcc_s is
# what the C library loads when a thread ends early, as those of a program that ends do.
_LIST_LIBRARIES = """
import ctypes, importlib, sys
try:
    ctypes.CDLL("libgcc_s.so.1")
except OSError:
    pass
for name in sys.argv[1:]:
    try:
        importlib.import_module(name)
    except ImportError:
        pass
for line in open("/proc/self/maps"):
    if ".so" in line:
        print(line.split(maxsplit=5)[5].strip())
"""
_UNUSED_MODULES = ("_test", "_tkinter", "_curses", "xx", "readline")  # they would only add libraries of the desktop

_NEEDS = "code is only judged inside a sandbox, which needs Linux 6.12 or later with Landlock"
PYTHON = os.path.realpath(sys.executable)
"""The interpreter's binary, outside any virtual environment."""


@functools.cache
def _paths() -> tuple[tuple[str, ...], tuple[str, ...]]:
    """(readable, denied below them)."""
    base = {"platbase": sys.base_exec_prefix}  # in a virtual environment, "platstdlib" would lie inside it
    libraries = {os.path.realpath(sysconfig.get_path(name, vars=base)) for name in ("stdlib", "platstdlib")}
    extensions = [path for top in libraries for path in Path(top, "lib-dynload").glob("*.so")]
    modules = sorted({path.name.split(".")[0] for path in extensions})
    listing = subprocess.run(
        [PYTHON, "-I", "-S", "-c", _LIST_LIBRARIES]
        + [name for name in modules if not name.startswith(_UNUSED_MODULES)],
        capture_output=True, text=True, check=True, env={}, cwd="/",
    )  # fmt: skip
    shared = {os.path.realpath(path) for path in listing.stdout.splitlines() if path.startswith("/")}
    outside = {path for path in shared if not any(path.startswith(f"{top}/") for top in libraries)}
    system = [path for path in ("/etc/ld.so.cache", "/dev/null", "/dev/urandom") if os.path.exists(path)]
    packages = {os.path.realpath(path) for path in site.getsitepackages([sys.base_prefix, sys.base_exec_prefix])}
    packages |= {os.path.join(top, name) for top in libraries for name in ("site-packages", "dist-packages")}
    denied = [p for p in packages if os.path.isdir(p) and any(p.startswith(f"{top}/") for top in libraries)]
    return (PYTHON, *sorted(libraries), *sorted(outside), *system), tuple(sorted(denied))


@functools.cache
def sandbox_factory() -> Callable[[int], Sandbox]:
    """A function of the number of processes that returns a fresh sandlock ``Sandbox``.

    Raises InputError where this machine cannot confine a program. There is no unconfined fallback.
    """
    if not sys.platform.startswith("linux"):
        raise InputError(f"{_NEEDS}; on this system ({sys.platform}) run strop in a Linux container or machine")
    try:
        import sandlock
    except ImportError as error:
        raise InputError(f"{_NEEDS}, and the sandlock package: pip install 'sandlock>=0.9' ({error})") from error
    abi, needed = sandlock.landlock_abi_version(), sandlock.min_landlock_abi()
    if abi < needed:
        have = "has Landlock switched off" if abi < 0 else f"has Landlock ABI {abi}, and {needed} is needed"
        raise InputError(f"{_NEEDS}; the running kernel {have}: boot a newer kernel, or add landlock to its lsm= list")
    readable, denied = _paths()

    def make(processes: int) -> Sandbox:
        return sandlock.Sandbox(
            fs_readable=readable,
            fs_writable=("/dev/null",),
            fs_denied=denied,
            cwd="/",
            clean_env=True,
            env={"PYTHONHASHSEED": "0"},  # the same program gives the same output on every run
            max_processes=processes,
        )

    return make
