"""Compile the C++ of this folder once and load it; the results are kept in the cache folder."""

from __future__ import annotations

import ctypes
import hashlib
import os
import shutil
import subprocess
import tempfile
import warnings
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

from strop.common.folders import cache_folder

SWITCH = "STROP_KERNELS"
"""Environment variable; with 0 nothing is compiled."""
SECONDS = 1200.0
"""In which a compiler has to be done."""


@lru_cache(maxsize=1)
def compiler() -> str | None:
    """The C++ compiler: ``$CXX``, g++ or clang++; None, with a warning, where there is none."""
    if os.environ.get(SWITCH) == "0":
        return None
    found = shutil.which(os.environ.get("CXX", "g++")) or shutil.which("clang++")
    if found is None:
        warnings.warn(
            "training on this CPU would be faster and take less memory with a C++ compiler: "
            "install g++ and start again.",
            stacklevel=2,
        )
    return found


def load(sources: Sequence[str], flags: Sequence[str], what: str, otherwise: str) -> ctypes.CDLL | None:
    """The shared library of ``sources`` (names in this folder), compiled by the first call on a machine.

    None where there is no compiler, or, with a warning, where it cannot be compiled or kept; the warning says ``what``
    is then missing and what happens ``otherwise``.
    """
    if (by := compiler()) is None:
        return None
    try:
        return ctypes.CDLL(str(_built(by, sources, flags)))
    except OSError as error:
        warnings.warn(
            f"{what} cannot be kept in {cache_folder()} ({error}); {otherwise}. "
            "Name a folder that can be written to and run from in STROP_CACHE.",
            stacklevel=2,
        )
    except subprocess.CalledProcessError as error:
        lines = error.stderr.strip().splitlines() or ["no message"]
        warnings.warn(
            f"{by} cannot compile {what} ({lines[0]}); {otherwise}. Name another compiler in CXX.",
            stacklevel=2,
        )
    except subprocess.TimeoutExpired:
        warnings.warn(
            f"{by} was not done with {what} within {SECONDS / 60:.0f} minutes; {otherwise}. Name another "
            "compiler in CXX.",
            stacklevel=2,
        )
    return None


def _said_by(command: Sequence[str]) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=SECONDS).stdout


def _built(by: str, sources: Sequence[str], flags: Sequence[str]) -> Path:
    """The library for these sources, flags and the compiler ``by``, built under another name and renamed."""
    here = Path(__file__).parent
    version = _said_by([by, "--version"])
    texts = [path.read_text() for path in (*sorted(here.glob("*.h")), *(here / name for name in sources))]
    key = hashlib.sha256("\0".join([version, *flags, *texts]).encode()).hexdigest()[:16]
    target = cache_folder() / "kernels" / f"{key}.so"
    if not target.is_file():
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=target.parent) as scratch:
            built = Path(scratch) / target.name
            paths = [str(here / name) for name in sources]
            # flags last: a library is searched for what comes before it
            command = [by, *paths, "-o", str(built), *flags]
            _said_by(command)
            built.rename(target)
    return target
