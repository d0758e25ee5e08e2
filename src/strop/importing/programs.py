"""What every program says of itself; the verb asks it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar

from strop.common.errors import InputError
from strop.common.registry import Registry
from strop.importing.draft import Draft
from strop.importing.reading import Foreign


class Program(ABC):
    """A program whose configurations can be read. A new one is a file in this package."""

    title: ClassVar[str]
    signs: ClassVar[frozenset[str]]
    """Settings that this program alone has: by any of them a file is known as its."""
    commands: ClassVar[tuple[str, ...]] = ()
    """What a command line that starts it holds."""
    stages: ClassVar[tuple[str, ...]]
    """What it can be told to do, by its own words; ``--from PROGRAM:STAGE`` names one."""

    @classmethod
    def knows(cls, foreign: Foreign) -> bool:
        """Whether the file is this program's."""
        started = any(command in foreign.program for command in cls.commands)
        return started or bool(cls.signs & cls.settings(foreign).keys())

    @classmethod
    def settings(cls, foreign: Foreign) -> Mapping[str, Any]:
        """What is given, by the names of the program."""
        return foreign.given

    @classmethod
    @abstractmethod
    def stage_of(cls, foreign: Foreign) -> str | None:
        """Which of ``stages`` the file is for; None where it does not say."""

    @classmethod
    @abstractmethod
    def draft(cls, foreign: Foreign, stage: str) -> Draft:
        """The recipe and the account of it. Raises InputError for values that are none."""


PROGRAMS: Registry[type[Program]] = Registry("program", "strop.importing")
register = PROGRAMS.register


def chosen(foreign: Foreign, said: str | None) -> tuple[str, type[Program], str]:
    """(name, program, stage) of a file; ``said``: the program (``trl``), or with its stage (``trl:dpo``).

    Raises InputError where the file is of no known program or of several, or does not tell the stage.
    """
    name, _, stage = (said or "").partition(":")
    if name and name not in PROGRAMS:
        raise InputError(f"--from {said}: there is no program {name!r}; known: {', '.join(PROGRAMS)}.")
    found = [name] if name else [one for one, program in PROGRAMS.items() if program.knows(foreign)]
    if not found:
        shown = ", ".join(list(foreign.given)[:8])
        raise InputError(
            f"{foreign.path}: none of its settings ({shown}{', …' if len(foreign.given) > 8 else ''}) tells which "
            f"program it is for; say --from {', '.join(PROGRAMS)}, or give another file."
        )
    if len(found) > 1:
        raise InputError(f"{foreign.path}: may be for {' or '.join(found)}; say which with --from {found[0]}.")
    name = found[0]
    program = PROGRAMS[name]
    stage = stage or program.stage_of(foreign) or ""
    if stage not in program.stages:
        ways = ", ".join(f"{name}:{one}" for one in program.stages)
        what = f"there is no stage {stage!r}" if stage else "does not tell what is trained"
        raise InputError(f"{foreign.path}: {what}; say --from with one of {ways}.")
    return name, program, stage
