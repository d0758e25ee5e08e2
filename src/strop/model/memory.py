"""Memory habits of the process: freed blocks are kept, tensors have a region of their own, oneDNN forgets old shapes.

glibc maps and unmaps each block above 128 KiB, so a training step touches fresh pages all the time and spends a third
of its time in page faults (TRL ran 1.5-2.4 times faster with this on). Settings: mallopt(3), malloc.h.

oneDNN keeps a compiled kernel, with its buffers, for each of the last 1024 shapes, and rows of text come in ever new
shapes: 25 steps of SFT grew to 7.8 GB with that and to 6.4 GB with 128, no slower.
"""

from __future__ import annotations

import ctypes
import os
import platform

_GLIBC = {
    "MALLOC_MMAP_THRESHOLD_": (-3, 32 << 20),
    "MALLOC_TRIM_THRESHOLD_": (-1, (2 << 30) - 1),
    "MALLOC_TOP_PAD_": (-2, 64 << 20),
}
"""mallopt's number and value, by the environment variable that says the same. Blocks from 32 MiB on are mapped one by
one: in the heap they need holes of their size, which smaller blocks break up. It grew with every step (GSM8K in rows of
1024: 2.9 GB in the first, 4.6 in the seventh; with this 3.9)."""
_ONEDNN = {"ONEDNN_PRIMITIVE_CACHE_CAPACITY": "128"}
ENVIRONMENT = {**_ONEDNN, **{name: str(value) for name, (_, value) in _GLIBC.items()}}
"""The same settings for another program, which has to find them in its environment when it starts."""


def keep_freed_memory() -> bool:
    """Tell glibc to keep freed memory for reuse, and oneDNN to keep few kernels; call it before the first product.

    Where models are computed on the CPU, tensors get a region of their own (`strop.model.cpu.allocator`), and what is
    said to glibc is for the rest, and for machines without a compiler. True where glibc was told; other C libraries
    are left as they are.
    """
    import torch  # the settings above are also read by a process that stays without it

    from strop.model import accelerate

    for name, value in _ONEDNN.items():
        os.environ.setdefault(name, value)
    if not torch.accelerator.is_available():
        accelerate.install_allocator()
    if platform.libc_ver()[0] != "glibc":
        return False
    mallopt = ctypes.CDLL(None).mallopt
    return sum(mallopt(number, value) for number, value in _GLIBC.values()) == len(_GLIBC)
