"""Where this process's random generators are, to be put back."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch


def random_state() -> dict[str, Any]:
    """Of torch, NumPy and Python; what ``torch.load(weights_only=True)`` can read."""
    cuda = {"cuda_rng": torch.cuda.get_rng_state()} if torch.cuda.is_initialized() else {}  # of this process's device
    of_numpy = np.random.get_state(legacy=False)
    numpy = (
        of_numpy["bit_generator"],
        torch.from_numpy(of_numpy["state"]["key"].astype(np.int64)),
        of_numpy["state"]["pos"],
        of_numpy["has_gauss"],
        of_numpy["gauss"],
    )
    return {"torch_rng": torch.get_rng_state(), "numpy_rng": numpy, "python_rng": random.getstate(), **cuda}


def seed_everything(seed: int) -> None:
    """What nothing else draws from a generator of its own: dropout, and what a model's or a user's code draws."""
    torch.manual_seed(seed)
    np.random.seed(seed % 2**32)
    random.seed(seed)


def set_random_state(state: Mapping[str, Any]) -> None:
    torch.set_rng_state(state["torch_rng"])
    kind, keys, *rest = state["numpy_rng"]
    np.random.set_state((kind, keys.numpy().astype(np.uint32), *rest))
    random.setstate(state["python_rng"])
    if "cuda_rng" in state and torch.cuda.is_available():
        torch.cuda.set_rng_state(state["cuda_rng"])


@contextmanager
def kept_random_state() -> Iterator[None]:
    """After it this process's random generators are where they were before."""
    state = random_state()
    try:
        yield
    finally:
        set_random_state(state)
