"""The random numbers of answers: each has a stream of its own, by a key. Works without torch."""

from __future__ import annotations

import hashlib

_MASK = (1 << 64) - 1


def stream(seed: int, name: str, sample: int) -> int:
    """The key of an answer's random numbers: 64 bits that depend on these three alone."""
    digest = hashlib.blake2b(f"{seed}/{sample}/{name}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little")


def uniform(key: int, index: int) -> float:
    """Number ``index`` of a stream, in [0, 1): SplitMix64 (Steele, Lea and Flood 2014) at a place of its sequence."""
    z = (key + (index + 1) * 0x9E3779B97F4A7C15) & _MASK
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & _MASK
    return ((z ^ (z >> 31)) >> 11) * 2.0**-53
