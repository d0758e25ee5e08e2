"""What a run does when an alarm is raised: says it, stops, or goes back. The same for every alarm of every stage."""

from __future__ import annotations

from typing import Literal

from strop.common.errors import Halted, RollBack

Answer = Literal["warn", "stop", "rollback"]


def answer(way: Answer, setting: str, said: str, before: int, most: int, lr_factor: float = 1.0) -> None:
    """Nothing for ``warn``. ``setting`` is what holds ``way``; ``before``, ``most`` and ``lr_factor`` as in `RollBack`.

    Raises Halted for ``stop`` and RollBack for ``rollback``.
    """
    if way == "stop":
        raise Halted(
            f"{said} The run stops here since {setting} is stop; with {setting}=warn the same command goes on from "
            "the checkpoint, and with --continue it does so with other rates."
        )
    if way == "rollback":
        raise RollBack(said, before, most, lr_factor)
