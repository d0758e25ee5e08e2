"""What the verbs do, for programs: `strop` itself hands these out, and loads them when they are asked for.

Importing this loads neither torch nor transformers; the functions do. They raise what the command line prints:
`InputError` for bad input, `Diverged`, `Halted`, and `Interrupted` where a signal stopped a run.
"""

from strop.api.measure import compare_runs, evaluate
from strop.api.model import Model, load
from strop.api.result import Result
from strop.api.train import distill, dpo, grpo, ppo, reward_model, run, sft

__all__ = [
    "Model",
    "Result",
    "compare_runs",
    "distill",
    "dpo",
    "evaluate",
    "grpo",
    "load",
    "ppo",
    "reward_model",
    "run",
    "sft",
]
