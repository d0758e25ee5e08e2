"""The kernels of this folder, as C functions: bfloat16 with AVX-512 BF16.

They are plain functions over pointers, so that a compiler needs no headers of torch (5 seconds instead of a minute) and
a build fits every version of torch. Where there is no C++ compiler or the processor lacks AVX-512 BF16, there are none.
"""

from __future__ import annotations

import ctypes
from functools import lru_cache

import torch
from torch import Tensor

from strop.model.cpu.build import load

_NAMES = ("attention", "decoder", "draw", "head", "rms_norm", "gated_unit", "rotary", "adamw", "gradient_norm")
_FLAGS = (
    *("-O3", "-std=c++20", "-fopenmp", "-shared", "-fPIC", "-fno-math-errno", "-w"),
    *("-mavx512f", "-mavx512bw", "-mavx512vl", "-mavx512dq", "-mavx512bf16", "-mfma"),
)
_P, _L, _I, _F, _D = ctypes.c_void_p, ctypes.c_long, ctypes.c_int, ctypes.c_float, ctypes.c_double
_SIGNATURES = {
    "strop_attention_forward": [_P] * 7 + [_I] * 4 + [_L, _I, _F],
    "strop_attention_backward": [_P] * 12 + [_I] * 4 + [_L, _L, _I, _F, _I],
    "strop_decode": [_P] * 5 + [_L, _P, _L] + [_P] * 5,
    "strop_linear": [_P] * 6 + [_L] * 3,
    "strop_draw": [_P, _L, _L] + [_P] * 5,
    "strop_head_statistics": [_P, _L, _L, _P, _F, _F] + [_P] * 4,
    "strop_head_gradient": [_P, _L, _L, _P, _F, _F] + [_P] * 6,
    "strop_rms_norm": [_P] * 4 + [_L, _L, _F],
    "strop_rms_norm_backward": [_P] * 6 + [_L, _L, _I],
    "strop_rotary": [_P] * 4 + [_L] * 5 + [_I],
    "strop_silu_gate": [_P] * 3 + [_L],
    "strop_silu_gate_backward": [_P] * 5 + [_L],
    "strop_sum_of_squares": [_P, _I, _L, _P],
    "strop_split": [_P] * 3 + [_L],
    "strop_join": [_P] * 3 + [_L],
    "strop_adamw": [_P] * 3 + [_I] + [_P] * 2 + [_L] + [_D] * 5 + [_L, _D],
    "strop_adamw_8bit": [_P] * 3 + [_I] + [_P] * 8 + [_L] + [_D] * 5 + [_L, _D],
}


@lru_cache(maxsize=1)
def kernels() -> ctypes.CDLL | None:
    """The compiled kernels, or None where this machine has none; the first call on a machine compiles them."""
    if not torch.cpu.get_capabilities().get("avx512_bf16"):
        return None
    library = load(
        [f"{name}.cpp" for name in _NAMES], _FLAGS, "strop's CPU kernels", "torch's slower operations take their place"
    )
    if library is None:
        return None
    for name, arguments in _SIGNATURES.items():
        function = getattr(library, name)
        function.argtypes, function.restype = arguments, None
    return library


def call(name: str, *arguments: Tensor | float | None) -> None:
    """Run a kernel; of a tensor it gets the address of the first number."""
    getattr(kernels(), name)(*(x.data_ptr() if isinstance(x, Tensor) else x for x in arguments))


def computable(*tensors: Tensor) -> bool:
    """Whether all of them are in bfloat16 on a CPU that the kernels run on."""
    return all(x.device.type == "cpu" and x.dtype == torch.bfloat16 for x in tensors) and kernels() is not None
