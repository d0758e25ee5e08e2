"""What a sandboxed Python interpreter may see, whatever confines it.

It sees the interpreter, the standard library (never a ``site-packages``), the shared libraries those two map, two
devices, and an empty folder of its own. Nothing is writable. Which system calls it may make is said in
`strop.sandbox.syscalls`.
"""

from __future__ import annotations

import functools
import os
import site
import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import NamedTuple

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
_ALWAYS_LOADED = ("libpython", "libc.so", "libm.so", "libffi")

PYTHON = os.path.realpath(sys.executable)
"""The interpreter's binary, outside any virtual environment."""


class Visible(NamedTuple):
    """Real paths."""

    readable: tuple[str, ...]  # files, and folders with all that is in them
    hidden: tuple[str, ...]  # folders below those
    devices: tuple[str, ...]  # the first may be written


@functools.cache
def visible() -> Visible:
    """What is there for a program to read."""
    base = {"platbase": sys.base_exec_prefix}  # in a virtual environment, "platstdlib" would lie inside it
    libraries = {os.path.realpath(sysconfig.get_path(name, vars=base)) for name in ("stdlib", "platstdlib")}
    extensions = [path for top in libraries for path in Path(top, "lib-dynload").glob("*.so")]
    modules = sorted({path.name.split(".")[0] for path in extensions})
    listing = subprocess.run(
        [PYTHON, "-I", "-S", "-c", _LIST_LIBRARIES]
        + [name for name in modules if not name.startswith(_UNUSED_MODULES)],
        capture_output=True, text=True, check=True, env={}, cwd="/", timeout=120,
    )  # fmt: skip
    shared = {os.path.realpath(path) for path in listing.stdout.splitlines() if path.startswith("/")}
    outside = {path for path in shared if not any(path.startswith(f"{top}/") for top in libraries)}
    system = [path for path in ("/etc/ld.so.cache",) if os.path.exists(path)]
    packages = {os.path.realpath(path) for path in site.getsitepackages([sys.base_prefix, sys.base_exec_prefix])}
    packages |= {os.path.join(top, name) for top in libraries for name in ("site-packages", "dist-packages")}
    hidden = [p for p in packages if os.path.isdir(p) and any(p.startswith(f"{top}/") for top in libraries)]
    return Visible((PYTHON, *sorted(libraries), *sorted(outside), *system), tuple(sorted(hidden)),
                   ("/dev/null", "/dev/urandom"))  # fmt: skip


@functools.cache
def environment() -> dict[str, str]:
    """Variables for the interpreter's start, which the launcher takes away before the program is read.

    The same program gives the same output on every run. One heap for all threads: the C library would take 64 MiB of
    the address space for each. The others spare a search that comes to the same end: every
    file that is asked for inside costs 0.1 ms, and without them a hundred more are.
    """
    loaded = [path for path in visible().readable if os.path.basename(path).startswith(_ALWAYS_LOADED)]
    variables = {"PYTHONHASHSEED": "0", "PYTHONCOERCECLOCALE": "0", "TZ": "UTC0", "MALLOC_ARENA_MAX": "1"}
    if ":" not in sys.base_prefix + sys.base_exec_prefix:
        # Real paths: links cannot be read inside, as os.path.realpath would of what modules say their files are.
        variables["PYTHONHOME"] = ":".join(map(os.path.realpath, (sys.base_prefix, sys.base_exec_prefix)))
    if not any(sign in path for path in loaded for sign in ": "):
        variables["LD_PRELOAD"] = ":".join(loaded)
    return variables


def python_command() -> list[str]:
    """How the interpreter is called, but for the source: without site, user's folder, bytecode files; in UTF-8."""
    return [PYTHON, "-s", "-S", "-P", "-B", "-X", "utf8", "-c"]
