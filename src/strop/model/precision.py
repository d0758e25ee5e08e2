"""The device, number format and threads that are fastest on this machine, chosen once for every caller."""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass
from typing import Any

import torch

from strop.common.errors import InputError


@dataclass(frozen=True)
class Compute:
    """Where and in which number format a model computes.

    ``dtype`` is the format of matrix products; training keeps its weights in float32 and casts (autocast), inference
    holds its weights in ``dtype``.
    """

    device: torch.device
    dtype: torch.dtype

    def autocast(self):
        """Context in which float32 weights are multiplied in ``dtype``; does nothing for float32."""
        if self.dtype == torch.float32:
            return contextlib.nullcontext()
        return torch.autocast(self.device.type, self.dtype)

    def __str__(self) -> str:
        return f"{self.device}, {str(self.dtype).removeprefix('torch.')}"


def best_compute(device: str = "auto", dtype: str = "auto") -> Compute:
    """The compute of this machine; "auto" chooses, a name ("cpu", "cuda:1", "float32") insists.

    On a CPU, bfloat16 where the processor multiplies it (AVX-512 BF16, AMX): 420 GFLOP/s against 200 for float32 on two
    Zen 4 cores. Elsewhere float32 through oneDNN ("medium"), which stays near 4e-7 relative.

    A GPU with a number becomes torch's current one. Raises InputError for a device that is not there, or is none.
    """
    chosen = _device(device)
    if dtype != "auto":
        return Compute(chosen, getattr(torch, dtype))
    if chosen.type == "cpu":
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        torch.set_num_threads(max(1, cores // int(os.environ.get("LOCAL_WORLD_SIZE", 1))))  # with torchrun's others
        features = torch.cpu.get_capabilities()
        if features.get("avx512_bf16") or features.get("amx_bf16"):
            return Compute(chosen, torch.bfloat16)
        torch.set_float32_matmul_precision("medium")
        return Compute(chosen, torch.float32)
    bf16 = chosen.type != "cuda" or torch.cuda.is_bf16_supported(including_emulation=False)
    return Compute(chosen, torch.bfloat16 if bf16 else torch.float32)


def _device(name: str) -> torch.device:
    if name == "auto":
        return torch.accelerator.current_accelerator(check_available=True) or torch.device("cpu")
    try:
        chosen = torch.device(name)
    except RuntimeError:
        raise InputError(f"compute.device: {name!r} is no device; {_offer()}") from None
    if chosen.type == "cpu":
        if chosen.index:
            raise InputError(f"compute.device: {name!r}: there is one CPU; write cpu.")
        return torch.device("cpu")
    module: Any = getattr(torch, chosen.type, None)
    count = module.device_count() if hasattr(module, "device_count") and module.is_available() else 0
    if (chosen.index or 0) >= count:
        here = f"this machine has {count} of that kind" if count else "this machine has none of that kind"
        raise InputError(f"compute.device: {name!r}: {here}; {_offer()}")
    if chosen.type == "cuda" and chosen.index is not None:
        torch.cuda.set_device(chosen)  # peaks, clocks and random numbers are the current device's
    return chosen


def _offer() -> str:
    """What `compute.device` can be here."""
    found = torch.accelerator.current_accelerator(check_available=True)
    names = ["auto", "cpu", *(f"{found.type}:{i}" for i in range(torch.accelerator.device_count() if found else 0))]
    return f"choose one of {', '.join(names)}."
