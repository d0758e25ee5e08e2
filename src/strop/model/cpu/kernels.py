"""Compile the kernels of this folder once, and call them.

They are plain C functions over pointers, so that a compiler needs no headers of torch (2 seconds instead of a minute)
and a build fits every version of torch. Where there is no C++ compiler or the processor lacks AVX-512 BF16, there are
none, and callers take torch's operations instead: same results to rounding, slower.
"""

from __future__ import annotations

import ctypes
import hashlib
import os
import shutil
import subprocess
import tempfile
import warnings
from functools import lru_cache
from pathlib import Path

import torch

from strop.folders import cache_folder

SWITCH = "STROP_KERNELS"
"""Environment variable; 0 turns the kernels off."""

_SOURCES = ("attention.cpp", "head.cpp", "elementwise.cpp", "rotary.cpp", "adamw.cpp")
_FLAGS = (
    *("-O3", "-std=c++17", "-fopenmp", "-shared", "-fPIC", "-fno-math-errno", "-w"),
    *("-mavx512f", "-mavx512bw", "-mavx512vl", "-mavx512dq", "-mavx512bf16", "-mfma"),
)
_P, _L, _I, _F, _D = ctypes.c_void_p, ctypes.c_long, ctypes.c_int, ctypes.c_float, ctypes.c_double
_SIGNATURES = {
    "strop_attention_forward": [_P] * 7 + [_I] * 4 + [_L, _I, _F],
    "strop_attention_backward": [_P] * 12 + [_I] * 4 + [_L, _L, _I, _F, _I],
    "strop_head_statistics": [_P, _L, _L, _P, _F, _F] + [_P] * 4,
    "strop_head_gradient": [_P, _L, _L, _P, _F, _F] + [_P] * 6,
    "strop_rms_norm": [_P] * 4 + [_L, _L, _F],
    "strop_rms_norm_backward": [_P] * 6 + [_L, _L, _I],
    "strop_rotary": [_P] * 4 + [_L] * 5 + [_I],
    "strop_silu_gate": [_P] * 3 + [_L],
    "strop_silu_gate_backward": [_P] * 5 + [_L],
    "strop_split": [_P] * 3 + [_L],
    "strop_join": [_P] * 3 + [_L],
    "strop_adamw": [_P] * 3 + [_I] + [_P] * 2 + [_L] + [_D] * 5 + [_L, _D],
    "strop_adamw_8bit": [_P] * 3 + [_I] + [_P] * 8 + [_L] + [_D] * 5 + [_L, _D],
}


@lru_cache(maxsize=1)
def kernels() -> ctypes.CDLL | None:
    """The compiled kernels, or None where this machine has none; the first call on a machine compiles them."""
    if os.environ.get(SWITCH) == "0" or not torch.cpu.get_capabilities().get("avx512_bf16"):
        return None
    compiler = shutil.which(os.environ.get("CXX", "g++")) or shutil.which("clang++")
    if compiler is None:
        warnings.warn(
            "training on this CPU would be faster with a C++ compiler: install g++ and start again.", stacklevel=2
        )
        return None
    try:
        library = ctypes.CDLL(str(_build(compiler)))
    except OSError as error:
        warnings.warn(
            f"strop's CPU kernels cannot be kept in {cache_folder()} ({error}); torch's slower operations take their "
            "place. Name a folder that can be written to and run from in STROP_CACHE.",
            stacklevel=2,
        )
        return None
    except subprocess.CalledProcessError as error:
        lines = error.stderr.strip().splitlines() or ["no message"]
        warnings.warn(
            f"{compiler} cannot compile strop's CPU kernels ({lines[0]}); torch's slower operations take their place. "
            "Name another compiler in CXX.",
            stacklevel=2,
        )
        return None
    for name, arguments in _SIGNATURES.items():
        function = getattr(library, name)
        function.argtypes, function.restype = arguments, None
    return library


def _build(compiler: str) -> Path:
    """The shared library for these sources and this compiler, built under another name and renamed."""
    here = Path(__file__).parent
    version = subprocess.run([compiler, "--version"], capture_output=True, text=True, check=True).stdout
    texts = [(here / name).read_text() for name in ("bf16.h", *_SOURCES)]
    key = hashlib.sha256("\0".join([version, *_FLAGS, *texts]).encode()).hexdigest()[:16]
    target = cache_folder() / "kernels" / f"{key}.so"
    if not target.is_file():
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=target.parent) as scratch:
            built = Path(scratch) / target.name
            sources = [str(here / name) for name in _SOURCES]
            subprocess.run([compiler, *_FLAGS, *sources, "-o", str(built)], capture_output=True, text=True, check=True)
            built.rename(target)
    return target
