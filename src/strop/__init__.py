"""Post-training for language models that people can trust.

What the verbs do, for programs (`strop.api`, docs/python.md): importing `strop` loads none of it, and none of torch.
"""

import importlib
import sys
from typing import TYPE_CHECKING, Any

from strop.common import errors
from strop.common.errors import Diverged, Halted, InputError, Interrupted

if TYPE_CHECKING:
    from strop.api import Model as Model
    from strop.api import Result as Result
    from strop.api import compare_runs as compare_runs
    from strop.api import distill as distill
    from strop.api import dpo as dpo
    from strop.api import evaluate as evaluate
    from strop.api import grpo as grpo
    from strop.api import load as load
    from strop.api import ppo as ppo
    from strop.api import reward_model as reward_model
    from strop.api import run as run
    from strop.api import sft as sft

__version__ = "0.1.0"

sys.modules["strop.errors"] = errors  # the name by which programs that use strop know it

_VERBS = (
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
)
__all__ = ["Diverged", "Halted", "InputError", "Interrupted", *_VERBS]


def __getattr__(name: str) -> Any:
    """The verbs, when they are first asked for (PEP 562)."""
    if name not in _VERBS:
        raise AttributeError(f"module 'strop' has no attribute {name!r}")
    return getattr(importlib.import_module("strop.api"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_VERBS})
