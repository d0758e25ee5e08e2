"""Random numbers as a function of a name and a position: nothing is carried from one draw to the next."""

from __future__ import annotations

import hashlib

import numpy as np
from numpy.random import Philox


def words(name: str, count: int, at: int = 0) -> np.ndarray:
    """``[count, 4]`` uint64, row i being the random words of position ``at + i`` under ``name``.

    Philox turns a key and a counter into bits, so any stretch of positions is had without those before it, and numpy
    promises to keep that stream (not so the methods of its `Generator`).
    """
    key = int.from_bytes(hashlib.sha256(name.encode()).digest()[:16], "little")
    return Philox(key=key, counter=at).random_raw(4 * count).reshape(count, 4)


def uniform(words: np.ndarray) -> np.ndarray:
    """The same as float64 in [0, 1)."""
    return (words >> np.uint64(11)) * 2.0**-53


def permutation(name: str, count: int) -> np.ndarray:
    """A permutation of ``range(count)``, drawn by ``name``."""
    return np.argsort(words(name, -(-count // 4)).reshape(-1)[:count], kind="stable")
