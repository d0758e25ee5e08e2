"""The kernels of this folder, as C functions: in bfloat16 with AVX-512 BF16, and in float32 on any CPU.

They are plain functions over pointers, so that a compiler needs no headers of torch (5 seconds instead of a minute) and
a build fits every version of torch. Without a C++ compiler there are none.
"""

from __future__ import annotations

import ctypes
import hashlib
import platform
from collections.abc import Sequence
from functools import lru_cache

import torch
from torch import Tensor

from strop.model.cpu.build import load

_BOTH = ("attention", "head", "rms_norm", "gated_unit", "rotary")  # sources that are compiled for either format
_NAMES = (*_BOTH, "decoder", "adamw", "gradient_norm")
_NAMES_F32 = (*_BOTH, "decoder_f32", "draw")
_COMMON = ("-O3", "-std=c++20", "-fopenmp", "-shared", "-fPIC", "-fno-math-errno", "-w")
_FLAGS = (*_COMMON, "-mavx512f", "-mavx512bw", "-mavx512vl", "-mavx512dq", "-mavx512bf16", "-mfma")
_FLOAT32 = "_f32"
_P, _L, _I, _F, _D = ctypes.c_void_p, ctypes.c_long, ctypes.c_int, ctypes.c_float, ctypes.c_double
_SIGNATURES: dict[str, list] = {  # of both formats
    "strop_attention_forward": [_P] * 7 + [_I] * 4 + [_L, _I, _F],
    "strop_attention_backward": [_P] * 12 + [_I] * 4 + [_L, _L, _I, _F],
    "strop_decode": [_P] * 5 + [_L, _P, _L] + [_P] * 5,
    "strop_linear": [_P] * 6 + [_L] * 3,
    "strop_head_statistics": [_P, _L, _L, _P, _F, _F] + [_P] * 4,
    "strop_head_gradient": [_P, _L, _L, _P, _F, _F] + [_P] * 6,
    "strop_rms_norm": [_P] * 4 + [_L, _L, _F],
    "strop_rms_norm_backward": [_P] * 6 + [_L, _L],
    "strop_rotary": [_P] * 4 + [_L] * 5 + [_I],
    "strop_silu_gate": [_P] * 3 + [_L],
    "strop_silu_gate_backward": [_P] * 5 + [_L],
}
_BFLOAT16_ALONE: dict[str, list] = {
    "strop_sum_of_squares": [_P, _I, _L, _P],
    "strop_split": [_P] * 3 + [_L],
    "strop_join": [_P] * 3 + [_L],
    "strop_adamw": [_P] * 3 + [_I] + [_P] * 2 + [_L] + [_D] * 5 + [_L, _D],
    "strop_adamw_8bit": [_P] * 3 + [_I] + [_P] * 8 + [_L] + [_D] * 5 + [_L, _D],
}
_FLOAT32_ALONE: dict[str, list] = {"strop_draw": [_P, _L, _L] + [_P] * 5}


@lru_cache(maxsize=1)
def kernels() -> ctypes.CDLL | None:
    """The compiled kernels, or None where this machine has none; the first call on a machine compiles them."""
    if not torch.cpu.get_capabilities().get("avx512_bf16"):
        return None
    return _loaded(_NAMES, _FLAGS, "strop's CPU kernels", _SIGNATURES | _BFLOAT16_ALONE)


@lru_cache(maxsize=1)
def float32_kernels() -> ctypes.CDLL | None:
    """Those in float32, compiled for the processor that this is; None where they cannot be."""
    processor = (
        f"{platform.machine()} {sorted(torch.cpu.get_capabilities().items())}"  # a cache may be several machines'
    )
    known_by = hashlib.sha256(processor.encode()).hexdigest()[:8]
    flags = (*_COMMON, "-march=native", "-DFLOAT32", f"-DFOR_{known_by}")
    signatures = {f"{name}{_FLOAT32}": arguments for name, arguments in (_SIGNATURES | _FLOAT32_ALONE).items()}
    return _loaded(_NAMES_F32, flags, "strop's CPU kernels for float32", signatures)


def _loaded(names: Sequence[str], flags: Sequence[str], what: str, signatures: dict[str, list]) -> ctypes.CDLL | None:
    library = load([f"{name}.cpp" for name in names], flags, what, "torch's slower operations take their place")
    if library is None:
        return None
    for name, arguments in signatures.items():
        function = getattr(library, name)
        function.argtypes, function.restype = arguments, None
    return library


def call(name: str, *arguments: Tensor | float | None) -> None:
    """Run a kernel; of a tensor it gets the address of the first number."""
    library = float32_kernels() if name.endswith(_FLOAT32) else kernels()
    getattr(library, name)(*(x.data_ptr() if isinstance(x, Tensor) else x for x in arguments))


def named(name: str, like: Tensor) -> str:
    """The kernel ``name`` for the format of ``like``, see `computable`."""
    return f"{name}{_FLOAT32}" if like.dtype == torch.float32 else name


def bfloat16(*tensors: Tensor) -> bool:
    """Whether all of them are in bfloat16 on a CPU that has kernels for it."""
    return all(x.device.type == "cpu" and x.dtype == torch.bfloat16 for x in tensors) and kernels() is not None


def computable(*tensors: Tensor, asked: bool = False) -> bool:
    """Whether all of them are on a CPU in one format that there are kernels for: bfloat16 or float32.

    Not under autocast, which takes float32 and gives bfloat16, unless float32 is ``asked`` for.
    """
    if bfloat16(*tensors):
        return True
    float32 = all(x.device.type == "cpu" and x.dtype == torch.float32 for x in tensors)
    return float32 and (asked or not torch.is_autocast_enabled("cpu")) and float32_kernels() is not None
