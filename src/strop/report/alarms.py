"""What went wrong in a stage that trains on its own rollouts: alarms that were raised, and rewards that failed."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from itertools import groupby
from typing import Any

from strop.report.files import ROLLOUTS, LoggedStep

_SAID = re.compile(r"alarm (?P<name>\S+), at step \d+: (?P<text>.*)", re.DOTALL)


def alarms(stage: str, steps: Sequence[LoggedStep], warnings: Iterable[str]) -> list[dict[str, Any]]:
    """Each alarm of a stage: ``name``, ``when`` (the batches at which it held, in steps) and ``texts``, what was said.

    ``warnings``: the run's, each with its stage in front.
    """
    said: dict[str, list[str]] = {}
    for warning in warnings:
        if warning.startswith(f"{stage}: ") and (found := _SAID.fullmatch(warning.removeprefix(f"{stage}: "))):
            said.setdefault(found["name"], []).append(found["text"])
    batches = sorted({one.step: one for one in steps if ROLLOUTS in one.others}.values(), key=_step)
    names = {n.removeprefix("alarm/") for one in batches for n in one.others if n.startswith("alarm/")}
    return [
        {"name": name, "when": _spans([f"alarm/{name}" in one.others for one in batches], batches), "texts": texts}
        for name in sorted(names | said.keys())
        for texts in [said.get(name, [])]
    ]


def failures(steps: Sequence[LoggedStep]) -> list[dict[str, Any]]:
    """Each part of the reward that failed: ``name``, ``batches`` with a failure of ``of``, and the ``worst`` share of a
    batch's answers that it cost, at ``step``."""
    batches = sorted({one.step: one for one in steps if ROLLOUTS in one.others}.values(), key=_step)
    names = dict.fromkeys(n for one in batches for n in one.others if n.startswith("failed/"))
    found = []
    for name in names:
        shares = {one.step: share for one in batches if (share := one.others.get(name))}
        if shares:
            worst = max(shares, key=shares.__getitem__)
            found.append(
                {
                    "name": name.removeprefix("failed/"),
                    "batches": len(shares),
                    "of": len(batches),
                    "worst": shares[worst],
                    "step": worst,
                }
            )
    return found


def _spans(held: Sequence[bool], batches: Sequence[LoggedStep]) -> str:
    """``steps 3–9, step 14``: stretches of batches at which something held."""
    spans = []
    for holds, part in groupby(zip(held, batches, strict=True), key=lambda pair: pair[0]):
        if holds:
            first, *_, last = [one.step for _, one in part] * 2
            spans.append(f"step {first}" if first == last else f"steps {first}–{last}")
    return ", ".join(spans)


def _step(one: LoggedStep) -> int:
    return one.step
