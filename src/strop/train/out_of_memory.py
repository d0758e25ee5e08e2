"""Running out of memory said in one sentence: how much was asked for, and which setting to lower to what."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from strop.common.errors import InputError
from strop.train.settings import StepSettings

_CPU = "DefaultCPUAllocator"
"""How torch's own allocator begins its complaint, which it raises as a plain RuntimeError."""
_ASKED = re.compile(r"tried to allocate ([\d.]+) ?(bytes|[KMGT]iB)", re.IGNORECASE)
_UNITS = {"bytes": 1, "kib": 1 << 10, "mib": 1 << 20, "gib": 1 << 30, "tib": 1 << 40}


@contextmanager
def explained_out_of_memory(settings: StepSettings, longest: int, lora: bool) -> Iterator[None]:
    """Inside, a lack of memory becomes an InputError with the mend; all other errors pass.

    ``longest``: tokens of the longest example, below which a row cannot shrink; ``lora``: only adapters are trained.
    """
    try:
        yield
    except (torch.OutOfMemoryError, MemoryError, RuntimeError) as error:
        if isinstance(error, RuntimeError) and not isinstance(error, torch.OutOfMemoryError) and _CPU not in str(error):
            raise
        asked = _ASKED.search(str(error))
        more = f": {float(asked[1]) * _UNITS[asked[2].lower()] / 1e9:.3g} GB more were asked for" if asked else ""
        raise InputError(f"out of memory{more}; {_mend(settings, longest, lora)}.") from error


def _mend(settings: StepSettings, longest: int, lora: bool) -> str:
    mends = []
    smaller = max(longest, settings.micro_batch_tokens // 2)
    if smaller < settings.micro_batch_tokens:
        mends.append(f"train.micro_batch_tokens from {settings.micro_batch_tokens} to {smaller}")
    if not settings.gradient_checkpointing:
        mends.append("train.gradient_checkpointing to true")
    if not lora:
        mends.append("lora.r to 16 (adapters instead of all weights)")
    if not mends:
        mends.append(f"chat.max_length below {longest}")
    return f"set {', or '.join(mends)}"
