"""Run untrusted Python programs: no network, no files, no environment, bounded time, memory, processes and output."""

from .choice import Confinement, confinement, is_unsafe, set_unsafe, unsafe_local
from .run import Execution, Limits, framed, run_python

__all__ = [
    "Confinement",
    "Execution",
    "Limits",
    "confinement",
    "framed",
    "is_unsafe",
    "run_python",
    "set_unsafe",
    "unsafe_local",
]
