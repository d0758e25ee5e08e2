"""Habits of the process that make it faster on a CPU: freed memory is kept, threads that wait spin shortly.

The command line takes them on; a program that uses strop as a library has its own, unless it calls the functions here.

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

    Where models are computed on the CPU, tensors get a region of their own until the process ends
    (`strop.model.accelerate.install_allocator`), and what is said to glibc is for the rest, and for machines without a
    compiler. True where glibc was told; other C libraries are left as they are.
    """
    import torch  # the settings above are also read by a process that stays without it

    from strop.model.accelerate import install_allocator

    for name, value in _ONEDNN.items():
        os.environ.setdefault(name, value)
    if not torch.accelerator.is_available():
        install_allocator()
    if platform.libc_ver()[0] != "glibc":
        return False
    mallopt = ctypes.CDLL(None).mallopt
    return sum(mallopt(number, value) for number, value in _GLIBC.values()) == len(_GLIBC)


def spin_shortly() -> None:
    """Have libgomp's threads spin shortly when they wait for each other; before torch is loaded, when it reads this.

    In their long spin they burn the time that a thread put aside by the system would need: beside other programs,
    products took 1.9 to 2.4 times as long as with a short one.
    """
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault("GOMP_SPINCOUNT", "1000")
