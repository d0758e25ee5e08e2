"""What every grader returns, for rewards and for evaluation alike."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Score:
    """One number, the named numbers that it was made of, and a line for people."""

    value: float
    parts: dict[str, float] = field(default_factory=dict)
    reason: str = ""
