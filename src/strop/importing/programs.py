"""What every program says of itself; the verb asks it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, NamedTuple

from strop.common.errors import InputError
from strop.common.registry import Registry
from strop.common.visible import one_line
from strop.importing.draft import Draft
from strop.importing.reading import Foreign


class Program(ABC):
    """A program whose configurations can be read. A new one is a file in this package."""

    title: ClassVar[str]
    signs: ClassVar[frozenset[str]]
    """Settings that this program alone has: by any of them a file is known as its."""
    commands: ClassVar[tuple[str, ...]] = ()
    """What a command line that starts it holds."""
    beside: ClassVar[frozenset[str]] = frozenset()
    """Verbs, scripts and modules of its own that train nothing."""
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


PROGRAMS: Registry[type[Program]] = Registry("program", "strop.importing", Program)
register = PROGRAMS.register


class Chosen(NamedTuple):
    """``left``: a sentence for every other command of the script."""

    name: str
    program: type[Program]
    stage: str
    foreign: Foreign
    left: list[str]


def chosen(commands: Sequence[Foreign], said: str | None) -> Chosen:
    """What is imported of a file, of whose ``commands`` one trains; ``said``: the program (``trl``), or with its stage
    (``trl:dpo``), which tells among several that train.

    Raises InputError where the file is of no known program or of several, does not tell the stage, or trains nothing
    or several times.
    """
    name, _, stage = (said or "").partition(":")
    if name and name not in PROGRAMS:
        raise InputError(f"--from {said}: there is no program {name!r}; known: {', '.join(PROGRAMS)}.")
    foreign = _one_of(commands, name, stage)
    if foreign.fault is not None:
        raise foreign.fault
    found = [name] if name else _knowing(foreign)
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
    return Chosen(name, program, stage, foreign, [_left(one) for one in commands if one is not foreign])


def _one_of(commands: Sequence[Foreign], name: str, stage: str) -> Foreign:
    """The command that trains; of several that of the program and the stage."""
    path = commands[0].path
    training = [one for one in commands if not _is_beside(one)]
    if not training:
        shown = "; ".join(one_line(one.program) for one in commands)
        raise InputError(f"{path}: {shown}: trains nothing; give the file of the training, or its configuration.")
    known = [one for one in training if _knowing(one) and (not name or name in _knowing(one))]
    if len(known) > 1 and stage:
        known = [one for one in known if PROGRAMS[name].stage_of(one) == stage] or known
    if len(known) == 1 or len(training) == 1:
        return (known or training)[0]
    several = known or training
    shown = "; ".join(one_line(one.program) for one in several)
    ways = [f"{at}:{PROGRAMS[at].stage_of(one)}" for one in known for at in _knowing(one)[:1]]
    apart = len(set(ways)) == len(ways) > 0 and not any(way.endswith(":None") for way in ways)
    what = "several commands that train" if known else "several commands, and none of them tells that it trains"
    how = f"say which with --from {' or '.join(ways)}" if apart and not stage else "leave the one to import in the file"
    raise InputError(f"{path}: has {what} ({shown}); {how}.")


def _knowing(foreign: Foreign) -> list[str]:
    return [name for name, program in PROGRAMS.items() if program.knows(foreign)]


def _is_beside(foreign: Foreign) -> bool:
    last = foreign.program.rpartition(" ")[2].removesuffix(".py").replace("/", ".").rpartition(".")[2]
    return any(
        last.replace("-", "_") in program.beside and any(command in foreign.program for command in program.commands)
        for program in PROGRAMS.values()
    )


def _left(foreign: Foreign) -> str:
    if _is_beside(foreign):
        why = "it trains nothing"
    elif found := _knowing(foreign):
        stage = PROGRAMS[found[0]].stage_of(foreign)
        why = f"it is another training: import it with --from {found[0]}{f':{stage}' if stage else ''}"
    else:
        why = f"it is no training of {', '.join(program.title for program in PROGRAMS.values())}"
    return f"not read: {one_line(foreign.program)[:80]} ({why})"
