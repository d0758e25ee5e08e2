"""What the benchmarks share; they run with the threads of strop's commands."""

from strop.model.memory import spin_shortly

spin_shortly()
