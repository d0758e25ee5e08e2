"""Run untrusted Python programs: no network, no files, no environment, bounded time, memory, processes and output."""

from .run import Execution, Limits, framed, run_python

__all__ = ["Execution", "Limits", "framed", "run_python"]
